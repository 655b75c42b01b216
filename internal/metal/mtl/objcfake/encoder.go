//go:build linux

package objcfake

import (
	"fmt"
	"maps"
	"unsafe"
)

// Limits of Metal.
const (
	maxBytes    = 4096
	maxBindings = 31
)

// encoder is the value of an MTLComputeCommandEncoder.
type encoder struct {
	buffer   *commandBuffer
	born     string
	ended    bool
	waited   *fence
	after    []*encoder // those that fences make it wait for
	updated  *fence
	pipeline *instance
	bound    map[uint64]binding
	memory   map[uint64]uint64
	commands []*dispatch // nil is a barrier
}

// A binding is what an index of the argument table holds.
type binding struct {
	buffer *instance // or
	bytes  []byte
	offset uint64
}

// A dispatch is what an encoder keeps of one.
type dispatch struct {
	pipeline    *instance
	bound       map[uint64]binding
	memory      map[uint64]uint64
	grid, group Size
}

// A Dispatch is what a kernel sees.
type Dispatch struct {
	Name        string
	Args        map[int][]byte // by index: buffers from the offset on, and bytes
	Threadgroup map[int]int    // lengths of threadgroup memory
	Constants   map[int]any
	Grid, Group [3]int
}

func newEncoder(c *call) any {
	if !encodable(c, "a new encoder") {
		return nil
	}
	if c.uint(0) != 1 {
		c.fault("the dispatch type is %d, not concurrent", c.uint(0))
	}
	b := c.self.value.(*commandBuffer)
	e := &encoder{buffer: b, born: caller(), bound: map[uint64]binding{}, memory: map[uint64]uint64{}}
	o := c.r.create("MTLComputeCommandEncoder", e)
	b.open = o
	b.steps = append(b.steps, step{encoder: e})
	return made{o}
}

func defineEncoder(r *Runtime) {
	// encoding is a method of an encoder that has not ended.
	encoding := func(signature string, do func(*call, *encoder)) method {
		return method{signature, func(c *call) any {
			if e := c.self.value.(*encoder); e.ended {
				c.fault("a command is encoded after endEncoding")
			} else {
				do(c, e)
			}
			return nil
		}}
	}
	r.define("MTLComputeCommandEncoder", map[string]method{
		"setComputePipelineState:":               encoding("v@", setPipeline),
		"setBuffer:offset:atIndex:":              encoding("v@QQ", setBuffer),
		"setBytes:length:atIndex:":               encoding("v^QQ", setBytes),
		"setThreadgroupMemoryLength:atIndex:":    encoding("vQQ", setMemory),
		"dispatchThreads:threadsPerThreadgroup:": encoding("vSS", dispatchThreads),
		"memoryBarrierWithScope:":                encoding("vQ", barrier),
		"waitForFence:":                          encoding("v@", waitForFence),
		"updateFence:":                           encoding("v@", updateFence),
		"endEncoding":                            encoding("v", endEncoding),
	}, nil).dealloc = func(r *Runtime, o *instance) {
		if !o.value.(*encoder).ended {
			r.fault("missing endEncoding: an encoder made by %s is freed before it ended", o.born)
		}
	}
}

// wants reports an argument that is of another class.
func (c *call) wants(i int, className string) bool {
	o := c.object(i)
	if o == nil || o.class.name != className {
		c.fault("argument %d is %s: want %s", i+1, describe(o), className)
		return false
	}
	return true
}

func setPipeline(c *call, e *encoder) {
	if c.wants(0, "MTLComputePipelineState") {
		e.pipeline = c.object(0)
	}
}

func setBuffer(c *call, e *encoder) {
	if !c.wants(0, "MTLBuffer") || !indexed(c, c.uint(2)) {
		return
	}
	if n := len(bufferOf(c.object(0)).mem); c.uint(1) >= uint64(n) {
		c.fault("a buffer of %d bytes is bound at offset %d", n, c.uint(1))
		return
	}
	e.bound[c.uint(2)] = binding{buffer: c.object(0), offset: c.uint(1)}
}

func setBytes(c *call, e *encoder) {
	p, n := c.pointer(0), c.uint(1)
	if p == nil || n == 0 || n > maxBytes {
		c.fault("setBytes of %d bytes at %p: Metal takes 1 to %d", n, p, maxBytes)
		return
	}
	if indexed(c, c.uint(2)) {
		e.bound[c.uint(2)] = binding{bytes: append([]byte(nil), unsafe.Slice((*byte)(p), n)...)}
	}
}

func indexed(c *call, i uint64) bool {
	if i >= maxBindings {
		c.fault("index %d of the argument table: Metal has %d", i, maxBindings)
	}
	return i < maxBindings
}

func setMemory(c *call, e *encoder) {
	if n := c.uint(0); n%16 != 0 {
		c.fault("threadgroup memory of %d bytes: want a multiple of 16", n)
	}
	e.memory[c.uint(1)] = c.uint(0)
}

