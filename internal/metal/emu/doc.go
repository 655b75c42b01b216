// Package emu is a [gpu.Device] that runs Metal kernels on the CPU, for development and
// tests of the Metal backend where there is no Mac. It is built with the tag metalemu on
// Linux, with cgo, and needs clang 17 or newer at run time; msltest does the compiling.
//
// It is stricter than a GPU. Dispatches between two barriers of a queue run in a random
// order, and so do the lanes of a simdgroup; a barrier that is missing shows as wrong
// numbers. What Metal leaves undefined and what its validation layer refuses is an error
// that names the kernel: a buffer released before its use, an argument that is not bound
// or lies outside of its buffer, writes past a buffer's end, too many threads, too much
// threadgroup memory, barriers and simdgroup operations that not all lanes reach.
//
// Kernels are native code in this process: one that reads or writes far outside of its
// buffers, or divides an integer by zero, ends the process with a signal that Go cannot
// catch. For that, and for races inside of kernels, MLX_METAL_SANITIZER=asan, tsan or msan
// runs each dispatch, unless it is large, in a process of its own that is built with that
// sanitizer, and checks address spaces. It is slow: it is meant for tests of the backend.
package emu

import (
	"fmt"
	"os"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// Options change how a device behaves, for tests.
type Options struct {
	Seed           uint64       // of the order of dispatches and lanes
	Workers        int          // threads that run a dispatch; 0 is one a core
	Sanitizer      msltest.Mode // what dispatches are built with; Plain is nothing
	IgnoreBarriers bool         // barriers of queues order nothing: what depends on one must break
}

// sanitizers are the values of MLX_METAL_SANITIZER.
var sanitizers = map[string]msltest.Mode{"": msltest.Plain, "asan": msltest.ASan, "tsan": msltest.TSan, "msan": msltest.MSan}

// Open gives a device with the default options, and the sanitizer of MLX_METAL_SANITIZER.
// The error says what is missing: clang, or this package in the build.
func Open() (gpu.Device, error) {
	name := os.Getenv("MLX_METAL_SANITIZER")
	mode, ok := sanitizers[name]
	if !ok {
		return nil, fmt.Errorf("MLX_METAL_SANITIZER is %q: it can be asan, tsan or msan", name)
	}
	return OpenWith(Options{Sanitizer: mode})
}
