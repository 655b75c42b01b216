// Package msltest compiles kernels in the Metal Shading Language for the CPU, runs them
// there, and looks for what would go wrong on a Mac. It is how kernels are tested where
// there is no Apple GPU; package emu makes a device of it.
//
// # How it works
//
// clang -E expands the source; a rewriter ([Parse]) turns what is not C++ (attributes,
// instantiations with host names, function constants, threadgroup variables, vector
// constructors) into C++ and adds one function without parameters for each kernel; clang
// compiles that with the library of cpp/msl.h in front to a shared object, kept in the
// user's cache by content. The runtime (cpp/runtime.cpp) runs a threadgroup at a time on
// each core, each thread of it as a fiber, 32 of them a simdgroup. Running needs the build
// tag metalemu, Linux and cgo; the rewriter and the checks need only clang.
//
// # What finds what
//
//   - lint: words that Metal lacks (double, std::, lambdas), pointers without an address
//     space, variables of the threadgroup outside of kernels, of the program outside of
//     constant memory
//   - Strict: conversions and functions that clang takes and Metal does not, as those of
//     bfloat. It only checks syntax, as does
//   - Spaces: pointers to device, constant, threadgroup and thread memory mixed up
//   - running at all: wrong numbers; barriers that not all threads of a threadgroup reach
//     and simdgroup operations that not all lanes reach which have not returned, with the
//     line; too much threadgroup memory. Threadgroup memory begins as NaN, and so do local
//     variables and what is read of lanes that are not there
//   - running in several orders (ascending, descending, shuffled): missing barriers, when
//     they show in results
//   - TSan: races inside a threadgroup and between threadgroups, in whatever order, and
//     barriers with mem_none
//   - ASan: accesses past the end of a buffer or of a threadgroup array
//   - MSan: results that depend on values that nobody set
//
// # What nothing finds
//
// Which memory a barrier orders is not told apart: mem_threadgroup where mem_device is
// needed passes. Neither is Metal's weaker coherence of device memory between threadgroups
// (waiting for another threadgroup), nor lanes that return before a simdgroup operation of
// the others, which Metal allows, nor that Apple's compiler refuses a thing.
//
// # What cannot be used
//
// Textures, argument buffers, Metal 4 tensors and indirect commands; braced lists where a
// vector is wanted by overload resolution; kernels inside of namespaces; swizzles of bool
// vectors, which comparisons of vectors do not give either: they give integers, 0 and -1.
//
// A kernel that does not end hangs, and one that accesses memory that is not its own or
// divides an integer by zero ends the process.
package msltest
