//go:build !(linux && metalemu)

package metal

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// open says what is missing.
func open(choice string) (gpu.Device, error) {
	if choice == "metal-emu" {
		return nil, errors.New("the Metal emulator is not in this program: build it on Linux with -tags metalemu")
	}
	return nil, errors.New("there is no Metal GPU on this system; kernels can be tried on Linux when built with -tags metalemu, with MLX_DEVICE=metal-emu")
}
