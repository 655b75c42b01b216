package optest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A naive is one index after NumPy's first steps: masks are the places of what is
// true, one vector per axis, and an ellipsis is the slices that it stands for.
type naive struct {
	axis   int   // of the array, -1 for a new axis
	places []int // of a slice or an int
	keep   bool  // a slice or new axis: the result has the axis
	ids    []int // of an array, whose shape is
	shape  []int
}

// numpyIndex lists, for each place of the result, the place in an array of that shape:
// NumPy's rules, one element at a time.
func numpyIndex(shape []int, ix []any, spans map[int][]int) (result []int, from []int) {
	var list []naive
	used := 0
	for _, x := range ix {
		switch x := x.(type) {
		case int, mlx.Span:
			used++
		case *mlx.Array:
			used++
			if x.DType() == mlx.Bool {
				used += x.NDim() - 1
			}
		}
	}
	axis := 0
	slice := func(places []int) {
		list = append(list, naive{axis: axis, places: places, keep: true})
		axis++
	}
	whole := func(n int) (p []int) {
		for i := range n {
			p = append(p, i)
		}
		return p
	}
	for k, x := range append(slices.Clip(ix), nil) {
		switch x := x.(type) {
		case mlx.Span:
			slice(spans[k])
		case int:
			list = append(list, naive{axis: axis, places: []int{(x + shape[axis]) % shape[axis]}})
			axis++
		case bool:
			n := 0
			if x {
				n = 1
			}
			list = append(list, naive{axis: -1, ids: make([]int, n), shape: []int{n}})
		case *mlx.Array:
			if x.DType() != mlx.Bool {
				ids := []int{}
				for _, v := range mlx.ToSlice[int64](x.AsType(mlx.Int64)) {
					ids = append(ids, (int(v)+shape[axis])%shape[axis])
				}
				list = append(list, naive{axis: axis, ids: ids, shape: x.Shape()})
				axis++
				break
			}
			on, cols := mlx.ToSlice[bool](x), make([][]int, x.NDim())
			k := 0
			counter(x.Shape(), func(at []int) {
				for d, i := range at {
					if on[k] {
						cols[d] = append(cols[d], i)
					}
				}
				k++
			})
			for d := range cols {
				list = append(list, naive{axis: axis, ids: append([]int{}, cols[d]...), shape: []int{len(cols[d])}})
				axis++
			}
		case nil:
			for axis < len(shape) {
				slice(whole(shape[axis]))
			}
		default:
			switch x {
			case any(mlx.NewAxis):
				list = append(list, naive{axis: -1, places: []int{0}, keep: true})
			case any(mlx.Ellipsis):
				for range len(shape) - used {
					slice(whole(shape[axis]))
				}
			}
		}
	}
	return placed(shape, list)
}

// placed puts the common axes of the arrays where NumPy does.
func placed(shape []int, list []naive) (result, from []int) {
	arrays, common := false, mlx.Shape{}
	var advanced []int
	for i, x := range list {
		if x.ids != nil {
			arrays = true
			common = tensor.BroadcastShapes("test", common, x.shape)
		}
		if !x.keep {
			advanced = append(advanced, i)
		}
	}
	at := 0
	if arrays && advanced[len(advanced)-1]-advanced[0] == len(advanced)-1 {
		for _, x := range list[:advanced[0]] {
			if x.keep {
				at++
			}
		}
	}
	for _, x := range list {
		if x.keep {
			result = append(result, len(x.places))
		}
	}
	result = slices.Insert(result, at, common...)
	counter(result, func(r []int) {
		c, rest := r[at:at+len(common)], slices.Concat(r[:at], r[at+len(common):])
		place := make([]int, len(shape))
		for _, x := range list {
			v := 0
			switch {
			case x.keep:
				v, rest = x.places[rest[0]], rest[1:]
			case x.ids != nil:
				k := 0
				for i, n := range x.shape {
					j := c[len(common)-len(x.shape)+i]
					if n == 1 {
						j = 0
					}
					k = k*n + j
				}
				v = x.ids[k]
			default:
				v = x.places[0]
			}
			if x.axis >= 0 {
				place[x.axis] = v
			}
		}
		from = append(from, flatAt(place, shape))
	})
	return result, from
}

