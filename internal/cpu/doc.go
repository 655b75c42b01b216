// Package cpu is the CPU backend: it runs the primitives of the graph in Go on
// all cores.
//
// bind is its table of contents: one switch from primitive to kernel, which
// eager queues (Queue.Encode) and replayed plans (Prepare) share, so both run
// the same code and give the same bits. A kernel family has one file
// (elementwise, reduce, matmul, ...); the loops over slices are in cpu/simd.
//
// Work is cut into chunks by index alone, so results depend neither on the
// number of workers nor on who computes what.
//
// Importing the package registers the backend; it exports only the number of
// workers. It does not know graphs, transformations or files.
package cpu
