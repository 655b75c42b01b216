//go:build linux && metalemu && cgo

package msltest

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

const header = "#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\nusing namespace metal;\n"

// load compiles a source that must have no faults.
func load(t testing.TB, source string) *Library {
	t.Helper()
	p := parse(t, source)
	for _, l := range p.Lint() {
		t.Error(l)
	}
	lib, err := p.Load(gpu.Safe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lib.Close)
	return lib
}

func kernelOf(t testing.TB, lib *Library, name string, consts ...gpu.Const) *Kernel {
	t.Helper()
	k, err := lib.Kernel(name, consts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// run dispatches; what is undefined in Metal fails the test.
func run(t testing.TB, k *Kernel, l Launch) Report {
	t.Helper()
	r, err := k.Run(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Errorf("kernel %s: %v", k.Name, err)
	}
	return r
}

// line is a one-dimensional launch.
func line(n, group int, buffers ...unsafe.Pointer) Launch {
	return Launch{Grid: [3]int{n, 1, 1}, Group: [3]int{group, 1, 1}, Buffers: buffers}
}

func at[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func bytesOf[T any](s []T) []byte {
	var z T
	return unsafe.Slice((*byte)(at(s)), len(s)*int(unsafe.Sizeof(z)))
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func toBfloat(x float32) uint16 {
	u := math.Float32bits(x)
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func fromBfloat(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }
