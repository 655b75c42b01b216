package compile

import (
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// decoder is a graph of the size of a decoder step: per layer two caches, seven
// products with transposed weights, attention and norms.
func decoder(layers int) (f Traced, in, state []tensor.Spec) {
	const d = 16
	fill := func(shape ...int) *Array {
		return tensor.CopyOf(tensor.BroadcastTo(scalar(0.1), shape, none), none)
	}
	type layer struct {
		norm [2]*Array
		w    [7]*Array
	}
	ls := make([]layer, layers)
	for i := range ls {
		ls[i].norm = [2]*Array{fill(d), fill(d)}
		for k := range ls[i].w {
			ls[i].w[k] = fill(d, d)
		}
	}
	f = func(in, s []*Array) (out, news []*Array) {
		x, pos := in[0], in[1]
		rope := fast.RoPE{Dims: d, Base: tensor.MakeF64(10000), Scale: tensor.MakeF64(1)}
		for i, l := range ls {
			dot := func(k int, x *Array) *Array { return tensor.MatMulOf(x, tensor.SwapAxes(l.w[k], 0, 1, none), none) }
			head := func(a *Array) *Array {
				return tensor.TransposeTo(tensor.ReshapeTo(a, []int{1, 1, 1, d}, none), []int{0, 2, 1, 3}, none)
			}
			h := fast.RMSNormOf(x, l.norm[0], 1e-5, none)
			q := fast.RoPEOf(rope, head(dot(0, h)), pos, nil, none)
			k := fast.CacheWriteOf(s[2*i], fast.RoPEOf(rope, head(dot(1, h)), pos, nil, none), pos, none)
			v := fast.CacheWriteOf(s[2*i+1], head(dot(2, h)), pos, none)
			y := fast.AttentionOf(fast.Attention{Scale: tensor.MakeF64(0.25)}, q, k, v, nil, nil, pos, none)
			x = plus(x, dot(3, tensor.ReshapeTo(y, []int{1, d}, none)))
			h = fast.RMSNormOf(x, l.norm[1], 1e-5, none)
			x = plus(x, dot(6, tensor.SwiGLUOf(dot(4, h), dot(5, h), none)))
			news = append(news, k, v)
		}
		return []*Array{x}, news
	}
	in = []tensor.Spec{f32(1, d), {Shape: tensor.Shape{1}, DType: tensor.DTypeOf[int32]()}}
	for range 2 * layers {
		state = append(state, f32(1, 1, 32, d))
	}
	return f, in, state
}

// A decoder step has no copies of caches, and its caches are written in place.
func TestDecoderPlan(t *testing.T) {
	f, in, state := decoder(4)
	e, err := New("decoder", f).For(in, state)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Plan.Steps {
		switch s.Prim.(type) {
		case tensor.Contiguous:
			t.Errorf("a copy: %v", s)
		case fast.CacheWrite:
			if s.Out[0].Kind != tensor.SlotState || s.In[0].Kind != tensor.SlotState {
				t.Errorf("not in place: %v", s)
			}
		}
	}
	// 7 products, 2 norms, 2 rotations, 2 writes, attention, 2 sums, swiglu
	if n := 4 * 17; len(e.Plan.Steps) != n {
		t.Errorf("%d steps, want %d:\n%v", len(e.Plan.Steps), n, e.Plan)
	}
}

func BenchmarkCompileDecoder(b *testing.B) {
	f, in, state := decoder(32)
	for b.Loop() {
		if _, err := New("decoder", f).For(in, state); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	f := New("negate", func(in, s []*Array) ([]*Array, []*Array) { return []*Array{neg(in[0])}, []*Array{plus(s[0], in[0])} })
	in, st := []*Array{vec(1, 2)}, []*Array{vec(0, 0)}
	for b.Loop() {
		var err error
		if _, st, err = f.Call(in, st); err != nil {
			b.Fatal(err)
		}
	}
}
