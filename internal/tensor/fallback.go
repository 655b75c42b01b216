package tensor

import "sync"

// hostFallback is the CPU stream that takes what other devices have no kernel for. It is
// nobody else's, so that it never waits for work that waits for it.
var hostFallback = sync.OnceValue(func() Stream { return NewStream(hostDevice) })

// fallBack runs the op on the CPU between what st was given before and what comes later.
func (o *op) fallBack(st *streamState, in, out []View) error {
	s := hostFallback()
	h, b := stateOf(s), backendOf(hostDevice)
	h.q.Wait(st.current().signal())
	taken := append([]View(nil), in...)
	bt := h.current()
	for i := range taken {
		if b.Accepts(o.prim, i, taken[i]) {
			continue
		}
		c, err := allocView(hostDevice, taken[i].Spec, h)
		if err != nil {
			return err
		}
		if err := h.q.Encode(Contiguous{}, []View{taken[i]}, []View{c}); err != nil {
			return err
		}
		taken[i] = c
		defer func() {
			c.Buf.touch(bt)
			c.Buf.release()
		}()
	}
	if err := h.q.Encode(o.prim, taken, out); err != nil {
		return err
	}
	st.q.Wait(bt.signal())
	return nil
}
