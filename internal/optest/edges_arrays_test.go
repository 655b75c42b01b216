package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
)

// shapes are the sizes of arrays, for recorded calls that show shapes.
func shapes(arrays ...*mlx.Array) []*mlx.Array {
	out := []int{}
	for _, a := range arrays {
		out = append(out, a.Shape()...)
	}
	return as(arr(out))
}

// gradOf is the gradient of a scalar function.
func gradOf(fun func(x *mlx.Array) *mlx.Array, x *mlx.Array) []*mlx.Array {
	_, grads := autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return as(fun(in[0])) }, as(x), as(arr(1.0)))
	return grads
}

func ints(v ...int) *mlx.Array { return arr(v) }

func table(v ...[]float64) *mlx.Array { return arr(v) }

// arrangeEdges are the recorded calls of shape ops and of making arrays.
var arrangeEdges = map[string]func() []*mlx.Array{
	"axis/softmax_0d":               func() []*mlx.Array { return as(mlx.Softmax(arr(2.0))) },
	"axis/stack_negative":           func() []*mlx.Array { return as(mlx.Stack(as(ints(1, 2), ints(3, 4)), mlx.Axis(-1))) },
	"axis/stack_axis_error":         func() []*mlx.Array { return as(mlx.Stack(as(ints(1, 2), ints(3, 4)), mlx.Axis(3))) },
	"axis/stack_shape_error":        func() []*mlx.Array { return as(mlx.Stack(as(zeros(2), zeros(3)))) },
	"axis/moveaxis_negative":        func() []*mlx.Array { return as(mlx.MoveAxis(grid(1, 2, 3), 0, -1)) },
	"axis/expand_dims_negative":     func() []*mlx.Array { return shapes(mlx.ExpandDims(zeros(2, 3), -1)) },
	"axis/expand_dims_several":      func() []*mlx.Array { return shapes(mlx.ExpandDims(zeros(2, 3), []int{0, -1})) },
	"axis/squeeze_all":              func() []*mlx.Array { return shapes(mlx.Squeeze(zeros(1, 2, 1))) },
	"axis/flatten_range":            func() []*mlx.Array { return shapes(mlx.Flatten(zeros(2, 3, 4), 1, -1)) },
	"axis/flatten_0d":               func() []*mlx.Array { return shapes(mlx.Flatten(arr(1.0), 0, -1)) },
	"axis/flatten_bad":              func() []*mlx.Array { return as(mlx.Flatten(zeros(2, 3, 4), 2, 1)) },
	"axis/unflatten_infer":          func() []*mlx.Array { return shapes(mlx.Unflatten(zeros(2, 12), 1, mlx.Shape{3, -1})) },
	"axis/unflatten_error":          func() []*mlx.Array { return as(mlx.Unflatten(zeros(2, 12), 1, mlx.Shape{5, -1})) },
	"axis/reshape_empty_infer":      func() []*mlx.Array { return shapes(zeros(0, 3).Reshape(-1, 3)) },
	"axis/split_error":              func() []*mlx.Array { return mlx.Split(grid(5), 2) },
	"axis/split_ok":                 func() []*mlx.Array { return mlx.Split(grid(6), 3) },
	"axis/split_indices":            func() []*mlx.Array { return mlx.Split(grid(6), []int{1, 4}) },
	"axis/split_indices_beyond":     func() []*mlx.Array { return shapes(mlx.Split(grid(6), []int{4, 2})...) },
	"axis/repeat_flat":              func() []*mlx.Array { return as(mlx.Repeat(grid(2, 2).Add(1), 2)) },
	"axis/tile_more_dims":           func() []*mlx.Array { return as(mlx.Tile(ints(1, 2), []int{2, 1, 2})) },
	"axis/roll_flat":                func() []*mlx.Array { return as(mlx.Roll(grid(2, 3), 1)) },
	"axis/roll_axis_negative_shift": func() []*mlx.Array { return as(mlx.Roll(grid(2, 3), -1, mlx.Axis(1))) },
	"axis/roll_two_axes":            func() []*mlx.Array { return as(mlx.Roll(grid(2, 3), []int{1, 1}, mlx.Axes{0, 1})) },
	"axis/roll_big_shift":           func() []*mlx.Array { return as(mlx.Roll(grid(5), 12)) },
	"axis/broadcast_zero_size":      func() []*mlx.Array { return shapes(zeros(0, 3).Add(zeros(1, 3))) },
	"axis/broadcast_shapes": func() []*mlx.Array {
		return as(arr([]int(mlx.BroadcastShapes(mlx.Shape{1, 6}, mlx.Shape{3, 1}, mlx.Shape{1, 1, 1}))))
	},
	"axis/meshgrid_ij":           func() []*mlx.Array { return mlx.MeshGrid(as(ints(1, 2), ints(3, 4, 5)), false, "ij") },
	"axis/meshgrid_xy":           func() []*mlx.Array { return mlx.MeshGrid(as(ints(1, 2), ints(3, 4, 5)), false, "xy") },
	"axis/atleast_2d":            func() []*mlx.Array { return shapes(mlx.AtLeast2D(ints(1, 2))) },
	"axis/atleast_3d_of_1d":      func() []*mlx.Array { return shapes(mlx.AtLeast3D(ints(1, 2))) },
	"axis/diagonal_offset":       func() []*mlx.Array { return as(mlx.Diagonal(grid(3, 4), 1, 0, 1)) },
	"axis/diag_of_1d":            func() []*mlx.Array { return as(mlx.Diag(ints(1, 2), 1)) },
	"axis/diag_of_2d_negative":   func() []*mlx.Array { return as(mlx.Diag(grid(3, 3), -1)) },
	"axis/trace":                 func() []*mlx.Array { return as(mlx.Trace(grid(3, 3), 0, 0, 1)) },
	"create/arange_dtype":        func() []*mlx.Array { return as(mlx.Arange(3).AsType(mlx.BFloat16)) },
	"create/linspace_default_50": func() []*mlx.Array { return as(mlx.Linspace(0, 1, 50)) },
	"create/linspace_5":          func() []*mlx.Array { return as(mlx.Linspace(-1, 1, 5)) },
	"create/linspace_1":          func() []*mlx.Array { return as(mlx.Linspace(3, 9, 1)) },
	"create/linspace_int":        func() []*mlx.Array { return as(mlx.Linspace(0, 10, 4, mlx.Int32)) },
	"create/linspace_reverse":    func() []*mlx.Array { return as(mlx.Linspace(1, 0, 3)) },
	"create/linspace_thirds":     func() []*mlx.Array { return as(mlx.Linspace(0, 1, 7)) },
	"create/linspace_error":      func() []*mlx.Array { return as(mlx.Linspace(0, 1, -1)) },
	"create/tri":                 func() []*mlx.Array { return as(mlx.Tri(3, 4, 1)) },
	"create/tri_negative":        func() []*mlx.Array { return as(mlx.Tri(3, 3, -1)) },
	"create/tril":                func() []*mlx.Array { return as(mlx.Tril(grid(3, 3), -1)) },
	"create/triu":                func() []*mlx.Array { return as(mlx.Triu(grid(3, 4), 1)) },
	"create/triu_batched":        func() []*mlx.Array { return as(mlx.Triu(ones(2, 2, 2), 1)) },
	"create/tril_1d_error":       func() []*mlx.Array { return as(mlx.Tril(grid(3), 0)) },
	"create/tril_nan":            func() []*mlx.Array { return as(mlx.Tril(table([]float64{nan, nan}, []float64{1, nan}), 0)) },
	"create/eye":                 func() []*mlx.Array { return as(mlx.Eye(2, 3, 1)) },
	"create/eye_negative":        func() []*mlx.Array { return as(mlx.Eye(3, 3, -1, mlx.Int32)) },
	"create/zeros_int_shape":     func() []*mlx.Array { return as(zeros(3)) },
	"create/zeros_like_dtype":    func() []*mlx.Array { return as(mlx.ZerosLike(arr([]uint8{1}))) },
	"create/identity":            func() []*mlx.Array { return as(mlx.Identity(2)) },
	"create/hanning":             func() []*mlx.Array { return as(mlx.Hanning(5)) },
	"create/bartlett":            func() []*mlx.Array { return as(mlx.Bartlett(5)) },
	"create/pad_int":             func() []*mlx.Array { return as(mlx.Pad(ints(1, 2), 1)) },
	"create/pad_pair":            func() []*mlx.Array { return as(mlx.Pad(grid(2, 2).Add(1), [2]int{1, 0})) },
	"create/pad_pairs": func() []*mlx.Array {
		return as(mlx.Pad(grid(2, 2).Add(1), [][2]int{{1, 0}, {0, 2}}, mlx.ConstantValue(9)))
	},
	"create/pad_edge": func() []*mlx.Array {
		return as(mlx.Pad(grid(2, 2).Add(1), [][2]int{{1, 1}, {0, 2}}, mlx.PadMode("edge")))
	},
	"create/pad_reflect":              func() []*mlx.Array { return as(mlx.Pad(grid(4), 2, mlx.PadMode("reflect"))) },
	"create/pad_symmetric":            func() []*mlx.Array { return as(mlx.Pad(grid(4), 2, mlx.PadMode("symmetric"))) },
	"create/pad_bad_mode":             func() []*mlx.Array { return as(mlx.Pad(grid(4), 2, mlx.PadMode("wrap"))) },
	"create/pad_negative":             func() []*mlx.Array { return as(mlx.Pad(grid(4), -1)) },
	"create/pad_wrong_count":          func() []*mlx.Array { return as(mlx.Pad(zeros(2, 2), [][2]int{{1, 1}, {1, 1}, {1, 1}})) },
	"create/pad_float_value_into_int": func() []*mlx.Array { return as(mlx.Pad(ints(1, 2), 1, mlx.ConstantValue(1.5))) },
	"create/unstack":                  func() []*mlx.Array { return mlx.Unstack(grid(2, 2).Add(1)) },
	"create/flip":                     func() []*mlx.Array { return as(mlx.Flip(grid(2, 2).Add(1))) },
	"empty/stack_nothing":             func() []*mlx.Array { return as(mlx.Stack(nil)) },
	"empty/linspace_0":                func() []*mlx.Array { return as(mlx.Linspace(0, 1, 0)) },
	"index/stack_mixed_dtypes":        func() []*mlx.Array { return as(mlx.Stack(as(ints(1), f(0.5)))) },
	"index/as_strided":                func() []*mlx.Array { return as(mlx.AsStrided(grid(10), mlx.Shape{3, 3}, []int{2, 1}, 1)) },
	"index/as_strided_overlap_windows": func() []*mlx.Array {
		return as(mlx.AsStrided(fgrid(5), mlx.Shape{3, 3}, []int{1, 1}, 0))
	},
	"index/as_strided_zero_stride": func() []*mlx.Array { return as(mlx.AsStrided(grid(3), mlx.Shape{2, 3}, []int{0, 1}, 0)) },
	"index/as_strided_negative":    func() []*mlx.Array { return as(mlx.AsStrided(grid(5), mlx.Shape{5}, []int{-1}, 4)) },
	"index/as_strided_of_view_uses_row_major": func() []*mlx.Array {
		return as(mlx.AsStrided(grid(2, 3).T(), mlx.Shape{6}, []int{1}, 0))
	},
}

