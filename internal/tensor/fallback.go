package tensor

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// strictDevice: the user chose the device, so that what matters for speed must run there.
var strictDevice bool

// A Hot primitive is one that a language model's speed hangs on: when the user chose the
// device, it does not leave it.
type Hot interface{ Hot() }

// MayFallBack says whether an op that a device answered with err may run on the CPU
// instead. The first time for each op and dtype a line tells, if MLX_TRACE is 1.
func MayFallBack(p Primitive, d DType, err error) bool {
	if !errors.Is(err, ErrUnsupported) {
		return false
	}
	if _, hot := p.(Hot); hot && strictDevice {
		return false
	}
	if _, twice := fallen.LoadOrStore(p.Name()+" "+d.String(), true); !twice && os.Getenv("MLX_TRACE") == "1" {
		fmt.Fprintf(os.Stderr, "mlx: %s of %v has no kernel on the GPU and runs on the CPU\n", p.Name(), d)
	}
	return true
}

var fallen sync.Map // ops that ran on the CPU instead, by name and dtype

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

// SetStrict says whether the user chose the device: see [Hot].
func SetStrict(strict bool) { strictDevice = strict }
