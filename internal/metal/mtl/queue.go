//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// Constants of Metal's headers.
const (
	dispatchConcurrent = uint64(1) // MTLDispatchTypeConcurrent
	statusError        = uint64(5) // MTLCommandBufferStatusError
	errorMemory        = int64(8)  // MTLCommandBufferErrorOutOfMemory
)

// inFlight is how many command buffers may be committed and not done: as many as Metal's
// queues have.
const inFlight = 64

// queue is a gpu.Queue over an MTLCommandQueue. Between commits it has a command buffer,
// and in it an encoder for dispatches, which run concurrently but for barriers. As buffers
// are not tracked, encoders would overlap as well: each waits for the fence that the one
// before it has updated.
type queue struct {
	reference
	device  *device
	fence   objc.Object
	fenced  bool        // an encoder has updated the fence
	buffer  objc.Object // nil until something is encoded
	encoder objc.Object // nil but while dispatches are encoded
	ran     bool        // the encoder has a dispatch since its last barrier
	tape    objc.Tape   // dispatches that the encoder does not have yet
	signals []signal    // of the command buffer
	pending chan commit
	ended   chan struct{}
}

// A commit is a command buffer on its way.
type commit struct {
	buffer  objc.Object
	signals []signal
	done    func(error, float64)
}

// A signal is an event that a command buffer gives a value.
type signal struct {
	event *event
	value uint64
}

// NewQueue makes a queue, with a goroutine that waits for its command buffers.
func (d *device) NewQueue() (gpu.Queue, error) {
	q := &queue{device: d, pending: make(chan commit, inFlight), ended: make(chan struct{})}
	pooled(func() {
		q.object = ask(d.object, "newCommandQueue")
		q.fence = ask(d.object, "newFence")
		if !q.object.IsNil() {
			d.residency.attach(q.object)
		}
	})
	if q.object.IsNil() || q.fence.IsNil() {
		pooled(func() { release(q.object); release(q.fence) })
		return nil, errors.New("the GPU driver makes no command queue")
	}
	go q.wait()
	return q, nil
}

// Encode adds commands. If one of them is wrong none is added.
func (q *queue) Encode(cmds []gpu.Cmd) error {
	if q.released.Load() {
		return fmt.Errorf("the queue %w", errReleased)
	}
	for i := range cmds {
		if err := q.check(&cmds[i]); err != nil {
			return fmt.Errorf("command %d: %w", i, err)
		}
	}
	var err error
	pooled(func() { err = q.encode(cmds) })
	return err
}

func (q *queue) encode(cmds []gpu.Cmd) error {
	for i := range cmds {
		var err error
		switch c := &cmds[i]; c.Op {
		case gpu.Run:
			q.run(c)
		case gpu.Barrier:
			q.barrier()
		case gpu.Wait:
			err = q.event("encodeWaitForEvent:value:", c)
		case gpu.Signal:
			err = q.event("encodeSignalEvent:value:", c)
		}
		if err != nil {
			return err
		}
	}
	return q.flush()
}

// run puts a dispatch on the tape.
func (q *queue) run(c *gpu.Cmd) {
	q.ran = true
	q.tape.Run(c.Kernel.(*kernel).object, len(c.Args), len(c.Threadgroup), c.Grid, c.Group)
	for _, a := range c.Args {
		switch {
		case a.Buffer != nil:
			q.tape.Buffer(a.Buffer.(*buffer).object, a.Offset)
		case len(a.Bytes) > 0:
			q.tape.Bytes(a.Bytes)
		default:
			q.tape.None()
		}
	}
	for _, n := range c.Threadgroup {
		q.tape.Length(roundUp(n))
	}
}

// barrier needs nothing where an encoder begins: there it waits for the fence.
func (q *queue) barrier() {
	if q.ran {
		q.tape.Barrier()
		q.ran = false
	}
}

// event encodes a wait or a signal, which stand between encoders.
func (q *queue) event(selector string, c *gpu.Cmd) error {
	if err := q.flush(); err != nil {
		return err
	}
	q.endEncoder()
	if err := q.openBuffer(); err != nil {
		return err
	}
	e := c.Event.(*event)
	tell(q.buffer, selector, e.object, c.Value)
	if c.Op == gpu.Signal {
		q.signals = append(q.signals, signal{e, c.Value})
	}
	return nil
}