// orderEdges are the recorded calls of reductions, scans and sorting, and their
// gradients.
var orderEdges = map[string]func() []*mlx.Array{
	"create/cumsum_default_axis":    func() []*mlx.Array { return as(mlx.CumSum(grid(2, 2).Add(1))) },
	"create/cumprod_reverse":        func() []*mlx.Array { return as(mlx.CumProd(f(1, 2, 3), mlx.Reverse(true))) },
	"create/cumprod_exclusive":      func() []*mlx.Array { return as(mlx.CumProd(f(2, 3, 4), mlx.Inclusive(false))) },
	"create/cummax_exclusive":       func() []*mlx.Array { return as(mlx.CumMax(f(2, 3, 1), mlx.Inclusive(false))) },
	"create/cummax_exclusive_int":   func() []*mlx.Array { return as(mlx.CumMax(ints(2, 3, 1), mlx.Inclusive(false))) },
	"create/cummin_reverse":         func() []*mlx.Array { return as(mlx.CumMin(ints(2, 3, 1, 5), mlx.Reverse(true))) },
	"create/logcumsumexp":           func() []*mlx.Array { return as(mlx.LogCumSumExp(f(0, 1, -inf, 2))) },
	"create/logcumsumexp_exclusive": func() []*mlx.Array { return as(mlx.LogCumSumExp(f(0, 1, 2), mlx.Inclusive(false))) },
	"create/count_nonzero":          func() []*mlx.Array { return as(mlx.CountNonZero(arr([][]int{{0, 1}, {2, 0}}), mlx.Axis(1))) },
	"empty/var":                     func() []*mlx.Array { return as(mlx.Var(zeros(0))) },
	"empty/std":                     func() []*mlx.Array { return as(mlx.Std(zeros(0))) },
	"empty/median":                  func() []*mlx.Array { return as(mlx.Median(zeros(0))) },
	"empty/topk_0":                  func() []*mlx.Array { return as(mlx.TopK(f(1, 2), 0)) },
	"nan/argmax_flat_2d":            func() []*mlx.Array { return as(mlx.ArgMax(arr([][]int{{1, 5}, {7, 2}}))) },
	"nan/sort":                      func() []*mlx.Array { return as(mlx.Sort(f(3, nan, 1, -inf, inf, nan, 2))) },
	"nan/sort_bf16":                 func() []*mlx.Array { return as(mlx.Sort(f(3, nan, 1).AsType(mlx.BFloat16))) },
	"nan/sort_axis0": func() []*mlx.Array {
		return as(mlx.Sort(table([]float64{3, nan}, []float64{1, 2}, []float64{nan, 0}), mlx.Axis(0)))
	},
	"nan/sort_flat":          func() []*mlx.Array { return as(mlx.SortFlat(arr([][]int{{3, 1}, {2, 0}}))) },
	"nan/sort_bool":          func() []*mlx.Array { return as(mlx.Sort(arr([]bool{true, false, true}))) },
	"nan/sort_negative_zero": func() []*mlx.Array { return as(mlx.Sort(f(0, negZero, 0, negZero))) },
	"nan/argpartition_3": func() []*mlx.Array {
		return as(mlx.Sort(mlx.Split(mlx.ArgPartition(ints(5, 1, 4, 2, 3), 3), []int{3})[0]))
	},
	"nan/partition_kth_error": func() []*mlx.Array { return as(mlx.Partition(grid(3), 3)) },
	"nan/topk_sorted":         func() []*mlx.Array { return as(mlx.Sort(mlx.TopK(f(5, 1, 4, 2), 2))) },
	"nan/topk_too_many":       func() []*mlx.Array { return as(mlx.TopK(f(5, 1), 3)) },
	"nan/cummax_nan":          func() []*mlx.Array { return as(mlx.CumMax(f(1, nan, 2, 0))) },
	"nan/median_nan":          func() []*mlx.Array { return as(mlx.Median(f(1, nan, 3))) },
	"nan/median_even":         func() []*mlx.Array { return as(mlx.Median(ints(4, 1, 3, 2))) },
	"nan/var_ddof_too_big":    func() []*mlx.Array { return as(mlx.Var(f(1, 2), mlx.DDof(2))) },
	"nan/var_ddof_bigger":     func() []*mlx.Array { return as(mlx.Var(f(1, 2), mlx.DDof(3))) },
	"nan/var_int":             func() []*mlx.Array { return as(mlx.Var(ints(1, 2, 4))) },
	"nan/searchsorted_left":   func() []*mlx.Array { return as(mlx.SearchSorted(ints(1, 2, 2, 3), ints(0, 2, 4), false)) },
	"nan/searchsorted_right":  func() []*mlx.Array { return as(mlx.SearchSorted(ints(1, 2, 2, 3), ints(0, 2, 4), true)) },
	"nan/searchsorted_nan":    func() []*mlx.Array { return as(mlx.SearchSorted(f(1, 2), f(nan), false)) },
	"grad/max_tie":            func() []*mlx.Array { return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Max(x) }, f(1, 3, 3)) },
	"grad/min_tie_axis": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Min(x, mlx.Axis(1))) }, table([]float64{1, 1}, []float64{3, 2}))
	},
	"grad/prod_with_zero": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Prod(x) }, f(2, 0, 3))
	},
	"grad/prod_with_two_zeros": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Prod(x) }, f(2, 0, 0))
	},
	"grad/logsumexp": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.LogSumExp(x) }, f(0, 1, -inf))
	},
	"grad/softmax_masked": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Softmax(x).Mul(f(1, 2, 3))) }, f(0, 1, -inf))
	},
	"grad/sort": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sort(x).Mul(f(1, 2, 3))) }, f(3, 1, 2))
	},
	"grad/cumsum_reverse": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.CumSum(x, mlx.Reverse(true)).Mul(f(1, 2, 3))) }, f(3, 1, 2))
	},
	"grad/cumprod_with_zero": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.CumProd(x)) }, f(2, 0, 3))
	},
	"grad/cummax": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.CumMax(x)) }, f(2, 1, 2, 3))
	},
	"grad/std_of_constant": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Std(x) }, f(1, 1))
	},
	"grad/argsort_inside": func() []*mlx.Array {
		return gradOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(x.Mul(mlx.ArgSort(x))) }, f(3, 1, 2))
	},
}

