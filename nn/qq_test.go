package nn_test

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// TestQQLinear: packed and floating weights give the same product, and training has the
// gradients of the product without rounding.
func TestQQLinear(t *testing.T) {
	random.Seed(1)
	x := random.Normal(mlx.Shape{3, 64})
	for _, mode := range []mlx.Mode{"nvfp4", "mxfp8"} {
		l := nn.NewQQLinear(64, 5, mlx.Scheme{Mode: mode})
		weight := l.Weight
		nn.SetTraining(l, true)
		y := l.Forward(x)
		round := func(a *mlx.Array) *mlx.Array { return mlx.Dequantize(mlx.Quantize(a, mode), mlx.Float32) }
		tol := optest.Tol{Rel: 1e-5, Abs: 1e-5}
		if err := optest.Diff(y, round(x).MatMul(round(weight).T()), tol); err != nil {
			t.Errorf("%s: training: %v", mode, err)
		}
		_, g := nn.ValueAndGrad(l, func(l *nn.QQLinear) *mlx.Array { return mlx.Sum(l.Forward(x)) })
		if err := optest.Diff(g.Weight, mlx.Ones(mlx.Shape{5, 3}).MatMul(round(x)), tol); err != nil {
			t.Errorf("%s: gradient: %v", mode, err)
		}
		nn.SetTraining(l, false)
		if l.Scales == nil || l.Weight.DType() != mlx.Uint32 {
			t.Fatalf("%s: the weight is %v", mode, l.Weight.DType())
		}
		if err := optest.Diff(l.Forward(x), y, tol); err != nil {
			t.Errorf("%s: packed: %v", mode, err)
		}
		nn.SetTraining(l, true)
		if err := optest.Diff(l.Weight, round(weight), optest.Exact); err != nil {
			t.Errorf("%s: unpacked: %v", mode, err)
		}
	}
	model := &struct{ A nn.Layer }{nn.NewLinear(64, 5, nn.Bias(false))}
	nn.Quantize(model, mlx.Mode("nvfp4"), nn.QuantizeInput(true))
	if text := model.A.(*nn.QQLinear).String(); text != "QQLinear(input_dims=64, output_dims=5, group_size=16, bits=4, mode=nvfp4)" {
		t.Error(text)
	}
	biased := &struct{ A nn.Layer }{nn.NewLinear(64, 5)}
	err := mlx.Try(func() { nn.Quantize(biased, mlx.Mode("nvfp4"), nn.QuantizeInput(true)) })
	if err == nil || !strings.Contains(err.Error(), "a: ") || !strings.Contains(err.Error(), "without bias") {
		t.Errorf("a layer with bias: %v", err)
	}
	if err := mlx.Try(func() { nn.NewQQLinear(64, 5, mlx.Scheme{Mode: "affine"}) }); err == nil {
		t.Error("affine quantizes both sides")
	}
}
