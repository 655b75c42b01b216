//go:build (darwin && cgo) || linux

package mtl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// What is here runs on the fake as on a Mac.

const scaleSource = `#include <metal_stdlib>
using namespace metal;

constant float factor [[function_constant(0)]];
constant bool negate [[function_constant(1)]];

kernel void scale(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant float& add [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  float v = x[i] * factor + add;
  y[i] = negate ? -v : v;
}
`

func floats(b gpu.Buffer) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b.Host()))), len(b.Host())/4)
}

func bytesOf(v float32) []byte {
	return binary.NativeEndian.AppendUint32(nil, math.Float32bits(v))
}

// ok fails the test for an error.
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// commitAndWait gives the error of a commit and its seconds.
func commitAndWait(q gpu.Queue) (float64, error) {
	type result struct {
		seconds float64
		err     error
	}
	done := make(chan result, 1)
	q.Commit(func(err error, seconds float64) { done <- result{seconds, err} })
	r := <-done
	return r.seconds, r.err
}

// scene is a kernel y = factor x + add of n numbers, and buffers.
type scene struct {
	device  gpu.Device
	queue   gpu.Queue
	library gpu.Library
	kernel  gpu.Kernel
	buffers []gpu.Buffer
	n       int
}

func newScene(t testing.TB, d gpu.Device, buffers int) *scene {
	const n = 100 // no multiple of the threadgroup
	s := &scene{device: d, n: n}
	s.queue = ok(d.NewQueue())(t)
	s.library = ok(d.Compile("scale", scaleSource, gpu.Safe))(t)
	s.kernel = ok(s.library.Kernel("scale", gpu.Const{Index: 0, Value: float32(2)}, gpu.Const{Index: 1, Value: false}))(t)
	for range buffers {
		s.buffers = append(s.buffers, ok(d.NewBuffer(4*n))(t))
	}
	for i := range n {
		floats(s.buffers[0])[i] = float32(i)
	}
	return s
}

func (s *scene) release() {
	for _, b := range s.buffers {
		b.Release()
	}
	s.kernel.Release()
	s.library.Release()
	s.queue.Release()
}

// step is y = 2 x + add for buffers by number.
func (s *scene) step(x, y int, add float32) gpu.Cmd {
	return gpu.Cmd{
		Op: gpu.Run, Kernel: s.kernel,
		Args: []gpu.Arg{{Buffer: s.buffers[x]}, {Buffer: s.buffers[y]}, {Bytes: bytesOf(add)}},
		Grid: [3]int{s.n, 1, 1}, Group: [3]int{32, 1, 1},
	}
}

// want compares a buffer with a i + b.
func (s *scene) want(t testing.TB, buffer int, a, b float32) {
	t.Helper()
	for i, v := range floats(s.buffers[buffer]) {
		if w := a*float32(i) + b; v != w {
			t.Fatalf("buffer %d: element %d is %v, want %v", buffer, i, v, w)
		}
	}
}

// flow is a program's life: three dispatches in order, one after an event of the host's and
// one of another queue's, errors, and the release of everything.
func flow(t *testing.T, d gpu.Device) {
	s := newScene(t, d, 5)
	defer s.release()
	if n := s.kernel.MaxThreads(); n < 32 || s.kernel.Name() != "scale" {
		t.Fatalf("kernel %s takes %d threads", s.kernel.Name(), n)
	}
	barrier := gpu.Cmd{Op: gpu.Barrier}
	cmds := []gpu.Cmd{s.step(0, 1, 1), barrier, s.step(1, 2, 1), barrier, s.step(2, 3, 1)}
	if err := s.queue.Encode(cmds); err != nil {
		t.Fatal(err)
	}
	seconds, err := commitAndWait(s.queue)
	if err != nil || seconds <= 0 {
		t.Fatalf("%v seconds, error %v", seconds, err)
	}
	s.want(t, 3, 8, 7)
	if _, err := commitAndWait(s.queue); err != nil {
		t.Fatalf("a commit of nothing: %v", err)
	}
	flowOfEvents(t, s)
	flowOfErrors(t, s)
}

// flowOfEvents has a queue wait for another and this for the host.
func flowOfEvents(t *testing.T, s *scene) {
	other := ok(s.device.NewQueue())(t)
	defer other.Release()
	e := ok(s.device.NewEvent())(t)
	defer e.Release()
	// buffer 4 = 2 (2 x + 3) + 5
	if err := other.Encode([]gpu.Cmd{{Op: gpu.Wait, Event: e, Value: 2}, s.step(1, 4, 5)}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	other.Commit(func(err error, _ float64) { ended <- err })
	err := s.queue.Encode([]gpu.Cmd{
		{Op: gpu.Wait, Event: e, Value: 1}, s.step(0, 1, 3), {Op: gpu.Signal, Event: e, Value: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.queue.Commit(func(err error, _ float64) { ended <- err })
	select {
	case err := <-ended:
		t.Fatalf("work ended before its event, error %v", err)
	default:
	}
	e.Set(1)
	for range 2 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if e.Value() != 2 {
		t.Fatalf("the event is %d, want 2", e.Value())
	}
	s.want(t, 4, 4, 11)
}

// flowOfErrors asks for what cannot be.
func flowOfErrors(t *testing.T, s *scene) {
	_, err := s.device.Compile("broken", "#include <metal_stdlib>\n#error not today\n", gpu.Safe)
	if !errors.Is(err, gpu.ErrCompile) || !strings.Contains(fmt.Sprint(err), "broken:2:") {
		t.Errorf("a broken source: %v", err)
	}
	if _, err := s.library.Kernel("nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch of scale") {
		t.Errorf("a missing kernel: %v", err)
	}
	bad := s.step(0, 1, 1)
	bad.Grid[1] = 0
	if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1), bad}); err == nil {
		t.Error("an empty grid is encoded")
	}
}
