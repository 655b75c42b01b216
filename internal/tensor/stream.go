package tensor

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/opt"
)

// DeviceKind is cpu or gpu.
type DeviceKind uint8

// The kinds of devices.
const (
	KindCPU DeviceKind = iota
	KindGPU
)

func (k DeviceKind) String() string {
	if k == KindGPU {
		return "gpu"
	}
	return "cpu"
}

// Device is a processor. As an argument it is stream= with the device's default
// stream. It is comparable and prints as in MLX: Device(gpu, 0).
type Device struct {
	Kind  DeviceKind
	Index int
}

func (d Device) String() string { return fmt.Sprintf("Device(%v, %d)", d.Kind, d.Index) }

// Stream is a queue of work on a device. As an argument it is stream=. It may be
// used from any goroutine and prints as in MLX: Stream(Device(gpu, 0), 1).
// Stream 0 of a device is its first default stream.
type Stream struct {
	Device Device
	ID     int
	set    bool // false in the zero value, which stands for "not given"
}

func (s Stream) String() string { return fmt.Sprintf("Stream(%v, %d)", s.Device, s.ID) }

// IsSet reports whether a stream was given; the zero value means none.
func (s Stream) IsSet() bool { return s.set }

// ForOp makes a stream an argument of every op; the other families likewise.
func (s Stream) ForOp(o *opt.Set)        { o.SetStream(s) }
func (s Stream) ForCreate(o *opt.Set)    { o.SetStream(s) }
func (s Stream) ForClose(o *opt.Set)     { o.SetStream(s) }
func (s Stream) ForAxis(o *opt.Set)      { o.SetStream(s) }
func (s Stream) ForReduce(o *opt.Set)    { o.SetStream(s) }
func (s Stream) ForQuant(o *opt.Set)     { o.SetStream(s) }
func (s Stream) ForGather(o *opt.Set)    { o.SetStream(s) }
func (s Stream) ForRandom(o *opt.Set)    { o.SetStream(s) }
func (s Stream) ForAttention(o *opt.Set) { o.SetStream(s) }
func (s Stream) ForComm(o *opt.Set)      { o.SetStream(s) }

// ForOp makes a device an argument of every op; the other families likewise.
func (d Device) ForOp(o *opt.Set)        { o.SetStream(DefaultStream(d)) }
func (d Device) ForCreate(o *opt.Set)    { o.SetStream(DefaultStream(d)) }
func (d Device) ForClose(o *opt.Set)     { o.SetStream(DefaultStream(d)) }
func (d Device) ForAxis(o *opt.Set)      { o.SetStream(DefaultStream(d)) }
func (d Device) ForReduce(o *opt.Set)    { o.SetStream(DefaultStream(d)) }
func (d Device) ForQuant(o *opt.Set)     { o.SetStream(DefaultStream(d)) }
func (d Device) ForGather(o *opt.Set)    { o.SetStream(DefaultStream(d)) }
func (d Device) ForRandom(o *opt.Set)    { o.SetStream(DefaultStream(d)) }
func (d Device) ForAttention(o *opt.Set) { o.SetStream(DefaultStream(d)) }
func (d Device) ForComm(o *opt.Set)      { o.SetStream(DefaultStream(d)) }

// StreamOf is the stream that was given among an op's keywords, or the zero Stream.
func StreamOf(o *opt.Set) Stream {
	s, _ := o.Stream.(Stream)
	s.set = s != Stream{} // a literal names a stream, too
	return s
}

// OneStream is StreamOf once all keywords of op are read; it panics when one of
// them was given twice.
func OneStream(op string, o *opt.Set) Stream {
	if what := o.Twice(); what != "" {
		Throw(op, nil, "%s is given twice", what)
	}
	s := StreamOf(o)
	if s.set {
		stateOf(s) // a stream that does not exist is refused here, not by Eval
	}
	return s
}

// OnlyStream is the stream of an op that takes no other keyword.
func OnlyStream(op string, opts []opt.Op) Stream {
	var set opt.Set
	for _, o := range opts {
		o.ForOp(&set)
	}
	return OneStream(op, &set)
}

// streamState is the engine's side of a stream. Guarded by the graph lock, but
// for q's own methods Signal, Wait and Flush, which backends make safe.
type streamState struct {
	q    Queue
	open *batch // what was encoded since the last Signal
}

// A batch is what one Signal covers. ev is nil while the batch is open, and under
// the graph lock.
type batch struct {
	st     *streamState
	ev     Event
	closed atomic.Bool // ev is set for good
}

// done reports whether the work is finished, failed or not; the allocator asks
// without the graph lock.
func (b *batch) done() bool { return b == nil || b.closed.Load() && b.ev.Done() }

var streams struct {
	sync.RWMutex
	device   Device                      // the default
	defaults map[Device]Stream           // default stream of a device
	state    map[Stream]*streamState     // opened streams
	next     map[Device]int              // next stream id
	backends map[DeviceKind]registration // by kind
}

type registration struct {
	b       Backend
	devices []Device
}

