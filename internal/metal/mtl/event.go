//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// event is a gpu.Event over an MTLSharedEvent.
type event struct{ reference }

// NewEvent gives an event with the value 0.
func (d *device) NewEvent() (gpu.Event, error) {
	e := &event{}
	pooled(func() { e.object = ask(d.object, "newSharedEvent") })
	if e.object.IsNil() {
		return nil, errors.New("the GPU driver makes no event")
	}
	return e, nil
}

// Value is what the event has reached.
func (e *event) Value() (v uint64) {
	pooled(func() { v = call[uint64](e.object, "signaledValue") })
	return v
}

// Set raises the value from the host.
func (e *event) Set(v uint64) {
	pooled(func() { tell(e.object, "setSignaledValue:", v) })
}
