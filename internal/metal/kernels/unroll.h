// UNROLL is for loops over arrays that must stay in registers.
#define UNROLL _Pragma("clang loop unroll(full)")
