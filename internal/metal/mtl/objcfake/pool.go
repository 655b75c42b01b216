//go:build linux

package objcfake

import "fmt"

// A Pool is an autorelease pool. It belongs to the thread that made it.
type Pool struct {
	r       *Runtime
	thread  int
	objects []*instance
}

// PushPool opens a pool on this thread.
func PushPool() *Pool {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &Pool{r: r, thread: thread()}
	r.pools[p.thread] = append(r.pools[p.thread], p)
	return p
}

// Drain closes a pool and releases its objects.
func (p *Pool) Drain() {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if here := thread(); here != p.thread {
		r.fault("an autorelease pool of thread %d is drained by thread %d", p.thread, here)
	}
	stack := r.pools[p.thread]
	if len(stack) == 0 || stack[len(stack)-1] != p {
		r.fault("an autorelease pool is drained that is not the innermost of its thread")
		return
	}
	r.pools[p.thread] = stack[:len(stack)-1]
	for _, o := range p.objects {
		r.release(o, "an autorelease pool's drain")
	}
}

// WithAutoreleasePool runs task in a pool of its own.
func WithAutoreleasePool(task func()) {
	p := PushPool()
	defer p.Drain()
	task()
}

// pool is the innermost pool of this thread, or nil.
func (r *Runtime) pool() *Pool {
	stack := r.pools[thread()]
	if len(stack) == 0 {
		return nil
	}
	return stack[len(stack)-1]
}

// pooled reports a message that is sent where nobody would free what it autoreleases.
func (r *Runtime) pooled(what string) {
	if r.pool() == nil {
		r.fault("%s outside of an autorelease pool of thread %d", what, thread())
	}
}

// autorelease leaves a reference to the pool of this thread.
func (r *Runtime) autorelease(o *instance) {
	if p := r.pool(); p != nil {
		p.objects = append(p.objects, o)
		return
	}
	r.fault("%s is autoreleased on thread %d, which has no pool: it leaks", describe(o), thread())
}

func describe(o *instance) string {
	if o == nil {
		return "nil"
	}
	return fmt.Sprintf("%s of %s", o.class.name, o.born)
}
