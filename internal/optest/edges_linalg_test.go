package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
	"github.com/mlxgo/mlx/random"
)

// Recorded matrices.
func definite() *mlx.Array { return arr([][]float64{{4, 2, 0.6}, {2, 5, 1.5}, {0.6, 1.5, 3}}) }
func onetwo() *mlx.Array   { return arr([][]float64{{1, 2}, {3, 4}}) }
func onesix() *mlx.Array   { return arr([][]float64{{1, 2}, {3, 4}, {5, 6}}) }
func singular() *mlx.Array { return arr([][]float64{{1, 2}, {2, 4}}) }
func triangle() *mlx.Array { return arr([][]float64{{2, 0}, {1, 4}}) }

// linalgEdges are the recorded calls of mx.linalg, and what is made of it.
var linalgEdges = map[string]func() []*mlx.Array{
	"linalg/norm_default":   func() []*mlx.Array { return as(linalg.Norm(onetwo())) },
	"linalg/norm_1d_ord1":   func() []*mlx.Array { return as(linalg.Norm(f(1, -2, 3), linalg.Ord(1))) },
	"linalg/norm_inf":       func() []*mlx.Array { return as(linalg.Norm(f(1, -2, 3), linalg.Ord(inf))) },
	"linalg/norm_minus_inf": func() []*mlx.Array { return as(linalg.Norm(f(1, -2, 3), linalg.Ord(-inf))) },
	"linalg/norm_ord0":      func() []*mlx.Array { return as(linalg.Norm(f(1, 0, 3), linalg.Ord(0))) },
	"linalg/norm_fro_axis": func() []*mlx.Array {
		return as(linalg.Norm(fgrid(2, 2, 2), linalg.OrdName("fro"), mlx.Axes{1, 2}))
	},
	"linalg/norm_nuc":      func() []*mlx.Array { return as(linalg.Norm(onetwo(), linalg.OrdName("nuc"))) },
	"linalg/norm_matrix_2": func() []*mlx.Array { return as(linalg.Norm(onetwo(), linalg.Ord(2))) },
	"linalg/norm_matrix_1": func() []*mlx.Array { return as(linalg.Norm(onetwo(), linalg.Ord(1))) },
	"linalg/norm_int":      func() []*mlx.Array { return as(linalg.Norm(arr([]int{3, 4}))) },
	"linalg/norm_complex":  func() []*mlx.Array { return as(linalg.Norm(arr([]complex128{3 + 4i, 1}))) },
	"linalg/norm_fro_on_vector_error": func() []*mlx.Array {
		return as(linalg.Norm(f(1, 2), linalg.OrdName("fro")))
	},
	"linalg/norm_three_axes_error": func() []*mlx.Array {
		return as(linalg.Norm(zeros(2, 2, 2), linalg.Ord(2), mlx.Axes{0, 1, 2}))
	},

	"linalg/cholesky":       func() []*mlx.Array { return as(linalg.Cholesky(definite(), false)) },
	"linalg/cholesky_upper": func() []*mlx.Array { return as(linalg.Cholesky(definite(), true)) },
	"linalg/cholesky_not_positive": func() []*mlx.Array {
		return as(linalg.Cholesky(arr([][]float64{{1, 2}, {2, 1}}), false))
	},
	"linalg/cholesky_not_square": func() []*mlx.Array { return as(linalg.Cholesky(zeros(2, 3), false)) },
	"linalg/inv":                 func() []*mlx.Array { return as(linalg.Inv(definite())) },
	"linalg/inv_singular":        func() []*mlx.Array { return as(linalg.Inv(singular())) },
	"linalg/inv_not_square":      func() []*mlx.Array { return as(linalg.Inv(zeros(2, 3))) },
	"linalg/inv_int":             func() []*mlx.Array { return as(linalg.Inv(arr([][]int{{1, 0}, {0, 2}}))) },
	"linalg/inv_bf16": func() []*mlx.Array {
		return as(linalg.Inv(arr([][]int{{1, 0}, {0, 2}}, mlx.BFloat16)))
	},
	"linalg/tri_inv":      func() []*mlx.Array { return as(linalg.TriInv(triangle(), false)) },
	"linalg/cholesky_inv": func() []*mlx.Array { return as(linalg.CholeskyInv(triangle(), false)) },
	"linalg/pinv":         func() []*mlx.Array { return as(linalg.PInv(onesix())) },
	"linalg/qr_abs": func() []*mlx.Array {
		q, r := linalg.QR(onesix())
		return as(q.Abs(), r.Abs())
	},
	"linalg/qr_signs": func() []*mlx.Array {
		q, r := linalg.QR(onetwo())
		return as(q, r)
	},
	"linalg/svd_values": func() []*mlx.Array { return as(linalg.SVDVals(onesix())) },
	"linalg/svd_shapes": func() []*mlx.Array {
		u, s, vt := linalg.SVD(mlx.Ones(mlx.Shape{3, 2}))
		return as(mlx.Concatenate(as(arr(u.Shape()), arr(s.Shape()), arr(vt.Shape()))))
	},
	"linalg/eigvalsh": func() []*mlx.Array { return as(linalg.EighVals(definite(), false)) },
	"linalg/eigh_abs": func() []*mlx.Array {
		w, v := linalg.Eigh(definite(), false)
		return as(w, v.Abs())
	},
	"linalg/eigvals_rotation": func() []*mlx.Array {
		return as(linalg.EigVals(arr([][]float64{{0, 1}, {-1, 0}})))
	},
	"linalg/solve":             func() []*mlx.Array { return as(linalg.Solve(definite(), f(1, 2, 3))) },
	"linalg/solve_singular":    func() []*mlx.Array { return as(linalg.Solve(singular(), f(1, 1))) },
	"linalg/solve_shape_error": func() []*mlx.Array { return as(linalg.Solve(mlx.Eye(2, 2, 0), zeros(3))) },
	"linalg/solve_triangular": func() []*mlx.Array {
		return as(linalg.SolveTriangular(triangle(), f(2, 5), false))
	},
	"linalg/solve_triangular_upper": func() []*mlx.Array {
		return as(linalg.SolveTriangular(arr([][]float64{{2, 1}, {0, 4}}), f(2, 4), true))
	},
	"linalg/lu_factor": func() []*mlx.Array {
		lu, pivots := linalg.LUFactor(onetwo())
		return as(lu, pivots)
	},
	"linalg/lu": func() []*mlx.Array {
		p, l, u := linalg.LU(onetwo())
		return as(p, l, u)
	},
	"linalg/det": func() []*mlx.Array { return as(linalg.Det(onetwo())) },
	"linalg/slogdet": func() []*mlx.Array {
		sign, size := linalg.SLogDet(onetwo())
		return as(sign, size)
	},
	"linalg/cross":       func() []*mlx.Array { return as(linalg.Cross(f(1, 2, 3), f(4, 5, 6))) },
	"linalg/cross_2d":    func() []*mlx.Array { return as(linalg.Cross(f(1, 2), f(4, 5))) },
	"linalg/cross_error": func() []*mlx.Array { return as(linalg.Cross(zeros(4), zeros(4))) },

	"grad/norm_at_0": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return linalg.Norm(x) }))(zeros(2)))
	},
	"random/multivariate_normal": func() []*mlx.Array {
		cov := arr([][]float64{{1, 0.5}, {0.5, 2}})
		return as(random.MultivariateNormal(f(0, 1), cov, mlx.Shape{3}, key(1)))
	},
}
