// Saving and loading arrays, and the weights of a model.
package main

import (
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "mlx")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// One array: .npy
	a := mlx.NewArray([]float32{1, 2, 3})
	path := filepath.Join(dir, "a.npy")
	if err := mlx.Save(path, a); err != nil {
		return err
	}
	b, err := mlx.Load(path)
	if err != nil {
		return err
	}
	fmt.Println(b)

	// Several by name: .npz and .safetensors
	arrays := map[string]*mlx.Array{"x": a, "y": mlx.Arange(4).AsType(mlx.BFloat16)}
	if err := mlx.SaveZ(filepath.Join(dir, "arrays.npz"), arrays); err != nil {
		return err
	}
	path = filepath.Join(dir, "arrays.safetensors")
	if err := mlx.SaveSafetensors(path, arrays, map[string]string{"format": "mlx"}); err != nil {
		return err
	}
	for _, name := range []string{"arrays.npz", "arrays.safetensors"} {
		arrays, meta, err := mlx.LoadAll(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Println(name, meta)
		for _, k := range slices.Sorted(maps.Keys(arrays)) {
			fmt.Println(" ", k, arrays[k])
		}
	}

	// The weights of a model
	model := nn.NewLinear(2, 3)
	path = filepath.Join(dir, "weights.safetensors")
	if err := nn.SaveWeights(model, path); err != nil {
		return err
	}
	other := nn.NewLinear(2, 3)
	if err := nn.LoadWeights(other, path); err != nil {
		return err
	}
	for name, p := range nn.Parameters(other) {
		fmt.Println(name, p.Shape(), p.DType())
	}

	// What does not fit is an error that names the file and the parameter.
	err = nn.LoadWeights(nn.NewLinear(2, 3, nn.Bias(false)), path)
	fmt.Println(strings.TrimPrefix(fmt.Sprint(err), dir+string(filepath.Separator)))
	return nil
}
