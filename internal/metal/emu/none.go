//go:build !(linux && metalemu && cgo)

package emu

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// OpenWith fails: the emulator is not in this build.
func OpenWith(Options) (gpu.Device, error) {
	return nil, errors.New("this build has no Metal emulator: on Linux, with clang 17 or newer, build with CGO_ENABLED=1 and -tags metalemu")
}
