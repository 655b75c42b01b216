package optest

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// recorded is a case of ops.safetensors with input x.
func recorded(name string, tol Tol, f func(x *mlx.Array) *mlx.Array) Case {
	return Case{Name: name, File: "ops", In: []string{"x"}, Tol: tol, Build: one(f)}
}

// along is a Want that works on the rows of the last axis.
func along(f func(row []float64) []float64) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array {
		x := floats(in[0])
		k := in[0].Dim(-1)
		var out []float64
		for r := 0; r < len(x); r += k {
			out = append(out, f(x[r:r+k])...)
		}
		return []*mlx.Array{mlx.FromSlice(out, in[0].Shape()...).AsType(in[0].DType())}
	}
}

func statCases() []Case {
	cases := []Case{
		recorded("r.logsumexp.02k", F32, func(x *mlx.Array) *mlx.Array { return mlx.LogSumExp(x, mlx.Axes{0, 2}, mlx.KeepDims(true)) }),
		recorded("cumprod", F32, func(x *mlx.Array) *mlx.Array { return mlx.CumProd(x, mlx.Axis(0)) }),
		recorded("cummax", Exact, func(x *mlx.Array) *mlx.Array { return mlx.CumMax(x, mlx.Axis(1)) }),
		recorded("logcumsumexp", F32, func(x *mlx.Array) *mlx.Array { return mlx.LogCumSumExp(x, mlx.Axis(1)) }),
		recorded("sort", Exact, func(x *mlx.Array) *mlx.Array { return mlx.Sort(x, mlx.Axis(1)) }),
		recorded("partition.3", Exact, func(x *mlx.Array) *mlx.Array {
			return tensor.SliceAxis(mlx.Partition(x, 3), -1, 0, 3, none)
		}),
		recorded("topk.sorted", Exact, func(x *mlx.Array) *mlx.Array { return mlx.Sort(mlx.TopK(x, 2)) }),
	}
	for i := range cases {
		cases[i].Halves = cases[i].Name != "partition.3"
	}
	for _, c := range []struct {
		name string
		f    func(*mlx.Array, ...mlx.ReduceOption) *mlx.Array
	}{{"var", mlx.Var}, {"std", mlx.Std}} {
		one1, one2 := recorded("r."+c.name+".1", F32, func(x *mlx.Array) *mlx.Array { return c.f(x, mlx.Axis(1)) }),
			recorded("r."+c.name+".02k", F32, func(x *mlx.Array) *mlx.Array { return c.f(x, mlx.Axes{0, 2}, mlx.KeepDims(true)) })
		one1.Halves, one2.Halves = true, true
		cases = append(cases, one1, one2)
	}
	return append(cases, slices.Concat(scanCases(), rowCases())...)
}

// zeroes are rows with no, one and two zeros.
func zeroes() *mlx.Array {
	return mlx.NewArray([][]float64{{2, 0, 3, 0.5, -1}, {1.5, 0, -2, 0, 3}, {0.5, 2, -1, 3, 0}})
}

func scanCases() (cases []Case) {
	last, zeros, small := mlx.Axis(-1), zeroes(), ramp(3, 5).Mul(0.5)
	for _, reverse := range []bool{false, true} {
		for _, inclusive := range []bool{false, true} {
			o := []mlx.ScanOption{last, mlx.Reverse(reverse), mlx.Inclusive(inclusive)}
			name := map[bool]string{true: " reverse"}[reverse] + map[bool]string{false: " exclusive"}[inclusive]
			run := func(first float64, f func(a, v float64) float64) func([]*mlx.Array) []*mlx.Array {
				return along(func(row []float64) []float64 { return scanned(row, reverse, !inclusive, first, f) })
			}
			cases = append(cases,
				Case{Name: "cumprod with zeros" + name, Inputs: made(zeros), Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.CumProd(x, o...) }),
					Want: run(1, func(a, v float64) float64 { return a * v })},
				Case{Name: "cumsum" + name, Inputs: made(small), Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.CumSum(x, o...) }),
					Want: run(0, func(a, v float64) float64 { return a + v })})
			extreme := func(least float64, f func(*mlx.Array, ...mlx.ScanOption) *mlx.Array, pick func(a, v float64) float64, label string) Case {
				c := Case{Name: label + name, Inputs: made(small), Build: one(func(x *mlx.Array) *mlx.Array { return f(x, o...) }), Want: run(least, pick)}
				if !inclusive { // an infinite first element has no differences
					c.Build = one(func(x *mlx.Array) *mlx.Array { return mlx.Maximum(mlx.Minimum(f(x, o...), 100), -100) })
					c.Want = run(math.Copysign(100, least), pick)
				}
				return c
			}
			cases = append(cases,
				extreme(math.Inf(-1), mlx.CumMax, math.Max, "cummax"), extreme(math.Inf(1), mlx.CumMin, math.Min, "cummin"))
			lse := extreme(math.Inf(-1), mlx.LogCumSumExp, func(a, v float64) float64 {
				if a == -100 {
					return v
				}
				return math.Max(a, v) + math.Log1p(math.Exp(-math.Abs(a-v)))
			}, "logcumsumexp")
			lse.Tol = F32
			cases = append(cases, lse)
		}
	}
	return cases
}

