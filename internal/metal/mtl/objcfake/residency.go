//go:build linux

package objcfake

import "slices"

// residency is the value of an MTLResidencySet.
type residency struct {
	members   []*instance // as committed
	pending   []*instance
	requested bool
}

func newResidencySet(c *call) any {
	return made{c.r.create("MTLResidencySet", &residency{})}
}

func defineResidency(r *Runtime) {
	if r.config.major() < 15 {
		return
	}
	set := func(c *call) *residency { return c.self.value.(*residency) }
	r.define("MTLResidencySetDescriptor", map[string]method{
		"setInitialCapacity:": {"vQ", func(*call) any { return nil }},
		"setLabel:":           {"v@", func(*call) any { return nil }},
	}, nil).fresh = func() any { return nil }
	r.define("MTLResidencySet", map[string]method{
		"addAllocation:": {"v@", func(c *call) any {
			s := set(c)
			s.pending = append(s.pending, c.object(0))
			c.r.retain(c.object(0))
			return nil
		}},
		"removeAllocation:": {"v@", func(c *call) any {
			s := set(c)
			i := slices.Index(s.pending, c.object(0))
			if i < 0 {
				c.fault("an allocation is removed from a residency set that does not have it")
				return nil
			}
			s.pending = slices.Delete(s.pending, i, i+1)
			c.r.release(c.object(0), "a residency set's removal")
			return nil
		}},
		"commit": {"v", func(c *call) any {
			set(c).members = slices.Clone(set(c).pending)
			return nil
		}},
		"requestResidency": {"v", func(c *call) any { set(c).requested = true; return nil }},
		"endResidency":     {"v", func(c *call) any { set(c).requested = false; return nil }},
		"allocationCount":  {"Q", func(c *call) any { return uint64(len(set(c).members)) }},
	}, nil).dealloc = func(r *Runtime, o *instance) {
		for _, m := range o.value.(*residency).pending {
			r.release(m, "a residency set's dealloc")
		}
	}
}

// Resident is how many bytes of buffers are in residency sets whose residency was asked for.
func (r *Runtime) Resident() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.live {
		if s, ok := o.value.(*residency); ok && !o.freed && s.requested {
			for _, m := range s.members {
				n += len(bufferOf(m).mem)
			}
		}
	}
	return n
}
