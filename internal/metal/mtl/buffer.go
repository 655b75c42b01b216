//go:build (darwin && cgo) || linux

package mtl

import (
	"fmt"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// sharedUntracked is MTLResourceStorageModeShared with
// MTLResourceHazardTrackingModeUntracked: the scheduler above knows the hazards.
const sharedUntracked = uint64(0<<4 | 1<<8)

// buffer is a gpu.Buffer over an MTLBuffer.
type buffer struct {
	reference
	host      []byte
	residency *residency
}

// NewBuffer gives zeroed memory of n bytes.
func (d *device) NewBuffer(n int) (gpu.Buffer, error) {
	if n < 0 || int64(n) > d.info.MaxBuffer {
		return nil, fmt.Errorf("a buffer of %d bytes: the GPU takes 0 to %d", n, d.info.MaxBuffer)
	}
	var b *buffer
	pooled(func() {
		// Metal has no buffers without memory.
		object := ask(d.object, "newBufferWithLength:options:", uint64(max(n, 1)), sharedUntracked)
		if !object.IsNil() {
			host := call[unsafe.Pointer](object, "contents")
			b = d.own(object, unsafe.Slice((*byte)(host), n))
		}
	})
	if b == nil {
		return nil, fmt.Errorf("the GPU has no memory for a buffer of %d bytes", n)
	}
	return b, nil
}

// Wrap makes a buffer of whole pages of host memory, which must outlive it.
func (d *device) Wrap(mem []byte) (gpu.Buffer, error) {
	start := unsafe.Pointer(unsafe.SliceData(mem))
	switch {
	case len(mem) == 0:
		return nil, fmt.Errorf("no memory is wrapped")
	case uintptr(start)%uintptr(pageSize) != 0 || len(mem)%pageSize != 0:
		return nil, fmt.Errorf("%d bytes at %p are wrapped: Metal takes whole pages of %d bytes", len(mem), start, pageSize)
	case int64(len(mem)) > d.info.MaxBuffer:
		return nil, fmt.Errorf("%d bytes are wrapped: the GPU takes buffers of up to %d", len(mem), d.info.MaxBuffer)
	}
	var b *buffer
	pooled(func() {
		// No deallocator: darwinkit's blocks read freed memory when they die.
		object := ask(d.object, "newBufferWithBytesNoCopy:length:options:deallocator:",
			start, uint64(len(mem)), sharedUntracked, unsafe.Pointer(nil))
		if !object.IsNil() {
			b = d.own(object, mem)
		}
	})
	if b == nil {
		return nil, fmt.Errorf("the GPU cannot use %d bytes of host memory at %p", len(mem), start)
	}
	return b, nil
}

// own makes a buffer of an object of ours.
func (d *device) own(object objc.Object, host []byte) *buffer {
	b := &buffer{reference: reference{object: object}, host: host, residency: d.residency}
	d.residency.add(b)
	return b
}

// Host is the memory as the host sees it.
func (b *buffer) Host() []byte { return b.host }

// Release gives the memory back. Later calls do nothing.
func (b *buffer) Release() {
	if !b.released.Swap(true) {
		pooled(func() {
			b.residency.remove(b)
			release(b.object)
		})
	}
}
