//go:build linux && metalemu

package metal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
)

// someIndices are integers from -n to n-1 (from 0 on if unsigned).
func someIndices(d dtype.DType, seed uint64, n int, shape ...int) *tensor.Array {
	rng := rand.New(rand.NewPCG(seed, 2))
	v := make([]int64, tensor.Shape(shape).Size())
	for i := range v {
		v[i] = int64(rng.IntN(n))
		if !d.Is(dtype.UnsignedInteger) && rng.IntN(2) == 0 {
			v[i] -= int64(n)
		}
	}
	return evaluated(tensor.AsType(tensor.FromSlice(v, shape...), d, onCPU()))
}

var indexTypes = []dtype.DType{dtype.Int8, dtype.Int16, dtype.Int32, dtype.Int64, dtype.Uint8, dtype.Uint16, dtype.Uint32, dtype.Uint64}

func TestGather(t *testing.T) {
	ints := tensor.MakeInts
	for i, d := range rowDTypes {
		x := someOf(d, uint64(i), -9, 9, 5, 33, 7)
		id := indexTypes[i%len(indexTypes)]
		a, b, c := someIndices(id, 1, 5, 3, 4), someIndices(dtype.Int32, 2, 33, 3, 4), someIndices(dtype.Int64, 3, 7, 3, 4)
		for name, x := range stridedForms(x) {
			sameAsCPU(t, name+" rows", tensor.Gather{Axes: ints(0), Sizes: ints(1, 33, 7)}, closeness{}, x, a)
			sameAsCPU(t, name+" columns", tensor.Gather{Axes: ints(1), Sizes: ints(4, 1, 5)}, closeness{}, x, b)
			sameAsCPU(t, name+" two axes", tensor.Gather{Axes: ints(2, 0), Sizes: ints(1, 3, 1)}, closeness{}, x, c, a)
			sameAsCPU(t, name+" points", tensor.Gather{Axes: ints(1, 0, 2), Sizes: ints(1, 1, 1)}, closeness{}, x, b, a, c)
		}
	}
	x := someOf(dtype.Float32, 1, -9, 9, 40, 3, 8)
	for name, ids := range stridedForms(evaluated(tensor.AsType(someOf(dtype.Float32, 2, 0, 39, 6, 5), dtype.Int32, onCPU()))) {
		sameAsCPU(t, "indices "+name, tensor.Gather{Axes: ints(0), Sizes: ints(2, 2, 8)}, closeness{}, x, ids)
	}
	for _, d := range indexTypes {
		sameAsCPU(t, "indices "+d.String(), tensor.Gather{Axes: ints(0), Sizes: ints(1, 1, 8)}, closeness{}, x, someIndices(d, 5, 40, 1000))
	}
	none := someIndices(dtype.Int32, 1, 5, 0)
	sameAsCPU(t, "none", tensor.Gather{Axes: ints(0), Sizes: ints(1, 3, 8)}, closeness{}, x, none)
	sameAsCPU(t, "empty window", tensor.Gather{Axes: ints(0), Sizes: ints(1, 0, 8)}, closeness{}, x, someIndices(dtype.Int32, 1, 5, 3))
	five := []*tensor.Array{someOf(dtype.Float32, 1, 0, 1, 2, 2, 2, 2, 2)}
	for range 5 {
		five = append(five, someIndices(dtype.Int32, 1, 2, 3))
	}
	fallsBack(t, tensor.Gather{Axes: ints(0, 1, 2, 3, 4), Sizes: ints(1, 1, 1, 1, 1)}, five...)
}

