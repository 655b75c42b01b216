//go:build linux

package objcfake

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

func tell(o Object, selector string, args ...any) { Call[Void](o, Sel(selector), args...) }

func ask(o Handle, selector string, args ...any) Object {
	return Call[Object](o, Sel(selector), args...)
}

// A scene is what the planted bugs happen in: a device, a queue and a command buffer with
// an encoder, all in one pool.
type scene struct {
	r                              *Runtime
	device, queue, buffer, encoder Object
}

func newScene(r *Runtime) *scene {
	s := &scene{r: r, device: CreateSystemDefaultDevice()}
	s.queue = ask(s.device, "newCommandQueue")
	s.buffer = ask(s.queue, "commandBufferWithUnretainedReferences")
	s.encoder = ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1))
	return s
}

// finish does what a right program does.
func (s *scene) finish() {
	tell(s.encoder, "endEncoding")
	s.run()
}

func (s *scene) run() {
	tell(s.buffer, "commit")
	tell(s.buffer, "waitUntilCompleted")
	s.queue.Release()
	s.device.Release()
}

func (s *scene) memory(n uint64) Object {
	return ask(s.device, "newBufferWithLength:options:", n, uint64(modeShared|untracked))
}

// wrap makes a buffer of memory from an offset of a page on.
func (s *scene) wrap(from, n int) Object {
	p := uintptr(unsafe.Pointer(&pages[0]))
	p = (p+PageSize-1)&^(PageSize-1) + uintptr(from)
	return ask(s.device, "newBufferWithBytesNoCopy:length:options:deallocator:", p, uint64(n),
		uint64(modeShared|untracked), unsafe.Pointer(nil))
}

var pages [3 * PageSize]byte // not on Go's heap

func (s *scene) pipeline(name string) Object {
	options := ask(GetClass("MTLCompileOptions"), "new")
	tell(options, "setLanguageVersion:", uint64(language31))
	tell(options, "setMathMode:", int64(0))
	tell(options, "setMathFloatingPointFunctions:", int64(1))
	lib := ask(s.device, "newLibraryWithSource:options:error:", "kernel void "+name+"(", options, nil)
	f := ask(lib, "newFunctionWithName:", name)
	k := ask(s.device, "newComputePipelineStateWithFunction:error:", f, nil)
	for _, o := range []Object{options, lib, f} {
		o.Release()
	}
	s.r.Kernel(name, func(*Dispatch) error { return nil })
	return k
}

func (s *scene) dispatch() {
	one := Size{1, 1, 1}
	tell(s.encoder, "dispatchThreads:threadsPerThreadgroup:", one, one)
}

// onThread runs f on another thread than the caller's.
func onThread(f func()) {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread() // which ends with the goroutine
		defer close(done)
		f()
	}()
	<-done
}

