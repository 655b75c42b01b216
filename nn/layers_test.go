package nn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// A recorded layer: how to make it and how to call it.
type recorded struct {
	make func() any
	call func(l any, x mlx.Arrays) mlx.Arrays
}

func layer(make func() nn.Layer) recorded {
	return recorded{func() any { return make() }, func(l any, x mlx.Arrays) mlx.Arrays {
		return mlx.Arrays{l.(nn.Layer).Forward(x[0])}
	}}
}

// layers are those of layers.json; convolutions and pools have a file of their own.
func layers() map[string]recorded {
	return map[string]recorded{
		"Linear":        layer(func() nn.Layer { return nn.NewLinear(6, 4) }),
		"Linear_nobias": layer(func() nn.Layer { return nn.NewLinear(6, 4, nn.Bias(false)) }),
		"Bilinear": {func() any { return nn.NewBilinear(5, 4, 3) }, func(l any, x mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{l.(*nn.Bilinear).Forward(x[0], x[1])}
		}},
		"Identity":           layer(func() nn.Layer { return nn.Identity{} }),
		"Embedding":          layer(func() nn.Layer { return nn.NewEmbedding(10, 6) }),
		"LayerNorm":          layer(func() nn.Layer { return nn.NewLayerNorm(8) }),
		"LayerNorm_noaffine": layer(func() nn.Layer { return nn.NewLayerNorm(8, nn.Affine(false)) }),
		"LayerNorm_nobias":   layer(func() nn.Layer { return nn.NewLayerNorm(8, nn.Bias(false)) }),
		"RMSNorm":            layer(func() nn.Layer { return nn.NewRMSNorm(8, nn.Eps(1e-6)) }),
		"BatchNorm_train":    layer(func() nn.Layer { return nn.NewBatchNorm(5) }),
		"BatchNorm_4d":       layer(func() nn.Layer { return nn.NewBatchNorm(3) }),
		"GroupNorm":          layer(func() nn.Layer { return nn.NewGroupNorm(2, 8) }),
		"GroupNorm_pytorch":  layer(func() nn.Layer { return nn.NewGroupNorm(2, 8, nn.PyTorchCompatible(true)) }),
		"InstanceNorm":       layer(func() nn.Layer { return nn.NewInstanceNorm(4, nn.Affine(true)) }),
		"RoPE":               layer(func() nn.Layer { return &nn.RoPE{Dims: 8} }),
		"RoPE_traditional":   layer(func() nn.Layer { return &nn.RoPE{Dims: 6, Traditional: true, Base: 1000} }),
		"SinusoidalPositionalEncoding": layer(func() nn.Layer {
			return nn.NewSinusoidalPositionalEncoding(8, 1e-4, 1)
		}),
		"ALiBi": layer(func() nn.Layer { return nn.Func(func(x *mlx.Array) *mlx.Array { return nn.ALiBi(x, 0, nil) }) }),
		"MultiHeadAttention": {func() any { return nn.NewMultiHeadAttention(16, 4, nn.Bias(true)) }, func(l any, x mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{l.(*nn.MultiHeadAttention).Forward(x[0], x[1], x[2], nil)}
		}},
		"TransformerEncoder": {func() any {
			return nn.NewTransformerEncoder(nn.TransformerConfig{EncoderLayers: 2, Dims: 16, Heads: 4, MLPDims: 24})
		}, func(l any, x mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{l.(*nn.TransformerEncoder).Forward(x[0], x[1])}
		}},
		"TransformerDecoder": {func() any {
			return nn.NewTransformerDecoder(nn.TransformerConfig{DecoderLayers: 1, Dims: 16, Heads: 4, MLPDims: 24, NormLast: true})
		}, func(l any, x mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{l.(*nn.TransformerDecoder).Forward(x[0], x[1], x[2], x[3])}
		}},
		"RNN": layer(func() nn.Layer { return nn.NewRNN(4, 6) }),
		"GRU": layer(func() nn.Layer { return nn.NewGRU(4, 6) }),
		"LSTM": {func() any { return nn.NewLSTM(4, 6) }, func(l any, x mlx.Arrays) mlx.Arrays {
			h, c := l.(*nn.LSTM).Step(x[0], nil, nil)
			return mlx.Arrays{h, c}
		}},
		"PReLU":   layer(func() nn.Layer { return nn.NewPReLU(1) }),
		"GLU":     layer(func() nn.Layer { return nn.Func(func(x *mlx.Array) *mlx.Array { return nn.GLU(x, -1) }) }),
		"Softmin": layer(func() nn.Layer { return nn.Func(func(x *mlx.Array) *mlx.Array { return nn.Softmin(x, -1) }) }),
		"Sequential": layer(func() nn.Layer {
			return nn.NewSequential(nn.NewLinear(4, 8), nn.Func(nn.ReLU), nn.NewLayerNorm(8), nn.NewLinear(8, 2))
		}),
		"QuantizedLinear": layer(func() nn.Layer {
			return nn.NewLinear(64, 8).ToQuantized(mlx.Scheme{GroupSize: 32, Bits: 4})
		}),
		"QuantizedEmbedding": layer(func() nn.Layer {
			return nn.NewEmbedding(12, 64).ToQuantized(mlx.Scheme{GroupSize: 32, Bits: 8})
		}),
	}
}

