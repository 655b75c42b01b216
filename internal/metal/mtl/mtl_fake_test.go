//go:build linux

package mtl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl/objcfake"
)

// machine installs a fake one and opens its device. When the test ends all is released, and
// there may be no fault and no leak.
func machine(t *testing.T, c objcfake.Config) (*objcfake.Runtime, *device) {
	t.Helper()
	r := install(t, c)
	d := ok(Open())(t).(*device)
	t.Cleanup(d.Release) // before install's
	return r, d
}

func install(t *testing.T, c objcfake.Config) *objcfake.Runtime {
	t.Helper()
	r := objcfake.Install(c)
	r.Kernel("scale", scale)
	t.Cleanup(func() {
		for _, fault := range r.Close() {
			t.Error(fault)
		}
	})
	return r
}

// scale is the kernel of scaleSource.
func scale(d *objcfake.Dispatch) error {
	f, add := d.Constants[0].(float32), math.Float32frombits(binary.NativeEndian.Uint32(d.Args[2]))
	if d.Constants[1].(bool) {
		f, add = -f, -add
	}
	for i := range d.Grid[0] {
		x := math.Float32frombits(binary.NativeEndian.Uint32(d.Args[0][4*i:]))
		binary.NativeEndian.PutUint32(d.Args[1][4*i:], math.Float32bits(f*x+add))
	}
	return nil
}

func TestFlow(t *testing.T) {
	old := objcfake.M3Max()
	old.System = "14.5"
	remote := objcfake.M3Max()
	remote.NoDefault = true
	for name, c := range map[string]objcfake.Config{"macOS 15": objcfake.M3Max(), "macOS 14": old, "no default device": remote} {
		t.Run(name, func(t *testing.T) {
			_, d := machine(t, c)
			if err := d.SetWiredLimit(1 << 20); err != nil {
				t.Fatal(err)
			}
			flow(t, d)
		})
	}
}

func TestInfo(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	want := gpu.Info{
		Name: "Apple M3 Max", Architecture: "applegpu_g15s", Generation: 15, Tier: 's', Memory: 64 << 30,
		MaxBuffer: 36 << 30, WorkingSet: 48 << 30, PageSize: 16384, System: "macOS 15.1", MSL: "3.1",
	}
	if d.Info() != want {
		t.Errorf("%+v, want %+v", d.Info(), want)
	}
	for name, want := range map[string]struct {
		n    int
		tier byte
	}{
		"applegpu_g13g": {13, 'g'}, "applegpu_g17p": {17, 'p'}, "applegpu_g100d": {100, 'd'},
		"applegpu_gs": {}, "applegpu_g": {}, "applegpu_g-1s": {}, "paravirtual": {}, "": {},
	} {
		if n, tier := generation(name); n != want.n || tier != want.tier {
			t.Errorf("%q is of generation %d, tier %q", name, n, tier)
		}
	}
	if got := systemName("版本15.1.1（版号24B91）"); got != "macOS 15.1.1" {
		t.Errorf("version %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(*objcfake.Config)
		want   string
	}{
		{func(c *objcfake.Config) { c.Device = "" }, "this machine has no Metal device"},
		{func(c *objcfake.Config) { c.Device, c.OwnMemory = "AMD Radeon Pro 5500M", true },
			"the GPU AMD Radeon Pro 5500M has memory of its own: Metal is supported on Apple silicon"},
		{func(c *objcfake.Config) { c.System = "13.6" }, "this is macOS 13.6: Metal is supported from macOS 14 on"},
	} {
		t.Run(c.want, func(t *testing.T) {
			config := objcfake.M3Max()
			c.change(&config)
			install(t, config)
			if d, err := Open(); d != nil || err == nil || err.Error() != c.want {
				t.Errorf("%v, error %v, want %s", d, err, c.want)
			}
		})
	}
}

func TestBuffers(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	empty := ok(d.NewBuffer(0))(t)
	defer empty.Release()
	if len(empty.Host()) != 0 {
		t.Errorf("an empty buffer has %d bytes", len(empty.Host()))
	}
	for n, want := range map[int]string{
		-1: "a buffer of -1 bytes", 40 << 30: "the GPU takes 0 to", 20 << 30: "no memory",
	} {
		if b, err := d.NewBuffer(n); b != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: error %v, want %s", n, err, want)
		}
	}
}

