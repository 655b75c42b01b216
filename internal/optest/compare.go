package optest

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/mlxgo/mlx"
)

// Tol says how far two results may differ: |got - want| <= Rel * (the largest
// finite |want| of the array) + Each * |want| + Abs, and for half types also Ulps
// steps of the dtype at want. NaN equals NaN. The zero Tol asks for equal bytes.
type Tol struct {
	Rel, Each, Abs float64
	Ulps           int
}

// The tolerances of the recorded files.
var (
	Exact  = Tol{}
	F32    = Tol{Rel: 1e-5, Abs: 1e-6}
	Random = Tol{Each: 1e-6, Abs: 1e-6, Ulps: 1} // 1e-6 * max(1, |want|), one step of halves
)

// Diff says where got differs from want by more than tol; nil if nowhere.
func Diff(got, want *mlx.Array, tol Tol) error {
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("is %v%v, want %v%v", got.DType(), got.Shape(), want.DType(), want.Shape())
	}
	if tol == Exact {
		return diffBytes(got, want)
	}
	g, w := floats(got), floats(want)
	top := 0.0
	for _, v := range w {
		if a := math.Abs(v); a > top && !math.IsInf(a, 0) {
			top = a
		}
	}
	worst, at, bad := 0.0, 0, 0
	for i := range w {
		d := math.Abs(g[i] - w[i])
		limit := tol.Rel*top + tol.Each*math.Abs(w[i]) + tol.Abs + float64(tol.Ulps)*step(w[i], want.DType())
		switch {
		case g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]):
			continue
		case math.IsInf(w[i], 0) || math.IsInf(g[i], 0) || math.IsNaN(d):
			d = math.Inf(1)
		case d <= limit:
			continue
		}
		bad++
		if d/limit > worst {
			worst, at = d/limit, i
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d elements of %v%v differ; the worst, element %d, is %v, want %v (%.3g times the tolerance)",
		bad, len(w), want.DType(), want.Shape(), at, g[at], w[at], worst)
}

func diffBytes(got, want *mlx.Array) error {
	a, b := got.Bytes(), want.Bytes()
	if bytes.Equal(a, b) {
		return nil
	}
	n, first, size := 0, -1, want.DType().Size()
	for i := 0; i < len(b); i += size {
		if !bytes.Equal(a[i:i+size], b[i:i+size]) {
			if n++; first < 0 {
				first = i
			}
		}
	}
	return fmt.Errorf("%d of %d elements of %v%v differ; the first, element %d, is %s, want %s",
		n, want.Size(), want.DType(), want.Shape(), first/size, element(got, first/size), element(want, first/size))
}

// element prints one element.
func element(a *mlx.Array, i int) string {
	b := a.Bytes()[i*a.DType().Size():][:a.DType().Size()]
	if a.DType().Is(mlx.Floating) {
		return fmt.Sprintf("%v (%x)", floats(a)[i], b)
	}
	if a.DType() == mlx.Complex64 {
		return fmt.Sprint(mlx.ToSlice[complex64](a)[i])
	}
	return fmt.Sprint(floats(a)[i])
}

// floats reads any dtype; complex numbers as two.
func floats(a *mlx.Array) []float64 {
	if a.DType() == mlx.Complex64 {
		out := make([]float64, 0, 2*a.Size())
		for _, v := range mlx.ToSlice[complex64](a) {
			out = append(out, float64(real(v)), float64(imag(v)))
		}
		return out
	}
	return mlx.ToSlice[float64](a.AsType(mlx.Float64))
}

// step is the distance between neighbours at v of a half type; 0 for other types.
func step(v float64, d mlx.DType) float64 {
	bits, low := 0, 0
	switch d {
	case mlx.Float16:
		bits, low = 10, -14
	case mlx.BFloat16:
		bits, low = 7, -126
	default:
		return 0
	}
	_, e := math.Frexp(v)
	return math.Ldexp(1, max(e-1, low)-bits)
}