func rowCases() []Case {
	zeros := zeroes()
	return []Case{
		{Name: "prod with zeros", Inputs: made(zeros), Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Prod(x, mlx.Axis(1)) }),
			Want: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.FromSlice([]float32{0, 0, 0})} }},
		{Name: "median", Inputs: made(ramp(3, 5, 2)), Halves: true, Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Median(x, mlx.Axes{0, 2}) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				x, out := floats(in[0]), make([]float32, 5)
				for i := range out {
					var v []float64
					for j := range 3 {
						v = append(v, x[10*j+2*i], x[10*j+2*i+1])
					}
					slices.Sort(v)
					out[i] = float32((v[2] + v[3]) / 2)
				}
				return []*mlx.Array{mlx.FromSlice(out)}
			}},
		{Name: "count_nonzero", Inputs: made(zeros), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.CountNonZero(x, mlx.Axis(1)) }),
			Want: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.FromSlice([]int32{4, 3, 4})} }},
		{Name: "softmax of two axes", Inputs: made(ramp(2, 3, 4)), Tol: F32, Halves: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Softmax(x, mlx.Axes{0, 2}) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				x := floats(in[0])
				out := make([]float32, 24)
				for j := range 3 {
					sum := 0.0
					at := []int{}
					for i := range 2 {
						for k := range 4 {
							at = append(at, 12*i+4*j+k)
							sum += math.Exp(x[12*i+4*j+k])
						}
					}
					for _, n := range at {
						out[n] = float32(math.Exp(x[n]) / sum)
					}
				}
				return []*mlx.Array{mlx.FromSlice(out, 2, 3, 4)}
			}},
		{Name: "linear_scan", Inputs: made(ramp(2, 5).Mul(0.3), ramp(2, 5).Add(1)), Tol: F32, Halves: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return tensor.Apply1(tensor.LinearScan{Reverse: true}, none, a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				a, b, y := floats(in[0]), floats(in[1]), make([]float32, 10)
				for r := range 2 {
					acc := 0.0
					for k := 4; k >= 0; k-- {
						acc = b[5*r+k] + a[5*r+k]*acc
						y[5*r+k] = float32(acc)
					}
				}
				return []*mlx.Array{mlx.FromSlice(y, 2, 5)}
			}},
		{Name: "permute", Inputs: made(ramp(2, 5), mlx.NewArray([][]uint32{{3, 0, 4, 1, 2}, {0, 2, 1, 4, 3}})),
			Build: two(func(x, o *mlx.Array) *mlx.Array { return tensor.Apply1(tensor.Permute{}, none, x, o) }),
			Want: gather(0, mlx.Shape{2, 5}, func(i []int) int {
				return 5*i[0] + [][]int{{3, 0, 4, 1, 2}, {0, 2, 1, 4, 3}}[i[0]][i[1]]
			})},
		{Name: "argpartition", Inputs: made(ramp(3, 7)), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.ArgPartition(x, -3) }),
			Want: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.ArgSort(in[0])} }},
		{Name: "searchsorted", Inputs: made(mlx.NewArray([]float64{-2, -1, 0.5, 0.5, 2}), ramp(3, 7)),
			Build: two(func(x, v *mlx.Array) *mlx.Array { return mlx.SearchSorted(x, v, true) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				x, v := floats(in[0]), floats(in[1])
				out := make([]uint32, len(v))
				for i, a := range v {
					for _, b := range x {
						out[i] += uint32(bit01(b <= a))
					}
				}
				return []*mlx.Array{mlx.FromSlice(out, in[1].Shape()...)}
			}},
	}
}