// productEdges are the recorded calls of matrix products.
var productEdges = map[string]func() []*mlx.Array{
	"empty/matmul_0x3_3x2":     func() []*mlx.Array { return shapes(zeros(0, 3).MatMul(zeros(3, 2))) },
	"matmul/batched_broadcast": func() []*mlx.Array { return shapes(zeros(5, 1, 2, 3).MatMul(zeros(4, 3, 6))) },
	"matmul/batched_1d":        func() []*mlx.Array { return shapes(fgrid(2, 2, 3).MatMul(f(1, 0, 1))) },
	"matmul/1d_batched":        func() []*mlx.Array { return shapes(f(1, 0, 1).MatMul(fgrid(2, 3, 2))) },
	"matmul/bf16_f16": func() []*mlx.Array {
		return as(mlx.Ones(mlx.Shape{2, 2}, mlx.BFloat16).MatMul(mlx.Ones(mlx.Shape{2, 2}, mlx.Float16)))
	},
	"matmul/complex": func() []*mlx.Array {
		return as(arr([][]complex128{{1i, 1}}).MatMul(arr([][]complex128{{1i}, {2}})))
	},
	"matmul/addmm":       func() []*mlx.Array { return as(mlx.AddMM(f(1, 2), ones(2, 3), ones(3, 2), mlx.Alpha(2), mlx.Beta(3))) },
	"matmul/addmm_error": func() []*mlx.Array { return as(mlx.AddMM(zeros(3), ones(2, 3), ones(3, 2))) },
	"matmul/inner":       func() []*mlx.Array { return as(mlx.Inner(fgrid(2, 2).Add(1), f(1, 1))) },
	"matmul/outer_2d":    func() []*mlx.Array { return as(mlx.Outer(grid(2, 2).Add(1), ints(1, 10))) },
	"matmul/tensordot_int": func() []*mlx.Array {
		return as(mlx.TensorDot(fgrid(2, 2, 3), fgrid(3, 2), 1))
	},
	"matmul/tensordot_0":     func() []*mlx.Array { return as(mlx.TensorDot(f(1, 2), f(3, 4), 0)) },
	"matmul/tensordot_error": func() []*mlx.Array { return as(mlx.TensorDot(zeros(2, 3), zeros(2, 3), 1)) },
	"matmul/kron":            func() []*mlx.Array { return as(mlx.Kron(ints(1, 2), ints(0, 1, 1))) },
	"matmul/vecdot":          func() []*mlx.Array { return as(mlx.VecDot(fgrid(2, 2).Add(1), f(1, 1))) },
	"matmul/einsum_ij_jk":    func() []*mlx.Array { return as(mlx.Einsum("ij,jk->ik", as(fgrid(2, 3), fgrid(3, 2)))) },
	"matmul/einsum_implicit": func() []*mlx.Array { return as(mlx.Einsum("ij,jk", as(fgrid(2, 3), fgrid(3, 2)))) },
	"matmul/einsum_implicit_order": func() []*mlx.Array {
		return as(mlx.Einsum("ba", as(fgrid(2, 3))))
	},
	"matmul/einsum_trace":    func() []*mlx.Array { return as(mlx.Einsum("ii->", as(fgrid(3, 3)))) },
	"matmul/einsum_diagonal": func() []*mlx.Array { return as(mlx.Einsum("ii->i", as(fgrid(3, 3)))) },
	"matmul/einsum_ellipsis": func() []*mlx.Array {
		return as(mlx.Einsum("...ij,...jk->...ik", as(ones(2, 2, 3), ones(2, 3, 1))))
	},
	"matmul/einsum_three": func() []*mlx.Array { return as(mlx.Einsum("ij,jk,k->i", as(ones(2, 3), ones(3, 4), fgrid(4)))) },
	"matmul/einsum_int":   func() []*mlx.Array { return as(mlx.Einsum("i,i->", as(ints(1, 2), ints(3, 4)))) },
	"matmul/einsum_int_matmul": func() []*mlx.Array {
		return as(mlx.Einsum("ij,jk->ik", as(mlx.Ones(mlx.Shape{2, 2}, mlx.Int32), mlx.Ones(mlx.Shape{2, 2}, mlx.Int32))))
	},
	"matmul/einsum_size_error":    func() []*mlx.Array { return as(mlx.Einsum("ij,jk->ik", as(ones(2, 3), ones(2, 3)))) },
	"matmul/einsum_operand_error": func() []*mlx.Array { return as(mlx.Einsum("ij,jk->ik", as(ones(2, 3)))) },
	"matmul/einsum_output_error":  func() []*mlx.Array { return as(mlx.Einsum("ij->ijz", as(ones(2, 3)))) },
	"matmul/einsum_ndim_error":    func() []*mlx.Array { return as(mlx.Einsum("ijk->i", as(ones(2, 3)))) },
	"matmul/einsum_repeat_broadcast": func() []*mlx.Array {
		return as(mlx.Einsum("i,j->ij", as(f(1, 2), f(1, 3))))
	},
	"matmul/gather_mm": func() []*mlx.Array {
		return as(mlx.GatherMM(fgrid(2, 2, 2), fgrid(3, 2, 2), arr([]uint32{0, 1, 0}), arr([]uint32{2, 0, 0})))
	},
	"create/hadamard_12":    func() []*mlx.Array { return as(mlx.HadamardTransform(fgrid(12), 0)) },
	"create/hadamard_error": func() []*mlx.Array { return as(mlx.HadamardTransform(fgrid(9), 0)) },
}
