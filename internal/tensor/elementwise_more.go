package tensor

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Elementwise functions made of other ops.

// Scaled is a*f in floating point: integers become float32.
func Scaled(a *Array, f float64, s Stream) *Array {
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	return s.mul(a, f)
}

// RoundTo is a to so many decimals, halves to even; negative decimals round to tens,
// hundreds, ... Integers stay exact and keep their dtype.
func RoundTo(a *Array, decimals int, s Stream) *Array {
	d := a.DType()
	switch {
	case decimals == 0:
		return UnaryOf(OpRound, a, s)
	case d.Is(dtype.Floating) && d.Size() == 2:
		return AsType(RoundTo(AsType(a, dtype.Float32, s), decimals, s), d, s)
	case d.Is(dtype.Inexact):
		scale := math.Pow(10, float64(decimals))
		return s.mul(UnaryOf(OpRound, s.mul(a, scale), s), 1/scale)
	case decimals > 0:
		return a
	case d == dtype.Bool || decimals < -19 || pow10(-decimals) > d.IInfo().Max:
		return ZerosLike(a, s)
	}
	p := pow10(-decimals)
	q, r := s.is(OpFloorDivide, a, p), s.is(OpRemainder, a, p)
	rest := s.sub(p, r) // not 2*r, which may overflow
	odd := s.is(OpNotEqual, s.is(OpRemainder, q, 2), 0)
	up := s.is(OpLogicalOr, s.is(OpGreater, r, rest), s.is(OpLogicalAnd, s.is(OpEqual, r, rest), odd))
	return s.mul(s.add(q, AsType(up, d, s)), p)
}

// pow10 is 10^n for n up to 19.
func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// NaNToNum replaces NaN and infinities; an infinite posInf or negInf stands for the
// largest finite value of that sign. Both parts of complex numbers are replaced.
func NaNToNum(a *Array, nan, posInf, negInf float64, s Stream) *Array {
	d := a.DType()
	switch {
	case !d.Is(dtype.Inexact):
		return a
	case d == dtype.Complex64:
		re := NaNToNum(s.do(OpReal, a), nan, posInf, negInf, s)
		im := NaNToNum(s.do(OpImag, a), nan, posInf, negInf, s)
		return s.add(re, s.mul(im, 1i))
	}
	top := d.FInfo().Max
	if math.IsInf(posInf, 1) {
		posInf = top
	}
	if math.IsInf(negInf, -1) {
		negInf = -top
	}
	out := a
	put := func(op UnaryOp, v float64) { out = Where(s.do(op, a), FloatScalar(v, d, s), out, s) }
	put(OpIsNaN, nan)
	put(OpIsPosInf, posInf)
	put(OpIsNegInf, negInf)
	return out
}

// Closeness is what isclose allows.
type Closeness struct {
	RTol, ATol float64
	EqualNaN   bool
}

// IsCloseOf is |a - b| <= atol + rtol*|b|, in float32 at least; equal infinities are
// close. Integers are subtracted exactly.
func IsCloseOf(a, b *Array, c Closeness, s Stream) *Array {
	d := promote(a.DType(), b.DType())
	if d.Size() == 2 && d.Is(dtype.Floating) {
		d = dtype.Float32
	}
	a, b = AsType(a, d, s), AsType(b, d, s)
	var gap *Array
	if d.Is(dtype.Inexact) {
		gap = s.do(OpAbs, s.sub(a, b))
	} else {
		if d == dtype.Bool || d.Is(dtype.SignedInteger) {
			a, b = AsType(a, dtype.Int64, s), AsType(b, dtype.Int64, s)
		}
		gap = s.sub(s.is(OpMaximum, a, b), s.is(OpMinimum, a, b))
	}
	close := s.is(OpLessEqual, gap, s.add(s.mul(s.do(OpAbs, b), c.RTol), c.ATol))
	close = s.is(OpLogicalAnd, close, s.do(OpIsFinite, b))
	close = s.is(OpLogicalOr, close, s.is(OpEqual, a, b))
	if c.EqualNaN {
		close = s.is(OpLogicalOr, close, s.is(OpLogicalAnd, s.do(OpIsNaN, a), s.do(OpIsNaN, b)))
	}
	return close
}

// ArrayEqualOf is whether a and b have one shape and equal elements: one bool.
func ArrayEqualOf(a, b *Array, equalNaN bool, s Stream) *Array {
	if !slices.Equal(SpecOf(a).Shape, SpecOf(b).Shape) {
		return FloatScalar(0, dtype.Bool, s)
	}
	d := promote(a.DType(), b.DType())
	a, b = AsType(a, d, s), AsType(b, d, s)
	same := s.is(OpEqual, a, b)
	if equalNaN && d.Is(dtype.Inexact) {
		same = s.is(OpLogicalOr, same, s.is(OpLogicalAnd, s.do(OpIsNaN, a), s.do(OpIsNaN, b)))
	}
	return ReduceOf(OpAll, same, nil, false, s)
}
