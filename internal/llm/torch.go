package llm

import (
	"path/filepath"

	"github.com/mlxgo/mlx/internal/hf/torchfile"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// OpenTorch is the model in dir with the weights of its PyTorch files, for a directory
// without safetensors; the error wraps torchfile.ErrNoWeights if there are none. The set
// must stay open while the source is used.
func OpenTorch(dir string) (Source, *torchfile.Set, error) {
	set, err := torchfile.OpenDir(dir)
	if err != nil {
		return Source{}, nil, err
	}
	return Source{
		Name:    dir,
		Read:    func(name string) ([]byte, error) { return readRegular(filepath.Join(dir, name)) },
		Tensors: foreign.Torch(set),
		Release: set.Release,
	}, set, nil
}
