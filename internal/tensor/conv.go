package tensor

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Conv is the general convolution: x [N, S..., C] and w [O, K..., C/Groups] of one
// floating dtype give [N, S'..., O]. Zeros lie between and around the elements of x
// (InputDilation, Low, High; negative widths cut), and the kernel's elements lie
// Dilation apart. It is a correlation; Flip reverses the kernel.
type Conv struct {
	Stride, Low, High, Dilation, InputDilation Ints
	Groups                                     int
	Flip                                       bool
}

// Name is the op's name.
func (Conv) Name() string { return "conv" }

// dilated is the size of n elements that lie d apart.
func dilated(n, d int) int {
	if n == 0 {
		return 0
	}
	return (n-1)*d + 1
}

// maxWidth bounds the places of an axis with its zeros, so that no index overflows.
const maxWidth = 1 << 48

// Infer checks the axes.
func (p Conv) Infer(in []Spec) ([]Spec, error) {
	x, w := in[0].Shape, in[1].Shape
	n := len(x) - 2
	if n < 1 || len(w) != n+2 {
		return nil, fmt.Errorf("needs an input [N, spatial..., C] and a weight [O, spatial..., C/groups] of equal rank, at least 3")
	}
	if in[0].DType != in[1].DType || !in[0].DType.Is(dtype.Floating) {
		return nil, fmt.Errorf("needs an input and a weight of one floating dtype")
	}
	if p.Groups < 1 || w[0]%p.Groups != 0 {
		return nil, fmt.Errorf("%d groups do not divide %d output channels", p.Groups, w[0])
	}
	if w[n+1]*p.Groups != x[n+1] {
		return nil, fmt.Errorf("%d input channels do not match a weight of %d channels in %d groups", x[n+1], w[n+1], p.Groups)
	}
	for _, l := range []Ints{p.Stride, p.Low, p.High, p.Dilation, p.InputDilation} {
		if l.Len() != n {
			return nil, fmt.Errorf("%d values of a keyword for %d spatial axes", l.Len(), n)
		}
	}
	out := Shape{x[0]}
	for i := range n {
		if max(p.Low.At(i), p.High.At(i), p.Stride.At(i)) > maxWidth || min(p.Low.At(i), p.High.At(i)) < -maxWidth ||
			p.Dilation.At(i) > maxWidth/max(w[i+1], 1) || p.InputDilation.At(i) > maxWidth/max(x[i+1], 1) {
			return nil, fmt.Errorf("a stride, dilation or padding of spatial axis %d is too large", i)
		}
		if p.Stride.At(i) < 1 || p.Dilation.At(i) < 1 || p.InputDilation.At(i) < 1 {
			return nil, fmt.Errorf("strides and dilations must be positive")
		}
		if w[i+1] < 1 {
			return nil, fmt.Errorf("spatial axis %d of the weight is empty", i)
		}
		size := dilated(x[i+1], p.InputDilation.At(i)) + p.Low.At(i) + p.High.At(i)
		kernel := dilated(w[i+1], p.Dilation.At(i))
		if size < kernel {
			return nil, fmt.Errorf("spatial axis %d has size %d with padding, smaller than the kernel's %d", i, size, kernel)
		}
		out = append(out, (size-kernel)/p.Stride.At(i)+1)
	}
	return []Spec{{append(out, w[0]), in[0].DType}}, nil
}

// ConvOptions are the keywords of a convolution. A nil list stands for its default,
// one element for all spatial axes. PaddingHigh nil is Padding.
type ConvOptions struct {
	Stride, Padding, PaddingHigh, Dilation, InputDilation, OutputPadding []int

	Groups int // 0 is 1
	Flip   bool
}

// each gives a keyword a value for each of n axes.
func each(op, what string, v []int, n, otherwise int) []int {
	switch len(v) {
	case 0:
		return fill(otherwise, n)
	case 1:
		return fill(v[0], n)
	case n:
		return slices.Clone(v)
	}
	Throw(op, nil, "%d values of %s for %d spatial axes", len(v), what, n)
	return nil
}

