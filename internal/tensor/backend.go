package tensor

// A Primitive is one operation with its parameters: a comparable value, so that
// common subexpressions and compile caches are ==. It infers, it never runs:
// backends switch on its type.
type Primitive interface {
	// Name is the op's name in MLX's words, for messages and printed graphs.
	Name() string
	// Infer gives the specs of the results, or what is wrong with the inputs.
	Infer(in []Spec) ([]Spec, error)
}

// What a primitive may also know.
type (
	// A Viewer's result shares memory with its first input when it can; ok is
	// false when the layout forbids it, and then a kernel copies.
	Viewer interface {
		View(in View) (out View, ok bool)
	}
	// A Reuser may write its first result over input Reuse(), index by index.
	Reuser interface{ Reuse() int }
	// A Fallible op may fail for the values of its inputs. It begins a batch, since what a
	// batch that fails computed before is lost.
	Fallible interface{ MayFail() bool }
	// A Caller runs a whole Program, bound to its inputs and then its results, all
	// row-major.
	Caller interface{ Program() Program }
	// An Elementwise op computes each index from the same index of inputs of
	// equal shapes.
	Elementwise interface{ Elementwise() }
)

// DeviceInfo is what a backend knows of a device (mx.device_info).
type DeviceInfo struct {
	Device       Device
	Name         string // as the maker calls it; empty for the CPU
	Architecture string
	MemorySize   int64 // bytes

	// Of a GPU, 0 otherwise.
	MaxBufferLength              int64 // bytes of the largest array
	MaxRecommendedWorkingSetSize int64 // bytes that arrays should take at most
	ResourceLimit                int   // buffers at a time
}

// A Backend runs primitives on the devices of one kind.
type Backend interface {
	Kind() DeviceKind
	Devices() []DeviceInfo
	// Alloc gives off-heap memory of at least size bytes, zeroed or not.
	Alloc(d Device, size int) (Memory, error)
	// Accepts says whether input i of p may have this layout; if not, the
	// evaluator and the planner insert a row-major copy.
	Accepts(p Primitive, i int, v View) bool
	// Open gives the queue of a stream. It is called once per stream.
	Open(s Stream) (Queue, error)
	Planner
}

// A Sharer is a Backend whose memory the host and the other devices can use as their own.
type Sharer interface{ Unified() bool }

// Memory is a range of device memory off the Go heap. Host is nil if the host
// cannot reach it.
type Memory interface {
	Size() int
	Host() []byte
	Release()
}

// A Queue is a backend's side of a stream. Encode checks, picks a kernel and
// enqueues; it never blocks, and it keeps the views as they are: kernels read
// them when they run. ErrUnsupported says that there is no kernel. Encode, Wait
// and Signal are called under the graph lock, Flush from anywhere.
type Queue interface {
	// Encode adds work; outputs are allocated, kernels only fill.
	Encode(p Primitive, in, out []View) error
	// Signal ends the present batch and gives the event of its end.
	Signal() Event
	// Wait makes later work of this queue start after e.
	Wait(e Event)
	// Flush makes sure that signalled work proceeds without a waiter.
	Flush()
}

// An Event fires when a batch has ended. Wait blocks until then and returns the
// batch's fault; it may be called from any goroutine, any number of times.
type Event interface {
	Done() bool
	Wait() error
}

// A Planner turns a Plan into a Program once: kernels picked, scratch sized,
// pointers laid out.
type Planner interface {
	Prepare(*Plan) (Program, error)
}

// A Program replays a Plan. Run binds inputs, states and outputs, row-major and
// in this order, and runs after what the Plan's stream was given before. It is
// safe for concurrent use, and allocates nothing once warm. The bound memory
// must stay reachable until the event fires.
type Program interface {
	Run(bind []View) (Event, error)
}

// Dispatcher is a Program that can run without its kernels, so that what they are
// started with can be measured: Dispatch does everything else that Run does between
// the threads, and says how many kernels and barriers there are.
type Dispatcher interface {
	Dispatch() (kernels, barriers int, err error)
}
