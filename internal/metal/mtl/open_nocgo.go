//go:build darwin && !cgo

package mtl

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// Open fails: Objective-C is reached through C.
func Open() (gpu.Device, error) {
	return nil, errors.New("this program was built without cgo, which Metal needs: install Xcode's command-line tools (xcode-select --install) and build with CGO_ENABLED=1")
}
