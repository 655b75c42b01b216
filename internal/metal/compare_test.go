//go:build linux && metalemu

package metal

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// closeness is how far the GPU may be from the CPU: rel of the largest value, abs, and
// one step of halves. Integers are equal.
type closeness struct{ rel, abs float64 }

// sameAsCPU runs p on both devices and compares; p must have a kernel here. The inputs are
// the CPU's copies.
func sameAsCPU(t *testing.T, what string, p tensor.Primitive, tol closeness, in ...*tensor.Array) {
	t.Helper()
	if err := hasKernel(p, in); err != nil {
		t.Errorf("%s: %s: %v", what, p.Name(), err)
		return
	}
	got, want := tensor.Apply(p, onGPU(), in...), tensor.Apply(p, onCPU(), in...)
	for i := range want {
		if err := tensor.Eval(got[i], want[i]); err != nil {
			t.Fatalf("%s: %s: %v", what, p.Name(), err)
		}
		if err := differ(got[i], want[i], tol); err != nil {
			t.Errorf("%s: %s of %v: result %d: %v", what, p.Name(), tensor.SpecOf(in[0]), i, err)
		}
	}
}

// hasKernel encodes p for nobody. Inputs that Accepts refuses are taken as row-major.
func hasKernel(p tensor.Primitive, in []*tensor.Array) error {
	b := tensor.BackendFor(onGPU()).(*backend)
	var specs []tensor.Spec
	var views, out []View
	for i, a := range in {
		v, err := tensor.ValueOf(a)
		if err != nil {
			return err
		}
		if !b.Accepts(p, i, v) {
			v = tensor.RowMajorView(v.Spec, v.Buf)
		}
		views, specs = append(views, v), append(specs, v.Spec)
	}
	results, err := p.Infer(specs)
	if err != nil {
		return err
	}
	size := 0
	for _, s := range results {
		v, err := tensor.NewView(s, tensor.Other)
		if err != nil {
			return err
		}
		out, size = append(out, v), size+s.Shape.Size()
	}
	if size == 0 {
		return nil
	}
	e := &encoder{b: b}
	if err := encode(e, p, views, out); err != nil {
		return err
	}
	return e.err
}

// differ says where two arrays are not close.
func differ(got, want *tensor.Array, tol closeness) error {
	d := want.DType()
	if got.DType() != d || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("is %v, want %v", tensor.SpecOf(got), tensor.SpecOf(want))
	}
	if !d.Is(dtype.Inexact) {
		g, w := got.Bytes(), want.Bytes()
		for i := range w {
			if g[i] != w[i] {
				return fmt.Errorf("element %d: bytes % x, want % x", i/d.Size(), g[i/d.Size()*d.Size():][:d.Size()], w[i/d.Size()*d.Size():][:d.Size()])
			}
		}
		return nil
	}
	g, w := floatsOf(got), floatsOf(want)
	top := 0.0
	for _, v := range w {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			top = max(top, math.Abs(v))
		}
	}
	for i := range w {
		limit := tol.abs + tol.rel*top + math.Abs(w[i])*map[dtype.DType]float64{dtype.Float16: 1.0 / 1024, dtype.BFloat16: 1.0 / 128}[d]
		if g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]) {
			continue
		}
		if !(math.Abs(g[i]-w[i]) <= limit) || math.IsInf(w[i], 0) {
			return fmt.Errorf("element %d of %v is %g, want %g", i, want.Shape(), g[i], w[i])
		}
	}
	return nil
}

// floatsOf are the elements of an inexact array; complex ones are two.
func floatsOf(a *tensor.Array) []float64 {
	if a.DType() == dtype.Complex64 {
		var f []float64
		for _, z := range tensor.ToSlice[complex64](a) {
			f = append(f, float64(real(z)), float64(imag(z)))
		}
		return f
	}
	var f []float64
	for _, v := range tensor.ToSlice[float32](tensor.AsType(a, dtype.Float32, onCPU())) {
		f = append(f, float64(v))
	}
	return f
}

// someOf is an array of values of d in [lo, hi), made on the CPU.
func someOf(d dtype.DType, seed uint64, lo, hi float64, shape ...int) *tensor.Array {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := tensor.Shape(shape).Size()
	if d == dtype.Complex64 {
		z := make([]complex64, n)
		for i := range z {
			z[i] = complex(float32(lo+rng.Float64()*(hi-lo)), float32(lo+rng.Float64()*(hi-lo)))
		}
		return evaluated(tensor.FromSlice(z, shape...))
	}
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(lo + rng.Float64()*(hi-lo))
		if !d.Is(dtype.Inexact) {
			f[i] = float32(math.Floor(float64(f[i])))
		}
	}
	a := tensor.FromSlice(f, shape...)
	switch {
	case d == dtype.Bool:
		a = tensor.AsType(tensor.AsType(a, dtype.Int32, onCPU()), d, onCPU())
	case d.Is(dtype.UnsignedInteger):
		a = tensor.AsType(tensor.AsType(a, dtype.Int64, onCPU()), d, onCPU())
	default:
		a = tensor.AsType(a, d, onCPU())
	}
	return evaluated(a)
}

func evaluated(a *tensor.Array) *tensor.Array {
	if err := tensor.Eval(a); err != nil {
		panic(err)
	}
	return a
}

// stridedForms are a with other strides: views of the same values.
func stridedForms(a *tensor.Array) map[string]*tensor.Array {
	n := len(a.Shape())
	forms := map[string]*tensor.Array{"row-major": a}
	if n >= 2 {
		turned := evaluated(tensor.CopyOf(tensor.SwapAxes(a, n-1, n-2, onCPU()), onCPU()))
		forms["columns"] = evaluated(tensor.SwapAxes(turned, n-1, n-2, onCPU()))
	}
	low, high := make([]int, n), make([]int, n)
	for i := range low {
		low[i], high[i] = 1, 2
	}
	part := tensor.PadWith(a, low, high, 1, onCPU())
	for i := range n {
		part = tensor.SliceAxis(part, i, 1, 1+a.Dim(i), onCPU())
	}
	forms["a part"] = evaluated(part)
	back := a
	for range 2 {
		back = reversed(tensor.CopyOf(back, onCPU()))
	}
	forms["backwards"] = evaluated(back)
	return forms
}

// reversed is a view with all axes from the end.
func reversed(a *tensor.Array) *tensor.Array {
	var start, stop, step []int
	for _, d := range a.Shape() {
		start, stop, step = append(start, d-1), append(stop, -1), append(step, -1)
	}
	return tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(start...), Stop: tensor.MakeInts(stop...), Step: tensor.MakeInts(step...)}, onCPU(), a)
}

// fallsBack checks that p has no kernel here, and says so.
func fallsBack(t *testing.T, p tensor.Primitive, in ...*tensor.Array) {
	t.Helper()
	if err := hasKernel(p, in); !errors.Is(err, tensor.ErrUnsupported) || Broken(err) {
		t.Errorf("%s of %v: %v, want %v, of no kernel", p.Name(), tensor.SpecOf(in[0]), err, tensor.ErrUnsupported)
	}
}
