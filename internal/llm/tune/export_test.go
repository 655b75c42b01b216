package tune

import (
	"errors"

	"github.com/mlxgo/mlx/nn"
)

// SetChunkBytes changes how large the logits of a piece may be, until the test ends.
func SetChunkBytes(n int) (restore func()) {
	old := chunkBytes
	chunkBytes = n
	return func() { chunkBytes = old }
}

// FuseAll puts the adapters of a model in memory into its weights.
func FuseAll(model any) (err error) {
	nn.Replace(model, func(_ string, l nn.Layer) nn.Layer {
		if baseOf(l) == l {
			return l
		}
		now, _, fault := fuse(l, false)
		err = errors.Join(err, fault)
		return now
	})
	return err
}