// mapping is n bytes outside of Go's heap that begin at a page's border.
func mapping(t *testing.T, n int) []byte {
	t.Helper()
	all, err := unix.Mmap(-1, 0, n+pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	// The machine's pages may be smaller.
	return all[-uintptr(unsafe.Pointer(&all[0]))%uintptr(pageSize):][:n]
}

// Metal gets whole pages, which the fake checks, whatever the memory's place in them.
func TestWrap(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	pages := mapping(t, 4*pageSize)
	for _, c := range []struct{ from, n, offset, length int }{
		{0, 2 * pageSize, 0, 2 * pageSize},
		{0, 400, 0, pageSize},
		{pageSize, 400, 0, pageSize},
		{pageSize + 4, pageSize - 4, 4, pageSize},
		{pageSize + 4, pageSize, 4, 2 * pageSize},
		{2*pageSize - 4, 400, pageSize - 4, 2 * pageSize},
		{3*pageSize + 8, pageSize - 8, 8, pageSize},
	} {
		mem := pages[c.from:][:c.n]
		before := len(r.Messages())
		b, offset, err := d.Wrap(mem)
		if err != nil || offset != c.offset {
			t.Fatalf("%d bytes from %d on: offset %d, error %v; want offset %d", c.n, c.from, offset, err, c.offset)
		}
		if h := b.Host(); &h[0] != &mem[0] || len(h) != c.n {
			t.Errorf("%d bytes from %d on: the host sees others", c.n, c.from)
		}
		if said, want := strings.Join(r.Messages()[before:], "\n"), fmt.Sprintf(" %d ", c.length); !strings.Contains(said, want) {
			t.Errorf("%d bytes from %d on: want a buffer of %d bytes in %s", c.n, c.from, c.length, said)
		}
		b.Release()
		b.Release() // does nothing
	}
	if _, _, err := d.Wrap(nil); err == nil {
		t.Error("no memory is wrapped")
	}
	if _, _, err := d.Wrap(unsafe.Slice(&pages[0], 36<<30+1)); err == nil || !strings.Contains(err.Error(), "takes buffers of up to") {
		t.Errorf("too much is wrapped: %v", err)
	}
}

// A kernel reads and writes wrapped memory from the offset on.
func TestWrappedRuns(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 1)
	defer s.release()
	n := 4 * s.n
	for _, from := range []int{0, 4, pageSize - 8, pageSize + 12} {
		mem := mapping(t, 3*pageSize)[from:][:n]
		b, offset, err := d.Wrap(mem)
		if err != nil {
			t.Fatal(err)
		}
		c := s.step(0, 0, 1)
		c.Args[1] = gpu.Arg{Buffer: b, Offset: offset}
		if err := s.queue.Encode([]gpu.Cmd{c}); err != nil {
			t.Fatal(err)
		}
		if _, err := commitAndWait(s.queue); err != nil {
			t.Fatal(err)
		}
		s.buffers = append(s.buffers, b)
		s.want(t, len(s.buffers)-1, 2, 1)
	}
}

