package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// MatMul is mx.matmul: a @ b with numpy's rules; floating only.
func MatMul(a, b *Array, opts ...StreamOrDevice) *Array {
	return tensor.MatMulOf(a, b, on("matmul", opts))
}

// axisKeywords reads axis= (nil if not given) and stream=.
func axisKeywords(op string, opts []opt.Axis) ([]int, Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForAxis(&set)
	}
	return set.Axes, streamOf(op, &set)
}
