//go:build (darwin && cgo) || linux

package mtl

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// maxArgs is how many buffers a kernel can have.
const maxArgs = 31

// check says what is wrong with a command. Metal would end the program, or the GPU hang.
func (q *queue) check(c *gpu.Cmd) error {
	switch c.Op {
	case gpu.Run:
		return q.checkRun(c)
	case gpu.Barrier:
		return nil
	case gpu.Wait, gpu.Signal:
		switch e, ok := c.Event.(*event); {
		case !ok:
			return fmt.Errorf("the event is a %T, not one of this device", c.Event)
		case e.released.Load():
			return fmt.Errorf("the event %w", errReleased)
		}
		return nil
	default:
		return fmt.Errorf("there is no command %d", c.Op)
	}
}

func (q *queue) checkRun(c *gpu.Cmd) error {
	k, ok := c.Kernel.(*kernel)
	switch {
	case !ok:
		return fmt.Errorf("the kernel is a %T, not one of this device", c.Kernel)
	case k.released.Load():
		return fmt.Errorf("kernel %s %w", k.name, errReleased)
	}
	if err := q.checkShape(c, k); err != nil {
		return fmt.Errorf("kernel %s: %w", k.name, err)
	}
	if len(c.Args) > maxArgs {
		return fmt.Errorf("kernel %s: %d arguments: Metal takes %d", k.name, len(c.Args), maxArgs)
	}
	for i := range c.Args {
		if err := checkArg(&c.Args[i]); err != nil {
			return fmt.Errorf("kernel %s: argument %d: %w", k.name, i, err)
		}
	}
	return nil
}

// checkShape checks the numbers of threads and the memory of threadgroups.
func (q *queue) checkShape(c *gpu.Cmd, k *kernel) error {
	threads := 1
	for axis := range 3 {
		if c.Grid[axis] < 1 || c.Group[axis] < 1 {
			return fmt.Errorf("a grid of %v threads in threadgroups of %v: each number must be 1 or more", c.Grid, c.Group)
		}
		if threads *= min(c.Group[axis], k.maxThreads+1); threads > k.maxThreads {
			return fmt.Errorf("threadgroups of %v threads: at most %d", c.Group, k.maxThreads)
		}
	}
	memory := k.staticMemory
	for i, n := range c.Threadgroup {
		if n < 1 || n > q.device.threadgroupMemory {
			return fmt.Errorf("threadgroup memory %d has %d bytes: 1 to %d are possible", i, n, q.device.threadgroupMemory)
		}
		memory += roundUp(n)
	}
	if memory > q.device.threadgroupMemory {
		return fmt.Errorf("%d bytes of threadgroup memory: the GPU has %d", memory, q.device.threadgroupMemory)
	}
	return nil
}

// roundUp rounds the length of threadgroup memory up to what Metal takes.
func roundUp(n int) int { return (n + 15) &^ 15 }

func checkArg(a *gpu.Arg) error {
	if a.Buffer == nil {
		if len(a.Bytes) > gpu.MaxBytes {
			return fmt.Errorf("%d bytes: at most %d can be given without a buffer", len(a.Bytes), gpu.MaxBytes)
		}
		return nil
	}
	b, ok := a.Buffer.(*buffer)
	switch {
	case !ok:
		return fmt.Errorf("the buffer is a %T, not one of this device", a.Buffer)
	case len(a.Bytes) > 0:
		return fmt.Errorf("a buffer and bytes are given: want one of them")
	case b.released.Load():
		return fmt.Errorf("the buffer %w", errReleased)
	case a.Offset < 0 || a.Offset >= max(b.length, 1):
		return fmt.Errorf("offset %d of a buffer of %d bytes", a.Offset, b.length)
	}
	return nil
}
