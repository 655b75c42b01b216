package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
)

// gradients are of the sum of f's result.
func gradients(f func(in []*mlx.Array) *mlx.Array, in ...*mlx.Array) func() []*mlx.Array {
	return func() []*mlx.Array {
		_, grads := autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return as(mlx.Sum(f(in))) }, in, as(arr(1.0)))
		return grads
	}
}

// indexEdges are the recorded calls that index.
var indexEdges = func() map[string]func() []*mlx.Array {
	rows := map[string]func() []*mlx.Array{
		"index/take_along_axis": func() []*mlx.Array {
			return as(mlx.TakeAlongAxis(arr([][]int{{3, 1, 2}, {6, 5, 4}}), arr([][]int{{1, 2}, {0, -1}}), 1))
		},
		"index/take_along_axis_ndim_error": func() []*mlx.Array { return as(mlx.TakeAlongAxis(zeros(2, 3), arr([]int{0}), 1)) },
		"index/take_along_axis_none": func() []*mlx.Array {
			return as(mlx.TakeAlongAxis(arr([][]int{{3, 1}, {6, 5}}).Flatten(), arr([]int{3, 0}), 0))
		},
		"index/put_along_axis": func() []*mlx.Array {
			return as(mlx.PutAlongAxis(zeros(2, 3), arr([][]int{{0, 2}, {1, 1}}), arr([][]float64{{1, 2}, {3, 4}}), 1))
		},
		"index/put_along_axis_broadcast": func() []*mlx.Array {
			return as(mlx.PutAlongAxis(zeros(2, 3), arr([][]int{{0}, {1}}), 9.0, 1))
		},
		"index/slice_dynamic": func() []*mlx.Array {
			return as(mlx.Slice(grid(10), arr([]int{3}), []int{0}, mlx.Shape{4}))
		},
		"index/slice_update_dynamic": func() []*mlx.Array {
			return as(mlx.SliceUpdate(zeros(5), f(1, 2), arr([]int{2}), []int{0}))
		},
		"index/take_scalar_index": func() []*mlx.Array { return as(mlx.Take(grid(2, 3), 1, mlx.Axis(1))) },
		"index/iterate": func() []*mlx.Array {
			var v []int
			for _, x := range grid(3).All() {
				v = append(v, mlx.Item[int](x))
			}
			return as(arr(v))
		},
		"index/iterate_0d_error": func() []*mlx.Array {
			for _, x := range arr(1).All() {
				return as(x)
			}
			return nil
		},
		"index/string_error": func() []*mlx.Array { return as(arr("abc")) },
		"index/contains":     func() []*mlx.Array { return as(mlx.Any(arr([]int{1, 2}).Eq(2))) },
		"grad/take_duplicate": gradients(func(in []*mlx.Array) *mlx.Array { return in[0].Index(arr([]int{0, 0, 2})) },
			f(1, 2, 3)),
		"grad/at_add": gradients(func(in []*mlx.Array) *mlx.Array { return in[0].At(arr([]int{0, 0})).Add(in[1]).Mul(f(2, 3)) },
			f(1, 1), f(5, 6)),
		"grad/at_maximum": gradients(func(in []*mlx.Array) *mlx.Array { return in[0].At(arr([]int{0, 1})).Maximum(in[1]) },
			f(1, 1), f(5, 0)),
		"grad/setitem_duplicate": gradients(func(in []*mlx.Array) *mlx.Array { return in[0].At(arr([]int{0, 0})).Set(in[1]).Mul(f(2, 3)) },
			f(1, 1), f(5, 6)),
		"grad/item_inside_grad": gradients(func(in []*mlx.Array) *mlx.Array {
			return in[0].Mul(mlx.Item[float64](in[0].Index(0).AsType(mlx.Float64)))
		},
			f(3, 2)),
	}
	for id, r := range getEdges {
		rows["index/getitem_"+id] = func() []*mlx.Array { return as(r.a().Index(r.ix...)) }
	}
	for id, r := range setEdges {
		rows["index/setitem_"+id] = func() []*mlx.Array { return as(r.a().At(r.ix...).Set(r.v)) }
	}
	for id, r := range atEdges {
		rows["index/at_"+id] = func() []*mlx.Array { return as(r()) }
	}
	// a[i] += 1 reads, adds and writes once.
	rows["index/iadd_duplicate"] = func() []*mlx.Array {
		a, i := zeros(2), arr([]int{0, 0})
		return as(a.At(i).Set(a.Index(i).Add(1)))
	}
	return rows
}()

type indexEdge struct {
	a  func() *mlx.Array
	ix []any
	v  any
}

func arange(shape ...int) func() *mlx.Array { return func() *mlx.Array { return grid(shape...) } }
func zero(shape ...int) func() *mlx.Array   { return func() *mlx.Array { return zeros(shape...) } }
func scalar() *mlx.Array                    { return arr(1) }

// get is a[ix...], set is a[ix...] = v.
func get(a func() *mlx.Array, ix ...any) indexEdge        { return indexEdge{a, ix, nil} }
func set(a func() *mlx.Array, v any, ix ...any) indexEdge { return indexEdge{a, ix, v} }

var (
	all3    = mlx.Colon
	newAxis = mlx.NewAxis
	dots    = mlx.Ellipsis
)

