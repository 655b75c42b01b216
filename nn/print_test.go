package nn_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tree"
	"github.com/mlxgo/mlx/nn"
)

// MLP is that of Apple's introduction.
type MLP struct{ Linear1, Linear2 nn.Layer }

func introMLP(in, out int) *MLP {
	return &MLP{nn.NewLinear(in, 128), nn.NewLinear(128, out)}
}

type (
	// ListMLP has its layers in a list.
	ListMLP struct{ Layers []*nn.Linear }
	// M is a module with a map.
	M struct {
		W *mlx.Array
		D map[string]any
	}
	// Empty is a module of nothing.
	Empty struct{}
	// Scaled tells what it is.
	Scaled struct {
		By    float64
		Inner nn.Layer
		Value nn.Identity
	}
)

// Describe is what stands in the parentheses.
func (s *Scaled) Describe() string { return fmt.Sprintf("by=%v", s.By) }

// quantized is the model after Quantize.
func quantized(model any, opts ...nn.QuantizeOption) any {
	nn.Quantize(model, opts...)
	return model
}

func twoLinears(opts ...nn.LinearOption) *nn.Sequential {
	return nn.NewSequential(nn.NewLinear(64, 128), nn.Func(nn.ReLU), nn.NewLinear(128, 32, opts...))
}

func leaky(x *mlx.Array) *mlx.Array { return nn.LeakyReLU(x, 0.2) }

// modulePrints are the modules of print.json.
var modulePrints = map[string]func() any{
	"nn.Linear":                      func() any { return nn.NewLinear(4, 8) },
	"nn.Linear no bias":              func() any { return nn.NewLinear(4, 8, nn.Bias(false)) },
	"nn.Embedding":                   func() any { return nn.NewEmbedding(100, 64) },
	"nn.Sequential":                  func() any { return twoLinears() },
	"nn.Sequential quantized":        func() any { return quantized(twoLinears()) },
	"nn.Sequential quantized g32 b8": func() any { return quantized(twoLinears(nn.Bias(false)), mlx.GroupSize(32), mlx.Bits(8)) },
	"nn.Sequential with embedding quantized": func() any {
		return quantized(nn.NewSequential(nn.NewEmbedding(100, 64), nn.NewLinear(64, 32)), mlx.GroupSize(64), mlx.Bits(4))
	},
	"nn.Sequential quantized with predicate": func() any {
		return quantized(twoLinears(), nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) {
			return mlx.Scheme{}, path == "layers.0"
		}))
	},
	"nn.Sequential quantized mxfp4": func() any { return quantized(nn.NewSequential(nn.NewLinear(64, 128)), mlx.Mode("mxfp4")) },
	"nn.QuantizedLinear":            func() any { return nn.NewLinear(64, 32).ToQuantized(mlx.Scheme{}) },
	"nn.QuantizedEmbedding":         func() any { return nn.NewEmbedding(100, 64).ToQuantized(mlx.Scheme{}) },
	"nn.MultiHeadAttention":         func() any { return nn.NewMultiHeadAttention(64, 4) },
	"nn.LayerNorm":                  func() any { return nn.NewLayerNorm(16) },
	"nn.LayerNorm not affine":       func() any { return nn.NewLayerNorm(16, nn.Affine(false)) },
	"nn.LayerNorm no bias":          func() any { return nn.NewLayerNorm(16, nn.Eps(1e-6), nn.Bias(false)) },
	"nn.RMSNorm":                    func() any { return nn.NewRMSNorm(16) },
	"nn.GroupNorm":                  func() any { return nn.NewGroupNorm(4, 16) },
	"nn.BatchNorm":                  func() any { return nn.NewBatchNorm(8) },
	"nn.InstanceNorm":               func() any { return nn.NewInstanceNorm(8) },
	"nn.Bilinear":                   func() any { return nn.NewBilinear(2, 3, 4) },
	"nn.Conv1d":                     func() any { return nn.NewConv1D(3, 8, 3) },
	"nn.Conv2d":                     func() any { return nn.NewConv2D(3, 8, 3, mlx.Stride{2}, mlx.Padding{1}) },
	"nn.Conv2d no bias":             func() any { return nn.NewConv2D(3, 8, [2]int{3, 5}, nn.Bias(false)) },
	"nn.Conv3d":                     func() any { return nn.NewConv3D(3, 8, 3) },
	"nn.MaxPool2d":                  func() any { return &nn.Pool{Kernel: []int{2, 2}, Stride: []int{2, 2}} },
	"nn.AvgPool1d":                  func() any { return &nn.Pool{Average: true, Kernel: []int{2}, Stride: []int{1}} },
	"nn.Upsample":                   func() any { return &nn.Upsample{Scale: []float64{2}} },
	"nn.Dropout":                    func() any { return &nn.Dropout{P: 0.1} },
	"nn.Dropout default":            func() any { return &nn.Dropout{P: 0.5} },
	"nn.RoPE":                       func() any { return &nn.RoPE{Dims: 64} },
	"nn.RoPE traditional":           func() any { return &nn.RoPE{Dims: 64, Traditional: true, Base: 500000} },
	"nn.SinusoidalPositionalEncoding": func() any {
		return nn.NewSinusoidalPositionalEncoding(16, 1e-4, 1)
	},
	"nn.GELU":     func() any { return nn.Func(nn.GELU) },
	"nn.ReLU":     func() any { return nn.Func(nn.ReLU) },
	"nn.SiLU":     func() any { return nn.Func(nn.SiLU) },
	"nn.PReLU":    func() any { return nn.NewPReLU(1) },
	"nn.LSTM":     func() any { return nn.NewLSTM(4, 8) },
	"nn.GRU":      func() any { return nn.NewGRU(4, 8) },
	"nn.Identity": func() any { return nn.Identity{} },
	"nn.TransformerEncoderLayer": func() any {
		return nn.NewTransformerEncoder(nn.TransformerConfig{Dims: 16, Heads: 2, EncoderLayers: 1}).Layers[0]
	},
	"nn.Transformer": func() any {
		return nn.NewTransformer(nn.TransformerConfig{Dims: 16, Heads: 2, EncoderLayers: 1, DecoderLayers: 1})
	},
	"MLP of two linears": func() any { return introMLP(4, 10) },
	"MLP quantized":      func() any { return quantized(introMLP(64, 10)) },
	"MLP with list of layers (mnist example)": func() any {
		return &ListMLP{[]*nn.Linear{nn.NewLinear(784, 32), nn.NewLinear(32, 32), nn.NewLinear(32, 10)}}
	},
	"module with dict of modules and array": func() any {
		return &M{W: mlx.Zeros(mlx.Shape{2}), D: map[string]any{
			"a": nn.NewLinear(1, 2), "b": []nn.Layer{nn.Func(nn.ReLU), nn.NewLinear(2, 1)}}}
	},
	"empty module": func() any { return &Empty{} },
}

