package optest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// rankSizes are the sizes of axes of arrays of rank 0 to 8.
var rankSizes = []int{2, 3, 1, 5, 2, 1, 3, 2}

// rampOf is ramp, of rank 0 too.
func rampOf(shape []int) *mlx.Array { return ramp(shape...).Reshape(shape...) }

// views are arrays of one shape whose strides differ: in order, reversed axes, a
// permutation, repeated along every second axis, and steps through a larger array.
func views(shape []int, r *rand.Rand) []*mlx.Array {
	n := len(shape)
	flip := slices.Clone(shape)
	slices.Reverse(flip)
	perm := r.Perm(n)
	permuted, thin := make([]int, n), slices.Clone(shape)
	wide := slices.Clone(shape)
	for i, p := range perm {
		permuted[p] = shape[i]
	}
	for i := range thin {
		if i%2 == 0 {
			thin[i] = 1
		}
		wide[i] = 2*shape[i] + 1
	}
	stepped := rampOf(wide)
	if n > 0 {
		ix := make([]any, n)
		for i := range ix {
			ix[i] = mlx.Range(1, wide[i]).By(2)
		}
		stepped = stepped.Index(ix...)
	}
	return []*mlx.Array{rampOf(shape), rampOf(flip).T(), mlx.Transpose(rampOf(permuted), mlx.Axes(perm)),
		rampOf(thin).BroadcastTo(shape...), stepped}
}

// TestRanks: elementwise ops, reductions over every set of axes and transpositions of
// arrays of rank 0 to 8, whatever their strides, are the loops over their elements.
func TestRanks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for rank := 0; rank <= 8; rank++ {
		shape := rankSizes[:rank]
		t.Run(fmt.Sprint(rank), func(t *testing.T) {
			xs := views(shape, r)
			for i, x := range xs {
				y := xs[(i+1)%len(xs)]
				elementwiseAt(t, x, y)
				reductionsAt(t, x)
				transposedAt(t, x, r)
			}
		})
	}
}

// elementwiseAt: each op of strided arrays is that of their elements in a row.
func elementwiseAt(t *testing.T, x, y *mlx.Array) {
	t.Helper()
	row := func(a *mlx.Array) *mlx.Array { return mlx.FromSlice(mlx.ToSlice[float32](a), a.Size()) }
	same := func(name fmt.Stringer, got, want *mlx.Array) {
		t.Helper()
		if err := Diff(got, want.Reshape(x.Shape()...), F32); err != nil {
			t.Errorf("%v of %v: %v", name, x.Shape(), err)
		}
	}
	for o := range tensor.NumUnary {
		if o != tensor.OpBitwiseInvert && o != tensor.OpFromFP8 {
			same(o, tensor.UnaryOf(o, x, none), tensor.UnaryOf(o, row(x), none))
		}
	}
	for o := range tensor.NumBinary {
		a, b := x, y
		if refuses(o, mlx.Float32) {
			a, b = x.AsType(mlx.Int32), y.AsType(mlx.Int32)
		}
		ra, rb := row(x).AsType(a.DType()), row(y).AsType(b.DType())
		same(o, tensor.BinaryOf(o, a, b, none), tensor.BinaryOf(o, ra, rb, none))
	}
	same(tensor.OpLess, mlx.Where(x.Lt(y), x, y), mlx.Where(row(x).Lt(row(y)), row(x), row(y)))
}

// reductionsAt: sums, products and extremes over every set of axes.
func reductionsAt(t *testing.T, x *mlx.Array) {
	t.Helper()
	v, shape := floats(x), x.Shape()
	for set := range 1 << len(shape) {
		var axes mlx.Axes
		kept := slices.Clone(shape)
		for i := range shape {
			if set>>i&1 == 1 {
				axes, kept[i] = append(axes, i), 1
			}
		}
		if set == 0 && len(shape) > 0 {
			continue
		}
		n := mlx.Shape(kept).Size()
		sum, prod, top := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			prod[i], top[i] = 1, math.Inf(-1)
		}
		place(shape, kept, func(from, to int) {
			sum[to] += v[from]
			prod[to] *= v[from]
			top[to] = max(top[to], v[from])
		})
		for name, c := range map[string]struct {
			f    func(*mlx.Array, ...mlx.ReduceOption) *mlx.Array
			want []float64
		}{"sum": {mlx.Sum, sum}, "prod": {mlx.Prod, prod}, "max": {mlx.Max, top}} {
			got := c.f(x, axes, mlx.KeepDims(true))
			if len(shape) == 0 {
				got = c.f(x)
			}
			if err := Diff(got, mlx.FromSlice(c.want, n).Reshape(kept...).AsType(mlx.Float32), F32); err != nil {
				t.Errorf("%s of %v over %v: %v", name, shape, axes, err)
			}
		}
	}
}

// place calls f for each element of shape with its index and that of its place in an
// array of shape kept, whose axes have the same size or 1.
func place(shape, kept []int, f func(from, to int)) {
	at := make([]int, len(shape))
	for i := range mlx.Shape(shape).Size() {
		to := 0
		for a := range at {
			to *= kept[a]
			if kept[a] > 1 {
				to += at[a]
			}
		}
		f(i, to)
		for a := len(at) - 1; a >= 0; a-- {
			if at[a]++; at[a] < shape[a] {
				break
			}
			at[a] = 0
		}
	}
}

// transposedAt: a permutation of the axes, and back.
func transposedAt(t *testing.T, x *mlx.Array, r *rand.Rand) {
	t.Helper()
	shape := x.Shape()
	perm := r.Perm(len(shape))
	y := mlx.Transpose(x, mlx.Axes(perm))
	got, v := floats(tensor.CopyOf(y, none)), floats(x)
	strides := make([]int, len(shape))
	step := 1
	for a := len(shape) - 1; a >= 0; a-- {
		strides[a], step = step, step*shape[a]
	}
	i := 0
	counter(y.Shape(), func(at []int) {
		from := 0
		for a, p := range perm {
			from += at[a] * strides[p]
		}
		if got[i] != v[from] {
			t.Errorf("transpose of %v by %v: element %v is %v, not %v", shape, perm, at, got[i], v[from])
		}
		i++
	})
	if i != x.Size() {
		t.Errorf("%d elements of %d", i, x.Size())
	}
}
