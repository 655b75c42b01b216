package tree

import (
	"fmt"
	"strings"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

type layer interface{ Forward(*Array) *Array }

type leafLayer struct{ Weight, Bias *Array }

func (*leafLayer) Forward(x *Array) *Array { return x }

type pair struct {
	First  layer
	Second *leafLayer
}

type model struct {
	QProj  layer `mlx:"deep.q_proj"`
	Blocks []*pair
	Named  map[string]*Array
	MLP    *pair
	Skip   *Array `mlx:"-"`
	Frozen *Array `mlx:",frozen"`
	hidden *Array
	Absent layer
	Size   int
}

func vec(v ...float32) *Array { return tensor.FromSlice(v) }

func newModel() *model {
	return &model{
		QProj:  &leafLayer{vec(1), nil},
		Blocks: []*pair{{&leafLayer{vec(2), vec(3)}, &leafLayer{vec(4), nil}}},
		Named:  map[string]*Array{"b": vec(6), "a": vec(5)},
		MLP:    &pair{Second: &leafLayer{vec(7), nil}},
		Skip:   vec(8), Frozen: vec(9), hidden: vec(10),
	}
}

func TestLeaves(t *testing.T) {
	var got []string
	for path, a := range Leaves(newModel()) {
		got = append(got, fmt.Sprint(path, tensor.ToSlice[float32](a)))
	}
	want := "deep.q_proj.weight[1] blocks.0.first.weight[2] blocks.0.first.bias[3] blocks.0.second.weight[4] named.a[5] named.b[6] mlp.second.weight[7] frozen[9]"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	n := 0
	for range Leaves(newModel()) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Error("the walk does not stop")
	}
}

func TestSnake(t *testing.T) {
	for in, want := range map[string]string{
		"QProj": "q_proj", "MLP": "mlp", "Linear1": "linear1", "InputLayernorm": "input_layernorm",
		"HTTPServer": "http_server", "A": "a", "LMHead": "lm_head", "KVHeads": "kv_heads",
	} {
		if got := snake(in); got != want {
			t.Errorf("%s: %s, not %s", in, got, want)
		}
	}
}

// TestMap: a copy has the type and the shared pointers of the tree; the tree stays.
func TestMap(t *testing.T) {
	m := newModel()
	shared := &pair{Second: &leafLayer{vec(20), nil}}
	m.Blocks = append(m.Blocks, shared, shared)
	var frozen []string
	c := Map(m, func(path string, fixed bool, a *Array) *Array {
		if fixed {
			frozen = append(frozen, path)
		}
		return a.Add(100)
	})
	var got []string
	for path, a := range Leaves(c) {
		got = append(got, fmt.Sprint(path, tensor.ToSlice[float32](a)))
	}
	want := "deep.q_proj.weight[101] blocks.0.first.weight[102] blocks.0.first.bias[103] blocks.0.second.weight[104] " +
		"blocks.1.second.weight[120] blocks.2.second.weight[120] named.a[105] named.b[106] mlp.second.weight[107] frozen[109]"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if c.Blocks[1] != c.Blocks[2] || c.Blocks[1] == shared || c.hidden != m.hidden || c.Skip != m.Skip {
		t.Error("shared pointers, or fields that are no part of the tree")
	}
	if fmt.Sprint(frozen) != "[frozen]" || tensor.Item[float32](m.Frozen) != 9 {
		t.Errorf("frozen %v", frozen)
	}
}

// TestCycle: a tree without end is an *Error.
func TestCycle(t *testing.T) {
	type ring struct {
		A    *Array
		Next *ring
	}
	r := &ring{A: vec(1)}
	r.Next = r
	if err := tensor.Try(func() { Places(r, false) }); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Error(err)
	}
}
