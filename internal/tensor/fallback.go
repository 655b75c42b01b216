package tensor

import (
	"slices"
	"sync"
)

// hostFallback is the CPU stream that takes what other devices have no kernel for. It is
// nobody else's, so that it never waits for work that waits for it.
var hostFallback = sync.OnceValue(func() Stream { return NewStream(hostDevice) })

// fallBack runs the op on the CPU between what st was given before and what comes later.
func (o *op) fallBack(st *streamState, in, out []View) error {
	s := hostFallback()
	h, b := stateOf(s), backendOf(hostDevice)
	h.q.Wait(st.current().signal())
	bt := h.current()
	in = slices.Clone(in)
	temps, err := o.accept(b, hostDevice, h, bt, in)
	if err != nil {
		return err
	}
	if err := h.q.Encode(o.prim, in, out); err != nil {
		return err
	}
	for _, t := range temps {
		t.release()
	}
	st.q.Wait(bt.signal())
	return nil
}