// Register makes a backend available. It is called from the backend's init.
func Register(b Backend) {
	streams.Lock()
	defer streams.Unlock()
	if streams.backends == nil {
		streams.backends = map[DeviceKind]registration{}
		streams.defaults = map[Device]Stream{}
		streams.state = map[Stream]*streamState{}
		streams.next = map[Device]int{}
	}
	r := registration{b: b}
	for _, info := range b.Devices() {
		r.devices = append(r.devices, info.Device)
		streams.defaults[info.Device] = Stream{Device: info.Device, set: true}
		streams.next[info.Device] = 1
	}
	streams.backends[b.Kind()] = r
	if s, ok := b.(Sharer); ok && s.Unified() && len(r.devices) > 0 {
		unified.Store(&r.devices[0])
	}
}

// missing says why there is no backend of a kind, for messages.
var missing = map[DeviceKind]error{}

// Missing tells why devices of kind k cannot be had. It is called from init.
func Missing(k DeviceKind, why error) { missing[k] = why }

// backendOf is the backend that runs d's streams; it panics when d is not available.
func backendOf(d Device) Backend {
	streams.RLock()
	defer streams.RUnlock()
	r, ok := streams.backends[d.Kind]
	if !ok || !slices.Contains(r.devices, d) {
		if why := missing[d.Kind]; why != nil {
			Throw("device", nil, "%v is not available: %v", d, why)
		}
		Throw("device", nil, "%v is not available", d)
	}
	return r.b
}

// BackendFor is the backend of a stream, for those that prepare Plans.
func BackendFor(s Stream) Backend { return backendOf(resolve(s).Device) }

// IsAvailable is mx.is_available: ops may run on d.
func IsAvailable(d Device) bool {
	streams.RLock()
	defer streams.RUnlock()
	return slices.Contains(streams.backends[d.Kind].devices, d)
}

// Devices lists the devices of kind k.
func Devices(k DeviceKind) []Device {
	streams.RLock()
	defer streams.RUnlock()
	return slices.Clone(streams.backends[k].devices)
}

// Info is mx.device_info(d). It panics with *Error if d is not available.
func (d Device) Info() DeviceInfo {
	all := backendOf(d).Devices()
	return all[slices.IndexFunc(all, func(i DeviceInfo) bool { return i.Device == d })]
}

// DefaultDevice is where ops run that name no stream.
func DefaultDevice() Device {
	streams.RLock()
	defer streams.RUnlock()
	return streams.device
}

// SetDefaultDevice sets the default device of the process. It panics if d is not available.
func SetDefaultDevice(d Device) {
	backendOf(d)
	streams.Lock()
	defer streams.Unlock()
	streams.device = d
}

// DefaultStream is the stream that a device stands for as an argument.
func DefaultStream(d Device) Stream {
	backendOf(d)
	streams.RLock()
	defer streams.RUnlock()
	return streams.defaults[d]
}

// SetDefaultStream makes s the default stream of its device, for the process.
func SetDefaultStream(s Stream) {
	stateOf(s)
	s.set = true
	streams.Lock()
	defer streams.Unlock()
	streams.defaults[s.Device] = s
}

// NewStream opens another stream on d. It panics if d is not available.
func NewStream(d Device) Stream {
	backendOf(d)
	streams.Lock()
	s := Stream{Device: d, ID: streams.next[d], set: true}
	streams.next[d]++
	streams.Unlock()
	stateOf(s)
	return s
}

// resolve gives the default stream of the default device for the zero Stream.
func resolve(s Stream) Stream {
	if s.set {
		return s
	}
	streams.RLock()
	defer streams.RUnlock()
	return streams.defaults[streams.device]
}

// stateOf opens the backend's queue of s at first use.
func stateOf(s Stream) *streamState {
	s.set = true
	streams.RLock()
	st := streams.state[s]
	known := s.ID < streams.next[s.Device]
	streams.RUnlock()
	if st != nil {
		return st
	}
	b := backendOf(s.Device)
	if !known {
		Throw("stream", nil, "%v does not exist", s)
	}
	streams.Lock()
	defer streams.Unlock()
	if st = streams.state[s]; st != nil {
		return st
	}
	q, err := b.Open(s)
	if err != nil {
		panic(&Error{Op: "stream", Err: fmt.Errorf("%v: %w", s, err)})
	}
	st = &streamState{q: q}
	streams.state[s] = st
	return st
}

// Synchronize waits for the work of the given streams (the zero Stream stands for
// the default one), or of all, and returns the first fault.
func Synchronize(ss ...Stream) error {
	if len(ss) == 0 {
		streams.RLock()
		for s := range streams.state {
			ss = append(ss, s)
		}
		streams.RUnlock()
		slices.SortFunc(ss, func(a, b Stream) int {
			if a.Device != b.Device {
				return int(a.Device.Kind) - int(b.Device.Kind)
			}
			return a.ID - b.ID
		})
	}
	var first error
	for _, s := range ss {
		if err := commit(stateOf(resolve(s))).Wait(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// commit ends the present batch of st and gives its event.
func commit(st *streamState) Event {
	graph.Lock()
	defer graph.Unlock()
	if st.open != nil {
		return st.open.signal()
	}
	return st.q.Signal()
}

// MemorySize is the memory of the default CPU in bytes, 0 if it is not known.
func MemorySize() int64 {
	for _, info := range backendOf(hostDevice).Devices() {
		return info.MemorySize
	}
	return 0
}
