package compile

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%swant\n%s", name, got, want)
	}
}

// attention is one head of a decoder step: a cache, a weight used transposed, a
// common subexpression, a dead value and a tracer.
func attention(w *Array) Traced {
	return func(in, s []*Array) ([]*Array, []*Array) {
		x, pos := in[0], in[1]
		q := tensor.MatMulOf(x, tensor.SwapAxes(w, 0, 1, none), none)
		k := tensor.MatMulOf(tensor.Apply1(tensor.Copy{}, none, x), tensor.SwapAxes(w, 0, 1, none), none)
		un(tensor.OpExp, q)
		row := tensor.ReshapeTo(k, []int{1, 1, 1, 2}, none)
		keys := fast.CacheWriteOf(s[0], row, pos, none)
		y := tensor.MatMulOf(q, tensor.SwapAxes(tensor.ReshapeTo(keys, []int{4, 2}, none), 0, 1, none), none)
		y = mul(y, scalar(0.5))
		return []*Array{tensor.SoftmaxOf(y, -1, none)}, []*Array{keys, plus(s[1], scalar(1))}
	}
}

var attentionIn = []tensor.Spec{
	{Shape: tensor.Shape{1, 3}, DType: tensor.DTypeOf[float32]()},
	{Shape: tensor.Shape{1}, DType: tensor.DTypeOf[int32]()},
}

var attentionState = []tensor.Spec{
	{Shape: tensor.Shape{1, 1, 4, 2}, DType: tensor.DTypeOf[float32]()},
	{Shape: tensor.Shape{}, DType: tensor.DTypeOf[float32]()},
}

func TestGolden(t *testing.T) {
	onReference(t)
	w := tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	g, err := trace(attention(w), attentionIn, attentionState, tensor.DefaultDevice())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "traced.txt", g.String())
	e, err := New("attention", attention(w)).For(attentionIn, attentionState)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "graph.txt", e.Graph.String())
	golden(t, "plan.txt", e.Plan.String())
}

// A weight that is used transposed keeps its memory and its strides.
func TestStridedConstant(t *testing.T) {
	w := tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	e, err := New("attention", attention(w)).For(attentionIn, attentionState)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tensor.ValueOf(w)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Plan.Const[0]
	if c.Buf != v.Buf || c.Strides[0] != 1 || c.Strides[1] != 3 {
		t.Errorf("constant has strides %v, its own memory %t", c.Strides, c.Buf != v.Buf)
	}
}

// A backend that refuses strided inputs gets copies: of constants one, made
// before any run.
func TestStridedConstantRefused(t *testing.T) {
	onReference(t)
	reference.setStrict(true)
	defer reference.setStrict(false)
	w := tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	f := New("refused", func(in, _ []*Array) ([]*Array, []*Array) {
		wt := tensor.SwapAxes(w, 0, 1, none)
		xt := tensor.SwapAxes(in[0], 0, 1, none)
		return []*Array{tensor.MatMulOf(xt, wt, none), tensor.MatMulOf(un(tensor.OpAbs, xt), wt, none)}, nil
	})
	x := tensor.FromSlice([]float32{1, 1, 2}, 3, 1)
	out, _ := run(t, f, []*Array{x}, nil)
	want(t, "product", out[0], 9, 21)
	want(t, "product", out[1], 9, 21)
	e, err := f.For(specs([]*Array{x}), nil)
	if err != nil {
		t.Fatal(err)
	}
	copies := 0
	for _, s := range e.Plan.Steps {
		if s.Prim == (tensor.Contiguous{}) {
			copies++
		}
	}
	if copies != 0 || len(e.Plan.Const) != 2 {
		t.Errorf("%d copies, constants %d:\n%v", copies, len(e.Plan.Const), e.Plan)
	}
}
