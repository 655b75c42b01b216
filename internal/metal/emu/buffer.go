//go:build linux && metalemu && cgo

package emu

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// redZone is how many bytes behind a buffer are watched for writes. They are all ones:
// NaN, if a kernel reads them as a number.
const redZone = 64

var redZoneBytes = bytes.Repeat([]byte{0xff}, redZone)

// A buffer is a mapping of zeroed pages, or memory of the host's.
type buffer struct {
	host    []byte
	mapping []byte // host and its red zone; nil when wrapped

	mu       sync.Mutex
	uses     int // commands that were encoded and have not ended
	released bool
}

func (d *device) NewBuffer(n int) (gpu.Buffer, error) {
	if n < 0 || int64(n) > d.Info().MaxBuffer {
		return nil, fmt.Errorf("a buffer of %d bytes: the emulator has room for at most %d", n, d.Info().MaxBuffer)
	}
	size := max(n, 1)
	mapping, err := syscall.Mmap(-1, 0, size+redZone, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("cannot map a buffer of %d bytes: %w", n, err)
	}
	copy(mapping[size:], redZoneBytes)
	return &buffer{host: mapping[:size:size], mapping: mapping}, nil
}

// Wrap takes memory as it lies, at offset 0.
func (d *device) Wrap(mem []byte) (gpu.Buffer, int, error) {
	if len(mem) == 0 {
		return nil, 0, errors.New("no memory is wrapped")
	}
	return &buffer{host: mem}, 0, nil
}

func (b *buffer) Host() []byte { return b.host }

// Release unmaps the memory when no command that was encoded needs it any more.
func (b *buffer) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
	b.unmap()
}

// unmap runs under mu.
func (b *buffer) unmap() {
	if !b.released || b.uses > 0 {
		return
	}
	b.host = nil
	if b.mapping != nil {
		if err := syscall.Munmap(b.mapping); err != nil {
			panic(err) // it is a mapping of ours
		}
		b.mapping = nil
	}
}

// use keeps the memory until unuse; it is false when the buffer is released.
func (b *buffer) use() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released {
		return false
	}
	b.uses++
	return true
}

func (b *buffer) unuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uses--
	b.unmap()
}

func (b *buffer) isReleased() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.released
}

// overrun says whether something was written behind the end; then it is mended, so that
// one bad kernel is reported once.
func (b *buffer) overrun() bool {
	if b.mapping == nil {
		return false
	}
	zone := b.mapping[len(b.host):]
	if bytes.Equal(zone, redZoneBytes) {
		return false
	}
	copy(zone, redZoneBytes)
	return true
}
