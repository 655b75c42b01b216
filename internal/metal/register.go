package metal

import (
	"os"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

func init() {
	choice := os.Getenv("MLX_DEVICE")
	if choice == "cpu" {
		return
	}
	dev, err := open(choice)
	if err != nil {
		tensor.Missing(tensor.KindGPU, err)
		return
	}
	use(dev)
}

// use makes dev the GPU of the process, and the default device.
func use(dev gpu.Device) {
	b := newBackend(dev)
	tensor.Register(b)
	tensor.SetDefaultDevice(tensor.Device{Kind: tensor.KindGPU})
}