// otherName are modules that have another class in Go.
var otherName = map[string][2]string{
	"MLP with list of layers (mnist example)": {"MLP", "ListMLP"}, "empty module": {"M", "Empty"},
}

// notModules are the entries of print.json that are checked elsewhere or mean nothing
// in Go.
var notModules = map[string]string{
	"nn.GELU approx": "a function of its own: nn.GELUApprox", "nn.LeakyReLU": "a function with a slope: nn.Func of a literal",
	"nn.Softmax": "a function with an axis: nn.Func of a literal", "nn.ALiBi": "a function in Go",
	"MLP of two linears, parameters shapes": "TestParameterNames", "MLP tree_flatten names": "TestParameterNames",
	"list MLP tree_flatten names": "TestParameterNames", "named_modules": "TestParameterNames", "trainable after freeze": "TestParameterNames",
	"parameters of linear bias false": "TestParameterNames", "nn.quantize not divisible": "TestModuleErrors", "nn.Linear wrong input": "TestModuleErrors",
	"load_weights missing": "TestModuleErrors", "load_weights extra": "TestModuleErrors", "load_weights wrong shape": "TestModuleErrors",
	"update with missing key strict": "TestModuleErrors", "load_weights not array": "the compiler refuses it", "missing attribute": "the compiler refuses it",
}

type printed struct{ Case, Make, Str, Error string }

func recordedPrints(t *testing.T) (out []printed) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "print.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(out, func(p printed) bool { return !strings.Contains(p.Make, "nn.") })
}

// TestModulesPrintAsMLX: each module of print.json prints as recorded, by Sprint and
// as a Stringer.
func TestModulesPrintAsMLX(t *testing.T) {
	cases := 0
	for _, r := range recordedPrints(t) {
		make, ok := modulePrints[r.Case]
		if !ok {
			if notModules[r.Case] == "" {
				t.Errorf("%q (%s) is neither printed nor left out", r.Case, r.Make)
			}
			continue
		}
		cases++
		want, model := r.Str, make()
		if n, ok := otherName[r.Case]; ok {
			want = strings.Replace(want, n[0]+"(", n[1]+"(", 1)
		}
		if got := nn.Sprint(model); got != want {
			t.Errorf("%s prints\n%s\nwant\n%s", r.Case, got, want)
		}
		if s, ok := model.(fmt.Stringer); ok && s.String() != want {
			t.Errorf("%s as a Stringer prints\n%s", r.Case, s)
		} else if _, layer := model.(nn.Layer); layer && !ok {
			t.Errorf("%T is no Stringer", model)
		}
	}
	if cases != len(modulePrints) {
		t.Errorf("%d of %d cases are recorded", cases, len(modulePrints))
	}
}

