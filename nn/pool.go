package nn

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Pool is nn.MaxPool1d to AvgPool3d, by the number of Kernel's axes; x is
// [N, spatial..., C].
type Pool struct {
	Average bool  // the mean of each window, which counts the padding; else its maximum
	Kernel  []int // one size for each spatial axis
	Stride  []int // nil: Kernel; one value stands for all axes
	Padding []int // nil: none; one value stands for all axes
}

// axisValues is v for n axes.
func axisValues(op, what string, v, otherwise []int, n int) []int {
	switch len(v) {
	case 0:
		return otherwise
	case 1:
		return slices.Repeat(v, n)
	case n:
		return v
	}
	tensor.Throw(op, nil, "%d values of %s for %d spatial axes", len(v), what, n)
	return nil
}

// Forward pools. It panics with *mlx.Error where x has not two axes more than Kernel,
// or a window is larger than the padded x.
func (p *Pool) Forward(x *mlx.Array) *mlx.Array {
	const op = "nn.pool"
	n := len(p.Kernel)
	if n == 0 || x.NDim() != n+2 {
		tensor.Throw(op, []mlx.Spec{tensor.SpecOf(x)}, "a kernel of %d axes needs an input of %d axes", n, n+2)
	}
	stride := axisValues(op, "the stride", p.Stride, p.Kernel, n)
	padding := axisValues(op, "the padding", p.Padding, make([]int, n), n)
	for i := range n {
		if p.Kernel[i] < 1 || stride[i] < 1 || padding[i] < 0 {
			tensor.Throw(op, nil, "kernel %v and stride %v must be positive, padding %v not negative", p.Kernel, stride, padding)
		}
	}
	if slices.Max(padding) > 0 {
		widths := make([][2]int, n+2)
		for i, w := range padding {
			widths[i+1] = [2]int{w, w}
		}
		value := 0.0
		if !p.Average {
			value = math.Inf(-1)
		}
		x = mlx.Pad(x, widths, mlx.ConstantValue(value))
	}
	w, axes := p.windows(x, stride)
	if p.Average {
		return mlx.Mean(w, axes)
	}
	return mlx.Max(w, axes)
}

// windows is x with axes more, those of the windows.
func (p *Pool) windows(x *mlx.Array, stride []int) (*mlx.Array, mlx.Axes) {
	n, in := len(p.Kernel), x.Shape()
	apart := true // windows that neither overlap nor leave a rest are a reshape
	for i, k := range p.Kernel {
		if in[i+1] < k {
			tensor.Throw("nn.pool", []mlx.Spec{tensor.SpecOf(x)}, "spatial axis %d of size %d with padding is smaller than the window's %d", i, in[i+1], k)
		}
		apart = apart && k == stride[i] && in[i+1]%k == 0
	}
	var axes mlx.Axes
	shape := mlx.Shape{in[0]}
	if apart {
		for i, k := range p.Kernel {
			axes = append(axes, len(shape)+1)
			shape = append(shape, in[i+1]/k, k)
		}
		return x.Reshape(append(shape, in[n+1])...), axes
	}
	step := make([]int, n+2) // of x in row-major order
	step[n+1] = 1
	for i := n; i >= 0; i-- {
		step[i] = step[i+1] * in[i+1]
	}
	steps := []int{step[0]}
	for i, k := range p.Kernel {
		shape = append(shape, (in[i+1]-k)/stride[i]+1)
		steps = append(steps, step[i+1]*stride[i])
	}
	for i, k := range p.Kernel {
		axes = append(axes, len(shape))
		shape, steps = append(shape, k), append(steps, step[i+1])
	}
	return mlx.AsStrided(x, append(shape, in[n+1]), append(steps, 1), 0), axes
}
