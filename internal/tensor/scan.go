package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// ScanOp combines each element with those before it.
type ScanOp uint8

// The scans.
const (
	ScanSum ScanOp = iota
	ScanProd
	ScanMax
	ScanMin
	ScanLogAddExp
	NumScan
)

var scanNames = [NumScan]string{"cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"}

func (o ScanOp) String() string { return scanNames[o] }

// Scans along the last axis.
type (
	// Scan is Op of all elements up to each, itself included unless Exclusive. Then
	// the first result is that of no elements: 0, 1, the least, the greatest, -inf.
	Scan struct {
		Op                 ScanOp
		Reverse, Exclusive bool
	}
	// LinearScan is y[k] = b[k] + a[k]*y[k-1] of inputs a and b of one spec; Reverse
	// goes from the end. Derivatives of scans are made of it.
	LinearScan struct{ Reverse bool }
)

// Name is the op's name.
func (p Scan) Name() string     { return p.Op.String() }
func (LinearScan) Name() string { return "linear_scan" }

// Infer keeps the spec; sums of bool are int32.
func (p Scan) Infer(in []Spec) ([]Spec, error) {
	d := in[0].DType
	switch {
	case len(in[0].Shape) == 0:
		return nil, errors.New("a scalar has no axis")
	case p.Op == ScanLogAddExp && !d.Is(dtype.Inexact):
		return nil, fmt.Errorf("%v is not floating", d)
	case p.Op == ScanSum && d == dtype.Bool:
		return []Spec{{in[0].Shape, dtype.Int32}}, nil
	}
	return same(in)
}

// Infer checks that the specs are equal.
func (LinearScan) Infer(in []Spec) ([]Spec, error) {
	if !in[0].Equal(in[1]) || !in[0].DType.Is(dtype.Inexact) || len(in[0].Shape) == 0 {
		return nil, errors.New("inputs must be floating, of one spec and not scalars")
	}
	return same(in)
}

// ScanOf scans along an axis; logcumsumexp makes integers float32.
func ScanOf(op ScanOp, a *Array, axis int, reverse, exclusive bool, s Stream) *Array {
	axis = NormAxis(op.String(), axis, SpecOf(a).Shape)
	if op == ScanLogAddExp {
		a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	}
	return toLast(a, axis, s, func(x *Array) *Array { return Apply1(Scan{op, reverse, exclusive}, s, x) })
}

// ---- rules ----

// shiftLast moves the elements of the last axis by one place, to the front if
// toFront is set, and fills the free place with v.
func shiftLast(a *Array, toFront bool, v float64, s Stream) *Array {
	n := a.NDim() - 1
	k := a.Dim(n)
	if k == 0 {
		return a
	}
	lo, hi := make([]int, n+1), make([]int, n+1)
	if toFront {
		a, hi[n] = SliceAxis(a, n, 1, k, s), 1
	} else {
		a, lo[n] = SliceAxis(a, n, 0, k-1, s), 1
	}
	return PadWith(a, lo, hi, v, s)
}

// back is y[k] = b[k] + a[k+1]*y[k+1] in the order of a scan: the transpose of
// y[k] = b[k] + a[k]*y[k-1].
func back(a, b *Array, reverse bool, s Stream) *Array {
	return Apply1(LinearScan{!reverse}, s, shiftLast(a, !reverse, 0, s), b)
}

// VJP of a sum sums the other way; the others are linear scans of the cotangent.
func (p Scan) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	x, y, c := in[0], out[0], cotan[0]
	if p.Op == ScanSum {
		return []*Array{Apply1(Scan{ScanSum, !p.Reverse, p.Exclusive}, s, c)}
	}
	if p.Exclusive { // the inclusive one, a place later
		y = Apply1(Scan{Op: p.Op, Reverse: p.Reverse}, s, x)
		c = shiftLast(c, !p.Reverse, 0, s)
	}
	switch p.Op {
	case ScanProd: // the product before, times what follows: right with zeros
		before := Apply1(Scan{ScanProd, p.Reverse, true}, s, x)
		return []*Array{s.mul(before, back(x, c, p.Reverse, s))}
	case ScanMax, ScanMin: // an extreme has the cotangents up to the next one
		at := AsType(s.is(OpEqual, x, y), x.DType(), s)
		return []*Array{s.mul(at, back(s.sub(1, at), c, p.Reverse, s))}
	}
	// exp(x[k]-y[i]) for i from k on, as a product of ratios that are at most 1
	last := shiftLast(y, p.Reverse, 0, s)
	ratio := expDifference(last, y, s)
	return []*Array{s.mul(expDifference(x, y, s), back(ratio, c, p.Reverse, s))}
}

// expDifference is exp(a-b), and 0 where a is -inf.
func expDifference(a, b *Array, s Stream) *Array {
	none := s.is(OpEqual, a, negInf(a, s))
	zero := FloatScalar(0, a.DType(), s)
	d := s.sub(Where(none, zero, a, s), Where(none, zero, b, s))
	return Where(none, zero, s.do(OpExp, d), s)
}

// Vmap keeps to the last axis.
func (p Scan) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// VJP is the scan the other way; a[k] meets y[k-1].
func (p LinearScan) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	g := back(in[0], cotan[0], p.Reverse, s)
	return grads(need, func(i int) *Array {
		if i == 0 {
			return s.mul(g, shiftLast(out[0], p.Reverse, 0, s))
		}
		return g
	})
}

// Vmap keeps to the last axis.
func (p LinearScan) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// reducedLast moves the axes of set to the end and makes one of them; back gives
// the others their places again, in a result that has that axis with size 1.
func reducedLast(a *Array, set AxisSet, s Stream) (flat *Array) {
	var perm, kept []int
	sh := SpecOf(a).Shape
	n := 1
	for i, d := range sh {
		if !set.Has(i) {
			perm, kept = append(perm, i), append(kept, d)
		}
	}
	for i, d := range sh {
		if set.Has(i) {
			perm, n = append(perm, i), n*d
		}
	}
	if !slices.IsSorted(perm) {
		a = Apply1(Transpose{MakeInts(perm...)}, s, a)
	}
	return ReshapeTo(a, append(kept, n), s)
}

// unreduced is the inverse of reducedLast for an array of shape sh.
func unreduced(flat *Array, set AxisSet, sh Shape, s Stream) *Array {
	var perm []int
	var moved Shape
	for _, in := range []bool{false, true} {
		for i, d := range sh {
			if set.Has(i) == in {
				perm, moved = append(perm, i), append(moved, d)
			}
		}
	}
	a := ReshapeTo(flat, moved, s)
	if slices.IsSorted(perm) {
		return a
	}
	inverse := make([]int, len(perm))
	for i, p := range perm {
		inverse[p] = i
	}
	return Apply1(Transpose{MakeInts(inverse...)}, s, a)
}
