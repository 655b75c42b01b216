// msl_bfloat.h: bfloat. When a kernel is to run it is the compiler's own type.
#pragma once

#ifndef MSL_STRICT
typedef __bf16 bfloat;
#else
// For checking it is a class, so that Metal's rules hold: it converts to float only, and
// no float or half becomes one silently (integers do). Vectors hold bare __bf16.
struct bfloat {
  __bf16 bits;

  bfloat() = default;
  constexpr explicit bfloat(float x) : bits(round(x)) {}
  constexpr explicit bfloat(half x) : bfloat((float)x) {}
  template <class B, unsigned = sizeof(char[__is_same(B, __bf16) ? 1 : -1])>
  constexpr bfloat(B x) : bits(x) {} // an element of a vector
  template <class I, unsigned = sizeof(char[__is_integral(I) ? 1 : -1]), int = 0>
  constexpr bfloat(I x) : bfloat((float)x) {}

  constexpr operator float() const {
    return __builtin_bit_cast(float, (uint)__builtin_bit_cast(ushort, bits) << 16);
  }
  constexpr explicit operator half() const { return (half)(float)*this; }

  static constexpr __bf16 round(float x) {
    uint u = __builtin_bit_cast(uint, x);
    bool nan = (u & 0x7fffffff) > 0x7f800000;
    return __builtin_bit_cast(__bf16, (ushort)(nan ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16));
  }
};

#define MSL_BFLOAT_INTEGER template <class I, unsigned = sizeof(char[__is_integral(I) ? 1 : -1])>
#define MSL_BFLOAT_OP(op)                                                                                \
  MSL_FN constexpr bfloat operator op(bfloat a, bfloat b) { return bfloat((float)a op(float) b); }       \
  MSL_BFLOAT_INTEGER MSL_FN constexpr bfloat operator op(bfloat a, I b) { return bfloat((float)a op(float) b); } \
  MSL_BFLOAT_INTEGER MSL_FN constexpr bfloat operator op(I a, bfloat b) { return bfloat((float)a op(float) b); } \
  MSL_FN bfloat& operator op##=(bfloat& a, bfloat b) { return a = bfloat((float)a op(float) b); }
MSL_BFLOAT_OP(+)
MSL_BFLOAT_OP(-)
MSL_BFLOAT_OP(*)
MSL_BFLOAT_OP(/)
#define MSL_BFLOAT_COMPARE(op) \
  MSL_FN constexpr bool operator op(bfloat a, bfloat b) { return (float)a op(float) b; }
MSL_BFLOAT_COMPARE(<)
MSL_BFLOAT_COMPARE(>)
MSL_BFLOAT_COMPARE(<=)
MSL_BFLOAT_COMPARE(>=)
MSL_BFLOAT_COMPARE(==)
MSL_BFLOAT_COMPARE(!=)
MSL_FN constexpr bfloat operator-(bfloat a) { return bfloat(-(float)a); }
#endif

namespace metal {
using ::bfloat;
}