func TestGatherAxis(t *testing.T) {
	for i, d := range rowDTypes {
		x := someOf(d, uint64(i), -9, 9, 5, 33, 7)
		for axis, n := range x.Shape() {
			shape := slices.Clone(x.Shape())
			shape[axis] = 11
			ids := someIndices(indexTypes[(i+axis)%len(indexTypes)], 4, n, shape...)
			for name, x := range stridedForms(x) {
				sameAsCPU(t, fmt.Sprint(name, axis), tensor.GatherAxis{Axis: axis}, closeness{}, x, ids)
			}
		}
	}
	x := someOf(dtype.Float32, 1, -9, 9, 33, 4)
	for name, ids := range stridedForms(evaluated(tensor.AsType(someOf(dtype.Float32, 2, -33, 33, 6, 4), dtype.Int16, onCPU()))) {
		sameAsCPU(t, "indices "+name, tensor.GatherAxis{}, closeness{}, x, ids)
	}
	sameAsCPU(t, "none", tensor.GatherAxis{}, closeness{}, x, someIndices(dtype.Int32, 1, 5, 0, 4))
}

// scatterOps are the ops with a tolerance: the CPU rounds halves after each update.
var scatterOps = []tensor.ScatterOp{tensor.ScatterSet, tensor.ScatterSum, tensor.ScatterProd, tensor.ScatterMax, tensor.ScatterMin}

// updatesOf are values whose sums and products of some dozens have a meaning.
func updatesOf(d dtype.DType, op tensor.ScatterOp, seed uint64, shape ...int) *tensor.Array {
	switch {
	case op == tensor.ScatterProd && d.Is(dtype.Inexact):
		return someOf(d, seed, 0.9, 1.1, shape...)
	case d.Is(dtype.UnsignedInteger):
		return someOf(d, seed, 0, 9, shape...)
	}
	return someOf(d, seed, -9, 9, shape...)
}

func TestScatter(t *testing.T) {
	ints := tensor.MakeInts
	for i, d := range rowDTypes {
		for j, op := range scatterOps {
			if !full && d != dtype.Float32 && (i+j)%3 != 0 {
				continue
			}
			tol := closeness{1e-5, 1e-5}
			if d.Size() == 2 && d.Is(dtype.Floating) {
				tol = closeness{0.02, 0.02}
			}
			x, id := updatesOf(d, op, 1, 6, 33, 4), indexTypes[(i+j)%len(indexTypes)]
			p := func(axes ...int) tensor.Scatter { return tensor.Scatter{Axes: ints(axes...), Op: op} }
			what := fmt.Sprint(d, " ")
			sameAsCPU(t, what+"few", p(0), tol, x, someIndices(id, 2, 6, 5), updatesOf(d, op, 3, 5, 1, 33, 4))
			sameAsCPU(t, what+"many", p(1), tol, x, someIndices(id, 2, 33, 70), updatesOf(d, op, 3, 70, 5, 1, 3))
			sameAsCPU(t, what+"one window", p(1, 0), tol, x, someIndices(dtype.Uint8, 2, 21, 1), someIndices(dtype.Uint16, 3, 3, 1), updatesOf(d, op, 3, 1, 4, 12, 4))
			sameAsCPU(t, what+"windows that meet", p(1), tol, x, someIndices(dtype.Uint32, 2, 25, 3, 15), updatesOf(d, op, 3, 3, 15, 6, 9, 2))
			sameAsCPU(t, what+"points", p(2, 0, 1), tol, x, someIndices(dtype.Int32, 2, 4, 50, 20), someIndices(id, 3, 6, 50, 20),
				someIndices(dtype.Int64, 4, 33, 50, 20), updatesOf(d, op, 3, 50, 20, 1, 1, 1))
		}
	}
	x := someOf(dtype.Float32, 1, -9, 9, 6, 4)
	ids := someIndices(dtype.Int32, 1, 6, 40)
	for name, u := range stridedForms(someOf(dtype.Float32, 2, -9, 9, 40, 1, 4)) {
		sameAsCPU(t, "updates "+name, tensor.Scatter{Axes: ints(0), Op: tensor.ScatterSum}, closeness{1e-5, 1e-5}, x, ids, u)
	}
	for name, x := range stridedForms(x) {
		sameAsCPU(t, name, tensor.Scatter{Axes: ints(0)}, closeness{}, x, ids, someOf(dtype.Float32, 2, -9, 9, 40, 1, 4))
	}
	sameAsCPU(t, "none", tensor.Scatter{Axes: ints(0)}, closeness{}, x, someIndices(dtype.Int32, 1, 6, 0), someOf(dtype.Float32, 2, 0, 1, 0, 1, 4))
	// more positions than a block of the sort has
	sameAsCPU(t, "a histogram", tensor.Scatter{Axes: ints(0), Op: tensor.ScatterSum}, closeness{}, someOf(dtype.Int32, 1, 0, 9, 100),
		someIndices(dtype.Int32, 9, 100, 9000), someOf(dtype.Int32, 3, 0, 3, 9000, 1))
	sameAsCPU(t, "the last of many", tensor.Scatter{Axes: ints(0)}, closeness{}, someOf(dtype.Int32, 1, 0, 9, 100),
		someIndices(dtype.Int32, 9, 100, 9000), someOf(dtype.Int32, 3, 0, 1000, 9000, 1))
}

