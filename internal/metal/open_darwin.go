package metal

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl"
)

// open gives the Mac's GPU.
func open(emulator bool) (gpu.Device, error) {
	if emulator {
		return nil, errors.New("the Metal emulator runs on Linux only")
	}
	return mtl.Open()
}
