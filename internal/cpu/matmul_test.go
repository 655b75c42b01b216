package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

var inexact = []dtype.DType{dtype.Float16, dtype.BFloat16, dtype.Float32, dtype.Float64, dtype.Complex64}

func TestMatMul(t *testing.T) {
	sizes := []struct {
		batch   []int
		m, k, n int
	}{{nil, 1, 1, 1}, {nil, 3, 5, 4}, {nil, 1, 70, 9}, {nil, 67, 33, 1}, {[]int{2, 3}, 4, 6, 5}, {nil, 2, 0, 3}, {nil, 70, 12, 130}, {[]int{0}, 2, 2, 2}}
	for _, da := range inexact {
		for _, db := range inexact {
			rng := newRand(uint64(da)<<8 | uint64(db) | 9<<20)
			out := dtype.Promote(da, db)
			for i, l := range layouts {
				for j, s := range sizes {
					l2 := layouts[(i+j)%len(layouts)]
					a, va := place(rng, l, da, append(append([]int{}, s.batch...), s.m, s.k), random64(rng, da, false))
					b, vb := place(rng, l2, db, append(append([]int{}, s.batch...), s.k, s.n), random64(rng, db, false))
					var want []value
					for t := range tensor.Shape(s.batch).Size() {
						for i := range s.m {
							for j := range s.n {
								var z complex128
								for k := range s.k {
									z += va[(t*s.m+i)*s.k+k].z * vb[(t*s.k+k)*s.n+j].z
								}
								want = append(want, value{z: z})
							}
						}
					}
					what := fmt.Sprintf("%v%v @ %v %s @ %s", da, s, db, l.name, l2.name)
					compareValues(t, what, out, values(t, tensor.Apply1(tensor.MatMul{}, none, a, b)), want, float64(s.k)*8)
				}
			}
		}
	}
}

// A row's bits do not depend on the rows beside it.
func TestMatMulRows(t *testing.T) {
	rng := newRand(10)
	w, _ := normalArray(rng, dtype.BFloat16, 200, 300)
	x, _ := normalArray(rng, dtype.Float32, 130, 300)
	for _, wt := range []*tensor.Array{tensor.SwapAxes(w, 0, 1, none), tensor.CopyOf(tensor.SwapAxes(w, 0, 1, none), none)} {
		all := tensor.MatMulOf(x, wt, none)
		for _, r := range []int{0, 63, 64, 129} {
			one := tensor.MatMulOf(tensor.SliceAxis(x, 0, r, r+1, none), wt, none)
			if got, want := one.Bytes(), tensor.SliceAxis(all, 0, r, r+1, none).Bytes(); string(got) != string(want) {
				t.Errorf("row %d alone differs from row %d of 130", r, r)
			}
		}
	}
}

// Products of a transposed matrix and few columns have the bits of those of its copy, of
// all types, batched and not, and of a matrix that a batch shares.
func TestMatMulSwapped(t *testing.T) {
	types := []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Float16}
	rng := newRand(12)
	for _, da := range types {
		for _, db := range types {
			for _, s := range [][4]int{{1, 2, 1, 1}, {1, 300, 70, 8}, {3, 257, 33, 1}, {2, 700, 5, 64}, {1, 70, 4, 65}, {2, 5, 9, 8}, {1, 3, 0, 2}} {
				batch, m, k, n := s[0], s[1], s[2], s[3]
				at, _ := normalArray(rng, da, batch, k, m)
				b, _ := normalArray(rng, db, batch, k, n)
				a := tensor.SwapAxes(at, 1, 2, none)
				for _, b := range []*tensor.Array{b, tensor.SliceAxis(b, 0, 0, 1, none)} {
					got, want := tensor.MatMulOf(a, b, none), tensor.MatMulOf(tensor.CopyOf(a, none), b, none)
					if string(got.Bytes()) != string(want.Bytes()) {
						t.Errorf("%v @ %v of %v: other bits than of a copy", da, db, s)
					}
				}
			}
		}
	}
}

func schemes() (out []quant.Scheme) {
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, g := range []int{32, 64, 128} {
			out = append(out, quant.Scheme{GroupSize: g, Bits: bits, Mode: quant.Affine})
		}
	}
	for _, m := range []quant.Mode{quant.MXFP4, quant.MXFP8, quant.NVFP4} {
		s, _ := quant.Scheme{Mode: m}.Resolve()
		out = append(out, s)
	}
	return out
}

// unaligned is a's elements at an odd address, as in a mapped file.
func unaligned(a *tensor.Array) *tensor.Array {
	mem := append([]byte{0}, a.Bytes()...)
	s := tensor.SpecOf(a)
	return tensor.FromView(View{Spec: s, Strides: packedStrides(s.Shape, ascending(len(s.Shape))), Buf: tensor.Borrow(mem, mem), Offset: 1})
}

