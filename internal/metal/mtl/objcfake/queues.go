//go:build linux

package objcfake

import (
	"fmt"
	"time"
)

// queue is the value of an MTLCommandQueue.
type queue struct {
	committed []*instance // command buffers that have not ended, in order
	working   bool        // a goroutine runs them
	residency []*instance
	recent    []*encoder // the last that ran
}

// fence is the value of an MTLFence: the encoder that updated it last.
type fence struct{ by *encoder }

// commandBuffer is the value of an MTLCommandBuffer.
type commandBuffer struct {
	queue    *instance
	status   uint64
	err      *instance
	open     *instance // the encoder in use
	steps    []step
	from, to time.Duration
}

// A step of a command buffer is an encoder, or an event to wait for or to signal.
type step struct {
	encoder *encoder
	event   *instance
	wait    bool
	value   uint64
}

func defineQueues(r *Runtime) {
	r.define("MTLCommandQueue", map[string]method{
		"commandBufferWithUnretainedReferences": {"@", func(c *call) any {
			return made{c.r.create("MTLCommandBuffer", &commandBuffer{queue: c.self})}
		}},
		"addResidencySet:": {"v@", func(c *call) any {
			q := c.self.value.(*queue)
			q.residency = append(q.residency, c.object(0))
			return nil
		}},
	}, nil)
	buf := func(c *call) *commandBuffer { return c.self.value.(*commandBuffer) }
	r.define("MTLCommandBuffer", map[string]method{
		"computeCommandEncoderWithDispatchType:": {"@Q", newEncoder},
		"encodeSignalEvent:value:":               {"v@Q", func(c *call) any { return encodeEvent(c, false) }},
		"encodeWaitForEvent:value:":              {"v@Q", func(c *call) any { return encodeEvent(c, true) }},
		"commit":                                 {"v", commit},
		"waitUntilCompleted":                     {"v", waitUntilCompleted},
		"status":                                 {"Q", func(c *call) any { return buf(c).status }},
		"GPUStartTime":                           {"d", func(c *call) any { return buf(c).from.Seconds() }},
		"GPUEndTime":                             {"d", func(c *call) any { return buf(c).to.Seconds() }},
		"error": {"@", func(c *call) any {
			if e := buf(c).err; e != nil {
				return e
			}
			return nil
		}},
	}, nil).dealloc = func(r *Runtime, o *instance) {
		b := o.value.(*commandBuffer)
		if b.err != nil {
			r.release(b.err, "a command buffer's dealloc")
		}
	}
	defineEncoder(r)
}

// encodable reports a command buffer that takes no commands now.
func encodable(c *call, what string) bool {
	b := c.self.value.(*commandBuffer)
	switch {
	case b.status != statusNotEnqueued:
		c.fault("%s after the commit of its command buffer", what)
	case b.open != nil:
		c.fault("missing endEncoding: %s while an encoder of the command buffer is open", what)
	default:
		return true
	}
	return false
}

func encodeEvent(c *call, wait bool) any {
	if encodable(c, "an event is encoded") {
		b := c.self.value.(*commandBuffer)
		b.steps = append(b.steps, step{event: c.object(0), wait: wait, value: c.uint(1)})
	}
	return nil
}

func commit(c *call) any {
	if !encodable(c, "commit") {
		return nil
	}
	b := c.self.value.(*commandBuffer)
	b.status = statusCommitted
	c.r.retain(c.self) // Metal keeps it until it has run
	q := b.queue.value.(*queue)
	q.committed = append(q.committed, c.self)
	if !q.working {
		q.working = true
		c.r.gpus.Go(func() { c.r.run(q) })
	}
	return nil
}

func waitUntilCompleted(c *call) any {
	b := c.self.value.(*commandBuffer)
	if b.status == statusNotEnqueued {
		c.fault("waitUntilCompleted on a command buffer that was not committed")
		return nil
	}
	for b.status == statusCommitted && !c.r.closed {
		c.r.changed.Wait()
	}
	return nil
}

// run is the GPU at work on a queue: it ends when there is nothing to do.
func (r *Runtime) run(q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(q.committed) > 0 {
		o := q.committed[0]
		b := o.value.(*commandBuffer)
		begin := time.Now()
		err := r.runBuffer(b)
		b.from, b.to = time.Second, time.Second+max(time.Since(begin), 1)
		b.status = statusCompleted
		if err != nil {
			b.status, b.err = statusError, r.newError(bufferDomain, 1, err.Error())
		}
		q.committed = q.committed[1:]
		r.release(o, "the end of a command buffer")
		r.changed.Broadcast()
	}
	q.working = false
}

// runBuffer runs the steps of a command buffer. Encoders that no fence or event puts into
// order run in a random one.
func (r *Runtime) runBuffer(b *commandBuffer) error {
	var free []*encoder
	flush := func() error {
		r.rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		for _, e := range free {
			if err := r.runEncoder(e); err != nil {
				return err
			}
		}
		free = nil
		return nil
	}
	for _, s := range b.steps {
		if s.encoder == nil || s.encoder.waited != nil {
			if err := flush(); err != nil {
				return err
			}
		}
		if s.encoder != nil {
			r.checkOrder(b.queue.value.(*queue), s.encoder)
			free = append(free, s.encoder)
		} else if err := r.runEvent(s); err != nil {
			return err
		}
	}
	return flush()
}

func (r *Runtime) runEvent(s step) error {
	if !r.alive(s.event, "an event of a committed command buffer") {
		return fmt.Errorf("an event is gone")
	}
	v := s.event.value.(*uint64)
	if !s.wait {
		*v = s.value
		r.changed.Broadcast()
		return nil
	}
	for *v < s.value && !r.closed {
		r.changed.Wait()
	}
	if *v < s.value {
		return fmt.Errorf("caused GPU timeout error: an event is %d and never became %d", *v, s.value)
	}
	return nil
}
