//go:build linux && metalemu

package metal

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/emu"
	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// open gives the emulator when it is asked for.
func open(emulator bool) (gpu.Device, error) {
	if !emulator {
		return nil, errors.New("there is no Metal GPU on this system; MLX_DEVICE=metal-emu emulates one")
	}
	return emu.Open()
}