func TestScatterAxis(t *testing.T) {
	for i, d := range rowDTypes {
		for j, op := range scatterOps[:2] {
			tol := closeness{1e-5, 1e-5}
			if d.Size() == 2 && d.Is(dtype.Floating) {
				tol = closeness{0.02, 0.02}
			}
			x := updatesOf(d, op, 1, 5, 33, 3)
			for axis, n := range x.Shape() {
				for _, m := range []int{1, 9, 70} {
					if m == 9 && axis != i%3 && !full {
						continue
					}
					shape := slices.Clone(x.Shape())
					shape[axis] = m
					ids := someIndices(indexTypes[(i+j+axis)%len(indexTypes)], 4, n, shape...)
					sameAsCPU(t, fmt.Sprint(d, axis, m), tensor.ScatterAxis{Axis: axis, Op: op}, tol, x, ids, updatesOf(d, op, 2, shape...))
				}
			}
		}
	}
	x := someOf(dtype.Float32, 1, -9, 9, 33, 4)
	ids := evaluated(tensor.AsType(someOf(dtype.Float32, 2, -33, 33, 6, 4), dtype.Int16, onCPU()))
	us := stridedForms(someOf(dtype.Float32, 3, -9, 9, 6, 4))
	for name, ids := range stridedForms(ids) {
		sameAsCPU(t, name, tensor.ScatterAxis{}, closeness{}, x, ids, us[name])
	}
	sameAsCPU(t, "none", tensor.ScatterAxis{}, closeness{}, x, someIndices(dtype.Int32, 1, 5, 0, 4), someOf(dtype.Float32, 3, -9, 9, 0, 4))
}

func TestSliceUpdate(t *testing.T) {
	ints := tensor.MakeInts
	for _, d := range append([]dtype.DType{dtype.Float64}, rowDTypes...) {
		x, u := someOf(d, 1, 0, 9, 5, 33, 4), someOf(d, 2, 0, 9, 2, 11, 4)
		p := tensor.SliceUpdate{Start: ints(1, 32, 3), Stop: ints(5, -1, -1), Step: ints(3, -3, -1)}
		if d == dtype.Float64 {
			sameAsCPU(t, d.String(), p, closeness{}, x, u)
			continue
		}
		for name, u := range stridedForms(u) {
			sameAsCPU(t, name, p, closeness{}, x, u)
		}
		for name, x := range stridedForms(x) {
			sameAsCPU(t, name, p, closeness{}, x, u)
		}
	}
	p := tensor.SliceUpdate{Start: ints(2), Stop: ints(2), Step: ints(1)}
	sameAsCPU(t, "nothing", p, closeness{}, someOf(dtype.Float32, 1, 0, 1, 5), someOf(dtype.Float32, 1, 0, 1, 0))
}