func TestPlanted(t *testing.T) {
	for _, c := range []struct {
		name string
		bug  func(*scene)
		want string // in the first fault; "" for none
	}{
		{"nothing", func(s *scene) { s.finish() }, ""},
		{"leak", func(s *scene) { s.memory(16); s.finish() }, "leak: MTLBuffer of planted_test.go"},
		{"leak by a retain", func(s *scene) { s.buffer.Retain(); s.finish() }, "leak: MTLCommandBuffer"},
		{"use after release", func(s *scene) {
			m := s.memory(16)
			m.Release()
			Call[uint64](m, Sel("length"))
			s.finish()
		}, "use after release: length of a freed MTLBuffer"},
		{"argument after release", func(s *scene) {
			m := s.memory(16)
			m.Release()
			tell(s.encoder, "setBuffer:offset:atIndex:", m, uint64(0), uint64(0))
			s.finish()
		}, "use after release: argument 1"},
		{"over-release", func(s *scene) {
			m := s.memory(16)
			m.Release()
			m.Release()
			s.finish()
		}, "over-release: release of a freed MTLBuffer"},
		{"release of what the pool owns", func(s *scene) { s.finish(); s.buffer.Release() }, "over-release: an autorelease pool's drain"},
		{"wrong selector", func(s *scene) { tell(s.encoder, "endEncodings"); s.finish() }, "wrong selector: MTLComputeCommandEncoder has no endEncodings"},
		{"selector of a later macOS", func(s *scene) {
			s.r.classes["MTLDevice"].value.(*class).methods = deviceMethods(Config{System: "13.0"})
			ask(s.device, "architecture")
			s.finish()
		}, "wrong selector: MTLDevice has no architecture"},
		{"wrong type of argument", func(s *scene) { ask(s.device, "newBufferWithLength:options:", 16, uint64(0)); s.finish() },
			"wrong type: argument 1 of MTLDevice newBufferWithLength:options: is Q and gets q (int)"},
		{"wrong type of result", func(s *scene) { Call[float64](s.buffer, Sel("status")); s.finish() }, "wrong type: the result"},
		{"narrow result", func(s *scene) { Call[bool](s.device, Sel("hasUnifiedMemory")); s.finish() }, "goes into a Go bool"},
		{"object as string", func(s *scene) { _ = Call[string](s.device, Sel("architecture")); s.finish() }, "is taken as a string"},
		{"wrong count", func(s *scene) { tell(s.encoder, "memoryBarrierWithScope:"); s.finish() }, "wrong count"},
		{"nil receiver", func(s *scene) { tell(Object{}, "commit"); s.finish() }, "commit is sent to nil"},
		{"missing endEncoding", func(s *scene) { s.run() }, "missing endEncoding: commit"},
		{"two encoders", func(s *scene) { ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1)); s.finish() }, "missing endEncoding: a new encoder"},
		{"event inside of an encoder", func(s *scene) {
			e := ask(s.device, "newSharedEvent")
			tell(s.buffer, "encodeSignalEvent:value:", e, uint64(1))
			s.finish()
			e.Release()
		}, "missing endEncoding: an event"},
		{"encode after the end", func(s *scene) { tell(s.encoder, "endEncoding"); s.dispatch(); s.run() }, "a command is encoded after endEncoding"},
		{"encode after commit", func(s *scene) { s.finish(); ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1)) }, "a new encoder after the commit"},
		{"second commit", func(s *scene) {
			s.buffer.Retain()
			s.finish()
			tell(s.buffer, "commit")
			s.buffer.Release()
		}, "commit after the commit"},
		{"no pipeline", func(s *scene) { s.dispatch(); s.finish() }, "a dispatch without a pipeline"},
		{"empty grid", func(s *scene) {
			k := s.pipeline("k")
			tell(s.encoder, "setComputePipelineState:", k)
			tell(s.encoder, "dispatchThreads:threadsPerThreadgroup:", Size{0, 1, 1}, Size{1, 1, 1})
			s.finish()
			k.Release()
		}, "a dispatch of no threads"},
		{"a buffer for a pipeline", func(s *scene) {
			m := s.memory(16)
			tell(s.encoder, "setComputePipelineState:", m)
			s.finish()
			m.Release()
		}, "want MTLComputePipelineState"},
		{"too many bytes", func(s *scene) {
			b := make([]byte, 4097)
			tell(s.encoder, "setBytes:length:atIndex:", unsafe.Pointer(&b[0]), uint64(len(b)), uint64(0))
			s.finish()
		}, "setBytes of 4097 bytes"},
		{"wrapped memory that begins inside of a page", func(s *scene) { s.wrap(64, PageSize); s.finish() }, "Metal takes whole pages"},
		{"wrapped memory that ends inside of a page", func(s *scene) { s.wrap(0, PageSize+64); s.finish() }, "Metal takes whole pages"},
		{"wrapped pages", func(s *scene) { s.wrap(0, PageSize).Release(); s.finish() }, ""},
		{"fence waited for after its update", func(s *scene) {
			f := ask(s.device, "newFence")
			tell(s.encoder, "updateFence:", f)
			tell(s.encoder, "waitForFence:", f)
			s.finish()
			f.Release()
		}, "waits for the fence that it updated"},
		{"fence that none has updated", func(s *scene) {
			f := ask(s.device, "newFence")
			tell(s.encoder, "waitForFence:", f)
			s.finish()
			f.Release()
		}, "waits for a fence that none has updated"},
		{"encoders without a fence", func(s *scene) {
			k, m := s.pipeline("k"), s.memory(16)
			for i := range 2 {
				if i > 0 {
					tell(s.encoder, "endEncoding")
					s.encoder = ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1))
				}
				tell(s.encoder, "setComputePipelineState:", k)
				tell(s.encoder, "setBuffer:offset:atIndex:", m, uint64(0), uint64(0))
				s.dispatch()
			}
			s.finish()
			k.Release()
			m.Release()
		}, "use one buffer"},
		{"buffer freed before the GPU is done", func(s *scene) {
			k, m := s.pipeline("k"), s.memory(16)
			e := ask(s.device, "newSharedEvent")
			tell(s.encoder, "endEncoding")
			tell(s.buffer, "encodeWaitForEvent:value:", e, uint64(1))
			s.encoder = ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1))
			tell(s.encoder, "setComputePipelineState:", k)
			tell(s.encoder, "setBuffer:offset:atIndex:", m, uint64(0), uint64(0))
			s.dispatch()
			tell(s.encoder, "endEncoding")
			tell(s.buffer, "commit")
			m.Release()
			tell(e, "setSignaledValue:", uint64(1))
			tell(s.buffer, "waitUntilCompleted")
			for _, o := range []Object{k, e, s.queue, s.device} {
				o.Release()
			}
		}, "use after release: the dispatch of k of a freed MTLBuffer"},
		{"no language version", func(s *scene) {
			options := ask(GetClass("MTLCompileOptions"), "new")
			tell(options, "setMathMode:", int64(0))
			tell(options, "setMathFloatingPointFunctions:", int64(1))
			ask(s.device, "newLibraryWithSource:options:error:", "", options, nil).Release()
			options.Release()
			s.finish()
		}, "the language version is <nil>"},
		{"math mode of the system's choice", func(s *scene) {
			options := ask(GetClass("MTLCompileOptions"), "new")
			tell(options, "setLanguageVersion:", uint64(language31))
			ask(s.device, "newLibraryWithSource:options:error:", "", options, nil).Release()
			options.Release()
			s.finish()
		}, "the math mode"},
		{"message on a thread without a pool", func(s *scene) {
			onThread(func() { Call[uint64](s.device, Sel("maxBufferLength")) })
			s.finish()
		}, "MTLDevice maxBufferLength outside of an autorelease pool"},
		{"autoreleased on a thread without a pool", func(s *scene) {
			onThread(func() { _ = Call[string](s.device, Sel("name")) })
			s.finish()
		}, "MTLDevice name outside of an autorelease pool"},
		{"pool on the wrong thread", func(s *scene) {
			p := PushPool()
			onThread(p.Drain)
			s.finish()
		}, "is drained by thread"},
		{"pools out of order", func(s *scene) {
			outer, inner := PushPool(), PushPool()
			outer.Drain()
			inner.Drain()
			outer.Drain()
			s.finish()
		}, "not the innermost"},
		{"used after its pool was drained", func(s *scene) {
			var name Object
			WithAutoreleasePool(func() { name = ask(s.device, "name") })
			Call[uint64](name, Sel("length"))
			s.finish()
		}, "use after release: length of a freed NSString"},
		{"pool not drained", func(s *scene) { s.finish(); onThread(func() { PushPool() }) }, "were not drained"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r := Install(M3Max())
			WithAutoreleasePool(func() { c.bug(newScene(r)) })
			switch got := r.Close(); {
			case c.want == "" && len(got) > 0:
				t.Errorf("faults %q, want none", got)
			case c.want != "" && (len(got) == 0 || !strings.Contains(got[0], c.want)):
				t.Errorf("faults %q, want %q", got, c.want)
			}
		})
	}
}

