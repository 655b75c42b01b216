package metal

import (
	"strings"

	"github.com/mlxgo/mlx/internal/metal/gpu"
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

// NewStreamOn opens a stream over a queue of another device's, with the kernels, the memory
// and the events of the process's.
func NewStreamOn(open func() (gpu.Queue, error)) tensor.Stream {
	device := tensor.Device{Kind: tensor.KindGPU}
	b := tensor.BackendFor(tensor.DefaultStream(device)).(*backend)
	dev := b.dev
	b.dev = queueDevice{dev, open}
	defer func() { b.dev = dev }()
	return tensor.NewStream(device)
}

type queueDevice struct {
	gpu.Device
	open func() (gpu.Queue, error)
}

func (d queueDevice) NewQueue() (gpu.Queue, error) { return d.open() }
