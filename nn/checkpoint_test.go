package nn_test

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

type dropping struct {
	Block *nn.Sequential
	Keep  bool `mlx:"-"`
}

func (d *dropping) Forward(x *mlx.Array) *mlx.Array {
	l := nn.Layer(d.Block)
	if d.Keep {
		l = nn.Checkpoint(l)
	}
	return l.Forward(x)
}

func blocks() *nn.Sequential {
	random.Seed(3)
	s := &nn.Sequential{}
	for range 3 {
		inner := nn.NewSequential(nn.NewLinear(8, 8), &nn.Dropout{P: 0.4})
		s.Layers = append(s.Layers, inner, &nn.Dropout{P: 0.3})
	}
	nn.SetTraining(s, true)
	return s
}

// TestCheckpointDraws: what is computed again drops the same elements, and the
// generator goes on as without checkpoints, eager and compiled, in each other.
func TestCheckpointDraws(t *testing.T) {
	x := mlx.Full(mlx.Shape{5, 8}, 0.5)
	run := func(keep, nested, compiled bool) (mlx.Arrays, *mlx.Array) {
		model := &dropping{blocks(), keep}
		if nested {
			for i, l := range model.Block.Layers {
				model.Block.Layers[i] = nn.Checkpoint(l)
			}
		}
		step := func() (*mlx.Array, *dropping) {
			return nn.ValueAndGrad(model, func(m *dropping) *mlx.Array { return mlx.Sum(mlx.Square(m.Forward(x))) })
		}
		if compiled {
			step = mlx.Compile(step, mlx.State(model, random.State()))
		}
		random.Seed(11)
		var out mlx.Arrays
		for range 2 { // the second step tells whether the generator went on alike
			loss, g := step()
			out = append(out, loss)
			for _, a := range nn.Parameters(g) {
				out = append(out, a)
			}
		}
		return out, random.Normal(mlx.Shape{2})
	}
	for _, compiled := range []bool{false, true} {
		want, after := run(false, false, compiled)
		for _, nested := range []bool{false, true} {
			got, then := run(true, nested, compiled)
			if len(got) != len(want) {
				t.Fatalf("%d arrays, want %d", len(got), len(want))
			}
			for i := range want {
				if err := optest.Diff(got[i], want[i], optest.Tol{Rel: 1e-5, Abs: 1e-6}); err != nil {
					t.Errorf("compiled %t, nested %t: array %d: %v", compiled, nested, i, err)
				}
			}
			if err := optest.Diff(then, after, optest.Tol{}); err != nil {
				t.Errorf("compiled %t, nested %t: the generator: %v", compiled, nested, err)
			}
		}
	}
}

type adapted struct {
	Base nn.Layer
	A, B *mlx.Array
}

func (l *adapted) Forward(x *mlx.Array) *mlx.Array {
	return l.Base.Forward(x).Add(x.MatMul(l.A).MatMul(l.B))
}