// A missing fence or barrier is not a fault, but shows in the results: what nothing puts
// into order runs in another one.
func TestOrder(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	order := func(between func(s *scene, fence Object)) (swapped bool) {
		r := Install(M3Max())
		defer func() {
			if got := r.Close(); len(got) > 0 {
				t.Error(got)
			}
		}()
		WithAutoreleasePool(func() {
			var ran string
			s := newScene(r)
			fence, a, b := ask(s.device, "newFence"), s.pipeline("a"), s.pipeline("b")
			for _, name := range []string{"a", "b"} {
				r.Kernel(name, func(d *Dispatch) error { ran += d.Name; return nil })
			}
			for range 20 {
				tell(s.encoder, "setComputePipelineState:", a)
				s.dispatch()
				between(s, fence)
				tell(s.encoder, "setComputePipelineState:", b)
				s.dispatch()
				tell(s.encoder, "memoryBarrierWithScope:", uint64(1))
			}
			s.finish()
			for _, o := range []Object{fence, a, b} {
				o.Release()
			}
			swapped = strings.Contains(ran, "aa") || strings.HasPrefix(ran, "b")
		})
		return swapped
	}
	encoder := func(s *scene) {
		tell(s.encoder, "endEncoding")
		s.encoder = ask(s.buffer, "computeCommandEncoderWithDispatchType:", uint64(1))
	}
	for _, c := range []struct {
		name    string
		between func(*scene, Object)
		swapped bool
	}{
		{"nothing", func(*scene, Object) {}, true},
		{"barrier", func(s *scene, _ Object) { tell(s.encoder, "memoryBarrierWithScope:", uint64(1)) }, false},
		{"encoders", func(s *scene, _ Object) { encoder(s) }, true},
		{"encoders with a fence", func(s *scene, fence Object) {
			tell(s.encoder, "updateFence:", fence)
			encoder(s)
			tell(s.encoder, "waitForFence:", fence)
		}, false},
	} {
		if got := order(c.between); got != c.swapped {
			t.Errorf("%s: swapped %v, want %v", c.name, got, c.swapped)
		}
	}
}

func TestTwoRuntimes(t *testing.T) {
	r := Install(M3Max())
	defer r.Close()
	defer func() {
		if recover() == nil {
			t.Error("a second runtime is installed")
		}
	}()
	Install(M3Max())
}
