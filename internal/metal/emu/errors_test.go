//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

const variousSource = `#include <metal_stdlib>
using namespace metal;
struct Params { float4 a; int n; };
constant bool more [[function_constant(0)]];
[[kernel, max_total_threads_per_threadgroup(64)]] void all(device float* x [[buffer(0)]], constant Params& p [[buffer(1)]], const device float4* y [[buffer(2), function_constant(more)]],
                  threadgroup float* s [[threadgroup(0)]], uint i [[thread_position_in_grid]]) {
  s[i % 4] = p.a.x;
  x[i] = s[i % 4];
  if (more) x[i] += y[i].x;
}
kernel void barrier_in_branch(device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  if (i < 3) threadgroup_barrier(mem_flags::mem_device);
  x[i] = 1;
}
kernel void sum_in_branch(device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  if (i < 3) x[i] = simd_sum(1.0f);
  x[i] += simd_sum(2.0f);
}
kernel void big(device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  threadgroup float s[8193];
  s[8192] = 1;
  x[i] = s[8192];
}
kernel void ragged(device float* x [[buffer(0)]], uint2 i [[thread_position_in_grid]], uint2 n [[threads_per_grid]], uint2 size [[threads_per_threadgroup]]) {
  x[i.y * n.x + i.x] += simd_sum(1.0f) + 100 * size.x;
}
`

