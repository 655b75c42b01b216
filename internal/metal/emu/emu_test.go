//go:build linux && metalemu && cgo

package emu

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

const scaleSource = `#include <metal_stdlib>
using namespace metal;
kernel void scale(const device float* x [[buffer(0)]], device float* y [[buffer(1)]],
                  constant float& k [[buffer(2)]], uint i [[thread_position_in_grid]]) {
  y[i] = x[i] * k;
}
`

func open(t testing.TB, o Options) gpu.Device {
	t.Helper()
	d, err := OpenWith(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compile(t testing.TB, d gpu.Device, source, name string, consts ...gpu.Const) gpu.Kernel {
	t.Helper()
	lib, err := d.Compile("test", source, gpu.Safe)
	if err != nil {
		t.Fatal(err)
	}
	k, err := lib.Kernel(name, consts...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newBuffer(t testing.TB, d gpu.Device, n int) gpu.Buffer {
	t.Helper()
	b, err := d.NewBuffer(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newQueue(t testing.TB, d gpu.Device) gpu.Queue {
	t.Helper()
	q, err := d.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Release)
	return q
}

func floats(b gpu.Buffer) []float32 {
	h := b.Host()
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(h))), len(h)/4)
}

func float32Bytes(x float32) []byte {
	return binary.LittleEndian.AppendUint32(nil, math.Float32bits(x))
}

// finish commits and waits.
func finish(q gpu.Queue) error {
	done := make(chan error)
	q.Commit(func(err error, _ float64) { done <- err })
	return <-done
}

// Dependent dispatches need their barriers, and the emulator shows it.
func TestChain(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		d := open(t, Options{Seed: 1, IgnoreBarriers: ignore})
		k := compile(t, d, scaleSource, "scale")
		q := newQueue(t, d)
		const n, steps = 1000, 10
		var b [steps + 1]gpu.Buffer
		for i := range b {
			b[i] = newBuffer(t, d, 4*n)
		}
		for i := range floats(b[0]) {
			floats(b[0])[i] = float32(i)
		}
		var cmds []gpu.Cmd
		for i := range steps {
			cmds = append(cmds, gpu.Cmd{Kernel: k, Args: []gpu.Arg{{Buffer: b[i]}, {Buffer: b[i+1]}, {Bytes: float32Bytes(2)}},
				Grid: [3]int{n, 1, 1}, Group: [3]int{256, 1, 1}}, gpu.Cmd{Op: gpu.Barrier})
		}
		if err := q.Encode(cmds); err != nil {
			t.Fatal(err)
		}
		if err := finish(q); err != nil {
			t.Fatal(err)
		}
		right := true
		for i, y := range floats(b[steps]) {
			right = right && y == 1024*float32(i)
		}
		if right == ignore {
			t.Errorf("barriers ignored: %v, right: %v", ignore, right)
		}
	}
}

// A queue waits for what the host sets later; Commit does not.
func TestWait(t *testing.T) {
	d := open(t, Options{})
	k := compile(t, d, scaleSource, "scale")
	q := newQueue(t, d)
	x, y := newBuffer(t, d, 4), newBuffer(t, d, 4)
	start, end := newEvent(t, d), newEvent(t, d)
	err := q.Encode([]gpu.Cmd{
		{Op: gpu.Wait, Event: start, Value: 3},
		{Kernel: k, Args: []gpu.Arg{{Buffer: x}, {Buffer: y}, {Bytes: float32Bytes(2)}}, Grid: [3]int{1, 1, 1}, Group: [3]int{1, 1, 1}},
		{Op: gpu.Signal, Event: end, Value: 7},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	q.Commit(func(err error, _ float64) { done <- err })
	if end.Value() != 0 {
		t.Error("signalled before its time")
	}
	floats(x)[0] = 21
	start.Set(3)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if end.Value() != 7 || floats(y)[0] != 42 {
		t.Errorf("event %d, value %v", end.Value(), floats(y)[0])
	}
}

func newEvent(t testing.TB, d gpu.Device) gpu.Event {
	t.Helper()
	e, err := d.NewEvent()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOverrun(t *testing.T) {
	d := open(t, Options{})
	k := compile(t, d, scaleSource, "scale")
	q := newQueue(t, d)
	x, y := newBuffer(t, d, 400), newBuffer(t, d, 396)
	err := q.Encode([]gpu.Cmd{{Kernel: k, Args: []gpu.Arg{{Buffer: x}, {Buffer: y}, {Bytes: float32Bytes(2)}},
		Grid: [3]int{100, 1, 1}, Group: [3]int{32, 1, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(q); err == nil || !strings.Contains(err.Error(), "kernel scale: it wrote past the end of buffer(1), which has 396 bytes") {
		t.Error(err)
	}
}