func bit01(b bool) int {
	if b {
		return 1
	}
	return 0
}

func scanned(row []float64, reverse, exclusive bool, first float64, f func(a, v float64) float64) []float64 {
	out := make([]float64, len(row))
	acc := first
	for n := range row {
		i := n
		if reverse {
			i = len(row) - 1 - n
		}
		next := f(acc, row[i])
		if n == 0 && (math.Abs(first) == 100 || math.IsInf(first, 0)) {
			next = row[i]
		}
		out[i] = next
		if exclusive {
			out[i] = acc
		}
		acc = next
	}
	return out
}

func arrangeCases() []Case {
	x := ramp(2, 3, 4)
	cases := []Case{
		recorded("repeat", Exact, func(x *mlx.Array) *mlx.Array { return mlx.Repeat(x, 2, mlx.Axis(1)) }),
		recorded("roll", Exact, func(x *mlx.Array) *mlx.Array { return mlx.Roll(x, 2, mlx.Axis(1)) }),
		recorded("tile", Exact, func(x *mlx.Array) *mlx.Array { return mlx.Tile(x, []int{1, 2, 1}) }),
		{Name: "tril", File: "ops", In: []string{"sp"}, Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Tril(x.Sub(mlx.Identity(4).Mul(5)), 1) })},
	}
	add := func(name string, in *mlx.Array, shape mlx.Shape, index func(i []int) int, f func(x *mlx.Array) *mlx.Array) {
		cases = append(cases, Case{Name: name, Inputs: made(in), Build: one(f), Want: gather(0, shape, index)})
	}
	add("stack", x, mlx.Shape{2, 3, 4, 2}, func(i []int) int { return 12*i[0] + 4*i[1] + i[2] },
		func(x *mlx.Array) *mlx.Array { return mlx.Stack(mlx.Arrays{x, x}, mlx.Axis(-1)) })
	add("unstack", x, mlx.Shape{2, 4}, func(i []int) int { return 12*i[0] + 8 + i[1] },
		func(x *mlx.Array) *mlx.Array { return mlx.Unstack(x, mlx.Axis(1))[2] })
	add("split", x, mlx.Shape{2, 3, 2}, func(i []int) int { return 12*i[0] + 4*i[1] + 2 + i[2] },
		func(x *mlx.Array) *mlx.Array { return mlx.Split(x, 2, mlx.Axis(2))[1] })
	add("split at", x, mlx.Shape{2, 2, 4}, func(i []int) int { return 12*i[0] + 4*i[1] + i[2] },
		func(x *mlx.Array) *mlx.Array { return mlx.Split(x, []int{-1}, mlx.Axis(1))[0] })
	add("flip", x, mlx.Shape{2, 3, 4}, func(i []int) int { return 12*(1-i[0]) + 4*i[1] + 3 - i[2] },
		func(x *mlx.Array) *mlx.Array { return mlx.Flip(x, mlx.Axes{0, 2}) })
	add("flatten some", x, mlx.Shape{6, 4}, func(i []int) int { return 4*i[0] + i[1] },
		func(x *mlx.Array) *mlx.Array { return mlx.Flatten(x, 0, 1) })
	add("unflatten", x, mlx.Shape{2, 3, 2, 2}, func(i []int) int { return 12*i[0] + 4*i[1] + 2*i[2] + i[3] },
		func(x *mlx.Array) *mlx.Array { return mlx.Unflatten(x, -1, mlx.Shape{2, -1}) })
	add("moveaxis", x, mlx.Shape{3, 4, 2}, func(i []int) int { return 12*i[2] + 4*i[0] + i[1] },
		func(x *mlx.Array) *mlx.Array { return mlx.MoveAxis(x, 0, -1) })
	add("matrix_transpose", x, mlx.Shape{2, 4, 3}, func(i []int) int { return 12*i[0] + 4*i[2] + i[1] },
		func(x *mlx.Array) *mlx.Array { return mlx.MatrixTranspose(x) })
	add("diagonal", x, mlx.Shape{3, 2}, func(i []int) int { return 12*i[1] + 4*i[0] + i[1] + 1 },
		func(x *mlx.Array) *mlx.Array { return mlx.Diagonal(x, 1, 0, 2) })
	add("diagonal below", ramp(4, 3), mlx.Shape{3}, func(i []int) int { return 3 + 4*i[0] },
		func(x *mlx.Array) *mlx.Array { return mlx.Diag(x, -1) })
	add("diag", ramp(3), mlx.Shape{5, 5}, func(i []int) int {
		if i[1] == i[0]+2 {
			return i[0]
		}
		return -1
	}, func(x *mlx.Array) *mlx.Array { return mlx.Diag(x, 2) })
	add("triu", x, mlx.Shape{2, 3, 4}, func(i []int) int {
		if i[2] >= i[1]+1 {
			return 12*i[0] + 4*i[1] + i[2]
		}
		return -1
	}, func(x *mlx.Array) *mlx.Array { return mlx.Triu(x, 1) })
	add("as_strided", ramp(4, 5), mlx.Shape{3, 4}, func(i []int) int { return 1 + 4*i[0] + 2*i[1] },
		func(x *mlx.Array) *mlx.Array { return mlx.AsStrided(x, mlx.Shape{3, 4}, []int{4, 2}, 1) })
	add("packed", x, mlx.Shape{2, 3, 4}, func(i []int) int { return 12*i[0] + 4*i[1] + i[2] },
		func(x *mlx.Array) *mlx.Array { return mlx.Contiguous(x, true) })
	return append(cases, slices.Concat(padCases(), []Case{
		{Name: "trace", Inputs: made(x), Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Trace(x, 0, 1, 2) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				v := floats(in[0])
				return []*mlx.Array{mlx.FromSlice([]float32{float32(v[0] + v[5] + v[10]), float32(v[12] + v[17] + v[22])})}
			}},
		{Name: "view", Inputs: made(x), NoGrad: "bits have no derivative", Build: one(func(x *mlx.Array) *mlx.Array { return mlx.View(x, mlx.Uint16) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.FromBytes(in[0].Bytes(), mlx.Shape{2, 3, 8}, mlx.Uint16)}
			}},
		{Name: "kron", Inputs: made(ramp(2, 3), ramp(4).Add(0.5)), Tol: F32, Halves: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return mlx.Kron(a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				a, b := floats(in[0]), floats(in[1])
				var out []float32
				for i := range a {
					for _, v := range b {
						out = append(out, float32(a[i]*v))
					}
				}
				return []*mlx.Array{mlx.FromSlice(out, 2, 12)}
			}},
	})...)
}

