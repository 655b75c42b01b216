package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// gather is a Want that picks elements of the first input by row-major index; -1
// picks fill.
func gather(fill float32, shape mlx.Shape, index func(i []int) int) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array {
		from := mlx.ToSlice[float32](in[0])
		out := make([]float32, shape.Size())
		at := make([]int, len(shape))
		for k := range out {
			if i := index(at); i >= 0 {
				out[k] = from[i]
			} else {
				out[k] = fill
			}
			for a := len(at) - 1; a >= 0; a-- {
				if at[a]++; at[a] < shape[a] {
					break
				}
				at[a] = 0
			}
		}
		return []*mlx.Array{mlx.FromSlice(out, shape...)}
	}
}

func shapeCases() []Case {
	x := ramp(2, 3, 4)
	ints := tensor.MakeInts
	same := func(in []*mlx.Array) []*mlx.Array { return in[:1] }
	return []Case{
		{Name: "pad", File: "ops", In: []string{"x"}, Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array {
				return tensor.PadWith(x, []int{1, 0, 1}, []int{0, 2, 1}, 3, none)
			})},
		{Name: "take", File: "ops", In: []string{"x"}, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array {
			return mlx.Take(x, mlx.NewArray([]int{2, 0, 1, 1}), mlx.Axis(1))
		})},
		{Name: "take rows", Inputs: made(ramp(5, 3), mlx.NewArray([][]int{{4, -1}, {0, -5}})),
			Build: two(func(x, i *mlx.Array) *mlx.Array { return mlx.Take(x, i, mlx.Axis(0)) }),
			Want: gather(0, mlx.Shape{2, 2, 3}, func(i []int) int {
				return []int{4, 4, 0, 0}[2*i[0]+i[1]]*3 + i[2]
			})},
		{Name: "copy", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return x.On(mlx.DefaultDevice()) }), Want: same, Empty: true},
		{Name: "contiguous", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return tensor.CopyOf(x, none) }), Want: same, Empty: true},
		{Name: "broadcast_to", Inputs: made(ramp(3, 1)), Build: one(func(x *mlx.Array) *mlx.Array { return x.BroadcastTo(2, 3, 4) }),
			Want: gather(0, mlx.Shape{2, 3, 4}, func(i []int) int { return i[1] })},
		{Name: "reshape", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return x.Reshape(4, -1) }),
			Want: gather(0, mlx.Shape{4, 6}, func(i []int) int { return 6*i[0] + i[1] })},
		{Name: "flatten", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return x.Flatten() }), Empty: true,
			Want: gather(0, mlx.Shape{24}, func(i []int) int { return i[0] })},
		{Name: "transpose", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return x.Transpose(2, 0, 1) }), Empty: true,
			Want: gather(0, mlx.Shape{4, 2, 3}, func(i []int) int { return 12*i[1] + 4*i[2] + i[0] })},
		{Name: "swapaxes", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.SwapAxes(x, 0, -1) }), Empty: true,
			Want: gather(0, mlx.Shape{4, 3, 2}, func(i []int) int { return 12*i[2] + 4*i[1] + i[0] })},
		{Name: "expand_dims", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.ExpandDims(x, []int{0, -1}) }), Empty: true,
			Want: gather(0, mlx.Shape{1, 2, 3, 4, 1}, func(i []int) int { return 12*i[1] + 4*i[2] + i[3] })},
		{Name: "squeeze", Inputs: made(ramp(1, 3, 1)), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Squeeze(x, mlx.Axis(0)) }),
			Want: gather(0, mlx.Shape{3, 1}, func(i []int) int { return i[0] })},
		{Name: "slice", Inputs: made(x), Build: one(func(x *mlx.Array) *mlx.Array {
			return tensor.Apply1(tensor.Slice{Start: ints(1, 2, 0), Stop: ints(2, -1, 4), Step: ints(1, -1, 3)}, none, x)
		}), Want: gather(0, mlx.Shape{1, 3, 2}, func(i []int) int { return 12 + 4*(2-i[1]) + 3*i[2] })},
		{Name: "concatenate", Inputs: made(ramp(2, 3), ramp(2, 1).Add(9)), Build: func(in []*mlx.Array) []*mlx.Array {
			return []*mlx.Array{mlx.Concatenate(mlx.Arrays(in), mlx.Axis(-1))}
		}, Want: func(in []*mlx.Array) []*mlx.Array {
			a, b := mlx.ToSlice[float32](in[0]), mlx.ToSlice[float32](in[1])
			return []*mlx.Array{mlx.FromSlice([]float32{a[0], a[1], a[2], b[0], a[3], a[4], a[5], b[1]}, 2, 4)}
		}},
		{Name: "constant", Inputs: made(), Build: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.NewArray(2.5)} },
			Want: func([]*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.FromSlice([]float32{2.5}, []int{}...).Reshape()}
			}},
		{Name: "full", Inputs: made(), Build: func([]*mlx.Array) []*mlx.Array {
			return []*mlx.Array{mlx.Full(mlx.Shape{2, 2}, 7, mlx.Uint8), mlx.Ones(mlx.Shape{3}), mlx.Zeros(mlx.Shape{1, 2}, mlx.BFloat16)}
		}, Want: func([]*mlx.Array) []*mlx.Array {
			return []*mlx.Array{mlx.FromSlice([]uint8{7, 7, 7, 7}, 2, 2), mlx.FromSlice([]float32{1, 1, 1}), mlx.FromBytes(make([]byte, 4), mlx.Shape{1, 2}, mlx.BFloat16)}
		}},
		{Name: "arange", Inputs: made(), Build: func([]*mlx.Array) []*mlx.Array {
			return []*mlx.Array{mlx.Arange(5, 0, -2), mlx.Arange(0, 1, 0.25)}
		}, Want: func([]*mlx.Array) []*mlx.Array {
			return []*mlx.Array{mlx.FromSlice([]int32{5, 3, 1}), mlx.FromSlice([]float32{0, 0.25, 0.5, 0.75})}
		}},
	}
}

func matrixCases() []Case {
	product := func(a, b []float32, m, k, n int) []float32 {
		out := make([]float32, m*n)
		for i := range m {
			for j := range n {
				s := 0.0
				for l := range k {
					s += float64(a[i*k+l]) * float64(b[l*n+j])
				}
				out[i*n+j] = float32(s)
			}
		}
		return out
	}
	sized := func(m, k, n int) Case {
		return Case{Name: "matmul " + mlx.Shape{m, k, n}.String(), Inputs: made(ramp(m, k), ramp(n, k).Add(0.25)), Tol: F32, Halves: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return a.MatMul(b.T()) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.FromSlice(product(mlx.ToSlice[float32](in[0]), mlx.ToSlice[float32](in[1].T()), m, k, n), m, n)}
			}}
	}
	return []Case{
		{Name: "matmul", File: "ops", In: []string{"x", "y"}, Tol: F32, Halves: true, Empty: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return mlx.MatMul(a, b.SwapAxes(-1, -2)) })},
		sized(1, 64, 33), sized(1, 257, 130), sized(5, 31, 17), sized(70, 65, 67), sized(3, 1, 2),
	}
}