var getEdges = map[string]indexEdge{
	"int_out_of_range_negative_ok": get(arange(5), -5),
	"slice":                        get(arange(10), mlx.Range(2, 8).By(3)),
	"slice_negative_step":          get(arange(10), mlx.Range(8, 2).By(-2)),
	"reverse":                      get(arange(5), mlx.Step(-1)),
	"negative_step_from_end":       get(arange(10), mlx.To(-4).By(-1)),
	"negative_step_empty":          get(arange(10), mlx.Range(2, 8).By(-1)),
	"out_of_range_slice":           get(arange(5), mlx.Range(3, 100)),
	"out_of_range_slice_negative":  get(arange(5), mlx.Range(-100, 2)),
	"empty_slice":                  get(arange(5), mlx.Range(4, 2)),
	"step_zero":                    get(arange(5), mlx.Step(0)),
	"none":                         get(func() *mlx.Array { return shapeOf(grid(3).Index(newAxis)) }, dots),
	"ellipsis":                     get(arange(2, 2, 2), dots, 0),
	"two_ellipsis":                 get(zero(2, 2), dots, dots),
	"too_many":                     get(zero(2, 2), 0, 0, 0),
	"0d":                           get(scalar, 0),
	"0d_ellipsis":                  get(scalar, dots),
	"0d_none":                      get(scalar, newAxis),
	"mixed":                        get(arange(2, 3, 4), 1, mlx.Step(2), newAxis, -1),
	"array":                        get(arange(10), arr([]int{3, 1, -1})),
	"two_arrays":                   get(arange(2, 3), arr([]int{0, 1}), arr([]int{2, 0})),
	"two_arrays_broadcast":         get(arange(2, 3), arr([][]int{{0}, {1}}), arr([]int{2, 0})),
	"array_slice":                  get(arange(3, 4), arr([]int{2, 0}), mlx.Range(1, 3)),
	"slice_array":                  get(arange(3, 4), mlx.From(1), arr([]int{2, 0, 0})),
	"array_slice_array":            get(arange(2, 3, 4), arr([]int{1, 0}), all3, arr([]int{3, 0})),
	"array_none_array":             get(func() *mlx.Array { return shapeOf(grid(2, 3).Index(arr([]int{1, 0}), newAxis, arr([]int{2, 0}))) }, dots),
	"list":                         get(arange(5), arr([]int{1, 2})),
	"float_array_error":            get(arange(3), f(0.5)),
	"string_error":                 get(arange(3), "a"),
	"float_error":                  get(arange(3), 1.0),
}

func shapeOf(a *mlx.Array) *mlx.Array { return arr([]int(a.Shape())) }

var setEdges = map[string]indexEdge{
	"int":                  set(arange(5), 9, 1),
	"slice_broadcast":      set(zero(2, 3), 5, all3, 1),
	"negative_step":        set(arange(5), arr([]int{10, 20, 30, 40, 50}), mlx.Step(-1)),
	"negative_step_2":      set(arange(6), arr([]int{10, 20}), mlx.Range(4, 0).By(-2)),
	"float_into_int":       set(arange(3), 2.7, 0),
	"float_array_into_int": set(arange(3), f(2.7, -1.5), mlx.Range(0, 2)),
	"array_duplicate_last": set(zero(3), f(1, 2, 3), arr([]int{0, 0, 1})),
	"bool_mask":            set(arange(4), 0, arr([]bool{true, false, true, false})),
	"bool_mask_array":      set(arange(4), arr([]int{7, 8}), arr([]bool{true, false, true, false})),
	"shape_error":          set(zero(2, 3), zeros(4), 0),
	"leading_ones":         set(zero(2, 3), mlx.Ones(mlx.Shape{1, 1, 3}), 0),
	"ellipsis":             set(zero(2, 2), 3, dots),
	"none_index":           set(zero(2, 2), 3, newAxis, 0),
	"two_arrays":           set(zero(2, 2), f(5, 6), arr([]int{0, 1}), arr([]int{1, 0})),
}

var (
	twice0   = arr([]int{0, 0, 2})
	atEdges3 = func(v float64) mlx.Ref { return mlx.Full(mlx.Shape{3}, v).At(twice0) }
)

var atEdges = map[string]func() *mlx.Array{
	"add_duplicate": func() *mlx.Array { return atEdges3(0).Add(1.0) },
	"add_values":    func() *mlx.Array { return atEdges3(0).Add(f(1, 2, 3)) },
	"subtract":      func() *mlx.Array { return atEdges3(0).Subtract(1.0) },
	"multiply":      func() *mlx.Array { return atEdges3(2).Multiply(3.0) },
	"divide":        func() *mlx.Array { return atEdges3(8).Divide(2.0) },
	"maximum":       func() *mlx.Array { return atEdges3(0).Maximum(f(5, 3, -1)) },
	"minimum":       func() *mlx.Array { return atEdges3(0).Minimum(f(-5, -3, 1)) },
	"maximum_nan":   func() *mlx.Array { return zeros(2).At(arr([]int{0, 1})).Maximum(f(nan, 1)) },
	"add_slice":     func() *mlx.Array { return zeros(4).At(mlx.Range(1, 3)).Add(2.0) },
	"add_int":       func() *mlx.Array { return zeros(4).At(-1).Add(2.0) },
	"add_2d":        func() *mlx.Array { return zeros(2, 2).At(arr([]int{0, 0}), arr([]int{1, 1})).Add(1.0) },
	"add_row":       func() *mlx.Array { return zeros(2, 2).At(arr([]int{0, 0})).Add(f(1, 2)) },
	"add_float_to_int": func() *mlx.Array {
		return mlx.Zeros(mlx.Shape{2}, mlx.Int32).At(0).Add(1.5)
	},
}
