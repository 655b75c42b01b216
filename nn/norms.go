package nn

import (
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/tensor"
	core "github.com/mlxgo/mlx/internal/tensor/fast"
)

// RMSNorm is nn.RMSNorm.
type RMSNorm struct {
	Weight *mlx.Array // [dims], or nil for none
	Eps    float64    `mlx:"-"`
	// Offset is added to the weight in float32: 1 for Gemma's norms (not in mlx.nn).
	Offset float64 `mlx:"-"`
}

// NewRMSNorm is nn.RMSNorm(dims, eps), ones. It takes [Eps].
func NewRMSNorm(dims int, opts ...NormOption) *RMSNorm {
	return &RMSNorm{Weight: mlx.Ones(mlx.Shape{dims}), Eps: normSettings("RMSNorm", opts, "Eps").eps}
}

// normSettings reads the options of a norm that takes those named.
func normSettings(name string, opts []NormOption, takes ...string) settings {
	s := settings{bias: true, affine: true, eps: 1e-5, momentum: 0.1}
	for _, o := range opts {
		o.norm(&s)
	}
	for _, g := range s.given {
		if !slices.Contains(takes, g) {
			tensor.Throw("nn."+name, nil, "there is no option %s", g)
		}
	}
	return s
}

// affineOf is weight and bias of dims features, ones and zeros, where they are wanted.
func (s settings) affineOf(dims int) (weight, bias *mlx.Array) {
	if !s.affine {
		return nil, nil
	}
	if s.bias {
		bias = mlx.Zeros(mlx.Shape{dims})
	}
	return mlx.Ones(mlx.Shape{dims}), bias
}

// scaled is weight*x + bias where they are not nil.
func scaled(x, weight, bias *mlx.Array) *mlx.Array {
	if weight != nil {
		x = weight.Mul(x)
	}
	return addBias(x, bias)
}

// standardized is (x - mean)/sqrt(var + eps) over axes: a layer norm with these axes
// last, as one.
func standardized(x *mlx.Array, axes mlx.Axes, eps float64) *mlx.Array {
	n := x.NDim()
	var order []int
	for i := range n {
		if !slices.Contains(axes, i) {
			order = append(order, i)
		}
	}
	rest := len(order)
	order = append(order, axes...)
	y := x.Transpose(order...)
	shape := y.Shape()
	y = fast.LayerNorm(y.Reshape(append(shape[:rest:rest], -1)...), nil, nil, eps).Reshape(shape...)
	back := make([]int, n)
	for i, a := range order {
		back[a] = i
	}
	return y.Transpose(back...)
}

// Forward normalizes the last axis.
func (n *RMSNorm) Forward(x *mlx.Array) *mlx.Array {
	if n.Offset == 0 {
		return fast.RMSNorm(x, n.Weight, n.Eps)
	}
	return core.RMSNormPlusOf(x, n.Weight, n.Eps, n.Offset, mlx.Stream{})
}

// LayerNorm is nn.LayerNorm, with [fast.LayerNorm].
type LayerNorm struct {
	Weight *mlx.Array // [dims], or nil for none
	Bias   *mlx.Array // [dims], or nil for none
	Dims   int        `mlx:"-"` // what it prints without a weight
	Eps    float64    `mlx:"-"`
	// Offset is added to the weight in float32: 1 for Nemotron's norms (not in mlx.nn).
	Offset float64 `mlx:"-"`
}

// NewLayerNorm is nn.LayerNorm(dims): ones and zeros. It takes [Eps], [Affine] and
// [Bias].
func NewLayerNorm(dims int, opts ...NormOption) *LayerNorm {
	s := normSettings("LayerNorm", opts, "Eps", "Affine", "Bias")
	w, b := s.affineOf(dims)
	return &LayerNorm{Weight: w, Bias: b, Dims: dims, Eps: s.eps}
}

// Forward normalizes the last axis.
func (n *LayerNorm) Forward(x *mlx.Array) *mlx.Array {
	if n.Offset == 0 {
		return fast.LayerNorm(x, n.Weight, n.Bias, n.Eps)
	}
	return core.LayerNormOf(x, n.Weight, n.Bias, n.Eps, n.Offset, mlx.Stream{})
}

// GroupNorm is nn.GroupNorm.
type GroupNorm struct {
	Weight, Bias *mlx.Array // [dims], or nil without affine
	Groups, Dims int
	Eps          float64
	Contiguous   bool // pytorch_compatible: a group is neighbours, else every Groups-th
}

