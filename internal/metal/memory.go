package metal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

const (
	slabMin  = 64 << 10 // smaller pieces share a buffer: each buffer of Metal costs a page and a system call
	slabSize = 1 << 20
)

// memory is a range of a device buffer.
type memory struct {
	buf    gpu.Buffer
	off, n int
	slabs  *slabs // nil: the buffer is its own
}

func (m *memory) Size() int    { return m.n }
func (m *memory) Host() []byte { return m.buf.Host()[m.off : m.off+m.n : m.off+m.n] }
func (m *memory) Release() {
	if m.slabs != nil {
		m.slabs.put(m)
		return
	}
	m.buf.Release()
}

// Alloc gives shared memory.
func (b *backend) Alloc(_ tensor.Device, size int) (tensor.Memory, error) {
	if size < slabMin && !b.info.Emulated { // there, an overrun is to be seen
		return b.slabs.get(size)
	}
	if b.info.MaxBuffer > 0 && int64(size) > b.info.MaxBuffer {
		return nil, fmt.Errorf("%s has no buffers of more than %d bytes", b.info.Name, b.info.MaxBuffer)
	}
	buf, err := b.dev.NewBuffer(size)
	if err != nil {
		return nil, err
	}
	return &memory{buf: buf, n: size}, nil
}

// slabs cuts buffers into small pieces, which are kept by size.
type slabs struct {
	dev  gpu.Device
	mu   sync.Mutex
	free map[int][]*memory
	open gpu.Buffer
	used int
}

func (s *slabs) get(size int) (*memory, error) {
	size = (size + 255) &^ 255 // what Metal asks of offsets in the constant address space
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.free[size]; len(l) > 0 {
		m := l[len(l)-1]
		s.free[size] = l[:len(l)-1]
		return m, nil
	}
	if s.open == nil || s.used+size > slabSize {
		buf, err := s.dev.NewBuffer(slabSize)
		if err != nil {
			return nil, err
		}
		s.open, s.used = buf, 0
	}
	m := &memory{buf: s.open, off: s.used, n: size, slabs: s}
	s.used += size
	return m, nil
}

func (s *slabs) put(m *memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == nil {
		s.free = map[int][]*memory{}
	}
	s.free[m.n] = append(s.free[m.n], m)
}

// A wrapped is memory of others in a buffer of the device.
type wrapped struct {
	buf gpu.Buffer
	off int // where the memory begins
}

// reachable reports whether the device can use b where it lies: memory of its own and of
// the CPU backend, mapped files. Small arrays from before the device was chosen lie on
// Go's heap, whose pages hold other objects, too.
func reachable(b *tensor.Buffer) bool {
	return b.Memory() != nil || b.Mapped() || len(b.Host()) == 0
}

// place finds the device's buffer of b, and where b begins in it. Memory that is not the
// device's is wrapped without a copy, once.
func (be *backend) place(b *tensor.Buffer) (gpu.Buffer, int, error) {
	if m, ok := b.Memory().(*memory); ok {
		return m.buf, m.off, nil
	}
	if w, ok := b.Native().(*wrapped); ok {
		return w.buf, w.off, nil
	}
	switch {
	case len(b.Host()) == 0:
		return nil, 0, nil
	case !reachable(b):
		return nil, 0, errors.New("metal: memory of Go's heap is given to the GPU")
	}
	buf, off, err := be.dev.Wrap(b.Host())
	if err != nil {
		return nil, 0, err
	}
	b.SetNative(&wrapped{buf, off})
	runtime.AddCleanup(b, func(buf gpu.Buffer) { buf.Release() }, buf)
	return buf, off, nil
}
