package metal

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The names that Choose and the variable MLX_DEVICE take, besides "": the GPU if there is
// one, else the CPU.
const (
	CPU      = "cpu"
	GPU      = "gpu"       // what matters for speed then runs there or fails
	Emulator = "metal-emu" // the GPU's kernels, run on the CPU
)

func init() {
	if name := os.Getenv("MLX_DEVICE"); name != CPU {
		if err := Choose(name); err != nil {
			tensor.Missing(tensor.KindGPU, err)
		}
	}
}

// used is the one device of the process.
var used struct {
	sync.Mutex
	b     *backend
	wired int64
}

// Choose makes a device the default of the process.
func Choose(name string) error {
	switch name {
	case CPU:
		tensor.SetDefaultDevice(tensor.Device{Kind: tensor.KindCPU})
		return nil
	case "", GPU, Emulator:
	default:
		return fmt.Errorf("there is no device %q: it is %s, %s or %s", name, CPU, GPU, Emulator)
	}
	used.Lock()
	defer used.Unlock()
	if used.b == nil {
		dev, err := open(name == Emulator)
		if err != nil {
			return err
		}
		used.b = register(dev)
	}
	if name == Emulator && !used.b.info.Emulated {
		return errors.New("the Metal emulator is not in this program: build it on Linux with -tags metalemu")
	}
	used.b.strict.Store(name == GPU)
	tensor.SetDefaultDevice(tensor.Device{Kind: tensor.KindGPU})
	return nil
}

func register(dev gpu.Device) *backend {
	b := newBackend(dev)
	tensor.Register(b)
	return b
}

// Use makes dev the GPU of the process and its default device, for tests of devices. There
// must be none yet.
func Use(dev gpu.Device) error {
	used.Lock()
	defer used.Unlock()
	if used.b != nil {
		return errors.New("the process has a Metal GPU")
	}
	used.b = register(dev)
	used.b.strict.Store(true)
	tensor.SetDefaultDevice(tensor.Device{Kind: tensor.KindGPU})
	return nil
}

// opened is the device of the process, or an error that says why there is none.
func opened() (gpu.Device, error) {
	used.Lock()
	defer used.Unlock()
	if used.b == nil {
		return nil, errors.New("there is no Metal GPU in use")
	}
	return used.b.dev, nil
}

// Available says why there is no device that could be the GPU; nil if there is one.
func Available() error {
	used.Lock()
	defer used.Unlock()
	if used.b != nil {
		return nil
	}
	_, err := open(os.Getenv("MLX_DEVICE") == Emulator)
	return err
}

// Info is what the device says about itself; ok is false if there is none.
func Info() (info gpu.Info, ok bool) {
	dev, err := opened()
	if err != nil {
		return gpu.Info{}, false
	}
	return dev.Info(), true
}

// SetWiredLimit keeps up to that many bytes of buffers resident, and returns the old
// limit. It panics when that is more than the GPU should use.
func SetWiredLimit(bytes int64) (old int64) {
	dev, err := opened()
	if err != nil {
		return 0
	}
	if most := dev.Info().WorkingSet; bytes < 0 || most > 0 && bytes > most {
		tensor.Throw("set_wired_limit", nil, "%d bytes are not between 0 and the %d that %s should use", bytes, most, dev.Info().Name)
	}
	if err := dev.SetWiredLimit(bytes); err != nil {
		tensor.Throw("set_wired_limit", nil, "%v", err)
	}
	used.Lock()
	defer used.Unlock()
	old, used.wired = used.wired, bytes
	return old
}

// StartCapture records what the GPU does in a new .gputrace file.
func StartCapture(path string) error {
	dev, err := opened()
	if err != nil {
		return err
	}
	return dev.StartCapture(path)
}

// StopCapture ends the recording.
func StopCapture() error {
	dev, err := opened()
	if err != nil {
		return err
	}
	return dev.StopCapture()
}