// TestSprintOfOthers: modules that MLX has not.
func TestSprintOfOthers(t *testing.T) {
	square := nn.Func(func(x *mlx.Array) *mlx.Array { return x.Mul(x) })
	for want, model := range map[string]any{
		"GELUApprox()": nn.Func(nn.GELUApprox), "leaky()": nn.Func(leaky), "Func()": square, "None": nil,
		"Dropout2d(p=0.5)": &nn.Dropout{P: 0.5, Channels: 2},
		"Upsample(scale_factor=(2.0, 1.5), mode='linear', align_corners=True)":                                                   &nn.Upsample{Scale: []float64{2, 1.5}, Mode: "linear", AlignCorners: true},
		"Conv1d(4, 6, kernel_size=3, stride=1, padding=0, dilation=2, groups=2, bias=True)":                                      nn.NewConv1D(4, 6, 3, mlx.Groups(2), mlx.Dilation{2}),
		"ConvTranspose2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=(0, 0), dilation=1, output_padding=(1, 1), bias=True)": nn.NewConvTranspose2D(3, 8, 3, mlx.Stride{2}, mlx.OutputPadding{1}),
		"RNN(input_dims=2, hidden_size=3, nonlinearity=tanh, bias=True)":                                                         nn.NewRNN(2, 3),
		"Linear(input_dims=1, output_dims=2, bias=True)":                                                                         nn.Checkpoint(nn.NewLinear(1, 2)),
		"Scaled(by=0.5\n  (inner): Scaled(by=2\n    (value): Identity()\n  )\n  (value): Identity()\n)":                          &Scaled{By: 0.5, Inner: nil},
	} {
		if s, ok := model.(*Scaled); ok {
			s.Inner = inner{&Scaled{By: 2}}.Scaled
		}
		if got := nn.Sprint(model); got != want {
			t.Errorf("%T prints\n%s\nwant\n%s", model, got, want)
		}
	}
}

type inner struct{ *Scaled }

// Forward is x.
func (s *Scaled) Forward(x *mlx.Array) *mlx.Array { return x }

// TestParameterNames: the paths that print.json has of parameters and modules.
func TestParameterNames(t *testing.T) {
	paths := func(model any, only ...nn.Filter) (out []string) {
		for path, a := range nn.TrainableParameters(model, only...) {
			out = append(out, path+a.Shape().String())
		}
		return out
	}
	mlp := introMLP(4, 10)
	list := &ListMLP{[]*nn.Linear{nn.NewLinear(8, 4), nn.NewLinear(4, 2)}}
	seq := nn.NewSequential(nn.NewLinear(1, 2), nn.Func(nn.ReLU))
	for _, c := range []struct{ got, want any }{
		{paths(mlp), "[linear1.weight(128, 4) linear1.bias(128,) linear2.weight(10, 128) linear2.bias(10,)]"},
		{paths(list), "[layers.0.weight(4, 8) layers.0.bias(4,) layers.1.weight(2, 4) layers.1.bias(2,)]"},
		{paths(nn.NewLinear(2, 3, nn.Bias(false))), "[weight(3, 2)]"},
		{paths(nn.NewSequential(nn.NewLinear(1, 2), nn.NewLinear(2, 1)), nn.Under("layers.0").Not()), "[layers.1.weight(1, 2) layers.1.bias(1,)]"},
		{slices.Sorted(maps.Keys(maps.Collect(nn.Modules(seq)))), "[ layers.0]"}, // a function is no module that holds anything
	} {
		if got := fmt.Sprint(c.got); got != c.want {
			t.Errorf("paths %s, want %s", got, c.want)
		}
	}
}

// TestModuleErrors: what MLX raises of modules is an error here, which names the same.
func TestModuleErrors(t *testing.T) {
	set := func(weights map[string]*mlx.Array) error { return nn.Update(nn.NewLinear(2, 3), tree.Leaves(weights)) }
	w, b := mlx.Zeros(mlx.Shape{3, 2}), mlx.Zeros(mlx.Shape{3})
	file := filepath.Join(t.TempDir(), "w.npz")
	if err := mlx.SaveZ(file, map[string]*mlx.Array{"weight": w}); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"w.npz: the weights do not fit the model: missing tensor bias": nn.LoadWeights(nn.NewLinear(2, 3), file),
		"unexpected tensor foo":                                               set(map[string]*mlx.Array{"weight": w, "bias": b, "foo": b}),
		"wrong shape: weight has shape (3, 3), not (3, 2)":                    set(map[string]*mlx.Array{"weight": mlx.Zeros(mlx.Shape{3, 3}), "bias": b}),
		"layers.0: quantize[float32(4, 10)]":                                  mlx.Try(func() { nn.Quantize(nn.NewSequential(nn.NewLinear(10, 4))) }),
		"matmul[float32(2, 5) float32(4, 8)]: inner dimensions differ (5, 4)": mlx.Try(func() { nn.NewLinear(4, 8).Forward(mlx.Zeros(mlx.Shape{2, 5})) }),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
