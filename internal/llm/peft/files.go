package peft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/torchfile"
)

// readTensors reads the weights in dir and gives their file's name: safetensors before
// PyTorch's, as PEFT does.
func readTensors(dir string) (tensors map[string]*mlx.Array, name string, err error) {
	path := filepath.Join(dir, WeightsFile)
	if _, err = os.Stat(path); err == nil {
		tensors, _, err = mlx.LoadAll(path)
		return tensors, WeightsFile, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	tensors, err = readTorch(filepath.Join(dir, TorchFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("adapter: %s has neither %s nor %s", dir, WeightsFile, TorchFile)
	}
	return tensors, TorchFile, err
}

// readTorch copies the tensors of a PyTorch file: adapters are small.
func readTorch(path string) (map[string]*mlx.Array, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]*mlx.Array{}
	for _, t := range f.Tensors() {
		data, err := t.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, t.Name, err)
		}
		if t.RawDType == "F8_E4M3" || t.RawDType == "F8_E5M2" {
			return nil, fmt.Errorf("%s: tensor %s has the dtype %s: float32, float16 and bfloat16 are read", path, t.Name, t.RawDType)
		}
		out[t.Name] = mlx.FromBytes(data, t.Shape, t.DType)
	}
	return out, nil
}
