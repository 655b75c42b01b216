package fft

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Options are the keywords of a transform of several axes.
type Options struct {
	Sizes []int  // of the axes; nil: as they are
	Axes  []int  // nil: the last len(Sizes), or all
	Norm  string // "" is "backward"
}

// norm is the factor of a transform in one direction.
func norm(op, name string, inverse bool) Norm {
	switch name {
	case "", "backward":
		if inverse {
			return ByLength
		}
		return Plain
	case "forward":
		if inverse {
			return Plain
		}
		return ByLength
	case "ortho":
		return ByRoot
	}
	tensor.Throw(op, nil, "norm %q is not backward, ortho or forward", name)
	return Plain
}

// plan checks the keywords. axes count from 0, sizes are those of the transforms; half says
// that the last axis of a is half of a spectrum.
func plan(op string, a *Array, o Options, half bool) (axes, sizes []int) {
	sh := tensor.SpecOf(a).Shape
	in := []Spec{tensor.SpecOf(a)}
	if len(sh) == 0 {
		tensor.Throw(op, in, "a scalar has no axis")
	}
	axes = slices.Clone(o.Axes)
	if o.Axes == nil {
		count := len(sh)
		if o.Sizes != nil {
			count = len(o.Sizes)
		}
		for i := range count {
			axes = append(axes, i-count)
		}
	}
	if len(axes) == 0 {
		tensor.Throw(op, in, "no axis is given")
	}
	if o.Sizes != nil && len(o.Sizes) != len(axes) {
		tensor.Throw(op, in, "%d sizes for %d axes", len(o.Sizes), len(axes))
	}
	for i, x := range axes {
		x = tensor.NormAxis(op, x, sh)
		if slices.Contains(axes[:i], x) {
			tensor.Throw(op, in, "axis %d is given twice", x)
		}
		axes[i] = x
		n := sh[x]
		if half && i == len(axes)-1 {
			n = 2 * (n - 1)
		}
		if o.Sizes != nil {
			n = o.Sizes[i]
		}
		if n < 1 {
			tensor.Throw(op, in, "axis %d would be transformed with length %d; it must be at least 1", x, n)
		}
		sizes = append(sizes, n)
	}
	return axes, sizes
}

// fit cuts an axis of a to n elements, or pads it with zeros.
func fit(a *Array, axis, n int, s Stream) *Array {
	switch d := a.Dim(axis); {
	case d > n:
		return tensor.SliceAxis(a, axis, 0, n, s)
	case d < n:
		low, high := make([]int, a.NDim()), make([]int, a.NDim())
		high[axis] = n - d
		return tensor.PadWith(a, low, high, 0, s)
	}
	return a
}

// along applies p, which works on the last axis, to another one.
func along(p tensor.Primitive, a *Array, axis int, s Stream) *Array {
	y := tensor.Apply1(p, s, tensor.MoveAxis(a, axis, -1, s))
	return tensor.MoveAxis(y, -1, axis, s)
}

// complexes transforms axes of complex a. The last one comes last, so that the result of all
// axes is row-major.
func complexes(a *Array, axes []int, p Complex, s Stream) *Array {
	for _, x := range slices.Sorted(slices.Values(axes)) {
		a = along(p, a, x, s)
	}
	return a
}

// ComplexOf is fftn, or ifftn if inverse: complex64, with the axes in any order.
func ComplexOf(op string, a *Array, inverse bool, o Options, s Stream) *Array {
	p := Complex{inverse, norm(op, o.Norm, inverse)}
	axes, sizes := plan(op, a, o, false)
	a = tensor.AsType(a, dtype.Complex64, s)
	for i, x := range axes {
		a = fit(a, x, sizes[i], s)
	}
	return complexes(a, axes, p, s)
}

// RealOf is rfftn: a as float32 (of complex numbers the real part), the last of the axes to
// half of its spectrum, n/2+1 numbers.
func RealOf(op string, a *Array, o Options, s Stream) *Array {
	k := norm(op, o.Norm, false)
	axes, sizes := plan(op, a, o, false)
	a = tensor.AsType(a, dtype.Float32, s)
	for i, x := range axes {
		a = fit(a, x, sizes[i], s)
	}
	last := len(axes) - 1
	a = along(Real{Norm: k}, a, axes[last], s)
	return complexes(a, axes[:last], Complex{Norm: k}, s)
}

// HalfOf is irfftn: the last of the axes from half of a spectrum. Sizes are those of the
// result, float32.
func HalfOf(op string, a *Array, o Options, s Stream) *Array {
	k := norm(op, o.Norm, true)
	axes, sizes := plan(op, a, o, true)
	a = tensor.AsType(a, dtype.Complex64, s)
	last := len(axes) - 1
	for i, x := range axes {
		n := sizes[i]
		if i == last {
			n = n/2 + 1
		}
		a = fit(a, x, n, s)
	}
	a = complexes(a, axes[:last], Complex{true, k}, s)
	return along(Half{N: tensor.MakeInts(sizes[last]), Norm: k}, a, axes[last], s)
}

// FreqOf is fftfreq: 0, 1, ..., then the negative ones, each by n*d; float32.
func FreqOf(n int, d float64, s Stream) *Array {
	checkFreq("fftfreq", n, d)
	below := n / 2
	return tensor.ConcatenateOf([]*Array{steps(0, n-below, n, d, s), steps(-below, below, n, d, s)}, 0, s)
}

// RFreqOf is rfftfreq: 0 to n/2, each by n*d; float32.
func RFreqOf(n int, d float64, s Stream) *Array {
	checkFreq("rfftfreq", n, d)
	return steps(0, n/2+1, n, d, s)
}

func checkFreq(op string, n int, d float64) {
	if n < 1 {
		tensor.Throw(op, nil, "length %d must be at least 1", n)
	}
	if d == 0 || d != d {
		tensor.Throw(op, nil, "the spacing of samples must not be %v", d)
	}
}

// steps is from, from+1, ... by n*d.
func steps(from, count, n int, d float64, s Stream) *Array {
	step := 1 / (float64(n) * d)
	p := tensor.Arange{Start: tensor.MakeF64(float64(from) * step), Step: tensor.MakeF64(step), N: count, DType: dtype.Float32}
	return tensor.Apply1(p, s)
}

// ShiftOf rolls axes (nil: all) by half their size, backwards if inverse.
func ShiftOf(op string, a *Array, axes []int, inverse bool, s Stream) *Array {
	sh := tensor.SpecOf(a).Shape
	if axes == nil {
		for i := range sh {
			axes = append(axes, i)
		}
	}
	by := make([]int, len(axes))
	for i, x := range axes {
		by[i] = sh[tensor.NormAxis(op, x, sh)] / 2
		if inverse {
			by[i] = -by[i]
		}
	}
	return tensor.RollOf(a, by, axes, s)
}