// Metal says what it compiles, and the device says how.
func TestCompile(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	for _, m := range []gpu.Math{gpu.Safe, gpu.Relaxed, gpu.Fast} {
		lib := ok(d.Compile("scale", scaleSource, m))(t)
		k := ok(lib.Kernel("scale"))(t)
		lib.Release() // before its kernel
		k.Release()
		if _, err := lib.Kernel("scale"); err == nil {
			t.Error("a released library gives a kernel")
		}
	}
	lib := ok(d.Compile("x", "kernel void refused(", gpu.Safe))(t)
	defer lib.Release()
	for _, c := range []struct {
		name   string
		consts []gpu.Const
		want   string
	}{
		{"refused", nil, "kernel refused of x: the GPU driver makes no pipeline: Compiler encountered an internal error"},
		{"a\x00b", nil, "has a zero byte"},
		{"nosuch", []gpu.Const{{Index: 0, Value: true}}, "Function nosuch was not found"},
		{"refused", []gpu.Const{{Index: 0, Value: 1}}, "function constant 0 is a int: want bool, int32, uint32 or float32"},
		{"refused", []gpu.Const{{Index: -1, Value: true}}, "function constant -1"},
	} {
		if k, err := lib.Kernel(c.name, c.consts...); k != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %s", c.name, c.consts, err, c.want)
		}
	}
	for _, source := range []string{"a\x00b", "a\xffb"} {
		if _, err := d.Compile("x", source, gpu.Safe); err == nil || errors.Is(err, gpu.ErrCompile) {
			t.Errorf("source %q: %v", source, err)
		}
	}
}

func TestOtherSIMDWidth(t *testing.T) {
	c := objcfake.M3Max()
	c.SIMDWidth = 64
	_, d := machine(t, c)
	lib := ok(d.Compile("scale", scaleSource, gpu.Safe))(t)
	defer lib.Release()
	if _, err := lib.Kernel("scale"); err == nil || !strings.Contains(err.Error(), "64 threads") {
		t.Errorf("error %v", err)
	}
}

func TestConstants(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	defer s.release()
	k := ok(s.library.Kernel("scale", gpu.Const{Index: 0, Value: float32(0.5)}, gpu.Const{Index: 1, Value: true},
		gpu.Const{Index: 2, Value: int32(-3)}, gpu.Const{Index: 3, Value: uint32(4e9)}))(t)
	defer k.Release()
	var seen *objcfake.Dispatch
	r.Kernel("scale", func(d *objcfake.Dispatch) error { seen = d; return nil })
	c := s.step(0, 1, 1)
	c.Kernel = k
	c.Threadgroup = []int{100, 64}
	c.Grid, c.Group = [3]int{5, 6, 7}, [3]int{4, 2, 1}
	c.Args = append([]gpu.Arg{{}, {Bytes: []byte("123456789")}, {Buffer: s.buffers[1], Offset: 396}}, c.Args...)
	if err := s.queue.Encode([]gpu.Cmd{c}); err != nil {
		t.Fatal(err)
	}
	if _, err := commitAndWait(s.queue); err != nil {
		t.Fatal(err)
	}
	for i, want := range []any{float32(0.5), true, int32(-3), uint32(4e9)} {
		if seen.Constants[i] != want {
			t.Errorf("constant %d is %v, want %v", i, seen.Constants[i], want)
		}
	}
	_, bound := seen.Args[0]
	if seen.Grid != c.Grid || seen.Group != c.Group || seen.Threadgroup[0] != 112 || seen.Threadgroup[1] != 64 ||
		bound || string(seen.Args[1]) != "123456789" || len(seen.Args[2]) != 4 || len(seen.Args[3]) != 400 {
		t.Errorf("the kernel sees %+v", seen)
	}
}

