//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// launchOf is a dispatch without its buffers.
func launchOf(c gpu.Cmd) msltest.Launch {
	return msltest.Launch{Buffers: make([]unsafe.Pointer, len(c.Args)), Threadgroup: c.Threadgroup, Grid: c.Grid, Group: c.Group}
}

// checkDispatch gives the arguments, with bytes copied, or says what Metal would refuse.
func checkDispatch(c gpu.Cmd) ([]gpu.Arg, error) {
	k, ok := c.Kernel.(*kernel)
	if !ok {
		return nil, errNotOurs
	}
	if k.released.Load() {
		return nil, errors.New("it was released before its use")
	}
	if err := k.Check(launchOf(c)); err != nil {
		return nil, err
	}
	args := slices.Clone(c.Args)
	for i, a := range args {
		if err := checkArg(a); err != nil {
			return nil, fmt.Errorf("buffer(%d): %w", i, err)
		}
		args[i].Bytes = aligned(a.Bytes)
	}
	for _, b := range k.Bindings {
		if err := checkBinding(c, b); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// aligned copies bytes to where any type of Metal may be.
func aligned(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	const most = 32 // alignment of a vector of four 64-bit integers
	room := make([]byte, len(b)+most)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(room))) % most
	return append(room[skip:skip], b...)
}

// checkArg looks at an argument by itself.
func checkArg(a gpu.Arg) error {
	b, ok := a.Buffer.(*buffer)
	switch {
	case a.Buffer != nil && !ok:
		return fmt.Errorf("it is %T, not a buffer of the emulator's", a.Buffer)
	case ok && a.Bytes != nil:
		return errors.New("it has both a buffer and bytes")
	case ok && b.isReleased():
		return errors.New("the buffer was released before its use")
	case ok && (a.Offset < 0 || a.Offset >= len(b.Host())):
		return fmt.Errorf("the offset %d is outside of the buffer's %d bytes", a.Offset, len(b.Host()))
	case len(a.Bytes) > gpu.MaxBytes:
		return fmt.Errorf("%d bytes are more than the %d that an argument may carry", len(a.Bytes), gpu.MaxBytes)
	}
	return nil
}

// checkBinding looks at what the kernel wants of an argument.
func checkBinding(c gpu.Cmd, b msltest.Binding) error {
	if b.Threadgroup {
		if b.Index >= len(c.Threadgroup) || c.Threadgroup[b.Index] == 0 {
			return fmt.Errorf("threadgroup(%d) has no length", b.Index)
		}
		return nil
	}
	var a gpu.Arg
	if b.Index < len(c.Args) {
		a = c.Args[b.Index]
	}
	size := len(a.Bytes)
	if buf, ok := a.Buffer.(*buffer); ok {
		size = len(buf.Host()) - a.Offset
		if a.Offset%b.Align != 0 {
			return fmt.Errorf("buffer(%d): the offset %d is no multiple of %d, which its type needs", b.Index, a.Offset, b.Align)
		}
	} else if len(a.Bytes) == 0 {
		return fmt.Errorf("buffer(%d) is not bound", b.Index)
	}
	if size < b.Size {
		return fmt.Errorf("buffer(%d) has %d bytes, and its type %d", b.Index, size, b.Size)
	}
	return nil
}
