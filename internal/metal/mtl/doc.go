// Package mtl is the device of package gpu on a Mac: Apple's Metal, through the objc
// package of darwinkit. [Open] gives it. Without cgo Open says what is missing.
//
// darwinkit's own package for Metal is not used: its methods that take another Metal
// object panic, and its completion handlers read freed memory. Messages are sent by name.
// The rules that all files here follow:
//
//   - Every message is sent inside of [pooled]: what Metal autoreleases is freed when the
//     function returns, and a goroutine keeps its thread meanwhile, as pools belong to one.
//   - What new, alloc and copy give is owned and released; what else is to outlive the pool
//     is retained.
//   - A message to nil gives zero, as in Objective-C, where darwinkit panics.
//   - Results are words, objects or strings: libffi writes narrower integers as words, over
//     whatever Go keeps behind the variable.
//   - What Metal would end the program for (bytes over the limit, threadgroups too large,
//     empty grids) is an error before it is sent.
//
// The files run in tests on Linux, on the runtime of package objcfake. They have not run on
// a Mac.
package mtl