// Indices out of range read the nearest place, and update nothing.
func TestIndicesOutOfRange(t *testing.T) {
	x := evaluated(tensor.FromSlice([]float32{1, 2, 3}))
	ids := evaluated(tensor.FromSlice([]int32{3, -4, 1 << 30, -1 << 31, 1}))
	wide := evaluated(tensor.FromSlice([]uint64{3, 1 << 63, 1<<64 - 1, 1 << 32, 1}))
	u := evaluated(tensor.FromSlice([]float32{10, 20, 30, 40, 50}, 5, 1))
	flat := evaluated(tensor.FromSlice([]float32{10, 20, 30, 40, 50}))
	ints := tensor.MakeInts
	check := func(p tensor.Primitive, want []float32, in ...*tensor.Array) {
		t.Helper()
		if got := tensor.ToSlice[float32](tensor.Apply1(p, onGPU(), in...)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", p.Name(), got, want)
		}
	}
	check(tensor.Gather{Axes: ints(0), Sizes: ints(1)}, []float32{3, 1, 3, 1, 2}, x, ids)
	check(tensor.Gather{Axes: ints(0), Sizes: ints(1)}, []float32{3, 3, 3, 3, 2}, x, wide)
	check(tensor.GatherAxis{}, []float32{3, 1, 3, 1, 2}, x, ids)
	check(tensor.Scatter{Axes: ints(0)}, []float32{1, 50, 3}, x, ids, u)
	check(tensor.ScatterAxis{}, []float32{1, 50, 3}, x, wide, flat)
	many := make([]int32, 100)
	for i := range many {
		many[i] = int32(i) - 50
	}
	check(tensor.Scatter{Axes: ints(0), Op: tensor.ScatterSum}, []float32{3, 4, 5}, x, evaluated(tensor.FromSlice(many)),
		evaluated(tensor.FromSlice(slices.Repeat([]float32{1}, 100), 100, 1)))
}

func TestDialectOfIndices(t *testing.T) {
	for _, i := range []instance{
		{"gather", "gather", []string{"ushort"}}, {"gather", "gather_axis", []string{"ulong"}},
		{"scatter", "scatter_places", nil}, {"scatter", "scatter_columns", []string{"Sum<float>", "bfloat"}},
		{"scatter", "scatter_runs", []string{"Prod<uint>", "short"}}, {"scatter", "scatter_axis", []string{"Last<ulong>", "ulong"}},
	} {
		checkSource(t, i.hostName(), i.source)
	}
}

func TestIndicesSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	f := func(shape ...int) *tensor.Array { return someOf(dtype.Float32, 1, -9, 9, shape...) }
	ints, tol := tensor.MakeInts, closeness{1e-5, 1e-5}
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, c := range []struct {
			what string
			p    tensor.Primitive
			in   []*tensor.Array
		}{
			{"gather", tensor.Gather{Axes: ints(0), Sizes: ints(1, 7)}, []*tensor.Array{f(9, 7), someIndices(dtype.Int16, 1, 9, 33)}},
			{"along", tensor.GatherAxis{Axis: 1}, []*tensor.Array{f(9, 7), someIndices(dtype.Int16, 1, 7, 9, 13)}},
			{"columns", tensor.Scatter{Axes: ints(0), Op: tensor.ScatterSum}, []*tensor.Array{f(9, 7), someIndices(dtype.Int16, 1, 9, 11), f(11, 1, 7)}},
			{"runs", tensor.Scatter{Axes: ints(0), Op: tensor.ScatterSum}, []*tensor.Array{f(9, 7), someIndices(dtype.Int16, 1, 9, 55), f(55, 1, 7)}},
			{"put few along", tensor.ScatterAxis{Axis: 1, Op: tensor.ScatterSum}, []*tensor.Array{f(9, 7), someIndices(dtype.Int8, 1, 7, 9, 11), f(9, 11)}},
			{"put along", tensor.ScatterAxis{Axis: 1}, []*tensor.Array{f(9, 7), someIndices(dtype.Int8, 1, 7, 9, 70), f(9, 70)}},
		} {
			sanitized(t, mode, c.what, c.p, tol, c.in...)
		}
	}
}
