// Package simd holds the slice kernels of the CPU backend: conversions, matrix
// products over float and quantized weights, norms, softmax, rotary embedding,
// attention and elementwise loops.
//
// All kernels sit in one function table, [Table]; [K] is the table in use. It
// is bound once at init from the best tier that this machine has, or from the
// environment variable MLX_SIMD, see [Err]. The tiers are "avx512" (amd64 with
// AVX-512 F, BW, DQ, VL and VBMI), "avx2" (amd64 with AVX2, FMA and F16C), neither
// in builds with the tag purego or the race detector, which does not see assembly,
// and "pure", plain Go, everywhere.
//
// Main types: [Table], [Raw] (weights as they lie in memory), [QMatrix]
// (packed weights).
//
// Conventions of every kernel:
//   - Activations and results are float32; halves pass through the converters.
//   - Sums accumulate in float32 in an order that depends only on the length of
//     the sum, never on the number of rows or on how the caller cuts the work,
//     so any chunking gives the same bits and row r of a batch equals the call
//     for that row alone. Products with packed weights keep the first half of
//     that only: their arithmetic follows from the whole product, see [QPlan].
//     Tiers differ in the order. The pure tier forbids fused multiply-add, so its
//     sums and quantized bytes do not depend on the platform either.
//   - Memory may lie at any address: amd64 and arm64 load unaligned.
//   - Matrices are row-major; ld* are row strides in elements.
//   - A size that does not fit panics as a slice index does: callers check
//     shapes, and no shape here comes from outside bytes.
//
// The package does not know arrays, broadcasting, threads or devices, and
// allocates nothing while a kernel runs. Hosts are little-endian.
package simd

import (
	"fmt"
	"unsafe"
)

// Elem is the type of floating-point elements in raw memory.
type Elem uint8

// Element types.
const (
	F32 Elem = iota
	F16
	BF16
)

// Size returns the bytes of one element.
func (e Elem) Size() int {
	if e == F32 {
		return 4
	}
	return 2
}

func (e Elem) String() string {
	switch e {
	case F32:
		return "float32"
	case F16:
		return "float16"
	case BF16:
		return "bfloat16"
	}
	return fmt.Sprintf("Elem(%d)", uint8(e))
}

// Raw is a run of elements in little-endian memory at any alignment. The zero
// Raw holds nothing; kernels take it for "no weight".
type Raw struct {
	Elem Elem
	Data []byte
}

// Len returns the number of whole elements.
func (r Raw) Len() int { return len(r.Data) / r.Elem.Size() }

// Slice returns elements [i, j).
func (r Raw) Slice(i, j int) Raw {
	s := r.Elem.Size()
	return Raw{r.Elem, r.Data[i*s : j*s]}
}

// RawF32 returns the memory of x as a Raw that shares it.
func RawF32(x []float32) Raw { return Raw{F32, bytesOf(x)} }

// Float32s views b as float32 without a copy; b may be unaligned and a partial
// last element is left out. The slice lives as long as the memory of b.
func Float32s(b []byte) []float32 { return view[float32](b) }

// Uint32s views b as uint32, see [Float32s].
func Uint32s(b []byte) []uint32 { return view[uint32](b) }

// Uint16s views b as uint16, see [Float32s].
func Uint16s(b []byte) []uint16 { return view[uint16](b) }

// Uint64s views b as uint64, see [Float32s].
func Uint64s(b []byte) []uint64 { return view[uint64](b) }

// view relies on unaligned loads; checkptr allows it for types without pointers.
func view[T uint16 | uint32 | uint64 | float32](b []byte) []T {
	var t T
	n := len(b) / int(unsafe.Sizeof(t))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func bytesOf[T uint16 | uint32 | float32](x []T) []byte {
	if len(x) == 0 {
		return nil
	}
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(t)))
}
