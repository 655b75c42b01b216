package nn

import (
	"fmt"
	"maps"
	"path/filepath"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/nn"
)

// Strict is strict=, true by default: false ignores missing and unexpected names.
type Strict bool

// LoadWeights is model.load_weights(path): set the parameters from a .safetensors or
// .npz file by their paths, lazily: see [mlx.LoadAll]. Dtypes become the file's. The
// error names the file and lists missing and unexpected names and wrong shapes; then
// nothing is set. Wrong shapes are errors also if not strict.
func LoadWeights(model any, path string, strict ...Strict) error {
	weights, _, err := mlx.LoadAll(path)
	if err != nil {
		return err
	}
	if err := nn.Assign(model, weights, len(strict) == 0 || bool(strict[0])); err != nil {
		return fmt.Errorf("%s: the weights do not fit the model: %w", path, err)
	}
	return nil
}

// SaveWeights is model.save_weights(path): the parameters by their paths, to
// .safetensors or .npz by its ending; see [mlx.SaveSafetensors].
func SaveWeights(model any, path string) error {
	weights := maps.Collect(Parameters(model))
	switch filepath.Ext(path) {
	case ".safetensors":
		return mlx.SaveSafetensors(path, weights, nil)
	case ".npz":
		return mlx.SaveZ(path, weights)
	}
	return fmt.Errorf("%s: weights are saved to .safetensors or .npz", path)
}