// NewGroupNorm is nn.GroupNorm(groups, dims). It takes [Eps], [Affine] and
// [PyTorchCompatible], and panics with *mlx.Error if groups do not divide dims.
func NewGroupNorm(groups, dims int, opts ...NormOption) *GroupNorm {
	if groups < 1 || dims%groups != 0 {
		tensor.Throw("nn.GroupNorm", nil, "%d groups do not divide %d dims", groups, dims)
	}
	s := normSettings("GroupNorm", opts, "Eps", "Affine", "PyTorchCompatible")
	w, b := s.affineOf(dims)
	return &GroupNorm{Weight: w, Bias: b, Groups: groups, Dims: dims, Eps: s.eps, Contiguous: s.contiguous}
}

// Forward normalizes groups of channels: x is [B, ..., dims].
func (n *GroupNorm) Forward(x *mlx.Array) *mlx.Array {
	shape := x.Shape()
	b := shape[0]
	var y *mlx.Array
	if n.Contiguous {
		y = standardized(x.Reshape(b, -1, n.Groups, n.Dims/n.Groups), mlx.Axes{1, 3}, n.Eps)
	} else {
		y = standardized(x.Reshape(b, -1, n.Groups), mlx.Axes{1}, n.Eps)
	}
	return scaled(y.Reshape(shape...), n.Weight, n.Bias)
}

// InstanceNorm is nn.InstanceNorm.
type InstanceNorm struct {
	Weight, Bias *mlx.Array // [dims], or nil unless affine
	Dims         int
	Eps          float64
}

// NewInstanceNorm is nn.InstanceNorm(dims). It takes [Eps] and [Affine], false by
// default.
func NewInstanceNorm(dims int, opts ...NormOption) *InstanceNorm {
	s := normSettings("InstanceNorm", append([]NormOption{Affine(false)}, opts...), "Eps", "Affine")
	w, b := s.affineOf(dims)
	return &InstanceNorm{Weight: w, Bias: b, Dims: dims, Eps: s.eps}
}

// Forward normalizes each channel over space: x is [B, space..., dims].
func (n *InstanceNorm) Forward(x *mlx.Array) *mlx.Array {
	var axes mlx.Axes
	for i := 1; i < x.NDim()-1; i++ {
		axes = append(axes, i)
	}
	if len(axes) == 0 {
		tensor.Throw("nn.InstanceNorm", []mlx.Spec{tensor.SpecOf(x)}, "needs at least three axes")
	}
	return scaled(standardized(x, axes, n.Eps), n.Weight, n.Bias)
}

// BatchNorm is nn.BatchNorm.
type BatchNorm struct {
	Weight, Bias *mlx.Array // [features], or nil without affine
	RunningMean  *mlx.Array `mlx:"running_mean,frozen"` // [features], or nil if not tracked
	RunningVar   *mlx.Array `mlx:"running_var,frozen"`

	Eps, Momentum float64
	Training      bool
}

// NewBatchNorm is nn.BatchNorm(features). It takes [Eps], [Affine] and [Momentum].
func NewBatchNorm(features int, opts ...NormOption) *BatchNorm {
	s := normSettings("BatchNorm", opts, "Eps", "Affine", "Momentum")
	w, b := s.affineOf(features)
	return &BatchNorm{Weight: w, Bias: b, RunningMean: mlx.Zeros(mlx.Shape{features}), RunningVar: mlx.Ones(mlx.Shape{features}),
		Eps: s.eps, Momentum: s.momentum}
}

// Forward normalizes over all axes but the last: x is [B, ..., features]. Training, it
// uses the values of the batch and updates the running ones, which are then results
// of the step.
func (n *BatchNorm) Forward(x *mlx.Array) *mlx.Array {
	if x.NDim() < 2 {
		tensor.Throw("nn.BatchNorm", []mlx.Spec{tensor.SpecOf(x)}, "needs at least two axes")
	}
	var axes mlx.Axes
	for i := range x.NDim() - 1 {
		axes = append(axes, i)
	}
	if !n.Training && n.RunningMean != nil {
		y := x.Sub(n.RunningMean).Mul(mlx.Rsqrt(n.RunningVar.Add(n.Eps)))
		return scaled(y, n.Weight, n.Bias)
	}
	if n.Training && n.RunningMean != nil {
		x := mlx.StopGradient(x)
		mean, v := mlx.Mean(x, axes), mlx.Var(x, axes, mlx.DDof(1))
		n.RunningMean = n.RunningMean.Mul(1 - n.Momentum).Add(mean.Mul(n.Momentum))
		n.RunningVar = n.RunningVar.Mul(1 - n.Momentum).Add(v.Mul(n.Momentum))
	}
	return scaled(standardized(x, axes, n.Eps), n.Weight, n.Bias)
}