func dispatchThreads(c *call, e *encoder) {
	grid, group := c.size(0), c.size(1)
	total := group.Width * group.Height * group.Depth
	switch {
	case e.pipeline == nil:
		c.fault("a dispatch without a pipeline")
	case grid.Width*grid.Height*grid.Depth == 0 || total == 0:
		c.fault("a dispatch of no threads: grid %v, threadgroup %v", grid, group)
	case total > c.r.maxThreads(e.pipeline):
		c.fault("a threadgroup of %d threads: the pipeline takes %d", total, c.r.maxThreads(e.pipeline))
	default:
		e.commands = append(e.commands, &dispatch{e.pipeline, maps.Clone(e.bound), maps.Clone(e.memory), grid, group})
	}
}

func barrier(c *call, e *encoder) {
	if c.uint(0) != 1 {
		c.fault("the scope of a barrier is %d, not buffers", c.uint(0))
	}
	e.commands = append(e.commands, nil)
}

func waitForFence(c *call, e *encoder) {
	switch f := c.object(0).value.(*fence); {
	case e.updated == f:
		c.fault("an encoder waits for the fence that it updated")
	case f.by == nil:
		c.fault("an encoder waits for a fence that none has updated")
	default:
		e.waited = f
		e.after = append(e.after, f.by)
	}
}

func updateFence(c *call, e *encoder) {
	e.updated = c.object(0).value.(*fence)
	e.updated.by = e
}

func endEncoding(_ *call, e *encoder) {
	e.ended = true
	e.buffer.open = nil
}

// waitsFor says whether fences make an encoder wait for another.
func (e *encoder) waitsFor(other *encoder) bool {
	for _, a := range e.after {
		if a == other || a.waitsFor(other) {
			return true
		}
	}
	return false
}

// shares gives a buffer that both encoders use.
func (e *encoder) shares(other *encoder) *instance {
	used := map[*instance]bool{}
	for _, d := range other.commands {
		if d != nil {
			for _, b := range d.bound {
				used[b.buffer] = true
			}
		}
	}
	for _, d := range e.commands {
		if d != nil {
			for _, b := range d.bound {
				if b.buffer != nil && used[b.buffer] {
					return b.buffer
				}
			}
		}
	}
	return nil
}

// checkOrder reports an encoder that may overlap an earlier one of its queue which uses the
// same buffer.
func (r *Runtime) checkOrder(q *queue, e *encoder) {
	for _, earlier := range q.recent {
		if b := e.shares(earlier); b != nil && !e.waitsFor(earlier) {
			r.fault("the encoders of %s and %s use one buffer (of %s) and no fence orders them", earlier.born, e.born, b.born)
		}
	}
	q.recent = append(q.recent, e)
	if n := len(q.recent); n > 8 {
		for _, old := range q.recent[:n-8] {
			old.commands, old.after = nil, nil
		}
		q.recent = q.recent[n-8:]
	}
}

// runEncoder runs the dispatches between barriers in a random order.
func (r *Runtime) runEncoder(e *encoder) error {
	for rest := e.commands; len(rest) > 0; {
		n := 0
		for n < len(rest) && rest[n] != nil {
			n++
		}
		for _, i := range r.rng.Perm(n) {
			if err := r.runDispatch(rest[i]); err != nil {
				return err
			}
		}
		rest = rest[min(n+1, len(rest)):]
	}
	return nil
}

// runDispatch calls the kernel, without the lock as kernels may ask the runtime.
func (r *Runtime) runDispatch(d *dispatch) error {
	f := d.pipeline.value.(*function)
	if !r.alive(d.pipeline, "the dispatch of "+f.name) {
		return fmt.Errorf("the pipeline of %s is gone", f.name)
	}
	seen := &Dispatch{
		Name: f.name, Args: map[int][]byte{}, Threadgroup: map[int]int{}, Constants: map[int]any{},
		Grid: triple(d.grid), Group: triple(d.group),
	}
	for i, b := range d.bound {
		switch {
		case b.buffer == nil:
			seen.Args[int(i)] = b.bytes
		case !r.alive(b.buffer, "the dispatch of "+f.name):
			return fmt.Errorf("buffer %d of %s is gone", i, f.name)
		default:
			seen.Args[int(i)] = bufferOf(b.buffer).mem[b.offset:]
		}
	}
	for i, n := range d.memory {
		seen.Threadgroup[int(i)] = int(n)
	}
	for i, v := range f.constants {
		seen.Constants[int(i)] = v
	}
	kernel := r.kernels[f.name]
	if f.code != nil {
		kernel = f.code.Run
	}
	if kernel == nil {
		r.fault("the kernel %s has no Go function", f.name)
		return fmt.Errorf("no kernel %s", f.name)
	}
	r.mu.Unlock()
	defer r.mu.Lock()
	return kernel(seen)
}

func triple(s Size) [3]int { return [3]int{int(s.Width), int(s.Height), int(s.Depth)} }