// cancelling are layers whose gradient of sum(y*y) is what is left when larger numbers
// cancel, so that the recorded float32 ones are 1e-6 from the exact ones: so far may
// ours be from them, on the other side. TestExactGradients has the exact ones.
var cancelling = map[string]bool{"BatchNorm_4d": true, "InstanceNorm": true}

// TestExactGradients: these gradients are within the tolerance of float64's.
func TestExactGradients(t *testing.T) {
	g := layerGoldens(t)
	for name := range cancelling {
		gradient := func(d mlx.DType) *mlx.Array {
			l := layers()[name].make()
			for path, p := range nn.Parameters(l) {
				if a := g[name+".param."+path]; a != nil {
					p = a
				}
				if err := nn.Update(l, func(yield func(string, *mlx.Array) bool) { yield(path, p.AsType(d)) }); err != nil {
					t.Fatal(err)
				}
			}
			nn.SetTraining(l, true)
			return mlx.Grad(func(x *mlx.Array) *mlx.Array {
				return mlx.Sum(mlx.Square(l.(nn.Layer).Forward(x)))
			})(g[name+".x0"].AsType(d))
		}
		if err := optest.Diff(gradient(mlx.Float32), gradient(mlx.Float64).AsType(mlx.Float32), optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func layerGoldens(t *testing.T) optest.Golden {
	t.Helper()
	g, err := optest.Load("layers")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// numbered are NAME.x0, NAME.x1 and so on.
func numbered(g optest.Golden, name string) (out mlx.Arrays) {
	for i := 0; g[fmt.Sprint(name, i)] != nil; i++ {
		out = append(out, g[fmt.Sprint(name, i)])
	}
	return out
}

// TestRecordedLayers: results, gradients of sum(y0*y0) by inputs and parameters, and running
// statistics are the recorded ones.
func TestRecordedLayers(t *testing.T) {
	g := layerGoldens(t)
	for name, l := range layers() {
		t.Run(name, func(t *testing.T) { checkLayer(t, g, name, l) })
	}
}

func checkLayer(t *testing.T, g optest.Golden, name string, l recorded) {
	t.Helper()
	tol := optest.F32
	model := l.make()
	params := map[string]*mlx.Array{}
	for key, a := range g {
		if path, ok := strings.CutPrefix(key, name+".param."); ok {
			params[path] = a
		}
	}
	if _, plain := model.(nn.Func); !plain && len(params) > 0 {
		if err := nn.Update(model, func(yield func(string, *mlx.Array) bool) {
			for path, a := range params {
				if !yield(path, a) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	nn.SetTraining(model, true)
	x := numbered(g, name+".x")
	diff := func(what string, got, want *mlx.Array) {
		t.Helper()
		if want == nil || got == nil {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
		if err := optest.Diff(got, want, tol); err != nil {
			t.Errorf("%s %v", what, err)
		}
	}
	ys := l.call(model, x)
	for i, y := range numbered(g, name+".y") {
		diff(fmt.Sprint("result ", i), ys[i], y)
	}
	if len(numbered(g, name+".dx")) == 0 && strings.HasPrefix(name, "Quantized") {
		return // packed weights and integer inputs have no gradient
	}
	type all struct {
		Model any
		X     mlx.Arrays
	}
	_, grads := nn.ValueAndGrad(&all{model, x}, func(m *all) *mlx.Array {
		return mlx.Sum(mlx.Square(l.call(m.Model, m.X)[0]))
	})
	for path, d := range nn.Parameters(grads) {
		if p, ok := strings.CutPrefix(path, "model."); ok {
			if want := g[name+".dparam."+p]; want != nil {
				diff("gradient of "+p, d, want)
			}
			continue
		}
		if want := g[name+".dx"+strings.TrimPrefix(path, "x.")]; want != nil {
			if cancelling[name] {
				tol.Abs = 2e-6
			}
			diff("gradient of "+path, d, want)
			tol = optest.F32
		}
	}
	for key, want := range g {
		if p, ok := strings.CutPrefix(key, name+".dparam."); ok && find(grads, "model."+p) == nil {
			t.Errorf("no gradient of %s, recorded %v", p, want.Shape())
		}
	}
	if b, ok := model.(*nn.BatchNorm); ok {
		again := l.make().(*nn.BatchNorm)
		nn.SetTraining(again, true)
		again.Weight, again.Bias = b.Weight, b.Bias
		again.RunningMean, again.RunningVar = params["running_mean"], params["running_var"]
		again.Forward(x[0])
		diff("running mean", again.RunningMean, g[name+".after.running_mean"])
		diff("running variance", again.RunningVar, g[name+".after.running_var"])
		nn.SetTraining(again, false)
		diff("evaluated", again.Forward(x[0]), g[name+".y_eval"])
	}
}

func find(m any, path string) *mlx.Array {
	for p, a := range nn.Parameters(m) {
		if p == path {
			return a
		}
	}
	return nil
}

// TestInitializers draw the recorded numbers after seed 5.
func TestInitializers(t *testing.T) {
	g := layerGoldens(t)
	for name, f := range map[string]nn.Init{
		"constant(0.3)": nn.InitConstant(0.3), "normal(0,1)": nn.InitNormal(0, 1), "uniform(0,1)": nn.InitUniform(0, 1),
		"identity": nn.InitIdentity(), "glorot_normal": nn.InitGlorotNormal(1), "glorot_uniform": nn.InitGlorotUniform(1),
		"he_normal": nn.InitHeNormal(1, false), "he_uniform": nn.InitHeUniform(1, false), "sparse(0.5)": nn.InitSparse(0.5, 0, 1),
		"orthogonal": nn.InitOrthogonal(1),
	} {
		random.Seed(5)
		if err := optest.Diff(f(mlx.Zeros(mlx.Shape{6, 6})), g["init."+name], optest.Tol{Rel: 1e-5, Abs: 1e-5}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]func() any{
		"Linear(6,4)": func() any { return nn.NewLinear(6, 4) }, "Embedding(10,6)": func() any { return nn.NewEmbedding(10, 6) },
		"LSTM(4,6)":                func() any { return nn.NewLSTM(4, 6) },
		"MultiHeadAttention(16,4)": func() any { return nn.NewMultiHeadAttention(16, 4) },
	} {
		random.Seed(9)
		l := f()
		for path, p := range nn.Parameters(l) {
			if err := optest.Diff(p, g["default_init."+name+"."+path], optest.Random); err != nil {
				t.Errorf("%s %s: %v", name, path, err)
			}
		}
	}
}

// TestDropout: what is kept is scaled, spatial masks are shared, and without training
// nothing happens.
func TestDropout(t *testing.T) {
	random.Seed(3)
	x := mlx.Ones(mlx.Shape{4, 5, 6, 7})
	d := &nn.Dropout{P: 0.25}
	if d.Forward(x) != x {
		t.Error("drops without training")
	}
	d.Training = true
	kept := 0
	for _, v := range mlx.ToSlice[float32](d.Forward(x)) {
		if v != 0 {
			if kept++; v != float32(1/0.75) {
				t.Fatalf("kept %v", v)
			}
		}
	}
	if p := float64(kept) / float64(x.Size()); p < 0.68 || p > 0.82 {
		t.Errorf("kept %v of all", p)
	}
	d.Channels = 2
	y := d.Forward(x)
	if !mlx.Item[bool](mlx.All(y.Eq(y.Index(mlx.Colon, mlx.Range(0, 1), mlx.Range(0, 1))))) {
		t.Error("positions of a channel have other masks")
	}
	if err := mlx.Try(func() { (&nn.Dropout{P: 1, Training: true}).Forward(x) }); err == nil {
		t.Error("drops all")
	}
	a, b := nn.DropoutWith(x, 0.5, random.NewKey(1)), nn.DropoutWith(x, 0.5, random.NewKey(1))
	if !mlx.Item[bool](mlx.All(a.Eq(b))) {
		t.Error("a key gives two masks")
	}
}

// TestShapelessAttention: one trace of attention and of a whole layer serves all
// batches and lengths.
func TestShapelessAttention(t *testing.T) {
	a, norm := nn.NewMultiHeadAttention(8, 2), nn.NewRMSNorm(8)
	block := func(x *mlx.Array) *mlx.Array {
		h := norm.Forward(x)
		return nn.GELU(x.Add(a.Forward(h, h, h, nil)))
	}
	traces := 0
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array { traces++; return block(x) }, mlx.Shapeless(true))
	for _, s := range []mlx.Shape{{2, 3, 8}, {3, 2, 8}, {4, 7, 8}, {2, 16, 8}} {
		x := mlx.Sin(mlx.Arange(s.Size())).Reshape(s...)
		if got, want := f(x), block(x); !mlx.Item[bool](mlx.ArrayEqual(got, want)) {
			t.Errorf("%v: %v, want %v", s, got, want)
		}
	}
	if traces != 1 {
		t.Errorf("traced %d times, want 1", traces)
	}
}
