package distributed

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The collectives as primitives. Their last input and result are tokens, see
// tensor.Effectful.
type (
	// AllReduce joins x over all processes.
	AllReduce struct {
		*Comm
		Op ReduceOp
	}
	// AllGather is the x of all processes along axis 0.
	AllGather struct{ *Comm }
	// ReduceScatter is this process's part of axis 0 of x joined over all processes.
	ReduceScatter struct {
		*Comm
		Op ReduceOp
	}
	// Send is x, which goes to another process.
	Send struct {
		*Comm
		To int
	}
	// Recv is what another process sends. It has no input but the token.
	Recv struct {
		*Comm
		From  int
		DType dtype.DType
		Shape tensor.Ints
	}
	// Barrier is one byte, there when all processes have come here.
	Barrier struct{ *Comm }
)

// A Runner is a collective as a kernel runs it: in and out are row-major elements,
// without those of the tokens.
type Runner interface {
	tensor.Effectful
	Run(d dtype.DType, in, out []byte) error
}

// Name is the op's name.
func (p AllReduce) Name() string { return "all_" + p.Op.String() }

// Name is the op's name.
func (AllGather) Name() string { return "all_gather" }

// Name is the op's name.
func (p ReduceScatter) Name() string { return p.Op.String() + "_scatter" }

// Name is the op's name.
func (Send) Name() string { return "send" }

// Name is the op's name.
func (Recv) Name() string { return "recv" }

// Name is the op's name.
func (Barrier) Name() string { return "barrier" }

// Infer keeps the spec.
func (p AllReduce) Infer(in []Spec) ([]Spec, error) { return tensor.WithToken(in[0]), nil }

// Infer multiplies axis 0; scalars make a vector.
func (p AllGather) Infer(in []Spec) ([]Spec, error) {
	s := Spec{Shape: slices.Clone(in[0].Shape), DType: in[0].DType}
	if len(s.Shape) == 0 {
		s.Shape = tensor.Shape{1}
	}
	s.Shape[0] *= p.Size()
	return tensor.WithToken(s), nil
}

// Infer divides axis 0.
func (p ReduceScatter) Infer(in []Spec) ([]Spec, error) {
	s := Spec{Shape: slices.Clone(in[0].Shape), DType: in[0].DType}
	if len(s.Shape) == 0 {
		return nil, errors.New("a scalar has no axis to scatter")
	}
	if s.Shape[0]%p.Size() != 0 {
		return nil, fmt.Errorf("axis 0 has size %d, which %d processes do not divide", s.Shape[0], p.Size())
	}
	s.Shape[0] /= p.Size()
	return tensor.WithToken(s), nil
}

// Infer keeps the spec.
func (p Send) Infer(in []Spec) ([]Spec, error) {
	return tensor.WithToken(in[0]), p.peer(p.To, "sent to")
}

// Infer gives the spec asked for.
func (p Recv) Infer([]Spec) ([]Spec, error) {
	return tensor.WithToken(Spec{Shape: p.Shape.List(), DType: p.DType}), p.peer(p.From, "received from")
}

// Infer gives a byte.
func (Barrier) Infer([]Spec) ([]Spec, error) {
	return tensor.WithToken(Spec{Shape: tensor.Shape{1}, DType: dtype.Uint8}), nil
}

// peer refuses ranks that there are not.
func (c *Comm) peer(rank int, what string) error {
	switch {
	case c.Size() == 1:
		return errors.New("the group has one process: there is nobody to talk to")
	case rank < 0 || rank >= c.Size():
		return fmt.Errorf("rank %d is none of the group's 0 to %d", rank, c.Size()-1)
	case rank == c.Rank():
		return fmt.Errorf("nothing can be %s the process itself, rank %d", what, rank)
	}
	return nil
}

// Reuse lets the result take the memory of x.
func (AllReduce) Reuse() int { return 0 }

// Reuse lets the result take the memory of x.
func (Send) Reuse() int { return 0 }

// Run joins in place.
func (p AllReduce) Run(d dtype.DType, in, out []byte) error {
	copyTo(out, in)
	return p.run(func() error { return p.group.AllReduce(p.Op, d, out) })
}

// Run gathers.
func (p AllGather) Run(d dtype.DType, in, out []byte) error {
	return p.run(func() error { return p.group.AllGather(d, in, out) })
}

// Run joins and scatters.
func (p ReduceScatter) Run(d dtype.DType, in, out []byte) error {
	return p.run(func() error { return p.group.ReduceScatter(p.Op, d, in, out) })
}

// Run sends in, and keeps it.
func (p Send) Run(d dtype.DType, in, out []byte) error {
	copyTo(out, in)
	return p.run(func() error { return p.group.Send(d, out, p.To) })
}

// Run receives.
func (p Recv) Run(d dtype.DType, _, out []byte) error {
	return p.run(func() error { return p.group.Recv(d, out, p.From) })
}

// Run waits for all.
func (p Barrier) Run(_ dtype.DType, _, out []byte) error {
	out[0] = 0
	return p.run(p.group.Barrier)
}

// copyTo copies unless both are the same memory.
func copyTo(out, in []byte) {
	if &out[0] != &in[0] {
		copy(out, in)
	}
}

// on is the stream that was given, or the communication stream.
func (c *Comm) on(s Stream) Stream {
	if s.IsSet() {
		return s
	}
	return c.Stream()
}

func (c *Comm) apply(p Runner, s Stream, in ...*Array) *Array {
	return tensor.ApplyInOrder(p, c.on(s), in...)[0]
}

// AllReduceOf is x joined over all processes; in a group of one it is x.
func (c *Comm) AllReduceOf(op ReduceOp, x *Array, s Stream) *Array {
	if c.Size() == 1 {
		return x
	}
	return c.apply(AllReduce{c, op}, s, x)
}

// AllGatherOf is the x of all processes along axis 0; in a group of one it is x.
func (c *Comm) AllGatherOf(x *Array, s Stream) *Array {
	if c.Size() == 1 {
		return x
	}
	return c.apply(AllGather{c}, s, x)
}

// ReduceScatterOf is this process's part of axis 0 of x joined over all processes; in
// a group of one it is x.
func (c *Comm) ReduceScatterOf(op ReduceOp, x *Array, s Stream) *Array {
	if c.Size() == 1 {
		return x
	}
	return c.apply(ReduceScatter{c, op}, s, x)
}

// SendOf is x, which is sent to process to when the result is evaluated.
func (c *Comm) SendOf(x *Array, to int, s Stream) *Array { return c.apply(Send{c, to}, s, x) }

// RecvOf is what process from sends. Compiled functions and vmap refuse it unless it
// follows another collective of theirs: without inputs it would be a constant.
func (c *Comm) RecvOf(spec Spec, from int, s Stream) *Array {
	return tensor.Drawn(c.apply(Recv{c, from, spec.DType, tensor.MakeInts(spec.Shape...)}, s))
}

// RecvLikeOf is RecvOf for the spec of x, and part of what depends on x.
func (c *Comm) RecvLikeOf(x *Array, from int, s Stream) *Array {
	spec := tensor.SpecOf(x)
	return c.apply(Recv{c, from, spec.DType, tensor.MakeInts(spec.Shape...)}, s, tensor.StopGradientOf(x, s))
}

// Wait returns when all processes have called it.
func (c *Comm) Wait(s Stream) error {
	if c.Size() == 1 {
		return nil
	}
	return tensor.Eval(c.apply(Barrier{c}, s))
}
