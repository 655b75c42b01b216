//go:build linux

package objcfake

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Config is the machine that a [Runtime] plays.
type Config struct {
	System       string // version of macOS, as 15.1
	Device       string // name of the GPU; "" for a machine without one
	Architecture string // as applegpu_g15s
	OwnMemory    bool   // the GPU has memory of its own, as on Intel
	NoDefault    bool   // the device is only in the list of all devices, as in a remote login
	Capture      bool   // MTL_CAPTURE_ENABLED is 1
	Memory       uint64 // of the machine, in bytes
	MaxBuffer    uint64
	WorkingSet   uint64
	MaxThreads   uint64 // of each pipeline
	SIMDWidth    uint64
}

// M3Max is a machine of 2023 with macOS 15.
func M3Max() Config {
	return Config{
		System: "15.1", Device: "Apple M3 Max", Architecture: "applegpu_g15s",
		Memory: 64 << 30, MaxBuffer: 36 << 30, WorkingSet: 48 << 30, MaxThreads: 1024, SIMDWidth: 32,
	}
}

// major is the first number of the version of macOS.
func (c Config) major() (n int) {
	fmt.Sscanf(c.System, "%d", &n)
	return n
}

// A Runtime is a process with its objects. One at a time is in use.
type Runtime struct {
	config Config

	mu       sync.Mutex // holds for all below and for all objects
	changed  *sync.Cond // an event, a command buffer or closed changed
	classes  map[string]*instance
	live     map[uintptr]*instance // by address; freed ones too, so that none is reused
	pools    map[int][]*Pool       // by thread, the innermost last
	faults   []string
	messages []string
	kernels  map[string]func(*Dispatch) error
	compiler Compiler // nil if kernels are Go functions
	rng      *rand.Rand
	closed   bool
	device   *instance
	gpus     sync.WaitGroup // goroutines of queues
}

var current atomic.Pointer[Runtime]

// Install makes a runtime the one in use until Close.
func Install(c Config) *Runtime {
	r := &Runtime{
		config:  c,
		classes: map[string]*instance{},
		live:    map[uintptr]*instance{},
		pools:   map[int][]*Pool{},
		kernels: map[string]func(*Dispatch) error{},
		rng:     rand.New(rand.NewPCG(1, 2)),
	}
	r.changed = sync.NewCond(&r.mu)
	for _, define := range []func(*Runtime){defineFoundation, defineMetal, defineQueues, defineResidency, defineCapture} {
		define(r)
	}
	if !current.CompareAndSwap(nil, r) {
		panic("objcfake: a runtime is in use")
	}
	return r
}

// Close ends the runtime and lists what was wrong: the faults, then the objects that were
// not freed.
func (r *Runtime) Close() []string {
	r.mu.Lock()
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
	r.gpus.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for thread, stack := range r.pools {
		if len(stack) > 0 {
			r.fault("%d autorelease pools of thread %d were not drained", len(stack), thread)
		}
	}
	all := slices.Clone(r.faults)
	var leaks []string
	for _, o := range r.live {
		if !o.freed && !o.immortal {
			leaks = append(leaks, fmt.Sprintf("leak: %s of %s has %d references", o.class.name, o.born, o.refs))
		}
	}
	slices.Sort(leaks)
	current.CompareAndSwap(r, nil)
	return append(all, leaks...)
}

// Faults are those so far.
func (r *Runtime) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// keptMessages is how many messages are kept at least.
const keptMessages = 1 << 16

// Messages are the messages sent so far, or the last of very many, as "MTLSharedEvent setSignaledValue: 1".
func (r *Runtime) Messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Kernel makes f the kernel of that name. An error of f is one of its command buffer.
func (r *Runtime) Kernel(name string, f func(*Dispatch) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kernels[name] = f
}

// runtimeInUse panics where Apple's runtime would always be there: a test forgot Install.
func runtimeInUse() *Runtime {
	r := current.Load()
	if r == nil {
		panic("objcfake: no runtime: call Install first")
	}
	return r
}

// fault notes what is wrong and where in the caller's code.
func (r *Runtime) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...)+" ("+caller()+")")
}

// caller is the innermost line outside of this package and of objc, whose names lead here.
func caller() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		inside := strings.Contains(f.Function, "/mtl/objcfake.") || strings.Contains(f.Function, "/mtl/objc.")
		if f.Function != "" && !inside || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return "the device"
		}
	}
}

// An instance is an object.
type instance struct {
	class    *class
	refs     int
	immortal bool // a class or a singleton of the system
	freed    bool
	born     string // the line that made it
	died     string // the line that freed it
	value    any    // what the class keeps
}

// A class has the methods of its instances. What every object has is not among them.
type class struct {
	name    string
	methods map[string]method
	fresh   func() any // what new and alloc put into value; nil if they do not exist
	dealloc func(*Runtime, *instance)
}

// A method's function runs with the runtime's lock held.
type method struct {
	signature string // of the result and the arguments
	do        func(*call) any
}

// define adds a class: own are the methods of the class object itself.
func (r *Runtime) define(name string, methods, own map[string]method) *class {
	c := &class{name: name, methods: methods}
	meta := &class{name: name + " class", methods: own}
	r.classes[name] = r.keep(&instance{class: meta, refs: 1, immortal: true, value: c})
	return c
}

// keep registers an object by its address.
func (r *Runtime) keep(o *instance) *instance {
	r.live[uintptr(unsafe.Pointer(o))] = o
	return o
}

// create makes an object with one reference.
func (r *Runtime) create(className string, value any) *instance {
	c := r.classes[className].value.(*class)
	return r.keep(&instance{class: c, refs: 1, born: caller(), value: value})
}

// alive reports a message to an object that is not there any more.
func (r *Runtime) alive(o *instance, doing string) bool {
	if o.freed {
		r.fault("use after release: %s of a freed %s (made by %s, freed by %s)", doing, o.class.name, o.born, o.died)
	}
	return !o.freed
}

func (r *Runtime) retain(o *instance) {
	if r.alive(o, "retain") {
		o.refs++
	}
}

// release takes a reference; by says who gives it up.
func (r *Runtime) release(o *instance, by string) {
	switch {
	case o.immortal:
	case o.freed:
		r.fault("over-release: %s of a freed %s (made by %s, freed by %s)", by, o.class.name, o.born, o.died)
	default:
		if o.refs--; o.refs == 0 {
			o.freed, o.died = true, caller()
			if o.class.dealloc != nil {
				o.class.dealloc(r, o)
			}
		}
	}
}
