//go:build (darwin && cgo) || linux

package mtl

import (
	"fmt"
	"slices"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// residency keeps buffers in memory that the GPU reaches, up to a limit, with an
// MTLResidencySet, which macOS has from 15 on; before, it does nothing.
type residency struct {
	set objc.Object // nil before macOS 15

	mu     sync.Mutex
	limit  int64
	bytes  int64             // in the set
	wired  map[*buffer]int64 // in the set, with their sizes
	others []*buffer         // not in the set, oldest first
}

func newResidency(d *device) (*residency, error) {
	r := &residency{wired: map[*buffer]int64{}}
	if !responds(d.object, "newResidencySetWithDescriptor:error:") {
		return r, nil
	}
	descriptor := newObject("MTLResidencySetDescriptor")
	defer release(descriptor)
	tell(descriptor, "setLabel:", "mlx")
	e := new(errorOut)
	r.set = ask(d.object, "newResidencySetWithDescriptor:error:", descriptor, e.arg())
	if r.set.IsNil() {
		return nil, fmt.Errorf("the GPU driver makes no residency set: %s", e.text("no reason given"))
	}
	return r, nil
}

// SetWiredLimit keeps up to that many bytes of buffers resident: those that exist and
// those to come, in order. Before macOS 15 it has no effect.
func (d *device) SetWiredLimit(bytes int64) error {
	if bytes < 0 || bytes > d.info.WorkingSet {
		return fmt.Errorf("a wired limit of %d bytes: the GPU's working set is 0 to %d", bytes, d.info.WorkingSet)
	}
	pooled(func() { d.residency.resize(bytes) })
	return nil
}

// resize changes the limit and moves buffers in or out.
func (r *residency) resize(limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
	if r.set.IsNil() {
		return
	}
	changed := false
	for b, n := range r.wired {
		if r.bytes <= limit {
			break
		}
		tell(r.set, "removeAllocation:", b.object)
		delete(r.wired, b)
		r.bytes -= n
		r.others = append(r.others, b)
		changed = true
	}
	r.others = slices.DeleteFunc(r.others, func(b *buffer) bool {
		in := r.put(b)
		changed = changed || in
		return in
	})
	if changed {
		r.commit()
	}
}

// put adds a buffer to the set if there is room.
func (r *residency) put(b *buffer) bool {
	n := int64(call[uint64](b.object, "allocatedSize"))
	if r.bytes+n > r.limit {
		return false
	}
	tell(r.set, "addAllocation:", b.object)
	r.wired[b] = n
	r.bytes += n
	return true
}

// commit makes changes of the set count.
func (r *residency) commit() {
	tell(r.set, "commit")
	if len(r.wired) > 0 {
		tell(r.set, "requestResidency")
	} else {
		tell(r.set, "endResidency")
	}
}

// add takes a new buffer into account.
func (r *residency) add(b *buffer) {
	if r.set.IsNil() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit > 0 && r.put(b) {
		r.commit()
	} else {
		r.others = append(r.others, b)
	}
}

// remove forgets a buffer that is to be released.
func (r *residency) remove(b *buffer) {
	if r.set.IsNil() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n, wired := r.wired[b]
	if !wired {
		r.others = slices.DeleteFunc(r.others, func(o *buffer) bool { return o == b })
		return
	}
	tell(r.set, "removeAllocation:", b.object)
	delete(r.wired, b)
	r.bytes -= n
	r.commit()
}

// attach makes the set count for a queue.
func (r *residency) attach(queue objc.Object) {
	if !r.set.IsNil() {
		tell(queue, "addResidencySet:", r.set)
	}
}

func (r *residency) release() { pooled(func() { release(r.set) }) }