func TestQuantizedProducts(t *testing.T) {
	const n, k = 140, 256
	for _, s := range schemes() {
		for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16} {
			if testing.Short() && (s.GroupSize == 128 || d == dtype.Float16 || s.Bits == 2 || s.Bits == 6) {
				continue
			}
			rng := newRand(uint64(s.Bits)<<8 | uint64(d) | 11<<20)
			for _, s.Rounding = range []quant.Rounding{quant.RoundMetal, quant.RoundCPU} {
				w, wf := normalArray(rng, d, n, k)
				q := quant.QuantizeOf(w, s, none)
				for i := range q {
					q[i] = unaligned(q[i])
				}
				q = append(q, nil)
				deq := quant.DequantizeOf(q[0], q[1], q[2], s, dtype.Float32, none)
				full := floatsOf(values(t, deq))
				var worst float64
				for i := range wf {
					worst = max(worst, (wf[i]-full[i])*(wf[i]-full[i]))
				}
				if worst > 4 || worst > .02 && s.Bits > 5 && s.Mode == quant.Affine {
					t.Errorf("%v of %v: a value is off by %v", s, d, worst)
				}
				for _, m := range []int{1, 67} {
					checkQuantized(t, s, d, q, full, m, n, k)
				}
			}
		}
	}
}

func checkQuantized(t *testing.T, s quant.Scheme, d dtype.DType, q []*tensor.Array, w []float64, m, n, k int) {
	t.Helper()
	rng := newRand(uint64(m))
	for _, transpose := range []bool{true, false} {
		in, out := k, n
		if !transpose {
			in, out = n, k
		}
		x, xf := normalArray(rng, d, m, in)
		want := make([]float64, m*out)
		for i := range m {
			for j := range out {
				for t := range in {
					at := t*k + j
					if transpose {
						at = j*k + t
					}
					want[i*out+j] += xf[i*in+t] * w[at]
				}
			}
		}
		y := quant.MatMulOf(x, q[0], q[1], q[2], quant.MatMul{Scheme: s, Transpose: transpose}, none)
		compareValues(t, fmt.Sprintf("%v of %v, %d rows, transpose %v", s, d, m, transpose), d, values(t, y), fromFloats(want), map[bool]float64{true: 20, false: 1}[d == dtype.Float32])
		for _, p := range []quant.MatMul{{Round: true}, {Halve: true}} { // activations, or weights, that may be rounded
			p.Scheme, p.Transpose = s, transpose
			var diff, norm float64
			for i, v := range floatsOf(values(t, quant.MatMulOf(x, q[0], q[1], q[2], p, none))) {
				diff, norm = diff+(v-want[i])*(v-want[i]), norm+want[i]*want[i]
			}
			if limit := map[bool]float64{true: 1e-4, false: 3e-5}[p.Round]; !(diff <= limit*norm) {
				t.Errorf("%+v of %v, %d rows: error %.2g of the norm", p, d, m, math.Sqrt(diff/norm))
			}
		}
	}
}

// A product of more rows than may be prepared at once is cut, and right.
func TestManyRows(t *testing.T) {
	const m, n, k = 20_000, 2, 1024 // 80 MB as float32
	rng := newRand(5)
	w, _ := normalArray(rng, dtype.Float32, n, k)
	s := quant.Scheme{Mode: quant.Affine, Bits: 4, GroupSize: 64}
	q := quant.QuantizeOf(w, s, none)
	wf := floatsOf(values(t, quant.DequantizeOf(q[0], q[1], q[2], s, dtype.Float32, none)))
	x, xf := normalArray(rng, dtype.Float32, m, k)
	y := floatsOf(values(t, quant.MatMulOf(x, q[0], q[1], q[2], quant.MatMul{Scheme: s, Transpose: true}, none)))
	for _, i := range []int{0, 1, 9999, 16_383, 16_384, 16_385, m - 1} {
		for j := range n {
			var sum float64
			for l := range k {
				sum += xf[i*k+l] * wf[j*k+l]
			}
			if d := math.Abs(y[i*n+j] - sum); !(d < 1e-3) {
				t.Errorf("element %d,%d is off by %g", i, j, d)
			}
		}
	}
}

// TestRowsAlone: rows of such a product have the bits of products of one row, in every
// tier, whatever else may be rounded.
func TestRowsAlone(t *testing.T) {
	active := simd.Active()
	defer func() {
		if err := simd.Select(active); err != nil {
			t.Fatal(err)
		}
	}()
	const n, k = 75, 384
	row := func(x *tensor.Array, i int) *tensor.Array { return tensor.SliceAxis(x, 0, i, i+1, none) }
	differ := 0
	for _, tier := range simd.Available() {
		if err := simd.Select(tier); err != nil {
			t.Fatal(err)
		}
		for _, s := range schemes() {
			for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16} {
				rng := newRand(uint64(s.Bits)<<8 | uint64(d))
				w, _ := normalArray(rng, d, n, k)
				q := append(quant.QuantizeOf(w, s, none), nil)
				for _, m := range []int{2, 3, 4, 5, 7, 8, 13} {
					x, _ := normalArray(rng, d, m, k)
					for _, round := range []bool{false, true} {
						product := func(x *tensor.Array, alone bool) []float64 {
							in := []*tensor.Array{x, q[0], q[1]}
							if s.Mode == quant.Affine {
								in = append(in, q[2])
							}
							return floatsOf(values(t, tensor.Apply1(quant.MatMul{Scheme: s, Transpose: true, Round: round, Alone: alone}, none, in...)))
						}
						var want []float64
						for i := range m {
							want = append(want, product(row(x, i), false)...)
						}
						if got := product(x, true); !slices.Equal(got, want) {
							t.Fatalf("%s: %v of %v, %d rows, round %v: other bits than alone", tier, s, d, m, round)
						}
						if !slices.Equal(product(x, false), want) {
							differ++
						}
					}
				}
			}
		}
	}
	if differ == 0 && active != "pure" {
		t.Error("no product of several rows rounds otherwise: the test shows nothing")
	}
}
