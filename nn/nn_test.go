package nn_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

type mlp struct {
	Embed   nn.Embedder
	Linear1 nn.Layer
	Linear2 nn.Layer
	Norm    *nn.RMSNorm
}

func newMLP() *mlp {
	return &mlp{nn.NewEmbedding(10, 64), nn.NewLinear(64, 96), nn.NewLinear(96, 64, nn.Bias(false)), nn.NewRMSNorm(64, nn.Eps(1e-6))}
}

func (m *mlp) Forward(x *mlx.Array) *mlx.Array {
	h := m.Embed.Forward(x)
	return m.Embed.AsLinear(m.Norm.Forward(m.Linear2.Forward(nn.SiLU(m.Linear1.Forward(h)))))
}

func TestLayers(t *testing.T) {
	m := newMLP()
	y := m.Forward(mlx.NewArray([][]int{{1, 2, 3}, {4, 5, 6}}))
	if got := y.Shape(); !slices.Equal(got, mlx.Shape{2, 3, 10}) {
		t.Fatalf("shape %v", got)
	}
	paths := slices.Sorted(maps.Keys(maps.Collect(nn.Parameters(m))))
	if got := fmt.Sprint(paths); got != "[embed.weight linear1.bias linear1.weight linear2.weight norm.weight]" {
		t.Error(got)
	}
	if n := nn.NumParameters(m); n != 10*64+64*96+96+96*64+64 {
		t.Error(n)
	}
	// Linear is x W^T + b.
	l := &nn.Linear{Weight: mlx.NewArray([][]float64{{1, 2}, {3, 4}, {5, 6}}), Bias: mlx.NewArray([]float64{10, 20, 30})}
	if got := mlx.ToSlice[float32](l.Forward(mlx.NewArray([]float64{1, -1}))); fmt.Sprint(got) != "[9 19 29]" {
		t.Error(got)
	}
	bound := 1 / math.Sqrt(64)
	for _, w := range mlx.ToSlice[float32](m.Linear1.(*nn.Linear).Weight) {
		if math.Abs(float64(w)) > bound {
			t.Fatalf("weight %v is beyond %v", w, bound)
		}
	}
}

// TestQuantize: layers whose place is an interface become packed, and compute what
// the unpacked weights compute.
func TestQuantize(t *testing.T) {
	for _, s := range []mlx.Scheme{{GroupSize: 32}, {Bits: 8, GroupSize: 32}, {Mode: "mxfp8"}} {
		m := newMLP()
		x := mlx.NewArray([]int{3, 1})
		nn.Quantize(m, s)
		q, ok := m.Linear1.(*nn.QuantizedLinear)
		if !ok {
			t.Fatalf("linear1 is %T", m.Linear1)
		}
		if _, ok := m.Embed.(*nn.QuantizedEmbedding); !ok {
			t.Fatalf("embed is %T", m.Embed)
		}
		wide := mlx.Dequantize(mlx.Quantized{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme}, mlx.Float32)
		h := m.Embed.Forward(x).AsType(mlx.Float32)
		got, want := mlx.ToSlice[float32](q.Forward(h)), mlx.ToSlice[float32]((&nn.Linear{Weight: wide, Bias: q.Bias}).Forward(h))
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5 {
				t.Errorf("%v: output %d is %v, not %v", q.Scheme, i, got[i], want[i])
			}
		}
		if y := m.Forward(x); !slices.Equal(y.Shape(), mlx.Shape{2, 10}) {
			t.Errorf("shape %v", y.Shape())
		}
	}

	m := newMLP()
	nn.Quantize(m, mlx.GroupSize(32), nn.Predicate(func(path string, _ nn.Quantizable) (mlx.Scheme, bool) {
		return mlx.Scheme{Bits: 3, GroupSize: 32}, path == "linear2"
	}))
	if _, ok := m.Linear1.(*nn.Linear); !ok {
		t.Error("a layer that the predicate refuses is quantized")
	}
	if q, ok := m.Linear2.(*nn.QuantizedLinear); !ok || q.Scheme.Bits != 3 {
		t.Error("the predicate's scheme is not used")
	}
	err := mlx.Try(func() { nn.Quantize(newMLP(), mlx.GroupSize(64)) })
	if err == nil || !strings.Contains(err.Error(), "linear2") || !strings.Contains(err.Error(), "group size 64") {
		t.Errorf("a group that does not divide: %v", err)
	}
}

func TestUpdateAndSetDType(t *testing.T) {
	m := newMLP()
	nn.SetDType(m, mlx.BFloat16)
	for path, a := range nn.Parameters(m) {
		if a.DType() != mlx.BFloat16 {
			t.Errorf("%s is %v", path, a.DType())
		}
	}
	one := func(path string, a *mlx.Array) func(func(string, *mlx.Array) bool) {
		return func(yield func(string, *mlx.Array) bool) { yield(path, a) }
	}
	if err := nn.Update(m, one("norm.weight", mlx.Full(mlx.Shape{64}, 3))); err != nil {
		t.Error(err)
	}
	if got := mlx.Item[int32](mlx.Max(m.Norm.Weight)); got != 3 {
		t.Errorf("norm.weight is %v", got)
	}
	if err := nn.Update(m, one("norm.weigth", mlx.Ones(mlx.Shape{64}))); err == nil || !strings.Contains(err.Error(), "norm.weigth") {
		t.Errorf("an unknown path: %v", err)
	}
	if err := nn.Update(m, one("norm.weight", mlx.Ones(mlx.Shape{65}))); err == nil || !strings.Contains(err.Error(), "(65,), not (64,)") {
		t.Errorf("another shape: %v", err)
	}
}
