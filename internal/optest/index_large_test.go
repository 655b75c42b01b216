package optest

import (
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestLargeScatter: however a large scatter is cut, each element sees its updates in
// their order: the bits are those of a plain loop.
func TestLargeScatter(t *testing.T) {
	for _, c := range []struct{ rows, n, width int }{
		{100, 20_000, 3}, {7, 70_000, 1}, {50, 900, 700}, {3, 9_000, 127}, {30, 20_000, 9}, {1, 30_000, 2},
	} {
		ids := make([]int32, c.n)
		for i := range ids {
			ids[i] = int32(uint32(i*i+7*i)%uint32(2*c.rows)) - int32(c.rows)
		}
		x, u := ramp(c.rows, c.width), ramp(c.n, c.width).Add(0.5)
		at := mlx.FromSlice(ids)
		for op := tensor.ScatterSet; op <= tensor.ScatterMin; op++ {
			if op == tensor.ScatterProd {
				continue // overflows
			}
			want, from := mlx.ToSlice[float32](x), mlx.ToSlice[float32](u)
			for i, r := range ids {
				row := int(r)
				if row < 0 {
					row += c.rows
				}
				for j := range c.width {
					w, v := &want[row*c.width+j], from[i*c.width+j]
					switch op {
					case tensor.ScatterSet:
						*w = v
					case tensor.ScatterSum:
						*w += v
					case tensor.ScatterMax:
						*w = max(*w, v)
					case tensor.ScatterMin:
						*w = min(*w, v)
					}
				}
			}
			s := tensor.Scatter{Axes: tensor.MakeInts(0), Op: op}
			got := mlx.ToSlice[float32](tensor.Apply1(s, none, x, at, u.ExpandDims(1)))
			if !slices.Equal(got, want) {
				t.Errorf("%v of %+v differs from the loop", op, c)
			}
			if op > tensor.ScatterSum {
				continue
			}
			along := tensor.PutAlongAxis(op, x, at.ExpandDims(1).BroadcastTo(c.n, c.width), u, 0, none)
			if !slices.Equal(mlx.ToSlice[float32](along), want) {
				t.Errorf("%v of %+v along the axis differs from the loop", op, c)
			}
			last := tensor.PutAlongAxis(op, x.T(), at.ExpandDims(0).BroadcastTo(c.width, c.n), u.T(), 1, none)
			if !slices.Equal(mlx.ToSlice[float32](last.T()), want) {
				t.Errorf("%v of %+v along the last axis differs from the loop", op, c)
			}
		}
	}
}

// TestScatterInPlace: a donated array is written where it is, and only then.
func TestScatterInPlace(t *testing.T) {
	x := tensor.CopyOf(ramp(300, 70), none)
	if err := mlx.Eval(x); err != nil {
		t.Fatal(err)
	}
	before := mlx.ToSlice[float32](x)
	kept := x.At(indices([]int{5})).Set(1)
	if err := mlx.Eval(kept); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(mlx.ToSlice[float32](x), before) {
		t.Error("a write changed the array that it came from")
	}
	y := x.Donate().At(indices([]int{5})).Set(1)
	if !slices.Equal(mlx.ToSlice[float32](y), mlx.ToSlice[float32](kept)) {
		t.Error("a write into a donated array gives another result")
	}
}

func BenchmarkIndexing(b *testing.B) {
	table := mlx.Zeros(mlx.Shape{32000, 1024})
	n := 2048
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i * 7919 % 32000)
	}
	at := mlx.FromSlice(ids)
	rows := ramp(n, 1, 1024)
	long := ramp(1 << 20)
	shuffle := mlx.FromSlice(func() []int32 {
		v := make([]int32, 1<<20)
		for i := range v {
			v[i] = int32(i * 7919 % (1 << 20))
		}
		return v
	}())
	if err := mlx.Eval(table, at, rows, long, shuffle); err != nil {
		b.Fatal(err)
	}
	add := tensor.Scatter{Axes: tensor.MakeInts(0), Op: tensor.ScatterSum}
	for _, c := range []struct {
		name string
		f    func() *mlx.Array
	}{
		{"take rows", func() *mlx.Array { return mlx.Take(table, at, mlx.Axis(0)) }},
		{"take columns", func() *mlx.Array { return mlx.Take(rows.Reshape(n, 1024), at.Index(mlx.To(64)).Mul(0), mlx.Axis(1)) }},
		{"add rows", func() *mlx.Array { return tensor.Apply1(add, none, table, at, rows) }},
		{"take points", func() *mlx.Array { return mlx.Take(long, shuffle) }},
		{"index points", func() *mlx.Array { return table.Index(shuffle.Mul(0), shuffle.Index(mlx.NewAxis).Mul(0)) }},
		{"set points", func() *mlx.Array { return long.At(shuffle).Set(long) }},
		{"add points", func() *mlx.Array { return long.At(shuffle).Add(long) }},
		{"along", func() *mlx.Array { return mlx.TakeAlongAxis(long.Reshape(1, -1), shuffle.Reshape(1, -1), 1) }},
		{"put along", func() *mlx.Array {
			return mlx.PutAlongAxis(long.Reshape(1, -1), shuffle.Reshape(1, -1), long.Reshape(1, -1), 1)
		}},
		{"set slice", func() *mlx.Array { return table.At(mlx.Range(100, 200)).Set(1) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := mlx.Eval(c.f()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLongRows: rows longer than a block, along and across memory, in the dtypes that
// are computed by blocks.
func TestLongRows(t *testing.T) {
	const n = 700
	x, u := mlx.Arange(2*n).Reshape(2, n), mlx.Arange(3*n).Reshape(3, n)
	small := func(a *mlx.Array, d mlx.DType) *mlx.Array {
		return a.Mul(7).AsType(mlx.Uint8).AsType(mlx.Int32).AsType(d).Mul(0.25)
	}
	at := indices([]int{1, 0, 1})
	for _, d := range []mlx.DType{mlx.Float16, mlx.Complex64, mlx.Float64, mlx.Float32} {
		a, v := small(x, d), small(u, d)
		wide, add := mlx.ToSlice[float64](a.AsType(mlx.Float64)), mlx.ToSlice[float64](v.AsType(mlx.Float64))
		for i, r := range []int{1, 0, 1} {
			for j := range n {
				wide[r*n+j] += add[i*n+j]
			}
		}
		want := mlx.FromSlice(wide, 2, n)
		for name, got := range map[string]*mlx.Array{
			"rows":    a.At(at).Add(v),
			"columns": a.T().At(mlx.Colon, at).Add(v.T()).T(),
			"strided": a.T().At(mlx.Colon, at).Add(tensor.CopyOf(v.T(), none)).T(),
		} {
			if err := Diff(got.AsType(mlx.Float64), want, Exact); err != nil {
				t.Errorf("%v, %s: %v", d, name, err)
			}
		}
	}
}
