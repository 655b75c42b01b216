package simd

import (
	"bytes"
	"math"
	"testing"
	"unsafe"
)

// TestStream: all lengths and offsets give a copy, and nothing else is written.
func TestStream(t *testing.T) {
	src := make([]byte, 4096+512)
	for i := range src {
		src[i] = byte(i*7 + i>>8)
	}
	for _, at := range []int{0, 1, 4, 32, 64} {
		for _, n := range []int{0, 1, 63, 64, 255, 256, 257, 511, 512, 1000, 4096} {
			dst := bytes.Repeat([]byte{0xee}, 4096+512)
			Stream(dst[at:], src[3:3+n], nil, nil)
			StreamEnd()
			if !bytes.Equal(dst[at:at+n], src[3:3+n]) {
				t.Fatalf("%d bytes at %d are not the source", n, at)
			}
			for i, b := range dst {
				if (i < at || i >= at+n) && b != 0xee {
					t.Fatalf("%d bytes at %d: byte %d was written", n, at, i)
				}
			}
		}
	}
}

// TestStreamedOps: the bits of the usual kernels, at all lengths and offsets, of
// special values too.
func TestStreamedOps(t *testing.T) {
	r := newRand(3)
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -2, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-40, math.MaxFloat32}
	values := func(n int) []float32 {
		x := normals(r, n)
		for i := range x {
			if r.IntN(3) == 0 {
				x[i] = special[r.IntN(len(special))]
			}
		}
		return x
	}
	base := make([]float32, 1100) // from a place aligned to 64 bytes on
	for uintptr(unsafe.Pointer(&base[0]))%64 != 0 {
		base = base[1:]
	}
	check := func(what string, n, at int, f, usual func(y []float32)) {
		for i := range base {
			base[i] = 77
		}
		want := make([]float32, n)
		usual(want)
		f(base[at : at+n])
		StreamEnd()
		for i, v := range base {
			w := float32(77)
			if i >= at && i < at+n {
				w = want[i-at]
			}
			if math.Float32bits(v) != math.Float32bits(w) {
				t.Fatalf("%s of %d at %d: element %d is %x, want %x", what, n, at, i, math.Float32bits(v), math.Float32bits(w))
			}
		}
	}
	used := Active()
	defer func() { _ = Select(used) }()
	for _, tier := range Available() {
		if err := Select(tier); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 63, 64, 65, 200, 1024} {
			for _, at := range []int{0, 1, 16} {
				a, b := values(n), values(n)
				for op := range UnaryOp(NumUnary) {
					if f := StreamUnary(op); f != nil {
						check("unary", n, at, func(y []float32) { f(y, a) }, func(y []float32) { K.Unary[op](y, a) })
					}
				}
				for op := range BinaryOp(NumBinary) {
					if f := StreamBinary(op); f != nil {
						check("binary", n, at, func(y []float32) { f(y, a, b) }, func(y []float32) { K.Binary[op](y, a, b) })
					}
				}
			}
		}
	}
}
