package nn_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
)

func goldens(t *testing.T) optest.Golden {
	t.Helper()
	g, err := optest.Load("nn")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestActivations against recorded results on x [6, 10].
func TestActivations(t *testing.T) {
	g := goldens(t)
	x := g["x"]
	with := func(f func(*mlx.Array, float64) *mlx.Array, v float64) func(*mlx.Array) *mlx.Array {
		return func(x *mlx.Array) *mlx.Array { return f(x, v) }
	}
	for name, f := range map[string]func(*mlx.Array) *mlx.Array{
		"celu": with(nn.CELU, 1), "elu": with(nn.ELU, 1), "gelu": nn.GELU, "gelu_approx": nn.GELUApprox,
		"gelu_fast_approx": nn.GELUFastApprox, "hard_shrink": with(nn.HardShrink, 0.5), "hard_tanh": nn.HardTanh,
		"hardswish": nn.HardSwish, "leaky_relu": with(nn.LeakyReLU, 0.01), "log_sigmoid": nn.LogSigmoid,
		"mish": nn.Mish, "relu": nn.ReLU, "relu2": nn.ReLU2, "relu6": nn.ReLU6, "selu": nn.SELU, "silu": nn.SiLU,
		"softplus": nn.Softplus, "softshrink": with(nn.SoftShrink, 0.5), "softsign": nn.Softsign,
		"glu":         func(x *mlx.Array) *mlx.Array { return nn.GLU(x, -1) },
		"log_softmax": func(x *mlx.Array) *mlx.Array { return nn.LogSoftmax(x, -1) },
	} {
		if err := optest.Diff(f(x), g["act."+name], optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		half := f(x.AsType(mlx.BFloat16))
		if half.DType() != mlx.BFloat16 {
			t.Errorf("%s of bfloat16 is %v", name, half.DType())
		}
	}
}

// TestLosses against recorded results.
func TestLosses(t *testing.T) {
	g := goldens(t)
	x, y, lab := g["x"], g["t"], g["lab"]
	lx, ly := nn.LogSoftmax(x, -1), nn.LogSoftmax(y, -1)
	for name, got := range map[string]*mlx.Array{
		"bce": nn.BinaryCrossEntropy(x, mlx.Sigmoid(y)), "ce": nn.CrossEntropy(x, lab),
		"ce_prob": nn.CrossEntropy(x, nn.Softmax(y, -1)), "ce_smooth": nn.CrossEntropy(x, lab, nn.LabelSmoothing(0.1)),
		"cos": nn.CosineSimilarityLoss(x, y), "gnll": nn.GaussianNLLLoss(x, y, mlx.Exp(x)),
		"hinge": nn.HingeLoss(x, mlx.Sign(y)), "huber": nn.HuberLoss(x, y), "kl": nn.KLDivLoss(lx, ly),
		"l1": nn.L1Loss(x, y), "logcosh": nn.LogCoshLoss(x, y), "margin": nn.MarginRankingLoss(x, y, mlx.Sign(x)),
		"mse": nn.MSELoss(x, y), "nll": nn.NLLLoss(lx, lab), "smoothl1": nn.SmoothL1Loss(x, y),
		"triplet": nn.TripletLoss(x, y, y.Add(1)),
	} {
		if err := optest.Diff(got, g["loss."+name], optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := nn.BinaryCrossEntropy(mlx.Sigmoid(x), mlx.Sigmoid(y), nn.FromLogits(false))
	if err := optest.Diff(p, g["loss.bce"], optest.Tol{Rel: 1e-5, Abs: 1e-5}); err != nil {
		t.Errorf("bce of probabilities: %v", err)
	}
	w := mlx.NewArray([]float64{1, 0, 2, 0, 0, 0})
	sum := nn.CrossEntropy(x, lab, nn.Weights(w), nn.Reduction("sum"))
	ce := mlx.ToSlice[float32](g["loss.ce"])
	if got, want := mlx.Item[float32](sum), ce[0]+2*ce[2]; math.Abs(float64(got-want)) > 1e-5 {
		t.Errorf("weighted sum %v, want %v", got, want)
	}
	for _, f := range []func(){
		func() { nn.MSELoss(x, lab) },
		func() { nn.CrossEntropy(x, lab, nn.Margin(1)) },
		func() { nn.CrossEntropy(x, lab, nn.Reduction("avg")) },
		func() { nn.CrossEntropy(x, lab, nn.LabelSmoothing(1)) },
		func() { nn.CrossEntropy(x, x.Index(0)) },
	} {
		if err := mlx.Try(f); err == nil {
			t.Error("no error")
		}
	}
}

// TestCrossEntropyOfLargeLogits: the loss does not depend on the size of the logits,
// and its gradient is softmax - onehot (a known fault of neighbours).
func TestCrossEntropyOfLargeLogits(t *testing.T) {
	class := mlx.NewArray([]int{0})
	for _, v := range []float64{1, 1e4, 1e6, 1e8} {
		if l := mlx.Item[float32](nn.CrossEntropy(mlx.NewArray([][]float64{{v, v}}), class, nn.Reduction("sum"))); math.Abs(float64(l)-math.Ln2) > 1e-6 {
			t.Errorf("logits %v: loss %v", v, l)
		}
		if v > 1e6 {
			continue
		}
		if l := mlx.Item[float32](nn.CrossEntropy(mlx.NewArray([][]float64{{v + 2, v - 1}}), class, nn.Reduction("sum"))); math.Abs(float64(l)-0.0485873) > 1e-6 {
			t.Errorf("logits %v+2, %v-1: loss %v", v, v, l)
		}
	}
	inf := mlx.NewArray([][]float64{{0, math.Inf(-1)}})
	p := mlx.NewArray([][]float64{{1, 0}})
	loss := func(x *mlx.Array) *mlx.Array { return nn.CrossEntropy(x, p, nn.Reduction("sum")) }
	if l := mlx.Item[float32](loss(inf)); l != 0 {
		t.Errorf("a logit of -Inf with probability 0: %v", l)
	}
	for _, g := range mlx.ToSlice[float32](mlx.Grad(loss)(inf)) {
		if g != 0 {
			t.Errorf("its gradient %v", g)
		}
	}
}
