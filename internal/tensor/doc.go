// Package tensor is the lazy graph under everything: handles and nodes, Apply
// and Eval, streams and events, memory, traces, and the primitives of mlx.core.
//
// Its main types are Array (a handle to a node of the graph), Primitive (one
// operation with its parameters, a comparable value that infers types and knows
// nothing of devices) and Backend (what runs primitives).
//
// It does not contain kernels, derivatives of functions (autodiff) or plans of
// traced functions (compile); it declares the Plan that compile makes and a
// backend prepares.
package tensor
