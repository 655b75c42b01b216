package metal

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A hostStep is a step of a Program that has no kernel here: the CPU runs it, in the
// same memory, as a Program of its own whose states are all buffers as bytes.
type hostStep struct{ prog tensor.Program }

// addHost prepares a step for the CPU.
func (g *program) addHost(e *encoder, s tensor.Step) error {
	stream := e.b.hostStream()
	cpu := tensor.BackendFor(stream)
	for i, x := range s.In {
		if !cpu.Accepts(s.Prim, i, View{Spec: x.Spec, Strides: x.Strides}) {
			return fmt.Errorf("%w, and the CPU needs a copy of input %d", tensor.ErrUnsupported, i)
		}
	}
	p := &tensor.Plan{Stream: stream, Const: g.plan.Const, Keep: g.plan.Keep, State: []tensor.Spec{bytesSpec(len(g.arena.Host()))}}
	for _, spec := range g.specs {
		p.State = append(p.State, bytesSpec(spec.Bytes()))
	}
	p.Steps = []tensor.Step{{Prim: s.Prim, In: g.states(s.In), Out: g.states(s.Out)}}
	prog, err := cpu.Prepare(p)
	if err != nil {
		return err
	}
	e.hz.clear()
	e.cmds = append(e.cmds, command{host: &hostStep{prog}})
	return nil
}

func bytesSpec(n int) tensor.Spec { return tensor.Spec{Shape: tensor.Shape{n}, DType: dtype.Uint8} }

// states are slots as slots of states: the cells, in their order.
func (g *program) states(slots []tensor.Slot) []tensor.Slot {
	out := slices.Clone(slots)
	for i, s := range out {
		if s.Kind != tensor.SlotConst {
			out[i].Kind, out[i].Index = tensor.SlotState, g.cell(s)
		}
	}
	return out
}

// enqueue makes the host run the step when all that the queue was given is done, and the
// queue go on after it.
func (h *hostStep) enqueue(q *queue, g *program, bind []View) {
	q.commit()
	before := q.last
	views := []View{tensor.RowMajorView(bytesSpec(len(g.arena.Host())), g.arena)}
	for i := range bind {
		v := tensor.RowMajorView(bytesSpec(bind[i].Spec.Bytes()), bind[i].Buf)
		v.Offset = bind[i].Offset
		views = append(views, v)
	}
	q.open()
	q.onHost(func() error {
		<-before.done
		if before.err != nil {
			return before.err
		}
		e, err := h.prog.Run(views)
		if err != nil {
			return err
		}
		return e.Wait()
	}, q.batch)
}
