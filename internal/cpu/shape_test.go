package cpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// index turns row-major place i into an index of shape.
func index(shape []int, i int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		at[k] = i % shape[k]
		i /= shape[k]
	}
	return at
}

func flatIndex(shape, at []int) (n int) {
	for k, d := range shape {
		n = n*d + at[k]
	}
	return n
}

func TestCopies(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 6<<20)
		for _, l := range layouts {
			for _, s := range shapes {
				what := fmt.Sprintf("%v%v %s", d, s, l.name)
				a, vals := place(rng, l, d, s, random64(rng, d, true))
				compareValues(t, "contiguous "+what, d, values(t, tensor.CopyOf(a, none)), vals, 0)
				compareValues(t, "reshape "+what, d, values(t, tensor.ReshapeTo(a, []int{-1, 1}[:1+len(s)%2], none)), vals, 0)
				if len(s) == 0 {
					continue
				}
				low, high, out := make([]int, len(s)), make([]int, len(s)), make([]int, len(s))
				for i := range s {
					low[i], high[i] = i+1, 2-i
					if high[i] < 0 {
						high[i] = 0
					}
					out[i] = s[i] + low[i] + high[i]
				}
				pad, pv := place(rng, layouts[0], d, []int{}, random64(rng, d, true))
				want := make([]value, tensor.Shape(out).Size())
				for i := range want {
					want[i] = pv[0]
				}
				for i, v := range vals {
					at := index(s, i)
					for k := range at {
						at[k] += low[k]
					}
					want[flatIndex(out, at)] = v
				}
				p := tensor.Pad{Low: tensor.MakeInts(low...), High: tensor.MakeInts(high...)}
				compareValues(t, "pad "+what, d, values(t, tensor.Apply1(p, none, a, pad)), want, 0)
			}
		}
	}
}

func TestConcatenate(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 7<<20)
		for axis, shapes := range [][][]int{{{2, 3}, {0, 3}, {700, 3}}, {{3, 4, 1}, {3, 2, 1}, {3, 2, 1}}, {{2, 1, 5}, {2, 1, 3}}} {
			for i, l := range layouts {
				var in []*tensor.Array
				var parts [][]value
				total := slices.Clone(shapes[0])
				total[axis] = 0
				for j, s := range shapes {
					a, v := place(rng, layouts[(i+j)%len(layouts)], d, s, random64(rng, d, true))
					in, parts = append(in, a), append(parts, v)
					total[axis] += s[axis]
				}
				want := make([]value, tensor.Shape(total).Size())
				first := 0
				for j, s := range shapes {
					for k, v := range parts[j] {
						at := index(s, k)
						at[axis] += first
						want[flatIndex(total, at)] = v
					}
					first += s[axis]
				}
				got := values(t, tensor.Apply1(tensor.Concatenate{Axis: axis}, none, in...))
				compareValues(t, fmt.Sprintf("concatenate %v%v %s", d, shapes, l.name), d, got, want, 0)
			}
		}
	}
}

func TestTake(t *testing.T) {
	for _, d := range allTypes {
		for _, id := range allTypes {
			if !id.Is(dtype.Integer) {
				continue
			}
			rng := newRand(uint64(d)<<8 | uint64(id) | 8<<20)
			for i, l := range layouts {
				table, tv := place(rng, l, d, []int{7, 2, 3}, random64(rng, d, true))
				ids, iv := place(rng, layouts[(i+1)%len(layouts)], id, []int{3, 2}, func() value {
					if isSigned(id) {
						return value{u: uint64(rng.IntN(14) - 7)}
					}
					return value{u: uint64(rng.IntN(7))}
				})
				var want []value
				for _, v := range iv {
					r := int(int64(v.u)+7) % 7
					want = append(want, tv[6*r:6*r+6]...)
				}
				got := values(t, tensor.TakeRows(table, ids, none))
				compareValues(t, fmt.Sprintf("take %v by %v %s", d, id, l.name), d, got, want, 0)
			}
		}
	}
	table := tensor.FromSlice([]float32{1, 2, 3})
	for _, bad := range []int32{3, -4} {
		err := tensor.Eval(tensor.TakeRows(table, tensor.FromSlice([]int32{0, bad}), none))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("take: index %d is out of range for an axis of size 3", bad)) {
			t.Errorf("id %d: %v", bad, err)
		}
	}
}

// Views are steps of plans when their results are bound slots.
func TestViewsAsKernels(t *testing.T) {
	x := viewOf(t, tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3))
	for _, c := range []struct {
		p    tensor.Primitive
		want []float32
	}{
		{tensor.Broadcast{Shape: tensor.MakeInts(2, 2, 3)}, []float32{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}},
		{tensor.Transpose{Perm: tensor.MakeInts(1, 0)}, []float32{1, 4, 2, 5, 3, 6}},
		{tensor.Slice{Start: tensor.MakeInts(1, 2), Stop: tensor.MakeInts(-1, -1), Step: tensor.MakeInts(-1, -2)}, []float32{6, 4, 3, 1}},
	} {
		out, err := c.p.Infer([]tensor.Spec{x.Spec})
		if err != nil {
			t.Fatal(err)
		}
		y := boundViews(t, tensor.FromSlice(make([]float32, out[0].Shape.Size()), out[0].Shape...))
		k, err := bind(c.p, []View{x}, y)
		if err != nil {
			t.Fatal(err)
		}
		k.prim = c.p
		if err := runTasks([]task{k}, nil, new(scratch)); err != nil || !slices.Equal(all[float32](&y[0]), c.want) {
			t.Errorf("%s: %v, %v; want %v", c.p.Name(), all[float32](&y[0]), err, c.want)
		}
	}
	y := boundViews(t, tensor.FromSlice(make([]float32, 6), 2, 3))
	y[0].Strides = []int{1, 2}
	if _, err := bind(tensor.Contiguous{}, []View{x}, y); err != errStrided {
		t.Errorf("a strided result: %v", err)
	}
}
