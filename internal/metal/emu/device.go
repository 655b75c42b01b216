//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

type device struct {
	opts   Options
	clang  msltest.Clang
	memory int64
	mu     sync.Mutex
	seeds  *rand.Rand // guarded by mu
}

// OpenWith gives a device.
func OpenWith(o Options) (gpu.Device, error) {
	clang, err := msltest.FindClang()
	if err != nil {
		return nil, err
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("cannot read the size of memory: %w", err)
	}
	return &device{
		opts:   o,
		clang:  clang,
		memory: int64(info.Totalram) * int64(info.Unit),
		seeds:  rand.New(rand.NewPCG(o.Seed, 0)),
	}, nil
}

func (d *device) Info() gpu.Info {
	return gpu.Info{
		Name:         fmt.Sprintf("Metal emulator (clang %d)", d.clang.Version),
		Architecture: "emulated",
		Memory:       d.memory,
		MaxBuffer:    d.memory / 2,
		WorkingSet:   d.memory / 4 * 3,
		PageSize:     os.Getpagesize(),
		MSL:          "3.1",
		Emulated:     true,
	}
}

// rng gives a generator of its own to each queue.
func (d *device) rng() *rand.Rand {
	d.mu.Lock()
	defer d.mu.Unlock()
	return rand.New(rand.NewPCG(d.seeds.Uint64(), d.seeds.Uint64()))
}

// SetWiredLimit does nothing but check: the system keeps what it likes.
func (d *device) SetWiredLimit(bytes int64) error {
	if bytes < 0 || bytes > d.memory {
		return fmt.Errorf("a wired limit of %d bytes: it must be between 0 and the machine's %d", bytes, d.memory)
	}
	return nil
}

var errCapture = errors.New("the Metal emulator cannot capture: .gputrace files are made on macOS only")

func (d *device) StartCapture(string) error { return errCapture }

func (d *device) StopCapture() error { return errCapture }