// Wrong commands are refused before anything is encoded.
func TestEncodeRefuses(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	defer s.release()
	gone := ok(d.NewBuffer(4))(t)
	gone.Release()
	goneKernel := ok(s.library.Kernel("scale"))(t)
	goneKernel.Release()
	goneEvent := ok(d.NewEvent())(t)
	goneEvent.Release()
	run := func(change func(*gpu.Cmd)) gpu.Cmd {
		c := s.step(0, 1, 1)
		change(&c)
		return c
	}
	before := len(r.Messages())
	for _, c := range []struct {
		cmd  gpu.Cmd
		want string
	}{
		{gpu.Cmd{Op: 9}, "there is no command 9"},
		{gpu.Cmd{Op: gpu.Wait}, "the event is a <nil>"},
		{gpu.Cmd{Op: gpu.Signal, Event: goneEvent}, "the event was released"},
		{gpu.Cmd{Op: gpu.Run}, "the kernel is a <nil>"},
		{run(func(c *gpu.Cmd) { c.Kernel = goneKernel }), "kernel scale was released"},
		{run(func(c *gpu.Cmd) { c.Grid[0] = 0 }), "each number must be 1 or more"},
		{run(func(c *gpu.Cmd) { c.Group[2] = -1 }), "each number must be 1 or more"},
		{run(func(c *gpu.Cmd) { c.Group = [3]int{32, 33, 1} }), "threadgroups of [32 33 1] threads: at most 1024"},
		{run(func(c *gpu.Cmd) { c.Group = [3]int{1 << 40, 1 << 40, 1 << 40} }), "at most 1024"},
		{run(func(c *gpu.Cmd) { c.Threadgroup = []int{0} }), "threadgroup memory 0 has 0 bytes"},
		{run(func(c *gpu.Cmd) { c.Threadgroup = []int{32768, 16} }), "32784 bytes of threadgroup memory: the GPU has 32768"},
		{run(func(c *gpu.Cmd) { c.Args = make([]gpu.Arg, 32) }), "32 arguments: Metal takes 31"},
		{run(func(c *gpu.Cmd) { c.Args[2].Bytes = make([]byte, 4097) }), "argument 2: 4097 bytes: at most 4096"},
		{run(func(c *gpu.Cmd) { c.Args[0].Bytes = []byte{1} }), "argument 0: a buffer and bytes are given"},
		{run(func(c *gpu.Cmd) { c.Args[0].Offset = 400 }), "argument 0: offset 400 of a buffer of 400 bytes"},
		{run(func(c *gpu.Cmd) { c.Args[1].Buffer = gone }), "argument 1: the buffer was released"},
	} {
		err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1), c.cmd})
		if err == nil || !strings.Contains(err.Error(), "command 1: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	if n := len(r.Messages()); n != before {
		t.Errorf("%d messages were sent", n-before)
	}
}

// An error of the GPU is that of its commit, and the queue goes on.
func TestGPUError(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	defer s.release()
	e := ok(d.NewEvent())(t)
	defer e.Release()
	r.Kernel("scale", func(*objcfake.Dispatch) error { return errors.New("Caused GPU Hang Error") })
	if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1), {Op: gpu.Signal, Event: e, Value: 3}}); err != nil {
		t.Fatal(err)
	}
	if _, err := commitAndWait(s.queue); err == nil || err.Error() != "the GPU failed: Caused GPU Hang Error" {
		t.Errorf("error %v", err)
	}
	if e.Value() != 3 {
		t.Errorf("the event is %d: who waits for it waits for ever", e.Value())
	}
	r.Kernel("scale", scale)
	if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := commitAndWait(s.queue); err != nil {
		t.Error(err)
	}
	s.want(t, 1, 2, 1)
}

// A barrier holds across commits and events, where encoders end.
func TestBarrierAcrossEncoders(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	defer s.release()
	e := ok(d.NewEvent())(t)
	defer e.Release()
	ended := make(chan error, 50)
	for i := range 50 { // each doubles and adds 1, back and forth
		x, y := i%2, 1-i%2
		cmds := []gpu.Cmd{{Op: gpu.Barrier}, s.step(x, y, 1)}
		if i%3 == 0 {
			cmds = append(cmds, gpu.Cmd{Op: gpu.Signal, Event: e, Value: uint64(i)})
		}
		for j := range floats(s.buffers[x]) { // small numbers stay exact
			if i == 0 {
				floats(s.buffers[x])[j] = -1
			}
		}
		if err := s.queue.Encode(cmds); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 {
			s.queue.Commit(func(err error, _ float64) { ended <- err })
		}
	}
	for range 10 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	s.want(t, 0, 0, -1) // the fixed point of 2 x + 1
}

