package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// ReduceOp combines the elements along axes.
type ReduceOp uint8

// The reductions.
const (
	OpSum ReduceOp = iota
	OpProd
	OpMax
	OpMin
	OpAll
	OpAny
	OpMean
	NumReduce
)

var reduceNames = [NumReduce]string{"sum", "prod", "max", "min", "all", "any", "mean"}

func (o ReduceOp) String() string { return reduceNames[o] }

// Reductions and what works along one axis.
type (
	// Reduce combines along Axes, which stay with size 1. Sums of bool and small
	// integers are int32 or uint32 as in MLX. Sums and means accumulate wider than
	// their input.
	Reduce struct {
		Op   ReduceOp
		Axes AxisSet
	}
	// ArgReduce is the uint32 index of the first maximum (or minimum) of the last
	// axis, which stays with size 1. The first NaN wins.
	ArgReduce struct{ Min bool }
	// Softmax over the last axis, in float32 or wider inside.
	Softmax struct{}
	// LogSumExp over the last axis, which stays with size 1.
	LogSumExp struct{}
)

// Name is the op's name.
func (p Reduce) Name() string { return p.Op.String() }

// Name is the op's name.
func (p ArgReduce) Name() string {
	if p.Min {
		return "argmin"
	}
	return "argmax"
}
func (Softmax) Name() string   { return "softmax" }
func (LogSumExp) Name() string { return "logsumexp" }

// Infer keeps reduced axes with size 1.
func (p Reduce) Infer(in []Spec) ([]Spec, error) {
	s, d := slices.Clone(in[0].Shape), in[0].DType
	for i := range s {
		if p.Axes.Has(i) {
			if s[i] == 0 && (p.Op == OpMax || p.Op == OpMin) {
				return nil, fmt.Errorf("%v of an empty axis", p.Op)
			}
			s[i] = 1
		}
	}
	switch p.Op {
	case OpSum, OpProd:
		d = sumType(d)
	case OpMean:
		if !d.Is(dtype.Inexact) {
			return nil, fmt.Errorf("%v is not floating", d)
		}
	case OpAll, OpAny:
		d = dtype.Bool
		if in[0].DType != dtype.Bool {
			return nil, errors.New("input is not bool")
		}
	}
	return []Spec{{s, d}}, nil
}

// sumType is the dtype of a sum.
func sumType(d DType) DType {
	switch {
	case d == dtype.Bool, d.Is(dtype.SignedInteger) && d.Size() < 4:
		return dtype.Int32
	case d.Is(dtype.UnsignedInteger) && d.Size() < 4:
		return dtype.Uint32
	}
	return d
}

func lastAxis(s Spec, d DType) ([]Spec, error) {
	if len(s.Shape) == 0 {
		return nil, errors.New("a scalar has no axis")
	}
	t := slices.Clone(s.Shape)
	t[len(t)-1] = 1
	return []Spec{{t, d}}, nil
}

// Infer gives one index per row.
func (p ArgReduce) Infer(in []Spec) ([]Spec, error) {
	if s := in[0].Shape; len(s) > 0 && s[len(s)-1] == 0 {
		return nil, fmt.Errorf("%s of an empty axis", p.Name())
	}
	return lastAxis(in[0], dtype.Uint32)
}

// Infer keeps the spec.
func (Softmax) Infer(in []Spec) ([]Spec, error) { return floating(in) }

// Infer gives one value per row.
func (LogSumExp) Infer(in []Spec) ([]Spec, error) {
	if _, err := floating(in); err != nil {
		return nil, err
	}
	return lastAxis(in[0], in[0].DType)
}

func floating(in []Spec) ([]Spec, error) {
	if !in[0].DType.Is(dtype.Floating) {
		return nil, fmt.Errorf("%v is not floating", in[0].DType)
	}
	if len(in[0].Shape) == 0 {
		return nil, errors.New("a scalar has no axis")
	}
	return same(in)
}

// ---- ops ----

// NormAxes is the set of axes; nil stands for all of shape s.
func NormAxes(op string, axes []int, s Shape) AxisSet {
	if axes == nil {
		return AllAxes(len(s))
	}
	var set AxisSet
	for _, a := range axes {
		a = NormAxis(op, a, s)
		if set.Has(a) {
			Throw(op, nil, "axis %d is given twice", a)
		}
		set |= 1 << a
	}
	return set
}

// dropAxes removes the reduced axes of size 1 from a.
func dropAxes(a *Array, set AxisSet, keep bool, s Stream) *Array {
	if keep || set == 0 {
		return a
	}
	var t Shape
	for i, d := range SpecOf(a).Shape {
		if !set.Has(i) {
			t = append(t, d)
		}
	}
	return ReshapeTo(a, t, s)
}

// ReduceOf reduces along axes; nil stands for all.
func ReduceOf(op ReduceOp, a *Array, axes []int, keep bool, s Stream) *Array {
	set := NormAxes(op.String(), axes, SpecOf(a).Shape)
	if op == OpAll || op == OpAny {
		a = AsType(a, dtype.Bool, s)
	}
	return dropAxes(Apply1(Reduce{op, set}, s, a), set, keep, s)
}

// Mean is the mean along axes, floating; nil stands for all.
func Mean(a *Array, axes []int, keep bool, s Stream) *Array {
	return ReduceOf(OpMean, AsType(a, dtype.AtLeastFloat(a.DType()), s), axes, keep, s)
}

// toLast moves axis to the end, runs f and moves it back.
func toLast(a *Array, axis int, s Stream, f func(*Array) *Array) *Array {
	n := a.NDim()
	if axis == n-1 {
		return f(a)
	}
	return SwapAxes(f(SwapAxes(a, axis, n-1, s)), axis, n-1, s)
}

// ArgReduceOf is the index of the first maximum or minimum along axis.
func ArgReduceOf(min bool, a *Array, axis int, keep bool, s Stream) *Array {
	axis = NormAxis(ArgReduce{min}.Name(), axis, SpecOf(a).Shape)
	out := toLast(a, axis, s, func(x *Array) *Array { return Apply1(ArgReduce{min}, s, x) })
	return dropAxes(out, MakeAxes(axis), keep, s)
}

// SoftmaxOf is the softmax along axis.
func SoftmaxOf(a *Array, axis int, s Stream) *Array {
	axis = NormAxis("softmax", axis, SpecOf(a).Shape)
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	if a.DType() == dtype.Complex64 {
		e := s.do(OpExp, s.sub(a, ReduceOf(OpMax, a, []int{axis}, true, s)))
		return s.div(e, ReduceOf(OpSum, e, []int{axis}, true, s))
	}
	return toLast(a, axis, s, func(x *Array) *Array { return Apply1(Softmax{}, s, x) })
}
