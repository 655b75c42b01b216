package metal

import (
	"strings"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Compiled lists the instances of kernels of a file that ran so far.
func Compiled(file string) (names []string) {
	b, ok := tensor.BackendFor(tensor.DefaultStream(tensor.Device{Kind: tensor.KindGPU})).(*backend)
	if !ok {
		return nil
	}
	b.kernels.mu.Lock()
	defer b.kernels.mu.Unlock()
	for name := range b.kernels.libs {
		if kernel, ok := strings.CutPrefix(name, file+"."); ok {
			names = append(names, kernel)
		}
	}
	return names
}