// flush hands the tape to the encoder.
func (q *queue) flush() error {
	if q.tape.Empty() {
		return nil
	}
	defer q.tape.Reset()
	if err := q.openEncoder(); err != nil {
		return err
	}
	objc.Encode(q.encoder, &q.tape)
	return nil
}

// openBuffer makes sure of a command buffer. It is autoreleased, and to outlive the pool.
func (q *queue) openBuffer() error {
	if !q.buffer.IsNil() {
		return nil
	}
	b := ask(q.object, "commandBufferWithUnretainedReferences")
	if b.IsNil() {
		return errors.New("the GPU driver makes no command buffer")
	}
	q.buffer = b.Retain()
	return nil
}

// openEncoder makes sure of an encoder, which begins when the one before it is done.
func (q *queue) openEncoder() error {
	if !q.encoder.IsNil() {
		return nil
	}
	if err := q.openBuffer(); err != nil {
		return err
	}
	e := ask(q.buffer, "computeCommandEncoderWithDispatchType:", dispatchConcurrent)
	if e.IsNil() {
		return errors.New("the GPU driver makes no compute encoder")
	}
	q.encoder = e.Retain()
	if q.fenced {
		tell(q.encoder, "waitForFence:", q.fence)
	}
	return nil
}

// endEncoder ends the encoder, if there is one.
func (q *queue) endEncoder() {
	if q.encoder.IsNil() {
		return
	}
	tell(q.encoder, "updateFence:", q.fence)
	tell(q.encoder, "endEncoding")
	q.encoder.Release()
	q.encoder = objc.Object{}
	q.fenced, q.ran = true, false
}

// Commit starts what was encoded, be it nothing. It waits while 64 commits are not done.
func (q *queue) Commit(done func(err error, seconds float64)) {
	var err error
	var b objc.Object
	pooled(func() {
		if err = q.openBuffer(); err != nil {
			return
		}
		q.endEncoder()
		tell(q.buffer, "commit")
		b, q.buffer = q.buffer, objc.Object{}
	})
	if err != nil {
		failed := err
		after := done
		done = func(error, float64) { after(failed, 0) }
	}
	q.pending <- commit{b, q.signals, done}
	q.signals = nil
}

// wait waits for command buffers, in order. Completion handlers would be blocks, and
// darwinkit's read freed memory when they die.
func (q *queue) wait() {
	defer close(q.ended)
	for c := range q.pending {
		var err error
		var seconds float64
		pooled(func() { seconds, err = finish(c.buffer) })
		if err != nil {
			c.signal()
		}
		c.done(err, seconds)
	}
}

// signal does what a failed command buffer may have left undone, for those who wait.
func (c commit) signal() {
	for _, s := range c.signals {
		if s.event.Value() < s.value {
			s.event.Set(s.value)
		}
	}
}

// finish waits for a command buffer and gives it up.
func finish(b objc.Object) (seconds float64, err error) {
	defer release(b)
	tell(b, "waitUntilCompleted")
	if call[uint64](b, "status") == statusError {
		err = commandError(ask(b, "error"))
	}
	return call[float64](b, "GPUEndTime") - call[float64](b, "GPUStartTime"), err
}

// commandError is the error of a command buffer.
func commandError(object objc.Object) error {
	e := &errorOut{object}
	text := e.text("no reason given")
	if call[int64](object, "code") == errorMemory {
		return fmt.Errorf("the GPU ran out of memory: %s", text)
	}
	return fmt.Errorf("the GPU failed: %s", text)
}

// Release waits for what was committed and gives the queue up. What was encoded since is
// dropped.
func (q *queue) Release() {
	if q.released.Swap(true) {
		return
	}
	close(q.pending)
	<-q.ended
	pooled(func() {
		q.endEncoder() // an encoder may not die before
		release(q.buffer)
		release(q.fence)
		release(q.object)
	})
}