// randomSpan is a slice and what it takes of n elements, by Python's definition.
func randomSpan(r *rand.Rand, n int) (mlx.Span, []int) {
	lo, hi, step := r.IntN(2*n+4)-n-2, r.IntN(2*n+4)-n-2, []int{1, 1, 2, 3, -1, -2}[r.IntN(6)]
	norm := func(v int) int {
		if v < 0 {
			v += n
		}
		return v
	}
	s, a, b := mlx.Range(lo, hi), norm(lo), norm(hi)
	begin, end := 0, n
	if step < 0 {
		begin, end = n-1, -1
	}
	switch r.IntN(4) {
	case 0:
		s, a, b = mlx.From(lo), norm(lo), end
	case 1:
		s, a, b = mlx.To(hi), begin, norm(hi)
	case 2:
		s, a, b = mlx.Colon, begin, end
	}
	if step != 1 {
		s = s.By(step)
	}
	if step > 0 {
		a = max(a, 0)
	} else {
		a = min(a, n-1)
	}
	places := []int{}
	for i := a; step > 0 && i < min(b, n) || step < 0 && i > max(b, -1); i += step {
		if i >= 0 && i < n {
			places = append(places, i)
		}
	}
	return s, places
}

var indexTypes = []mlx.DType{mlx.Int32, mlx.Int64, mlx.Int8, mlx.Int16}

// randomIndex is a random a[ix...] for an array of that shape.
func randomIndex(r *rand.Rand, shape []int) (ix []any, spans map[int][]int) {
	spans = map[int][]int{}
	common := [][]int{{}, {2}, {3, 2}, {3, 1}, {1}}[r.IntN(5)]
	dots, masks := false, 0
	for axis := 0; axis < len(shape); {
		n := shape[axis]
		switch k := r.IntN(12); {
		case k < 4:
			s, p := randomSpan(r, n)
			spans[len(ix)] = p
			ix = append(ix, s)
			axis++
		case k < 6:
			ix = append(ix, r.IntN(2*n)-n)
			axis++
		case k < 9:
			sh := common[r.IntN(len(common)+1):]
			ids := make([]int32, mlx.Shape(sh).Size())
			for i := range ids {
				ids[i] = int32(r.IntN(2*n) - n)
			}
			ix = append(ix, mlx.FromSlice(ids, len(ids)).Reshape(sh...).AsType(indexTypes[r.IntN(4)]))
			axis++
		case k == 9:
			ix = append(ix, mlx.NewAxis)
		case k == 10 && !dots:
			dots = true
			ix = append(ix, mlx.Ellipsis)
			if r.IntN(2) == 0 {
				axis += r.IntN(len(shape) - axis + 1)
			}
		case k == 11 && masks == 0 && (len(common) == 0 || common[len(common)-1] == 1):
			masks++
			if r.IntN(4) == 0 {
				ix = append(ix, r.IntN(3) > 0)
				break
			}
			rank := 1 + r.IntN(len(shape)-axis)
			on := make([]bool, mlx.Shape(shape[axis:axis+rank]).Size())
			for i := range on {
				on[i] = r.IntN(2) == 0
			}
			ix = append(ix, mlx.FromSlice(on, shape[axis:axis+rank]...))
			axis += rank
		}
		if !dots && r.IntN(10) == 0 { // with an ellipsis all axes are taken
			break
		}
	}
	return ix, spans
}

