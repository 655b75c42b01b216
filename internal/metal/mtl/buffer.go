//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"
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
	host      []byte // of one that Wrap made, what was wrapped
	length    int    // of the MTLBuffer
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
			b = d.own(object, unsafe.Slice((*byte)(host), n), n)
		}
	})
	if b == nil {
		return nil, fmt.Errorf("the GPU has no memory for a buffer of %d bytes", n)
	}
	return b, nil
}

// Wrap makes a buffer of the pages that mem lies in. They are numbers here, not pointers:
// Go must not see pointers to what lies beside mem.
func (d *device) Wrap(mem []byte) (gpu.Buffer, int, error) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	page := uintptr(pageSize)
	first := start &^ (page - 1)
	offset := int(start - first)
	length := (uint64(offset) + uint64(len(mem)) + uint64(page) - 1) &^ (uint64(page) - 1)
	switch {
	case len(mem) == 0:
		return nil, 0, errors.New("no memory is wrapped")
	case length > uint64(d.info.MaxBuffer):
		return nil, 0, fmt.Errorf("%d bytes are wrapped, in pages of %d: the GPU takes buffers of up to %d", len(mem), length, d.info.MaxBuffer)
	}
	var b *buffer
	pooled(func() {
		// No deallocator: darwinkit's blocks read freed memory when they die.
		object := ask(d.object, "newBufferWithBytesNoCopy:length:options:deallocator:",
			first, length, sharedUntracked, unsafe.Pointer(nil))
		if !object.IsNil() {
			b = d.own(object, mem, int(length))
		}
	})
	if b == nil {
		return nil, 0, fmt.Errorf("the GPU cannot use %d bytes of host memory at %#x", len(mem), start)
	}
	return b, offset, nil
}

// own makes a buffer of an object of ours.
func (d *device) own(object objc.Object, host []byte, length int) *buffer {
	b := &buffer{reference: reference{object: object}, host: host, length: length, residency: d.residency}
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