// inexactPair brings x and w to their common dtype, which must be floating.
func inexactPair(op string, x, w *Array, s Stream) (*Array, *Array) {
	d := promote(x.DType(), w.DType())
	if !x.DType().Is(dtype.Floating) || !d.Is(dtype.Floating) {
		Throw(op, []Spec{SpecOf(x), SpecOf(w)}, "takes floating arrays")
	}
	return AsType(x, d, s), AsType(w, d, s)
}

// spatial is the number of spatial axes; want is how many there must be, 0 for any.
func spatial(op string, x, w *Array, want int) int {
	n := x.NDim() - 2
	if n < 1 || w.NDim() != n+2 || want > 0 && n != want {
		need := "equally many axes, at least 3"
		if want > 0 {
			need = fmt.Sprintf("%d axes each", want+2)
		}
		Throw(op, []Spec{SpecOf(x), SpecOf(w)}, "the input [N, spatial..., C] and the weight [O, spatial..., C/groups] need %s", need)
	}
	return n
}

// ConvOf convolves; axes is the number of spatial axes, 0 for any.
func ConvOf(op string, axes int, x, w *Array, o ConvOptions, s Stream) *Array {
	n := spatial(op, x, w, axes)
	x, w = inexactPair(op, x, w, s)
	low := each(op, "padding", o.Padding, n, 0)
	high := low
	if o.PaddingHigh != nil {
		high = each(op, "the upper padding", o.PaddingHigh, n, 0)
	}
	p := Conv{
		Stride: MakeInts(each(op, "stride", o.Stride, n, 1)...), Low: MakeInts(low...), High: MakeInts(high...),
		Dilation:      MakeInts(each(op, "dilation", o.Dilation, n, 1)...),
		InputDilation: MakeInts(each(op, "the input dilation", o.InputDilation, n, 1)...),
		Groups:        groupsOf(o.Groups), Flip: o.Flip,
	}
	return Apply1(p, s, x, w)
}

func groupsOf(n int) int {
	if n == 0 {
		return 1
	}
	return n
}

// ConvTransposeOf is the transposed convolution: the input's elements lie stride
// apart, and the result has outputPadding elements more at its end.
func ConvTransposeOf(op string, axes int, x, w *Array, o ConvOptions, s Stream) *Array {
	n := spatial(op, x, w, axes)
	x, w = inexactPair(op, x, w, s)
	pad := each(op, "padding", o.Padding, n, 0)
	extra := each(op, "the output padding", o.OutputPadding, n, 0)
	dil := each(op, "dilation", o.Dilation, n, 1)
	low, high := make([]int, n), make([]int, n)
	for i := range n {
		low[i] = dil[i]*(w.Dim(i+1)-1) - pad[i]
		high[i] = low[i] + extra[i]
	}
	p := Conv{
		Stride: MakeInts(fill(1, n)...), Low: MakeInts(low...), High: MakeInts(high...), Dilation: MakeInts(dil...),
		InputDilation: MakeInts(each(op, "stride", o.Stride, n, 1)...), Groups: groupsOf(o.Groups), Flip: true,
	}
	return Apply1(p, s, x, w)
}

// ConvolveOf is the discrete convolution of two vectors: mode is full, valid (where
// they overlap wholly) or same (the size of the longer).
func ConvolveOf(a, v *Array, mode string, s Stream) *Array {
	if a.NDim() != 1 || v.NDim() != 1 || a.Size() == 0 || v.Size() == 0 {
		Throw("convolve", []Spec{SpecOf(a), SpecOf(v)}, "needs two vectors that are not empty")
	}
	if a.Size() < v.Size() {
		a, v = v, a
	}
	k := v.Size()
	low, high := 0, 0
	switch mode {
	case "full":
		low, high = k-1, k-1
	case "valid":
	case "same": // an even kernel has one more before
		low, high = k/2, (k-1)/2
	default:
		Throw("convolve", []Spec{SpecOf(a), SpecOf(v)}, "mode %q is not full, valid or same", mode)
	}
	o := ConvOptions{Padding: []int{low}, PaddingHigh: []int{high}, Flip: true}
	y := ConvOf("convolve", 1, ReshapeTo(a, []int{1, a.Size(), 1}, s), ReshapeTo(v, []int{1, k, 1}, s), o, s)
	return ReshapeTo(y, []int{y.Dim(1)}, s)
}
