package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/random"
)

// familyEdges are more recorded calls of mx.fast, quantization and mx.random. Those of
// attention rows that see no key are not here: they are 0 (see docs/goldens.md), and
// package fast tests them.
var familyEdges = map[string]func() []*mlx.Array{
	"fast/rms_norm_dtype_mixed": func() []*mlx.Array {
		return as(fast.RMSNorm(mlx.Ones(mlx.Shape{1, 4}, mlx.BFloat16), mlx.Ones(mlx.Shape{4}), 1e-5))
	},
	"fast/layer_norm_bias_size_error": func() []*mlx.Array {
		return as(fast.LayerNorm(mlx.Ones(mlx.Shape{2, 4}), mlx.Ones(mlx.Shape{4}), mlx.Ones(mlx.Shape{3}), 1e-5))
	},
	"fast/layer_norm_constant_row": func() []*mlx.Array {
		return as(fast.LayerNorm(mlx.Full(mlx.Shape{1, 4}, 3.0), nil, nil, 1e-5))
	},
	"fast/layer_norm_no_weight_bias": func() []*mlx.Array {
		return as(fast.LayerNorm(arr([][]float64{{1, 2, 3, 4}}), nil, mlx.Ones(mlx.Shape{4}), 1e-5))
	},
	"quantize/g32_b4_dequantized": func() []*mlx.Array {
		return as(mlx.Dequantize(quantizedOf(edgeWeight(), mlx.GroupSize(32), mlx.Bits(4))))
	},
	"quantize/nan_row": func() []*mlx.Array { return quantized(oddRow(nan), mlx.GroupSize(32), mlx.Bits(4)) },
	"quantize/inf_row": func() []*mlx.Array { return quantized(oddRow(inf), mlx.GroupSize(32), mlx.Bits(4)) },
	"quantize/3d_shapes": func() []*mlx.Array {
		var shapes [][]int
		for _, a := range quantized(zeros(2, 3, 64)) {
			shapes = append(shapes, a.Shape())
		}
		return as(arr(shapes))
	},
	"quantize/dequantize_not_uint32": func() []*mlx.Array {
		return as(mlx.Dequantize(mlx.Quantized{Weight: zeros(2, 8), Scales: zeros(2, 1), Biases: zeros(2, 1)}))
	},
	"quantize/dequantize_dtype": func() []*mlx.Array {
		return as(mlx.Dequantize(quantizedOf(edgeWeight().AsType(mlx.BFloat16))))
	},
	"quantize/quantized_matmul_int_x": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}, mlx.Int32), quantizedOf(edgeWeight())))
	},
	"random/categorical_all_minus_inf": func() []*mlx.Array { return draw6(-inf, -inf, -inf, -inf) },
	"random/categorical_plus_inf":      func() []*mlx.Array { return draw6(0, inf, 0, inf) },
	"random/categorical_nan":           func() []*mlx.Array { return draw6(0, nan, 0, 0) },
	"random/categorical_dtype": func() []*mlx.Array {
		return as(random.Categorical(mlx.Zeros(mlx.Shape{1, 4}, mlx.BFloat16), key(1)))
	},
	"random/normal_complex": func() []*mlx.Array { return as(random.Normal(mlx.Shape{3}, mlx.Complex64, key(1))) },
}

// draw6 samples one row of logits six times.
func draw6(logits ...float64) []*mlx.Array {
	return as(random.Categorical(f(logits...).Reshape(1, -1), random.NumSamples(6), key(1)))
}

// oddRow is v and 31 ones.
func oddRow(v float64) *mlx.Array {
	row := []float64{v}
	for range 31 {
		row = append(row, 1)
	}
	return f(row...).Reshape(1, 32)
}
