package random_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/compile"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/random"
)

// TestDrawsInsideTransformations: a draw from the process's generator inside of vmap or
// compile is refused, as it would be repeated; one made before is a value like any other,
// and draws with keys are free.
func TestDrawsInsideTransformations(t *testing.T) {
	x := mlx.Zeros(mlx.Shape{3, 2})
	before := random.Normal(mlx.Shape{2})
	key := random.NewKey(7)
	for name, c := range map[string]struct {
		f      func(x *mlx.Array) *mlx.Array
		refuse bool
	}{
		"inside":     {func(x *mlx.Array) *mlx.Array { return x.Add(random.Normal(mlx.Shape{2})) }, true},
		"result":     {func(x *mlx.Array) *mlx.Array { return random.Uniform(0, 1, mlx.Shape{2}) }, true},
		"index":      {func(x *mlx.Array) *mlx.Array { return x.Add(random.Categorical(mlx.Zeros(mlx.Shape{1, 4}))) }, true},
		"before":     {func(x *mlx.Array) *mlx.Array { return x.Add(before) }, false},
		"with a key": {func(x *mlx.Array) *mlx.Array { return x.Add(random.Normal(mlx.Shape{2}, key)) }, false},
		"not used":   {func(x *mlx.Array) *mlx.Array { random.Normal(mlx.Shape{2}); return x.Add(1) }, false},
		"differently": {func(x *mlx.Array) *mlx.Array {
			return tensor.StopGradientOf(random.Normal(mlx.Shape{2}), mlx.Stream{}).Mul(x)
		}, true},
	} {
		check := func(how string, err error) {
			t.Helper()
			var e *mlx.Error
			if c.refuse && (!errors.As(err, &e) || !strings.Contains(err.Error(), "pass a key")) || !c.refuse && err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
		fs := func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{c.f(in[0])} }
		check("vmap", mlx.Try(func() { autodiff.VMap(fs, []*mlx.Array{x}, []int{0}, autodiff.InFront) }))
		spec := []tensor.Spec{{Shape: mlx.Shape{2}, DType: mlx.Float32}}
		_, err := compile.New(name, func(in, _ []*mlx.Array) ([]*mlx.Array, []*mlx.Array) { return fs(in), nil }).For(spec, nil)
		check("compile", err)
	}
}

// TestMappedKeys: mapping over keys draws with each.
func TestMappedKeys(t *testing.T) {
	keys := tensor.ConcatenateOf([]*mlx.Array{random.NewKey(1).A.Reshape(1, 2), random.NewKey(2).A.Reshape(1, 2)}, 0, mlx.Stream{})
	got := autodiff.VMap(func(in []*mlx.Array) []*mlx.Array {
		return []*mlx.Array{random.Normal(mlx.Shape{3}, random.Key{A: in[0]})}
	}, []*mlx.Array{keys}, []int{0}, autodiff.InFront)[0]
	for i, seed := range []uint64{1, 2} {
		row := tensor.SliceAxis(got, 0, i, i+1, mlx.Stream{}).Reshape(3)
		if err := optest.Diff(row, random.Normal(mlx.Shape{3}, random.NewKey(seed)), optest.Exact); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