// TestCheckpointFrozen: packed weights, which have no derivative, are no obstacle.
func TestCheckpointFrozen(t *testing.T) {
	random.Seed(5)
	base := nn.NewLinear(64, 64).ToQuantized(mlx.Scheme{GroupSize: 32, Bits: 4})
	model := &adapted{base, random.Normal(mlx.Shape{64, 2}), random.Normal(mlx.Shape{2, 64})}
	x := random.Normal(mlx.Shape{3, 64})
	run := func(keep bool) *adapted {
		_, g := nn.ValueAndGrad(model, func(m *adapted) *mlx.Array {
			l := nn.Layer(m)
			if keep {
				l = nn.Checkpoint(l)
			}
			return mlx.Sum(mlx.Square(l.Forward(x)))
		})
		return g
	}
	got, want := run(true), run(false)
	for _, ab := range [][2]*mlx.Array{{got.A, want.A}, {got.B, want.B}} {
		if err := optest.Diff(ab[0], ab[1], optest.F32); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckpointStatistics: running statistics move as without a checkpoint.
func TestCheckpointStatistics(t *testing.T) {
	x := random.Normal(mlx.Shape{6, 4}, random.NewKey(2))
	run := func(keep bool) (*nn.BatchNorm, mlx.Arrays) {
		norm := nn.NewBatchNorm(4)
		random.Seed(4)
		model := &dropping{nn.NewSequential(nn.NewLinear(4, 4), norm), keep}
		nn.SetTraining(model, true)
		var out mlx.Arrays
		for range 2 {
			_, g := nn.ValueAndGrad(model, func(m *dropping) *mlx.Array { return mlx.Sum(m.Forward(x).Mul(x)) })
			for _, a := range nn.Parameters(g) {
				out = append(out, a)
			}
		}
		nn.Checkpoint(norm).Forward(x)
		return norm, append(out, norm.RunningMean, norm.RunningVar)
	}
	_, got := run(true)
	first, want := run(false)
	if len(got) != len(want) {
		t.Fatalf("%d arrays, want %d", len(got), len(want))
	}
	for i := range want {
		if err := optest.Diff(got[i], want[i], optest.Tol{Rel: 1e-5, Abs: 1e-5}); err != nil {
			t.Errorf("array %d: %v", i, err)
		}
	}
	if v := mlx.ToSlice[float32](first.RunningMean)[0]; v == 0 {
		t.Error("the statistics did not move")
	}
}

type valued struct {
	W     *mlx.Array
	Table map[string][]*mlx.Array
	Fixed *mlx.Array `mlx:",frozen"`
}

// TestModelsByValue: maps, slices and structs are models too.
func TestModelsByValue(t *testing.T) {
	one := func(v float64) *mlx.Array { return mlx.NewArray([]float64{v}) }
	m := valued{one(2), map[string][]*mlx.Array{"b": {one(3), one(4)}, "a": {one(5)}}, one(6)}
	loss := func(m valued) *mlx.Array {
		return mlx.Sum(m.W.Mul(m.Table["b"][0]).Mul(m.Table["b"][1]).Mul(m.Table["a"][0]).Mul(m.Fixed))
	}
	_, g := nn.ValueAndGrad(m, loss)
	for want, a := range map[float32]*mlx.Array{360: g.W, 240: g.Table["b"][0], 180: g.Table["b"][1], 144: g.Table["a"][0]} {
		if got := mlx.ToSlice[float32](a)[0]; got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if g.Fixed != nil {
		t.Error("a frozen array has a gradient")
	}
	_, s := nn.ValueAndGrad(mlx.Arrays{one(2), one(3)}, func(m mlx.Arrays) *mlx.Array { return mlx.Sum(m[0].Mul(m[1])) })
	if got := mlx.ToSlice[float32](s[1])[0]; got != 2 {
		t.Errorf("a slice: %v, want 2", got)
	}
}

// TestTransformerCheckpoint: the same gradients, dropout included; an encoder with
// masks and a decoder that reads what the encoder made.
func TestTransformerCheckpoint(t *testing.T) {
	run := func(keep bool) mlx.Arrays {
		random.Seed(8)
		model := nn.NewTransformer(nn.TransformerConfig{Dims: 8, Heads: 2, EncoderLayers: 2, DecoderLayers: 2, MLPDims: 12, Dropout: 0.2, Checkpoint: keep})
		nn.SetTraining(model, true)
		x, y := random.Normal(mlx.Shape{2, 5, 8}), random.Normal(mlx.Shape{2, 3, 8})
		loss, g := nn.ValueAndGrad(model, func(m *nn.Transformer) *mlx.Array {
			return mlx.Sum(m.Forward(x, y, nil, nn.CausalMask(3, mlx.Float32), nil).Mul(y))
		})
		out := mlx.Arrays{loss}
		for _, a := range nn.Parameters(g) {
			out = append(out, a)
		}
		return out
	}
	got, want := run(true), run(false)
	for i := range want {
		if err := optest.Diff(got[i], want[i], optest.Tol{Rel: 1e-4, Abs: 1e-4}); err != nil {
			t.Errorf("array %d: %v", i, err)
		}
	}
}
