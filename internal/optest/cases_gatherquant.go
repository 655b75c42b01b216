package optest

import "github.com/mlxgo/mlx"

// gatherQuantCases are products of picked quantized matrices, against the matrices
// unpacked, picked and multiplied.
func gatherQuantCases() (cases []Case) {
	w := ramp(5, 7, 64)
	lhs, rhs := mlx.NewArray([][]int{{1, 0, 2}}), mlx.NewArray([][]int{{4, 0, 1}, {1, -1, 0}})
	tol := Tol{Rel: 1e-5, Abs: 1e-5}
	add := func(name string, x *mlx.Array, s mlx.Scheme, rhs *mlx.Array, transposed bool) {
		q := mlx.Quantize(w, s)
		parts := []*mlx.Array{q.Weight, q.Scales}
		if q.Biases != nil {
			parts = append(parts, q.Biases)
		}
		of := func(in []*mlx.Array) mlx.Quantized {
			q := mlx.Quantized{Weight: in[1], Scales: in[2], Scheme: q.Scheme}
			if len(in) > 3 {
				q.Biases = in[3]
			}
			return q
		}
		cases = append(cases, Case{Name: "gather_qmm " + name, Inputs: made(append([]*mlx.Array{x}, parts...)...), Tol: tol,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.GatherQMM(in[0], of(in), lhs, rhs, mlx.TransposeRHS(transposed))}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				m := mlx.Dequantize(of(in), mlx.Float32)
				if transposed {
					m = m.SwapAxes(-1, -2)
				}
				return []*mlx.Array{mlx.GatherMM(in[0], m, lhs, rhs)}
			}})
	}
	affine := mlx.Scheme{Bits: 4, GroupSize: 32}
	add("affine", ramp(3, 2, 64), affine, rhs, true)
	add("of few", ramp(3, 2, 64), affine, mlx.NewArray([]int{4, 0, 3}), true)
	add("not transposed", ramp(3, 2, 7), affine, rhs, false)
	add("mxfp8", ramp(3, 2, 64), mlx.Scheme{Mode: "mxfp8"}, rhs, true)

	// Both sides rounded: powers of two and small integers stay as they are.
	x := mlx.NewArray([][]float64{{1, 2, -3, 4, 0.5, -6, 0, 1.5, 3, -2, 1, 6, -4, 0.5, 2, -1}})
	nv := mlx.Quantize(ramp(6, 16), mlx.Mode("nvfp4"))
	cases = append(cases,
		Case{Name: "qqmm", Inputs: made(x), Tol: tol, NoGrad: "it rounds; the gradient is that of the product without",
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.QQMM(x, nv) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{in[0].MatMul(mlx.Dequantize(nv, mlx.Float32).T())}
			}},
		Case{Name: "gather_qqmm", Inputs: made(mlx.BroadcastTo(x, mlx.Shape{2, 3, 16})), Tol: tol, NoGrad: "it rounds; the gradient is that of the product without",
			Build: one(func(x *mlx.Array) *mlx.Array {
				return mlx.GatherQQMM(x, stackedNV(nv), mlx.NewArray([]int{1, 0, 1}), mlx.NewArray([]int{0, 1, 1}))
			}),
			Want: func(in []*mlx.Array) []*mlx.Array {
				m := mlx.Dequantize(stackedNV(nv), mlx.Float32).SwapAxes(-1, -2)
				return []*mlx.Array{mlx.GatherMM(in[0], m, mlx.NewArray([]int{1, 0, 1}), mlx.NewArray([]int{0, 1, 1}))}
			}})
	return cases
}

// stackedNV is q and its rows the other way round.
func stackedNV(q mlx.Quantized) mlx.Quantized {
	q.Weight = mlx.Stack(mlx.Arrays{q.Weight, mlx.Flip(q.Weight, mlx.Axis(0))})
	q.Scales = mlx.Stack(mlx.Arrays{q.Scales, mlx.Flip(q.Scales, mlx.Axis(0))})
	return q
}
