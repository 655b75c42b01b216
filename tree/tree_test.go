package tree_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/tree"
)

type layer struct {
	Weight *mlx.Array
	Bias   *mlx.Array
	Size   int
}

func example() map[string]*layer {
	return map[string]*layer{
		"b": {Weight: mlx.NewArray([]int{1, 2}), Size: 2},
		"a": {Weight: mlx.NewArray([]int{3}), Bias: mlx.NewArray(4)},
	}
}

func TestUnflatten(t *testing.T) {
	x := example()
	with := maps.Collect(tree.Leaves(x))
	with["a.bias"] = mlx.NewArray(40)
	y, err := tree.Unflatten(x, maps.All(with))
	if err != nil || mlx.Item[int32](y["a"].Bias) != 40 || mlx.Item[int32](x["a"].Bias) != 4 {
		t.Errorf("%v %v", y["a"].Bias, err)
	}
	delete(with, "a.weight")
	with["c"] = with["a.bias"]
	_, err = tree.Unflatten(x, maps.All(with))
	if fmt.Sprint(err) != "tree_unflatten: missing [a.weight], unexpected [c]" {
		t.Error(err)
	}
	if tree.Get(x, "b.weight") != x["b"].Weight || tree.Get(x, "b") != nil {
		t.Error("get")
	}
	n := tree.Reduce(func(n int, a *mlx.Array) int { return n + a.Size() }, x, 0)
	if n != 4 {
		t.Errorf("%d elements", n)
	}
	short := example()
	delete(short, "a")
	if err := mlx.Try(func() { tree.Map(func(a ...*mlx.Array) *mlx.Array { return a[0] }, x, short) }); err == nil {
		t.Error("trees of other structure were mapped")
	}
}
