package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/random"
)

// ConvOption is [Bias], mlx.Stride, mlx.Padding, mlx.Dilation, mlx.Groups or, of
// transposed convolutions, mlx.OutputPadding. Lists have one value for all spatial axes
// or one for each.
type ConvOption = opt.ConvLayer

// ForConvLayer makes it the argument bias= of a convolution.
func (b Bias) ForConvLayer(s *opt.Set) { s.NoBias = !bool(b) }

// Conv is nn.Conv1d, Conv2d or Conv3d, by the axes of Weight; channels are last.
type Conv struct {
	Weight *mlx.Array // [out, K..., in/groups]
	Bias   *mlx.Array // [out] or nil

	Stride, Padding, Dilation []int `mlx:"-"` // nil: 1, 0 and 1
	Groups                    int   `mlx:"-"` // 0 is 1
}

// NewConv1D is nn.Conv1d(in, out, kernel_size), uniform in ±1/sqrt(in*kernel), the bias
// zeros; x is [N, L, in]. It panics with *mlx.Error if the groups do not divide in.
func NewConv1D(in, out, kernel int, opts ...ConvOption) *Conv {
	return newConv("nn.conv1d", in, out, []int{kernel}, opts)
}

// NewConv2D is nn.Conv2d(in, out, kernel_size); x is [N, H, W, in]. See [NewConv1D].
func NewConv2D[K int | [2]int](in, out int, kernel K, opts ...ConvOption) *Conv {
	return newConv("nn.conv2d", in, out, kernelOf(2, kernel), opts)
}

// NewConv3D is nn.Conv3d(in, out, kernel_size); x is [N, D, H, W, in]. See [NewConv1D].
func NewConv3D[K int | [3]int](in, out int, kernel K, opts ...ConvOption) *Conv {
	return newConv("nn.conv3d", in, out, kernelOf(3, kernel), opts)
}

func kernelOf(axes int, kernel any) []int {
	switch k := kernel.(type) {
	case [2]int:
		return k[:]
	case [3]int:
		return k[:]
	}
	size := make([]int, axes)
	for i := range size {
		size[i] = kernel.(int)
	}
	return size
}

// convKeywords reads the keywords of a layer.
func convKeywords(op string, in int, opts []ConvOption) opt.Set {
	var set opt.Set
	set.Groups = 1
	for _, o := range opts {
		o.ForConvLayer(&set)
	}
	if set.Groups < 1 || in%set.Groups != 0 {
		tensor.Throw(op, nil, "%d groups do not divide %d input channels", set.Groups, in)
	}
	return set
}

// convWeight is the initial weight of in channels, of which each group has per.
func convWeight(in, out int, kernel []int, per int) *mlx.Array {
	k := 1 / math.Sqrt(float64(in*mlx.Shape(kernel).Size()))
	shape := append(append(mlx.Shape{out}, kernel...), per)
	return random.Uniform(-k, k, shape)
}

func convBias(set *opt.Set, out int) *mlx.Array {
	if set.NoBias {
		return nil
	}
	return mlx.Zeros(mlx.Shape{out})
}

func newConv(op string, in, out int, kernel []int, opts []ConvOption) *Conv {
	set := convKeywords(op, in, opts)
	if set.OutputPadding != nil {
		tensor.Throw(op, nil, "only transposed convolutions have an output padding")
	}
	return &Conv{Weight: convWeight(in, out, kernel, in/set.Groups), Bias: convBias(&set, out),
		Stride: set.Stride, Padding: set.Padding, Dilation: set.Dilation, Groups: set.Groups}
}

// Forward is [N, spatial..., in] to [N, spatial..., out].
func (c *Conv) Forward(x *mlx.Array) *mlx.Array {
	o := []mlx.ConvOption{mlx.Stride(c.Stride), mlx.Padding(c.Padding), mlx.Dilation(c.Dilation), mlx.Groups(max(c.Groups, 1))}
	return addBias(mlx.ConvGeneral(x, c.Weight, o...), c.Bias)
}

// ConvTranspose is nn.ConvTranspose1d, 2d or 3d, by the axes of Weight; channels are
// last.
type ConvTranspose struct {
	Weight *mlx.Array // [out, K..., in]
	Bias   *mlx.Array // [out] or nil

	Stride, Padding, Dilation, OutputPadding []int `mlx:"-"` // nil: 1, 0, 1 and 0
}

// NewConvTranspose1D is nn.ConvTranspose1d(in, out, kernel_size), with the initial
// weights of [NewConv1D]; x is [N, L, in]. Groups are an error, as in MLX.
func NewConvTranspose1D(in, out, kernel int, opts ...ConvOption) *ConvTranspose {
	return newConvTranspose("nn.conv_transpose1d", in, out, []int{kernel}, opts)
}

// NewConvTranspose2D is nn.ConvTranspose2d; x is [N, H, W, in].
func NewConvTranspose2D[K int | [2]int](in, out int, kernel K, opts ...ConvOption) *ConvTranspose {
	return newConvTranspose("nn.conv_transpose2d", in, out, kernelOf(2, kernel), opts)
}

// NewConvTranspose3D is nn.ConvTranspose3d; x is [N, D, H, W, in].
func NewConvTranspose3D[K int | [3]int](in, out int, kernel K, opts ...ConvOption) *ConvTranspose {
	return newConvTranspose("nn.conv_transpose3d", in, out, kernelOf(3, kernel), opts)
}

func newConvTranspose(op string, in, out int, kernel []int, opts []ConvOption) *ConvTranspose {
	set := convKeywords(op, in, opts)
	if set.Groups != 1 {
		tensor.Throw(op, nil, "has no groups")
	}
	return &ConvTranspose{Weight: convWeight(in, out, kernel, in), Bias: convBias(&set, out),
		Stride: set.Stride, Padding: set.Padding, Dilation: set.Dilation, OutputPadding: set.OutputPadding}
}

// Forward is [N, spatial..., in] to [N, spatial..., out].
func (c *ConvTranspose) Forward(x *mlx.Array) *mlx.Array {
	o := tensor.ConvOptions{Stride: c.Stride, Padding: c.Padding, Dilation: c.Dilation, OutputPadding: c.OutputPadding}
	return addBias(tensor.ConvTransposeOf("nn.conv_transpose", 0, x, c.Weight, o, mlx.Stream{}), c.Bias)
}