func padCases() (cases []Case) {
	mirror := func(i, n, skip int) int {
		for i < 0 || i >= n {
			if i < 0 {
				i = -i - 1 + skip
			} else {
				i = 2*n - 1 - skip - i
			}
		}
		return i
	}
	for _, mode := range []string{"edge", "reflect", "symmetric"} {
		index := func(i []int) int {
			r, c := i[0]-5, i[1]-1
			switch mode {
			case "edge":
				return 4*min(max(r, 0), 2) + min(max(c, 0), 3)
			case "reflect":
				return 4*mirror(r, 3, 1) + mirror(c, 4, 1)
			}
			return 4*mirror(r, 3, 0) + mirror(c, 4, 0)
		}
		cases = append(cases, Case{Name: "pad " + mode, Inputs: made(ramp(3, 4)), Want: gather(0, mlx.Shape{3 + 7, 4 + 3}, index),
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Pad(x, [][2]int{{5, 2}, {1, 2}}, mlx.PadMode(mode)) })})
	}
	return cases
}

func productCases() []Case {
	xy := func(name string, f func(x, y *mlx.Array) *mlx.Array) Case {
		return Case{Name: name, File: "ops", In: []string{"x", "y"}, Tol: F32, Halves: true, Build: two(f)}
	}
	segments := mlx.NewArray([][]uint32{{0, 3}, {3, 3}, {2, 7}})
	return []Case{
		xy("einsum", func(x, y *mlx.Array) *mlx.Array { return mlx.Einsum("bij,bkj->bik", mlx.Arrays{x, y}) }),
		xy("tensordot", func(x, y *mlx.Array) *mlx.Array { return mlx.TensorDot(x, y, [2][]int{{1, 2}, {1, 2}}) }),
		xy("addmm", func(x, y *mlx.Array) *mlx.Array {
			a, b := mlx.Unstack(x)[0], mlx.Unstack(y)[0]
			return mlx.AddMM(mlx.Ones(mlx.Shape{4, 4}, x.DType()), a, b.T(), mlx.Alpha(0.5), mlx.Beta(2))
		}),
		xy("outer", func(x, y *mlx.Array) *mlx.Array {
			return mlx.Outer(mlx.Split(x.Flatten(), []int{5})[0], mlx.Split(y.Flatten(), []int{5})[0])
		}),
		{Name: "gather_mm", File: "ops", In: []string{"gA", "gB"}, Tol: F32, Halves: true, Build: two(func(a, b *mlx.Array) *mlx.Array {
			return mlx.GatherMM(a, b, mlx.NewArray([]uint32{0, 1, 2}), mlx.NewArray([]uint32{2, 0, 1}))
		})},
		{Name: "block_masked_mm", File: "ops", Inputs: made(mlx.Ones(mlx.Shape{64, 64}), mlx.Ones(mlx.Shape{64, 64})),
			Build: two(func(a, b *mlx.Array) *mlx.Array {
				return mlx.BlockMaskedMM(a, b, 32, mlx.NewArray([][]bool{{true, false}, {true, true}}), nil, nil)
			})},
		{Name: "block_masked_mm of parts", Inputs: made(ramp(5, 40), ramp(40, 3).Add(0.5), mlx.NewArray([][]float64{{0.5, 2}})), Tol: F32, Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.BlockMaskedMM(in[0], in[1], 32, nil, in[2], mlx.NewArray([][]bool{{true}, {false}}))}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				a, b := tensor.SliceAxis(in[0], 1, 0, 32, none), tensor.SliceAxis(in[1], 0, 0, 32, none)
				return []*mlx.Array{a.MatMul(b).Mul(0.5)}
			}},
		{Name: "hadamard", File: "ops", Inputs: made(mlx.BroadcastTo(mlx.Arange(64).AsType(mlx.Float32), mlx.Shape{3, 64})), Tol: F32,
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.HadamardTransform(x, 0) })},
		{Name: "hadamard of 48", Inputs: made(ramp(3, 48)), Tol: F32, Halves: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.HadamardTransform(x, 0) }),
			Want: func(in []*mlx.Array) []*mlx.Array { // twice is a product with H, which is orthogonal
				x := in[0]
				h := mlx.HadamardTransform(mlx.Identity(48), 1).T()
				return []*mlx.Array{mlx.MatMul(x, h.T()).Mul(1 / math.Sqrt(48))}
			}},
		{Name: "vecdot", Inputs: made(ramp(3, 1, 5), ramp(1, 2, 5).Add(0.5)), Tol: F32, Build: two(func(a, b *mlx.Array) *mlx.Array { return mlx.VecDot(a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.Sum(in[0].Mul(in[1]), mlx.Axis(-1))}
			}},
		{Name: "inner", Inputs: made(ramp(3, 5), ramp(2, 5).Add(0.5)), Tol: F32, Build: two(func(a, b *mlx.Array) *mlx.Array { return mlx.Inner(a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{in[0].MatMul(in[1].T())} }},
		{Name: "einsum of three", Inputs: made(ramp(3, 4), ramp(4, 5).Add(0.5), ramp(5, 3)), Tol: F32,
			Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Einsum("ij,jk,ki->ik", mlx.Arrays(in))} },
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{in[0].MatMul(in[1]).Mul(in[2].T())}
			}},
		{Name: "segmented_mm", Inputs: made(ramp(5, 7), ramp(7, 3).Add(0.5), segments), Tol: F32, Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.SegmentedMM(in[0], in[1], in[2])} },
			Want: func(in []*mlx.Array) []*mlx.Array {
				part := func(lo, hi int) *mlx.Array {
					return tensor.SliceAxis(in[0], 1, lo, hi, none).MatMul(tensor.SliceAxis(in[1], 0, lo, hi, none))
				}
				return []*mlx.Array{mlx.Stack(mlx.Arrays{part(0, 3), mlx.Zeros(mlx.Shape{5, 3}), part(2, 7)})}
			}},
	}
}
