//go:build !(linux && metalemu) && !darwin

package metal

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// open says what is missing.
func open(emulator bool) (gpu.Device, error) {
	if emulator {
		return nil, errors.New("the Metal emulator is not in this program: build it on Linux with -tags metalemu")
	}
	return nil, errors.New("there is no Metal GPU on this system; on Linux, a program built with -tags metalemu can emulate one (MLX_DEVICE=metal-emu)")
}
