package compile

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// shapelessCase is a function with the shapes of its inputs, call after call.
type shapelessCase struct {
	name   string
	f      func(in []*Array) []*Array
	shapes [][]tensor.Shape
	traces int // 0 stands for 1
}

func sum(a *Array, axes []int, keep bool) *Array {
	return tensor.ReduceOf(tensor.OpSum, a, axes, keep, none)
}

func shapelessCases() []shapelessCase {
	one := func(f func(x *Array) *Array) func([]*Array) []*Array {
		return func(in []*Array) []*Array { return []*Array{f(in[0])} }
	}
	two := func(f func(x, y *Array) *Array) func([]*Array) []*Array {
		return func(in []*Array) []*Array { return []*Array{f(in[0], in[1])} }
	}
	square := [][]tensor.Shape{{{4, 6}}, {{3, 7}}, {{6, 4}}, {{12, 2}}, {{5, 5}}}
	row := fill(rand.New(rand.NewPCG(1, 1)), f32(6))
	w := fill(rand.New(rand.NewPCG(1, 2)), f32(6, 5))
	gradOf := func(f func(x *Array) *Array) func([]*Array) []*Array {
		return func(in []*Array) []*Array {
			v, g := autodiff.VJPWith(one(f), in, func(outs []*Array) []*Array { return []*Array{tensor.OnesLike(outs[0], none)} })
			return append(v, g...)
		}
	}
	return []shapelessCase{
		{"chain", one(func(x *Array) *Array {
			return mul(tensor.Where(tensor.BinaryOf(tensor.OpLess, x, scalar(0), none), scalar(2), x, none), plus(scalar(1), un(tensor.OpTanh, x)))
		}), square, 0},
		{"row beside a matrix", two(func(x, y *Array) *Array { return plus(mul(x, y), y) }),
			[][]tensor.Shape{{{4, 6}, {6}}, {{3, 7}, {7}}, {{2, 2}, {2}}}, 0},
		{"axis of size 1", two(func(x, y *Array) *Array { return minus(x, y) }),
			[][]tensor.Shape{{{4, 6}, {4, 1}}, {{3, 7}, {3, 1}}, {{3, 7}, {1, 7}}, {{4, 6}, {4, 6}}, {{1, 6}, {5, 6}}}, 4},
		{"captured row", one(func(x *Array) *Array { return plus(x, row) }), [][]tensor.Shape{{{4, 6}}, {{9, 6}}}, 0},
		{"reductions", one(func(x *Array) *Array {
			m := minus(x, tensor.Mean(x, []int{-1}, true, none))
			return plus(sum(mul(m, m), []int{0}, false), tensor.ReduceOf(tensor.OpMax, x, nil, false, none))
		}), square, 0},
		{"variance", one(func(x *Array) *Array { return tensor.Var(x, []int{1}, false, 1, none) }), square, 0},
		{"softmax", one(func(x *Array) *Array { return tensor.SoftmaxOf(x, 0, none) }), square, 0},
		{"logsumexp", one(func(x *Array) *Array { return tensor.LogSumExpOf(x, []int{0, 2}, false, none) }),
			[][]tensor.Shape{{{2, 3, 4}}, {{4, 3, 2}}, {{5, 6, 7}}}, 0},
		{"layer", two(func(x, b *Array) *Array { return plus(tensor.MatMulOf(x, w, none), b) }),
			[][]tensor.Shape{{{2, 3, 6}, {5}}, {{4, 7, 6}, {5}}, {{3, 2, 6}, {5}}, {{3, 1, 6}, {5}}}, 2},
		{"product", two(func(x, y *Array) *Array { return tensor.MatMulOf(x, y, none) }),
			[][]tensor.Shape{{{2, 3, 4}, {4, 5}}, {{3, 4, 6}, {6, 2}}}, 0},
		{"batches", two(func(x, y *Array) *Array { return tensor.MatMulOf(x, y, none) }),
			[][]tensor.Shape{{{3, 1, 2, 4}, {5, 4, 6}}, {{2, 1, 3, 2}, {7, 2, 2}}}, 0},
		{"norms", two(func(x, w *Array) *Array {
			return fast.LayerNormOf(fast.RMSNormOf(x, w, 1e-5, none), w, nil, 1e-5, 0, none)
		}),
			[][]tensor.Shape{{{4, 6}, {6}}, {{3, 9}, {9}}}, 0},
		{"heads", one(func(x *Array) *Array {
			b, n := x.Dim(0), x.Dim(1)
			q := tensor.TransposeTo(tensor.ReshapeTo(x, []int{b, n, 2, x.Dim(2) / 2}, none), []int{0, 2, 1, 3}, none)
			y := tensor.MatMulOf(tensor.SoftmaxOf(tensor.MatMulOf(q, tensor.SwapAxes(q, -1, -2, none), none), -1, none), q, none)
			return tensor.ReshapeTo(tensor.TransposeTo(y, []int{0, 2, 1, 3}, none), []int{b, n, x.Dim(2)}, none)
		}), [][]tensor.Shape{{{3, 5, 8}}, {{5, 3, 8}}, {{2, 7, 8}}}, 0},
		{"dims", one(func(x *Array) *Array {
			return mul(tensor.ExpandDims(x, []int{0, 2}, none), tensor.ExpandDims(sum(x, []int{0}, false), []int{0}, none))
		}), square, 0},
		{"flatten", one(func(x *Array) *Array { return tensor.ReshapeTo(x, []int{-1}, none) }), square, 0},
		{"merged beside a new axis", one(func(x *Array) *Array {
			b, n, d := x.Dim(0), x.Dim(1), x.Dim(2)
			y := tensor.ReshapeTo(x, []int{1, b * n, d}, none)
			return tensor.ReshapeTo(un(tensor.OpSin, y), []int{b, n, d}, none)
		}), [][]tensor.Shape{{{2, 3, 4}}, {{4, 5, 6}}, {{3, 2, 4}}}, 0},
		{"mean square", gradOf(func(x *Array) *Array { return tensor.Mean(mul(x, un(tensor.OpSin, x)), nil, false, none) }), square, 0},
		{"gradient of variance", gradOf(func(x *Array) *Array {
			return sum(mul(tensor.Var(x, []int{0}, false, 0, none), sum(x, []int{0}, false)), nil, false)
		}), square, 0},
		{"gradient of softmax", gradOf(func(x *Array) *Array {
			return sum(un(tensor.OpSquare, tensor.SoftmaxOf(plus(x, sum(x, []int{1}, true)), -1, none)), nil, false)
		}), square, 0},
		{"ones like", one(func(x *Array) *Array { return minus(mul(tensor.OnesLike(x, none), scalar(3)), x) }), square, 0},
		{"checkpoint", gradOf(func(x *Array) *Array {
			block := autodiff.Custom(one(func(x *Array) *Array { return un(tensor.OpSin, un(tensor.OpExp, x)) }), autodiff.Rules{})
			return sum(block([]*Array{x})[0], nil, false)
		}), square, 0},
		{"gradient of layer", gradOf(func(x *Array) *Array { return sum(un(tensor.OpTanh, tensor.MatMulOf(x, w, none)), nil, false) }),
			[][]tensor.Shape{{{2, 3, 6}}, {{4, 7, 6}}}, 0},
	}
}