func show(ix []any) string {
	var parts []string
	for _, x := range ix {
		if a, ok := x.(*mlx.Array); ok {
			parts = append(parts, fmt.Sprintf("%v%v", a.DType(), a.Shape()))
		} else {
			parts = append(parts, fmt.Sprintf("%T(%v)", x, x))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// TestIndexing compares random mixtures of indices with NumPy's rules.
func TestIndexing(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 78))
	for range 3000 {
		shape := [][]int{{4, 3, 5}, {3, 2, 4, 2}, {5}, {2, 6}, {2, 1, 3, 2, 2}, {1, 2, 1, 2, 1, 2, 1, 3, 2}}[r.IntN(6)]
		ix, spans := randomIndex(r, shape)
		a := grid(shape...)
		result, from := numpyIndex(shape, ix, spans)
		var got, put, sum *mlx.Array
		values := mlx.Arange(len(from)).Add(100).Reshape(result...)
		if err := mlx.Try(func() {
			got, put, sum = a.Index(ix...), a.At(ix...).Set(values), a.At(ix...).Add(values)
			if err := mlx.Eval(got, put, sum); err != nil {
				t.Fatalf("%v%s: %v", shape, show(ix), err)
			}
		}); err != nil {
			t.Fatalf("%v%s: %v", shape, show(ix), err)
		}
		n := a.Size()
		set, added := make([]int32, n), make([]int32, n)
		for i := range set {
			set[i], added[i] = int32(i), int32(i)
		}
		want := make([]int32, len(from))
		for i, k := range from {
			want[i], set[k] = int32(k), int32(100+i)
			added[k] += int32(100 + i)
		}
		if !slices.Equal(got.Shape(), result) || !slices.Equal(mlx.ToSlice[int32](got), want) {
			t.Fatalf("%v%s\nis   %v%v\nwant %v%v", shape, show(ix), got.Shape(), got, result, want)
		}
		if s := mlx.ToSlice[int32](put); !slices.Equal(s, set) {
			t.Fatalf("%v%s set\nis   %v\nwant %v", shape, show(ix), s, set)
		}
		if s := mlx.ToSlice[int32](sum); !slices.Equal(s, added) {
			t.Fatalf("%v%s add\nis   %v\nwant %v", shape, show(ix), s, added)
		}
	}
}

// TestIndexFaults: an index out of range is an error, and nothing is read there.
func TestIndexFaults(t *testing.T) {
	if mlx.DefaultDevice() != mlx.CPU {
		t.Skip("a GPU's kernels cannot tell of faults: they read the nearest place, and leave updates out")
	}
	a, u := fgrid(4, 3), fgrid(2, 3)
	bad := func(v any) []*mlx.Array {
		return []*mlx.Array{indices(v), indices(v).AsType(mlx.Int64)}
	}
	for _, i := range append(append(bad([]int{0, 4}), bad([]int{-5, 1})...), mlx.FromSlice([]uint64{1 << 63, 0}), mlx.FromSlice([]uint64{1<<64 - 1, 0}),
		mlx.FromSlice([]int64{-1 << 63, 0}), mlx.FromSlice([]int64{1<<63 - 1, 0})) {
		wide := i.ExpandDims(1).BroadcastTo(2, 3)
		if err := mlx.Eval(a, u, i, wide); err != nil { // not in a batch that fails
			t.Fatal(err)
		}
		for name, f := range map[string]func() *mlx.Array{
			"take":       func() *mlx.Array { return mlx.Take(a, i, mlx.Axis(0)) },
			"take last":  func() *mlx.Array { return mlx.Take(a.T(), i, mlx.Axis(1)) },
			"index":      func() *mlx.Array { return a.Index(i, i) },
			"set":        func() *mlx.Array { return a.At(i).Set(u) },
			"add":        func() *mlx.Array { return a.At(i, mlx.To(2)).Add(1) },
			"along":      func() *mlx.Array { return mlx.TakeAlongAxis(a, wide, 0) },
			"put along":  func() *mlx.Array { return mlx.PutAlongAxis(a, wide, u, 0) },
			"slice":      func() *mlx.Array { return mlx.Slice(a, i, []int{0, 1}, mlx.Shape{1, 1}) },
			"slice part": func() *mlx.Array { return mlx.SliceUpdate(a, u.Index(mlx.To(1), mlx.To(1)), i, []int{0, 1}) },
		} {
			err := mlx.Eval(f())
			if err == nil || !strings.Contains(err.Error(), "out of range") {
				t.Errorf("%s with %v: error %v", name, i, err)
			}
		}
	}
	// A window may touch the border, not cross it.
	if err := mlx.Eval(mlx.Slice(a, indices([]int{2}), []int{0}, mlx.Shape{2, 3})); err != nil {
		t.Error(err)
	}
	err := mlx.Eval(mlx.SliceUpdate(a, u, indices([]int{3}), []int{0}))
	if err == nil || !strings.Contains(err.Error(), "a window of 2 elements from index 3 leaves an axis of size 4") {
		t.Errorf("error %v", err)
	}
}

// TestWindowScatter is known fault B007: the second row of a window.
func TestWindowScatter(t *testing.T) {
	s := tensor.Scatter{Axes: tensor.MakeInts(0, 1), Op: tensor.ScatterSet}
	out := tensor.Apply1(s, none, zeros(3, 4), indices(1), indices(2), arr([][]float64{{1, 2}, {3, 4}}))
	want := []float32{0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4}
	if got := mlx.ToSlice[float32](out); !slices.Equal(got, want) {
		t.Errorf("is %v, want %v", got, want)
	}
}

// TestMasks: reads and writes by masks; what needs the mask's values is an error
// under an abstract trace, what does not is not.
func TestMasks(t *testing.T) {
	a, mask := fgrid(2, 3), arr([][]bool{{true, false, false}, {false, true, true}})
	same := func(what string, got *mlx.Array, shape []int, want ...float64) {
		t.Helper()
		if err := Diff(got.AsType(mlx.Float64), mlx.FromSlice(want, shape...), Exact); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	same("read", a.Index(mask), []int{3}, 0, 4, 5)
	same("values", a.At(mask).Set(f(7, 8, 9)), []int{2, 3}, 7, 1, 2, 3, 8, 9)
	same("nothing", a.Index(mask.Ne(mask)), []int{0})
	same("true", a.Index(true).Index(0), []int{2, 3}, 0, 1, 2, 3, 4, 5)
	same("false", a.Index(arr(false)), []int{0, 2, 3})
	at := mlx.NonZero(mask)
	same("rows", at[0], []int{3}, 0, 1, 1)
	same("columns", at[1], []int{3}, 0, 1, 2)

	// Inside vmap the mask has no values.
	mapped := func(f func(a, m *mlx.Array) *mlx.Array) (out *mlx.Array, err error) {
		err = mlx.Try(func() {
			out = autodiff.VMap(func(in []*mlx.Array) []*mlx.Array { return as(f(in[0], in[1])) }, as(a, mask), []int{0, 0}, autodiff.InFront)[0]
		})
		return out, err
	}
	got, err := mapped(func(a, m *mlx.Array) *mlx.Array { return a.At(m).Multiply(-1) })
	if err != nil {
		t.Fatal(err)
	}
	same("mapped", got, []int{2, 3}, math.Copysign(0, -1), 1, 2, 3, -4, -5)
	for _, f := range []func(a, m *mlx.Array) *mlx.Array{
		func(a, m *mlx.Array) *mlx.Array { return a.Index(m) },
		func(a, m *mlx.Array) *mlx.Array { return a.At(m).Set(f(1, 2)) },
		func(a, m *mlx.Array) *mlx.Array { return mlx.NonZero(m)[0] },
	} {
		if _, err := mapped(f); err == nil || !strings.Contains(err.Error(), "inside compile or vmap it has no values") {
			t.Errorf("a traced mask: %v", err)
		}
	}
	if err := mlx.Try(func() { a.Index(arr([]bool{true, false, true})) }); err == nil {
		t.Error("a mask of another length was taken")
	}
}

// TestScatterTypes: every op in every dtype, from every integer dtype.
func TestScatterTypes(t *testing.T) {
	ints := []mlx.DType{mlx.Uint8, mlx.Uint16, mlx.Uint32, mlx.Uint64, mlx.Int8, mlx.Int16, mlx.Int32, mlx.Int64}
	all := append([]mlx.DType{mlx.Bool, mlx.Float16, mlx.BFloat16, mlx.Float32, mlx.Float64, mlx.Complex64}, ints...)
	for _, d := range all {
		for k, i := range ints {
			x, u := arr([]int{1, 2, 3, 4}).AsType(d), arr([]int{5, 1, 2}).AsType(d)
			at := arr([]int{3, 0, 3}).AsType(i)
			r := x.At(at)
			want := [][]float64{{1, 2, 3, 2}, {2, 2, 3, 11}, {1, 2, 3, 40}, {1, 2, 3, 5}, {1, 2, 3, 2}, {4, 1, 4}}
			if d == mlx.Bool {
				want = [][]float64{{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1}}
			}
			for j, got := range []*mlx.Array{r.Set(u), r.Add(u), r.Multiply(u), r.Maximum(u), r.Minimum(u), x.Index(at)} {
				if got.DType() != d {
					t.Fatalf("%v gives %v", d, got.DType())
				}
				if err := Diff(got.AsType(mlx.Float64), mlx.FromSlice(want[j]), Exact); err != nil {
					t.Errorf("%v by %v, op %d: %v", d, ints[k], j, err)
				}
			}
		}
		q := arr([]int{12, 8, 1, 0}).AsType(d).At(arr([]int{0, 0, 1})).Divide(arr([]int{2, 3, 2}).AsType(d))
		if err := Diff(q.AsType(mlx.Float64), f64(2, 4, 1, 0), Exact); err != nil && d != mlx.Bool {
			t.Errorf("%v divided: %v", d, err)
		}
	}
}

func f64(v ...float64) *mlx.Array { return mlx.FromSlice(v) }

// TestLargeViews: views of more than 2^31 elements and strides of 2^32, by repetition.
func TestLargeViews(t *testing.T) {
	x := mlx.Arange(8).AsType(mlx.Uint8)
	big := x.ExpandDims(0).BroadcastTo(1<<30, 8) // 2^33 elements
	tall := x.Reshape(8, 1, 1).BroadcastTo(8, 1<<20, 1<<13)
	i := mlx.FromSlice([]int64{1<<30 - 1, 5, -1 << 30})
	ends := mlx.FromSlice([]int64{7, -1, 0})
	for name, c := range map[string]struct {
		got  *mlx.Array
		want []float64
	}{
		"points":      {big.Index(i, ends), []float64{7, 7, 0}},
		"rows":        {big.Index(i, 3), []float64{3, 3, 3}},
		"last":        {big.Index(-1, mlx.Step(-3)), []float64{7, 4, 1}},
		"three axes":  {tall.Index(ends, 1<<20-1, -1), []float64{7, 7, 0}},
		"take":        {mlx.Take(big, i, mlx.Axis(0)).Index(mlx.Colon, 6), []float64{6, 6, 6}},
		"slice":       {mlx.Slice(tall, mlx.FromSlice([]int64{5, 1<<20 - 1, 1<<13 - 1}), []int{0, 1, 2}, mlx.Shape{3, 1, 1}), []float64{5, 6, 7}},
		"wide stride": {tall.Reshape(8, 1<<33).Index(mlx.From(5), -1), []float64{5, 6, 7}},
	} {
		if err := Diff(c.got.Flatten().AsType(mlx.Float64), mlx.FromSlice(c.want), Exact); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
