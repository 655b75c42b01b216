// Package metal runs arrays on a GPU through Metal: a [tensor.Backend] over the seam of
// package gpu. One switch (encode.go) goes from primitive to kernel, one file per family
// of kernels as in package cpu; [encoder] puts dispatches together and finds where
// barriers are needed, queue gives them to the device in batches, program replays Plans.
//
// What has no kernel runs on the CPU, in the same memory; see docs/metal-coverage.md.
package metal

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// View is the graph's strided memory.
type View = tensor.View

// backend is the only value that tensor sees.
type backend struct {
	dev     gpu.Device
	info    gpu.Info
	limits  *limits
	kernels kernelCache
	customs sync.Map // of kernels of one's own: fast.Signature to func() customSource
	slabs   slabs
	strict  atomic.Bool // the user chose the GPU

	mu     sync.Mutex
	queues map[int]*queue // by stream id
	host   tensor.Stream  // of the CPU, for steps of Programs without a kernel
}

// resourceLimit is how many buffers Metal lets a process have when the system does not
// tell; small values share buffers, so that it is not met.
const resourceLimit = 499000

func newBackend(dev gpu.Device) *backend {
	b := &backend{dev: dev, info: dev.Info(), queues: map[int]*queue{}}
	b.limits = &chips[chipOf(b.info.Tier, b.info.Generation)].limits
	b.kernels.dev = dev
	b.slabs.dev = dev
	return b
}

// Kind is the GPU.
func (*backend) Kind() tensor.DeviceKind { return tensor.KindGPU }

// Devices is the one GPU.
func (b *backend) Devices() []tensor.DeviceInfo {
	i := b.info
	return []tensor.DeviceInfo{{
		Device: tensor.Device{Kind: tensor.KindGPU}, Name: i.Name, Architecture: i.Architecture, MemorySize: i.Memory,
		MaxBufferLength: i.MaxBuffer, MaxRecommendedWorkingSetSize: i.WorkingSet, ResourceLimit: resourceLimit,
	}}
}

// Unified: the CPU reads and writes the same memory.
func (*backend) Unified() bool { return true }

// Open gives the queue of a stream.
func (b *backend) Open(s tensor.Stream) (tensor.Queue, error) { return b.queue(s) }

func (b *backend) queue(s tensor.Stream) (*queue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queues[s.ID]; q != nil {
		return q, nil
	}
	q, err := newQueue(b, s)
	if err != nil {
		return nil, fmt.Errorf("metal: %w", err)
	}
	b.queues[s.ID] = q
	return q, nil
}

// hostStream is the CPU stream that runs steps of Programs without a kernel.
func (b *backend) hostStream() tensor.Stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.host.IsSet() {
		b.host = tensor.NewStream(tensor.Device{Kind: tensor.KindCPU})
	}
	return b.host
}