// Done is called in the order of commits.
func TestDoneInOrder(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	defer s.release()
	ran := 0
	r.Kernel("scale", func(*objcfake.Dispatch) error { ran++; return nil })
	var order []int
	var wait sync.WaitGroup
	for i := range 200 { // more than may be in flight
		if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1)}); err != nil {
			t.Fatal(err)
		}
		wait.Add(1)
		s.queue.Commit(func(error, float64) { order = append(order, i); wait.Done() })
	}
	wait.Wait()
	if ran != 200 || len(order) != 200 {
		t.Errorf("%d dispatches and %d commits of 200", ran, len(order))
	}
	for i, got := range order {
		if got != i {
			t.Fatalf("commit %d is done as number %d", got, i)
		}
	}
}

// What was encoded and not committed is dropped without harm.
func TestReleaseOfBusyQueue(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	s := newScene(t, d, 2)
	if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	s.release()
	s.queue.Release()
	if err := s.queue.Encode([]gpu.Cmd{{Op: gpu.Barrier}}); err == nil {
		t.Error("a released queue takes commands")
	}
}

func TestWiredLimit(t *testing.T) {
	r, d := machine(t, objcfake.M3Max())
	page := pageSize
	var buffers []gpu.Buffer
	add := func(n int) {
		buffers = append(buffers, ok(d.NewBuffer(n))(t))
	}
	resident := func(what string, want int) {
		t.Helper()
		if got := r.Resident(); got != want {
			t.Errorf("%s: %d bytes are resident, want %d", what, got, want)
		}
	}
	limit := func(n int) {
		t.Helper()
		if err := d.SetWiredLimit(int64(n)); err != nil {
			t.Fatal(err)
		}
	}
	add(page)
	resident("no limit", 0)
	limit(3 * page)
	resident("the buffer that was there", page)
	add(2 * page)
	resident("one that fits", 3*page)
	add(page)
	resident("one that does not", 3*page)
	buffers[0].Release()
	resident("one is gone", 2*page)
	limit(4 * page)
	resident("room for all", 3*page)
	limit(0)
	resident("no limit again", 0)
	for _, b := range buffers {
		b.Release()
	}
	for _, n := range []int64{-1, 49 << 30} {
		if err := d.SetWiredLimit(n); err == nil {
			t.Errorf("a limit of %d is taken", n)
		}
	}
}

func TestCapture(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.gputrace")
	t.Run("not enabled", func(t *testing.T) {
		_, d := machine(t, objcfake.M3Max())
		if err := d.StartCapture(path); err == nil || !strings.Contains(err.Error(), "MTL_CAPTURE_ENABLED=1") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("enabled", func(t *testing.T) {
		c := objcfake.M3Max()
		c.Capture = true
		_, d := machine(t, c)
		if err := d.StopCapture(); err == nil {
			t.Error("nothing is stopped")
		}
		if err := d.StartCapture(path); err != nil {
			t.Fatal(err)
		}
		if err := d.StartCapture(filepath.Join(dir, "b.gputrace")); err == nil || !strings.Contains(err.Error(), "in progress") {
			t.Errorf("error %v", err)
		}
		if err := d.StopCapture(); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{path, filepath.Join(dir, "b.trace"), filepath.Join(dir, "no", "b.gputrace")} {
			if err := d.StartCapture(bad); err == nil {
				t.Errorf("%s is written", bad)
			}
		}
	})
}

// All methods of the device may be called by many goroutines.
func TestConcurrent(t *testing.T) {
	_, d := machine(t, objcfake.M3Max())
	if err := d.SetWiredLimit(1 << 20); err != nil {
		t.Fatal(err)
	}
	t.Run("all", func(t *testing.T) {
		for range 8 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				s := newScene(t, d, 2)
				defer s.release()
				for range 20 {
					if err := s.queue.Encode([]gpu.Cmd{s.step(0, 1, 1)}); err != nil {
						t.Fatal(err)
					}
					if _, err := commitAndWait(s.queue); err != nil {
						t.Fatal(err)
					}
				}
				s.want(t, 1, 2, 1)
			})
		}
	})
}
