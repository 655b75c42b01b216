package nn

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
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

func TestModulesAndReplace(t *testing.T) {
	m := newModel()
	var paths []string
	for path := range Modules(m) {
		paths = append(paths, path)
	}
	if got := strings.Join(paths, " "); got != " deep.q_proj blocks.0 blocks.0.first blocks.0.second mlp mlp.second" {
		t.Errorf("modules %q", got)
	}
	var seen []string
	Replace(m, func(path string, l layer) layer {
		seen = append(seen, path)
		return &leafLayer{Weight: vec(100)}
	})
	if got := strings.Join(seen, " "); got != "blocks.0.first deep.q_proj" { // not Second, which is declared by its type
		t.Errorf("replaced %q", got)
	}
	if got := tensor.Item[float32](m.QProj.(*leafLayer).Weight); got != 100 {
		t.Errorf("the layer is still %v", got)
	}
	err := tensor.Try(func() { Replace(newModel(), func(string, layer) layer { return nil }) })
	if err == nil || !strings.Contains(err.Error(), "blocks.0.first") {
		t.Errorf("replaced by nothing: %v", err)
	}
}

func TestAssign(t *testing.T) {
	full := func() map[string]*Array {
		w := map[string]*Array{}
		for path := range tree.Leaves(&pair{First: &leafLayer{vec(0), vec(0)}, Second: &leafLayer{vec(0), nil}}) {
			w[path] = vec(42)
		}
		return w
	}
	fresh := func() *pair {
		return &pair{First: &leafLayer{vec(0), vec(0)}, Second: &leafLayer{vec(0), nil}}
	}
	p := fresh()
	if err := Assign(p, full(), true); err != nil || tensor.Item[float32](p.Second.Weight) != 42 {
		t.Fatalf("%v", err)
	}
	bad := full()
	delete(bad, "first.bias")
	bad["extra"] = vec(1)
	bad["second.weight"] = vec(1, 2)
	p = fresh()
	err := Assign(p, bad, true)
	var e *MismatchError
	if !errors.As(err, &e) || len(e.Missing) != 1 || len(e.Unexpected) != 1 || len(e.Shapes) != 1 {
		t.Fatalf("%v", err)
	}
	want := "wrong shape: second.weight has shape (2,), not (1,); missing tensor first.bias; unexpected tensor extra"
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if tensor.Item[float32](p.First.(*leafLayer).Weight) != 0 {
		t.Error("a failed Assign has set a parameter")
	}
	delete(bad, "second.weight")
	if err := Assign(p, bad, false); err != nil || tensor.Item[float32](p.First.(*leafLayer).Weight) != 42 {
		t.Errorf("not strict: %v", err)
	}
}

// TestMaps: what lies in maps by string can be set and replaced; other maps are no
// part of a module. What cannot be set is an *Error.
func TestMaps(t *testing.T) {
	type experts struct {
		Named  map[string]*Array
		Layers map[string]layer
		Other  map[int]*Array
	}
	m := &experts{map[string]*Array{"a": vec(1), "b": vec(2)}, map[string]layer{"x": &leafLayer{Weight: vec(3)}}, map[int]*Array{1: vec(9)}}
	Apply(m, func(_ string, a *Array) *Array { return a.Add(10) })
	Replace(m, func(_ string, l layer) layer { return &leafLayer{Weight: l.(*leafLayer).Weight, Bias: vec(4)} })
	var got []string
	for path, a := range tree.Leaves(m) {
		got = append(got, fmt.Sprint(path, tensor.ToSlice[float32](a)))
	}
	if s := strings.Join(got, " "); s != "named.a[11] named.b[12] layers.x.weight[13] layers.x.bias[4]" {
		t.Error(s)
	}
	if err := Assign(m, map[string]*Array{"named.b": vec(7)}, false); err != nil || tensor.Item[float32](m.Named["b"]) != 7 {
		t.Errorf("assigned %v: %v", m.Named["b"], err)
	}
	err := tensor.Try(func() { Apply(leafLayer{Weight: vec(1)}, func(_ string, a *Array) *Array { return a }) })
	if err == nil || !strings.Contains(err.Error(), "weight cannot be set") {
		t.Errorf("a module by value: %v", err)
	}
}
