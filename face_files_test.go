package mlx_test

import (
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

func TestFaceConvolutions(t *testing.T) {
	x, w := mlx.Ones(mlx.Shape{1, 4, 4, 1}), mlx.Ones(mlx.Shape{1, 3, 3, 1})
	check(t, []row{
		{"mx.conv2d(x, w, stride=2, padding=(1, 0))", mlx.Conv2D(x, w, mlx.Stride{2}, mlx.Padding{1, 0}), "float32(1, 2, 1, 1)[6 9]"},
		{"nn.Conv2d(1, 8, 3, stride=2)", nn.NewConv2D(1, 8, 3, mlx.Stride{2}).Forward(x).Shape(), "(1, 1, 1, 8)"},
		{"nn.init.he_uniform()(w)", mlx.All(nn.InitHeUniform(1, false)(w).Abs().Lt(1)), "bool()[true]"},
	})
}

func TestFaceFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	a, x := mlx.NewArray([]float64{1, 2}), mlx.Arange(3)
	d := map[string]*mlx.Array{"a": a, "x": x}
	model, other := nn.NewLinear(2, 3), nn.NewLinear(2, 3, nn.Bias(false))
	for python, err := range map[string]error{
		`mx.save("a.npy", a)`:                             mlx.Save(in("a.npy"), a),
		`mx.savez("a.npz", a=a, x=x)`:                     mlx.SaveZ(in("a.npz"), map[string]*mlx.Array{"a": a, "x": x}),
		`mx.save_safetensors(path, d, {"format": "mlx"})`: mlx.SaveSafetensors(in("a.safetensors"), d, map[string]string{"format": "mlx"}),
		"model.save_weights(path)":                        nn.SaveWeights(model, in("w.safetensors")),
	} {
		if err != nil {
			t.Errorf("%s: %v", python, err)
		}
	}
	b, err := mlx.Load(in("a.npy"))
	if err != nil {
		t.Fatal(err)
	}
	d, meta, err := mlx.LoadAll(in("a.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	z, _, err := mlx.LoadAll(in("a.npz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.LoadWeights(other, in("w.safetensors")); err == nil {
		t.Error("load_weights takes a bias that the layer has not")
	}
	if err := nn.LoadWeights(other, in("w.safetensors"), nn.Strict(false)); err != nil {
		t.Error(err)
	}
	check(t, []row{
		{`mx.load("a.npy")`, b, "float32(2,)[1 2]"},
		{"d, meta = mx.load(path, return_metadata=True)", []any{text(d["x"]), meta}, "[int32(3,)[0 1 2] map[format:mlx]]"},
		{`mx.load("a.npz")["a"]`, z["a"], "float32(2,)[1 2]"},
		{"model.load_weights(path, strict=False)", mlx.ArrayEqual(other.Weight, model.Weight), "bool()[true]"},
	})
}