// One trace serves all sizes, with the bits of the function itself.
func TestShapeless(t *testing.T) {
	for _, c := range shapelessCases() {
		s := New(c.name, func(in, _ []*Array) ([]*Array, []*Array) { return c.f(in), nil })
		s.Shapeless = true
		r := rand.New(rand.NewPCG(7, 7))
		for _, shapes := range c.shapes {
			var in []*Array
			for _, sh := range shapes {
				in = append(in, fill(r, f32(sh...)))
			}
			want := c.f(in)
			out, _, err := s.Call(in, nil)
			if err != nil {
				t.Errorf("%s of %v: %v", c.name, shapes, err)
				break
			}
			for i := range want {
				if g, w := tensor.SpecOf(out[i]), tensor.SpecOf(want[i]); !g.Equal(w) {
					t.Errorf("%s of %v: result %d is %v, want %v", c.name, shapes, i, g, w)
				} else if !bytes.Equal(out[i].Bytes(), want[i].Bytes()) {
					t.Errorf("%s of %v: result %d differs", c.name, shapes, i)
				}
			}
		}
		if got := s.Traces(); got != max(c.traces, 1) {
			t.Errorf("%s: traced %d times, want %d", c.name, got, max(c.traces, 1))
		}
	}
}

// What keeps a size says so, by its name.
func TestShapelessRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		f          func(x *Array) *Array
	}{
		{"split", "reshape", func(x *Array) *Array { return tensor.ReshapeTo(x, []int{2, 2, 6}, none) }},
		{"swap", "reshape", func(x *Array) *Array { return tensor.ReshapeTo(x, []int{6, -1}, none) }},
		{"broadcast", "broadcast_to", func(x *Array) *Array { return tensor.BroadcastTo(scalar(1), tensor.SpecOf(x).Shape, none) }},
		{"slice", "slice", func(x *Array) *Array { return tensor.SliceAxis(x, 0, 0, 2, none) }},
		{"pad", "pad", func(x *Array) *Array { return tensor.PadWith(x, []int{1, 0}, []int{0, 0}, 0, none) }},
		{"arange", "arange", func(x *Array) *Array {
			return plus(x, tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0), Step: tensor.MakeF64(1), N: x.Dim(1), DType: dtype.Float32}, none))
		}},
	} {
		s := New(c.name, func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{c.f(in[0])}, nil })
		s.Shapeless = true
		r := rand.New(rand.NewPCG(1, 1))
		for range 2 { // the traced sizes work, also again
			if _, _, err := s.Call([]*Array{fill(r, f32(4, 6))}, nil); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		_, _, err := s.Call([]*Array{fill(r, f32(5, 9))}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "keeps a size") {
			t.Errorf("%s: error %v does not name %s", c.name, err, c.want)
		}
	}
}

// Other ranks and dtypes are traced, states keep their buffers.
func TestShapelessSignature(t *testing.T) {
	s := New("add", func(in, st []*Array) ([]*Array, []*Array) { return []*Array{neg(in[0])}, []*Array{plus(st[0], in[0])} })
	s.Shapeless = true
	for i, sh := range []tensor.Shape{{2}, {3}, {2, 2}, {3, 2}, {1}} {
		a := fill(rand.New(rand.NewPCG(1, 1)), f32(sh...))
		out, st := run(t, s, []*Array{a}, []*Array{tensor.CopyOf(a, none)})
		if !bytes.Equal(out[0].Bytes(), neg(a).Bytes()) || !bytes.Equal(st[0].Bytes(), plus(a, a).Bytes()) {
			t.Errorf("shape %v: wrong", sh)
		}
		if want := []int{1, 1, 2, 2, 3}[i]; s.Traces() != want {
			t.Errorf("shape %v: %d traces, want %d", sh, s.Traces(), want)
		}
	}
	h := tensor.AsType(vec(1, 2), dtype.Float16, none)
	run(t, s, []*Array{h}, []*Array{tensor.CopyOf(h, none)})
	if s.Traces() != 4 {
		t.Errorf("half: %d traces, want 4", s.Traces())
	}
}
