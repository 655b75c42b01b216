package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Convolutions take floating arrays, channels last: an input [N, spatial..., C] and a
// weight [O, spatial..., C/groups]; they compute in the common dtype. As in MLX they
// correlate: the kernel is not reversed. Sizes that do not fit panic with *[Error].

// ConvOption is [Stride], [Padding], [PaddingHigh], [Dilation], [InputDilation],
// [Groups], [OutputPadding], [Flipped] or a StreamOrDevice. What an op has no use for
// is an error.
type ConvOption = opt.Conv

// Stride is stride= of convolutions: one value for all spatial axes or one for each.
type Stride []int

// Padding is padding=: the zeros on both sides, one value or one for each axis;
// negative ones cut.
type Padding []int

// PaddingHigh is the upper side of padding=(lo, hi) of [ConvGeneral]; [Padding] is the
// lower one then.
type PaddingHigh []int

// Dilation is dilation= (kernel_dilation= of [ConvGeneral]): the distance of the
// kernel's elements.
type Dilation []int

// InputDilation is input_dilation= of [ConvGeneral]: the distance of the input's
// elements, with zeros between.
type InputDilation []int

// Groups is groups= of convolutions.
type Groups int

// OutputPadding is output_padding= of transposed convolutions.
type OutputPadding []int

// Flipped is flip= of [ConvGeneral]: convolve rather than correlate.
type Flipped bool

// ForConv makes it the argument stride=; the other keywords likewise.
func (v Stride) ForConv(s *opt.Set)        { s.Stride = v }
func (v Padding) ForConv(s *opt.Set)       { s.Padding = v }
func (v PaddingHigh) ForConv(s *opt.Set)   { s.PaddingHigh = v }
func (v Dilation) ForConv(s *opt.Set)      { s.Dilation = v }
func (v InputDilation) ForConv(s *opt.Set) { s.InputDilation = v }
func (v Groups) ForConv(s *opt.Set)        { s.Groups = int(v) }
func (v OutputPadding) ForConv(s *opt.Set) { s.OutputPadding = v }
func (v Flipped) ForConv(s *opt.Set)       { s.Flip = bool(v) }

// ForConvLayer makes it the argument stride= of a layer; the other keywords likewise.
func (v Stride) ForConvLayer(s *opt.Set)        { s.Stride = v }
func (v Padding) ForConvLayer(s *opt.Set)       { s.Padding = v }
func (v Dilation) ForConvLayer(s *opt.Set)      { s.Dilation = v }
func (v Groups) ForConvLayer(s *opt.Set)        { s.Groups = int(v) }
func (v OutputPadding) ForConvLayer(s *opt.Set) { s.OutputPadding = v }

// convKeywords reads the keywords; what the op does not have is misuse.
func convKeywords(op string, opts []ConvOption) (tensor.ConvOptions, Stream) {
	set := opt.Set{}
	set.Groups = 1
	for _, o := range opts {
		o.ForConv(&set)
	}
	if set.Groups < 1 {
		tensor.Throw(op, nil, "%d groups are not positive", set.Groups)
	}
	s := streamOf(op, &set)
	return tensor.ConvOptions{Stride: set.Stride, Padding: set.Padding, PaddingHigh: set.PaddingHigh, Dilation: set.Dilation,
		InputDilation: set.InputDilation, OutputPadding: set.OutputPadding, Groups: set.Groups, Flip: set.Flip}, s
}

func convN(op string, axes int, x, w *Array, opts []ConvOption) *Array {
	o, s := convKeywords(op, opts)
	if o.PaddingHigh != nil || o.InputDilation != nil || o.OutputPadding != nil || o.Flip {
		tensor.Throw(op, nil, "takes a stride, padding, dilation and groups; ConvGeneral takes more")
	}
	if axes == 3 && o.Groups > 1 {
		tensor.Throw(op, nil, "takes no groups, as in MLX; ConvGeneral does")
	}
	return tensor.ConvOf(op, axes, x, w, o, s)
}

func convTransposeN(op string, axes int, x, w *Array, opts []ConvOption) *Array {
	o, s := convKeywords(op, opts)
	if o.PaddingHigh != nil || o.InputDilation != nil || o.Flip {
		tensor.Throw(op, nil, "takes a stride, padding, dilation, output padding and groups")
	}
	return tensor.ConvTransposeOf(op, axes, x, w, o, s)
}

// Convolve is mx.convolve of two vectors: mode is "full", "valid" (where they overlap
// wholly) or "same" (the size of the longer).
func Convolve(a, v *Array, mode string, opts ...StreamOrDevice) *Array {
	return tensor.ConvolveOf(a, v, mode, on("convolve", opts))
}

// Conv1D is mx.conv1d: x is [N, L, C], w is [O, K, C/groups]; [N, L', O] with
// L' = (L + 2*padding - dilation*(K-1) - 1)/stride + 1.
func Conv1D(x, w *Array, opts ...ConvOption) *Array { return convN("conv1d", 1, x, w, opts) }

// Conv2D is mx.conv2d: x is [N, H, W, C], w is [O, KH, KW, C/groups].
func Conv2D(x, w *Array, opts ...ConvOption) *Array { return convN("conv2d", 2, x, w, opts) }

// Conv3D is mx.conv3d: x is [N, D, H, W, C], w is [O, KD, KH, KW, C]; no groups.
func Conv3D(x, w *Array, opts ...ConvOption) *Array { return convN("conv3d", 3, x, w, opts) }

// ConvTranspose1D is mx.conv_transpose1d: x is [N, L, C], w is [O, K, C/groups];
// [N, L', O] with L' = (L-1)*stride - 2*padding + dilation*(K-1) + 1 + output padding.
func ConvTranspose1D(x, w *Array, opts ...ConvOption) *Array {
	return convTransposeN("conv_transpose1d", 1, x, w, opts)
}

// ConvTranspose2D is mx.conv_transpose2d.
func ConvTranspose2D(x, w *Array, opts ...ConvOption) *Array {
	return convTransposeN("conv_transpose2d", 2, x, w, opts)
}

// ConvTranspose3D is mx.conv_transpose3d.
func ConvTranspose3D(x, w *Array, opts ...ConvOption) *Array {
	return convTransposeN("conv_transpose3d", 3, x, w, opts)
}

// ConvGeneral is mx.conv_general: any number of spatial axes (MLX has 1 to 3), every
// keyword but [OutputPadding].
func ConvGeneral(x, w *Array, opts ...ConvOption) *Array {
	o, s := convKeywords("conv_general", opts)
	if o.OutputPadding != nil {
		tensor.Throw("conv_general", nil, "takes no output padding: give PaddingHigh")
	}
	return tensor.ConvOf("conv_general", 0, x, w, o, s)
}
