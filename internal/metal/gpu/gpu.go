// Package gpu is the seam between the Metal backend and what runs its kernels: [Device],
// [Library], [Kernel], [Buffer], [Queue] and [Event]. All that can be decided without a
// Mac (hazards, barriers, when to commit, memory) is above it; below it are mtl, Apple's
// API, and emu, which runs the same Metal source on the CPU.
//
// It knows no arrays.
package gpu

import "errors"

// ErrCompile is wrapped by errors of [Device.Compile] that the source is to blame for: the
// text has the compiler's messages with lines of the source that was given.
var ErrCompile = errors.New("the kernel does not compile")

// Info is what a device says about itself. Sizes are bytes.
type Info struct {
	Name         string // Apple M3 Max
	Architecture string // applegpu_g15s
	Generation   int    // of the GPU, from the architecture: 13 is M1, 17 is M5; 0 if unknown
	Tier         byte   // last letter of the architecture: g base, s Max, d Ultra, p phone; 0 if unknown
	Memory       int64  // of the machine
	MaxBuffer    int64  // the largest buffer
	WorkingSet   int64  // what the GPU should use at most
	PageSize     int    // of memory
	System       string // macOS 15.1; "" if unknown
	MSL          string // version of the language, "3.1"
	Emulated     bool   // runs on the CPU
}

// A Buffer is memory that host and GPU share. Its hazards are nobody's but the caller's.
type Buffer interface {
	// Host is the memory as the host sees it; of a buffer that Wrap made, what was wrapped.
	Host() []byte
	Release()
}

// A Const is the value of a function constant: bool, int32, uint32 or float32.
type Const struct {
	Index int
	Value any
}

// A Kernel is a function that can be dispatched.
type Kernel interface {
	Name() string
	// MaxThreads is how many threads a threadgroup may have at most: fewer than 1024
	// when the kernel needs many registers.
	MaxThreads() int
	Release()
}

// A Library is compiled source.
type Library interface {
	// Kernel gives the function of that host name, specialized to constants.
	Kernel(name string, consts ...Const) (Kernel, error)
	Release()
}

// Math says how freely floating-point code may be changed.
type Math uint8

// The modes of MTLMathMode.
const (
	Safe Math = iota
	Relaxed
	Fast
)

// An Arg is a kernel's argument: a buffer from Offset on, or at most 4 KiB of bytes, which
// Encode copies. A zero Arg binds nothing.
type Arg struct {
	Buffer Buffer
	Offset int
	Bytes  []byte
}

// MaxBytes is how many bytes an [Arg] may carry itself.
const MaxBytes = 4096

// Op is what a [Cmd] does.
type Op uint8

// The commands of a queue.
const (
	Run     Op = iota // a dispatch
	Barrier           // all earlier dispatches of this queue end before later ones begin
	Wait              // later work begins when the event has reached the value
	Signal            // the event gets the value when all earlier work is done
)

// A Cmd is one command.
type Cmd struct {
	Op          Op
	Kernel      Kernel
	Args        []Arg
	Threadgroup []int  // lengths of [[threadgroup(i)]] memory, in bytes
	Grid        [3]int // in threads; kernels bound their own indices when it is no multiple of Group
	Group       [3]int // threads of a threadgroup
	Event       Event
	Value       uint64
}

// An Event is a counter that queues and the host wait for and set; it only grows.
type Event interface {
	Value() uint64
	Set(uint64)
	Release()
}

// A Queue runs commands in order of its Barriers. It is used by one goroutine at a time.
type Queue interface {
	// Encode adds commands. Buffers and kernels must live until the commit that takes
	// them has called done.
	Encode([]Cmd) error
	// Commit starts what was encoded. done runs on a goroutine of the queue's own, in the
	// order of commits, with the error of a failed dispatch and the seconds that the GPU
	// was busy.
	Commit(done func(err error, seconds float64))
	Release()
}

// A Device makes the others. Its methods may be called from any goroutine.
type Device interface {
	Info() Info
	// NewBuffer gives zeroed memory of at least n bytes.
	NewBuffer(n int) (Buffer, error)
	// Wrap makes a buffer of host memory outside of Go's heap, without a copy. The memory
	// begins at that offset of the buffer: a device that takes whole pages takes those
	// that mem lies in. They must outlive the buffer.
	Wrap(mem []byte) (buf Buffer, offset int, err error)
	// Compile compiles Metal source. name is for messages.
	Compile(name, source string, math Math) (Library, error)
	NewQueue() (Queue, error)
	NewEvent() (Event, error)
	// SetWiredLimit keeps up to that many bytes of buffers resident, where the system can.
	SetWiredLimit(bytes int64) error
	// StartCapture writes what the GPU does into a new .gputrace file until StopCapture.
	StartCapture(path string) error
	StopCapture() error
}