// What Metal refuses to encode, and what only running shows: each names the kernel.
func TestErrors(t *testing.T) {
	d := open(t, Options{})
	lib, err := d.Compile("various", variousSource, gpu.Safe)
	if err != nil {
		t.Fatal(err)
	}
	kernel := func(name string, consts ...gpu.Const) gpu.Kernel {
		t.Helper()
		k, err := lib.Kernel(name, consts...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	all, plain := kernel("all", gpu.Const{Index: 0, Value: true}), kernel("all", gpu.Const{Index: 0, Value: false})
	gone := kernel("ragged")
	gone.Release()
	x, dead := newBuffer(t, d, 4096), newBuffer(t, d, 16)
	dead.Release()
	q := newQueue(t, d)
	bufs := func(args ...gpu.Arg) []gpu.Arg { return args }
	params := gpu.Arg{Bytes: make([]byte, 32)}
	one := [3]int{1, 1, 1}
	right := gpu.Cmd{Kernel: all, Args: bufs(gpu.Arg{Buffer: x}, params, gpu.Arg{Buffer: x, Offset: 16}), Threadgroup: []int{16}, Grid: one, Group: one}
	with := func(change func(*gpu.Cmd)) gpu.Cmd {
		c := right
		c.Args = append([]gpu.Arg(nil), c.Args...)
		change(&c)
		return c
	}
	for _, c := range []struct {
		cmd  gpu.Cmd
		want string
	}{
		{right, ""},
		{with(func(c *gpu.Cmd) { c.Kernel, c.Args[2] = plain, gpu.Arg{} }), ""},
		{with(func(c *gpu.Cmd) { c.Args[2] = gpu.Arg{} }), "kernel all: buffer(2) is not bound"},
		{with(func(c *gpu.Cmd) { c.Args[1] = gpu.Arg{Bytes: make([]byte, 31)} }), "kernel all: buffer(1) has 31 bytes, and its type 32"},
		{with(func(c *gpu.Cmd) { c.Args[2].Offset = 8 }), "kernel all: buffer(2): the offset 8 is no multiple of 16, which its type needs"},
		{with(func(c *gpu.Cmd) { c.Args[0].Offset = 4096 }), "kernel all: buffer(0): the offset 4096 is outside of the buffer's 4096 bytes"},
		{with(func(c *gpu.Cmd) { c.Args[0].Offset = -4 }), "kernel all: buffer(0): the offset -4 is outside of the buffer's 4096 bytes"},
		{with(func(c *gpu.Cmd) { c.Args[1] = gpu.Arg{Bytes: make([]byte, 4097)} }), "kernel all: buffer(1): 4097 bytes are more than the 4096 that an argument may carry"},
		{with(func(c *gpu.Cmd) { c.Args[1].Buffer = x }), "kernel all: buffer(1): it has both a buffer and bytes"},
		{with(func(c *gpu.Cmd) { c.Args[0].Buffer = dead }), "kernel all: buffer(0): the buffer was released before its use"},
		{with(func(c *gpu.Cmd) { c.Kernel = gone }), "kernel ragged: it was released before its use"},
		{with(func(c *gpu.Cmd) { c.Threadgroup = nil }), "kernel all: threadgroup(0) has no length"},
		{with(func(c *gpu.Cmd) { c.Threadgroup = []int{20} }), "kernel all: threadgroup(0) of 20 bytes: the length must be a multiple of 16, and at most 32768"},
		{with(func(c *gpu.Cmd) { c.Threadgroup = []int{16384, 16400} }), "kernel all: 32784 bytes of threadgroup memory: Metal has 32768"},
		{with(func(c *gpu.Cmd) { c.Group = [3]int{13, 5, 1} }), "kernel all: a threadgroup of [13 5 1] is 65 threads: at most 64 are possible"},
		{with(func(c *gpu.Cmd) { c.Grid = [3]int{4, 0, 1} }), "kernel all: a grid of [4 0 1] threads in threadgroups of [1 1 1]: each size must be at least 1"},
		{with(func(c *gpu.Cmd) { c.Args = make([]gpu.Arg, 32) }), "kernel all: 32 buffers: Metal has 31"},
		{gpu.Cmd{Grid: one, Group: one}, "kernel <nil>: it is not a kernel of the emulator's"},
		{gpu.Cmd{Op: gpu.Wait}, "an event of the emulator's is needed, not <nil>"},
		{gpu.Cmd{Op: 77}, "no command has the number 77"},

		{gpu.Cmd{Kernel: kernel("barrier_in_branch"), Args: bufs(gpu.Arg{Buffer: x}), Grid: [3]int{8, 1, 1}, Group: [3]int{8, 1, 1}},
			"kernel barrier_in_branch: various:12: a barrier is not reached by all threads of its threadgroup"},
		{gpu.Cmd{Kernel: kernel("sum_in_branch"), Args: bufs(gpu.Arg{Buffer: x}), Grid: [3]int{8, 1, 1}, Group: [3]int{8, 1, 1}},
			"kernel sum_in_branch: various:16: a simdgroup operation or barrier is not reached by all lanes of its simdgroup"},
		{gpu.Cmd{Kernel: kernel("big"), Args: bufs(gpu.Arg{Buffer: x}), Grid: one, Group: one}, "kernel big: 32772 bytes of threadgroup memory: Metal has 32768"},
	} {
		err := q.Encode([]gpu.Cmd{c.cmd})
		if err == nil {
			err = finish(q)
		}
		if fmt.Sprint(err) != c.want && (err != nil || c.want != "") {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	// One command that is wrong leaves nothing of its Encode.
	if err := q.Encode([]gpu.Cmd{right, {Op: 77}}); err == nil || len(q.(*queue).encoded) != 0 {
		t.Errorf("%v, %d commands", err, len(q.(*queue).encoded))
	}
}

// Grids are threads: threadgroups at the edge are smaller, and so are their simdgroups.
func TestRagged(t *testing.T) {
	d := open(t, Options{})
	q := newQueue(t, d)
	x := newBuffer(t, d, 4*5*3)
	err := q.Encode([]gpu.Cmd{{Kernel: compile(t, d, variousSource, "ragged"), Args: []gpu.Arg{{Buffer: x}}, Grid: [3]int{5, 3, 1}, Group: [3]int{4, 2, 1}}})
	if err == nil {
		err = finish(q)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{408, 408, 408, 408, 102, 408, 408, 408, 408, 102, 404, 404, 404, 404, 101}
	if fmt.Sprint(floats(x)) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", floats(x), want)
	}
}

// What is released after Encode is an error when it is to run, and not before it is unused.
func TestRelease(t *testing.T) {
	d := open(t, Options{})
	for _, c := range []struct {
		what string
		want string
	}{{"buffer", "kernel scale: buffer(1) was released before it ran"}, {"kernel", "kernel scale: it was released before it ran"}} {
		q := newQueue(t, d)
		k := compile(t, d, scaleSource, "scale")
		x, y, goOn := newBuffer(t, d, 4), newBuffer(t, d, 4), newEvent(t, d)
		err := q.Encode([]gpu.Cmd{
			{Op: gpu.Wait, Event: goOn, Value: 1},
			{Kernel: k, Args: []gpu.Arg{{Buffer: x}, {Buffer: y}, {Bytes: float32Bytes(2)}}, Grid: [3]int{1, 1, 1}, Group: [3]int{1, 1, 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		q.Commit(func(err error, _ float64) { done <- err })
		if c.what == "buffer" {
			y.Release()
		} else {
			k.Release()
		}
		goOn.Set(1)
		if err := <-done; err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		if y.(*buffer).released && y.(*buffer).mapping != nil {
			t.Error("the buffer's memory is still there")
		}
	}
}

// A failed dispatch ends its batch and not the next; events and ends of batches go on.
func TestBatches(t *testing.T) {
	d := open(t, Options{})
	q := newQueue(t, d)
	bad, good := compile(t, d, variousSource, "barrier_in_branch"), compile(t, d, scaleSource, "scale")
	x, y, after := newBuffer(t, d, 64), newBuffer(t, d, 64), newEvent(t, d)
	floats(x)[0] = 3
	scale := gpu.Cmd{Kernel: good, Args: []gpu.Arg{{Buffer: x}, {Buffer: y}, {Bytes: float32Bytes(2)}}, Grid: [3]int{1, 1, 1}, Group: [3]int{1, 1, 1}}
	results := make(chan string, 3)
	commit := func(name string, cmds ...gpu.Cmd) {
		if err := q.Encode(cmds); err != nil {
			t.Fatal(err)
		}
		q.Commit(func(err error, seconds float64) {
			results <- fmt.Sprint(name, " ", err != nil, " ", floats(y)[0], " ", after.Value(), " ", seconds > 0)
		})
	}
	commit("first", gpu.Cmd{Kernel: bad, Args: []gpu.Arg{{Buffer: newBuffer(t, d, 64)}}, Grid: [3]int{8, 1, 1}, Group: [3]int{8, 1, 1}},
		gpu.Cmd{Op: gpu.Barrier}, scale, gpu.Cmd{Op: gpu.Signal, Event: after, Value: 1})
	commit("second", gpu.Cmd{Op: gpu.Barrier}, scale, gpu.Cmd{Op: gpu.Barrier})
	commit("third")
	for _, want := range []string{"first true 0 1 true", "second false 6 1 true", "third false 6 1 false"} {
		if got := <-results; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Two queues that wait for each other, by events.
func TestQueues(t *testing.T) {
	d := open(t, Options{})
	k := compile(t, d, scaleSource, "scale")
	x, e := newBuffer(t, d, 4), newEvent(t, d)
	floats(x)[0] = 1
	y := newBuffer(t, d, 4)
	step := func(from, to gpu.Buffer, after, next uint64) []gpu.Cmd {
		return []gpu.Cmd{{Op: gpu.Wait, Event: e, Value: after},
			{Kernel: k, Args: []gpu.Arg{{Buffer: from}, {Buffer: to}, {Bytes: float32Bytes(2)}}, Grid: [3]int{1, 1, 1}, Group: [3]int{1, 1, 1}},
			{Op: gpu.Signal, Event: e, Value: next}, {Op: gpu.Barrier}}
	}
	a, b := newQueue(t, d), newQueue(t, d)
	done := make(chan error, 2)
	for i := range uint64(8) {
		q, from, to := a, x, y
		if i%2 == 1 {
			q, from, to = b, y, x
		}
		if err := q.Encode(step(from, to, i, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	a.Commit(func(err error, _ float64) { done <- err })
	b.Commit(func(err error, _ float64) { done <- err })
	if err := errors.Join(<-done, <-done); err != nil || floats(x)[0] != 256 {
		t.Errorf("%v, %g", err, floats(x)[0])
	}
}

func TestDevice(t *testing.T) {
	d := open(t, Options{})
	info := d.Info()
	if !strings.HasPrefix(info.Name, "Metal emulator (clang ") || info.Architecture != "emulated" || !info.Emulated ||
		info.MSL != "3.1" || info.PageSize != os.Getpagesize() || info.Memory < 1<<28 || info.MaxBuffer <= 0 || info.WorkingSet <= 0 {
		t.Errorf("%+v", info)
	}
	if err := d.SetWiredLimit(1 << 20); err != nil {
		t.Error(err)
	}
	if err := d.SetWiredLimit(-1); err == nil {
		t.Error("a negative wired limit")
	}
	if err := d.StartCapture("x.gputrace"); err == nil || !strings.Contains(err.Error(), "macOS only") {
		t.Error(err)
	}
	if _, err := d.NewBuffer(-1); err == nil {
		t.Error("a negative buffer")
	}
	b := newBuffer(t, d, 10000)
	for _, v := range b.Host() {
		if v != 0 {
			t.Fatal("a new buffer is not zero")
		}
	}
}

// Wrapped memory is the same memory, and stays the host's.
func TestWrap(t *testing.T) {
	d := open(t, Options{})
	mem := make([]byte, 64)
	b, offset, err := d.Wrap(mem)
	if err != nil || offset != 0 {
		t.Fatal(err, offset)
	}
	q := newQueue(t, d)
	floats(b)[0] = 21
	err = q.Encode([]gpu.Cmd{{Kernel: compile(t, d, scaleSource, "scale"), Args: []gpu.Arg{{Buffer: b}, {Buffer: b, Offset: 4}, {Bytes: float32Bytes(2)}}, Grid: [3]int{1, 1, 1}, Group: [3]int{1, 1, 1}}})
	if err == nil {
		err = finish(q)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	if got := *(*float32)(unsafe.Pointer(&mem[4])); got != 42 {
		t.Errorf("%g, want 42", got)
	}
	if _, _, err := d.Wrap(nil); err == nil {
		t.Error("wrapped nothing")
	}
}

func TestCompileErrors(t *testing.T) {
	d := open(t, Options{})
	for _, c := range []struct{ source, want string }{
		{"#include <metal_stdlib>\nkernel void f(device bfloat* a) {\n  a[0] = metal::exp(a[0]);\n}\n", "the kernel does not compile\nmine:3: error: no matching function for call to 'exp'"},
		{"#include <metal_stdlib>\nkernel void f(device float* a) {\n  double x = 1;\n}\n", "the kernel does not compile\nmine:3: Metal has no double"},
	} {
		if _, err := d.Compile("mine", c.source, gpu.Safe); !errors.Is(err, gpu.ErrCompile) || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	lib, err := d.Compile("mine", scaleSource, gpu.Fast)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Kernel("none"); err == nil || err.Error() != "mine has no kernel none" {
		t.Error(err)
	}
	lib.Release()
	if _, err := lib.Kernel("scale"); err == nil || !strings.Contains(err.Error(), "released") {
		t.Error(err)
	}
}

const racingSource = `#include <metal_stdlib>
using namespace metal;
kernel void reverse(device float* x [[buffer(0)]], uint i [[thread_position_in_threadgroup]], uint n [[threads_per_threadgroup]]) {
  threadgroup float s[64];
  s[i] = x[i];
  threadgroup_barrier(mem_flags::FLAG);
  x[i] = s[n - 1 - i];
}
`

// Dispatches can run under a sanitizer.
func TestSanitizer(t *testing.T) {
	t.Setenv("MLX_METAL_SANITIZER", "tsan")
	d, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{{"mem_threadgroup", "<nil>"}, {"mem_none", "kernel reverse: the sanitizer found a fault"}} {
		q := newQueue(t, d)
		k := compile(t, d, strings.ReplaceAll(racingSource, "FLAG", c.flag), "reverse")
		x := newBuffer(t, d, 4*64)
		for i := range floats(x) {
			floats(x)[i] = float32(i)
		}
		if err := q.Encode([]gpu.Cmd{{Kernel: k, Args: []gpu.Arg{{Buffer: x}}, Grid: [3]int{64, 1, 1}, Group: [3]int{64, 1, 1}}}); err != nil {
			t.Fatal(err)
		}
		err := finish(q)
		if !strings.HasPrefix(fmt.Sprint(err), c.want) || err == nil && floats(x)[0] != 63 {
			t.Errorf("%s: %v, want %s; %g", c.flag, err, c.want, floats(x)[0])
		}
	}
	t.Setenv("MLX_METAL_SANITIZER", "nothing")
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "it can be asan, tsan or msan") {
		t.Error(err)
	}
}
