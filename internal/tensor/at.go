package tensor

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Ref is a place in an array, from [Array.At]. Its methods take an *[Array] or a Go
// number, which is converted to the array's dtype and broadcast to the place; they
// can be differentiated by both.
type Ref struct {
	a  *Array
	ix []any
}

// At is a.at[ix...]: a place in a, with indices as in [Array.Index]. Its methods
// return a new array; where an index repeats, Add and its sisters accumulate.
func (a *Array) At(ix ...any) Ref {
	if err := a.unusable(); err != nil {
		panic(&Error{Op: "at", Err: err})
	}
	return Ref{a, slices.Clone(ix)}
}

// Set is a with v there: a[ix] = v. Where an index repeats, the last value wins. It
// is how to write an assignment:
//
//	a = a.At(0, mlx.From(2)).Set(7)
//
// As in MLX, the derivative by a value that a later one overwrote is that by the
// later one.
func (r Ref) Set(v any) *Array { return r.put(ScatterSet, v) }

// Add is a.at[ix].add(v).
func (r Ref) Add(v any) *Array { return r.put(ScatterSum, v) }

// Subtract is a.at[ix].subtract(v).
func (r Ref) Subtract(v any) *Array {
	x := valueFor("at.subtract", r.a, v, Stream{})
	if x.DType() == dtype.Bool { // as a - b of bools
		return r.put(ScatterSum, x)
	}
	return r.put(ScatterSum, UnaryOf(OpNegative, x, Stream{}))
}

// Multiply is a.at[ix].multiply(v).
func (r Ref) Multiply(v any) *Array { return r.put(ScatterProd, v) }

// Divide is a.at[ix].divide(v); integers are cut towards zero.
func (r Ref) Divide(v any) *Array {
	d := r.a.DType()
	ones := fit(FloatScalar(1, d, Stream{}), SpecOf(r.a).Shape, Stream{})
	by := Ref{ones, r.ix}.put(ScatterProd, valueFor("at.divide", r.a, v, Stream{}))
	if d.Is(dtype.Inexact) {
		return r.a.Div(by)
	}
	q := r.a.AsType(dtype.Float64).Div(by.AsType(dtype.Float64)).AsType(d)
	return Where(by.Eq(FloatScalar(1, d, Stream{})), r.a, q, Stream{})
}

// Maximum is a.at[ix].maximum(v); NaN wins.
func (r Ref) Maximum(v any) *Array { return r.put(ScatterMax, v) }

// Minimum is a.at[ix].minimum(v); NaN wins.
func (r Ref) Minimum(v any) *Array { return r.put(ScatterMin, v) }

// valueFor is v, an array or a number, in a's dtype.
func valueFor(op string, a *Array, v any, s Stream) *Array {
	d := a.DType()
	if x, ok := v.(*Array); ok {
		if err := x.unusable(); err != nil {
			panic(&Error{Op: op, Err: err})
		}
		return AsType(x, d, s)
	}
	w, ok := weakOf(v)
	if !ok {
		Throw(op, []Spec{SpecOf(a)}, "%T is neither an array nor a number", v)
	}
	return AsType(w.scalar(d, s), d, s)
}

// atNames and atOps are the methods and their elementwise forms, by ScatterOp.
var (
	atNames = [...]string{"at.set", "at.add", "at.multiply", "at.maximum", "at.minimum"}
	atOps   = [...]BinaryOp{0, OpAdd, OpMultiply, OpMaximum, OpMinimum}
)

func (r Ref) put(op ScatterOp, v any) *Array {
	name := atNames[op]
	x := valueFor(name, r.a, v, Stream{})
	if out := r.masked(op, x); out != nil {
		return out
	}
	p := pick(name, r.a, r.ix)
	t := p.result()
	x = dropLeading(x, len(t), Stream{})
	if !fits(SpecOf(x).Shape, t) {
		Throw(name, []Spec{SpecOf(r.a), SpecOf(x)}, "values of shape %v cannot be broadcast to %v", SpecOf(x).Shape, t)
	}
	return p.write(op, r.a, fit(x, t, Stream{}), Stream{})
}

// fits reports whether shape s can be broadcast to t.
func fits(s, t Shape) bool {
	_, err := Broadcast{MakeInts(t...)}.Infer([]Spec{{Shape: s}})
	return err == nil
}

// masked writes the same values wherever a lone mask is true, without reading the
// mask; nil if that is not the case.
func (r Ref) masked(op ScatterOp, x *Array) *Array {
	if len(r.ix) != 1 {
		return nil
	}
	mask, ok := r.ix[0].(*Array)
	if !ok || mask.unusable() != nil || mask.DType() != dtype.Bool {
		return nil
	}
	sh, m := SpecOf(r.a).Shape, SpecOf(mask).Shape
	if len(m) > len(sh) || !slices.Equal(m, sh[:len(m)]) {
		return nil // the general path says what is wrong
	}
	rest := sh[len(m):]
	x = dropLeading(x, len(rest), Stream{})
	if !fits(SpecOf(x).Shape, rest) {
		return nil
	}
	x = fit(fit(x, rest, Stream{}), sh, Stream{})
	if op != ScatterSet {
		x = BinaryOf(atOps[op], r.a, x, Stream{})
	}
	mask = ReshapeTo(mask, append(slices.Clone(m), fill(1, len(rest))...), Stream{})
	return Where(mask, x, r.a, Stream{})
}

// NonZero is the indices of the elements that are not 0, one vector per axis.
func NonZero(a *Array) []*Array {
	sh := SpecOf(a).Shape
	if len(sh) == 0 {
		Throw("nonzero", []Spec{SpecOf(a)}, "an array without axes has no indices")
	}
	flat := flatTrue(flags("nonzero", AsType(a, dtype.Bool, Stream{})))
	out := make([]*Array, len(sh))
	at := make([][]int32, len(sh))
	for i := range at {
		if sh[i] > 1<<31-1 {
			Throw("nonzero", []Spec{SpecOf(a)}, "axis %d is too long for int32", i)
		}
		at[i] = make([]int32, flat.Size())
	}
	for k, i := range ToSlice[int64](AsType(flat, dtype.Int64, Stream{})) {
		r := int(i)
		for x := len(sh) - 1; x >= 0; x-- {
			at[x][k] = int32(r % sh[x])
			r /= sh[x]
		}
	}
	for i := range out {
		out[i] = FromSlice(at[i])
	}
	return out
}
