package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	trandom "github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/random"
)

// randomEdges are the recorded calls of mx.random.
var randomEdges = map[string]func() []*mlx.Array{
	"random/uniform_float32":       func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/uniform_range_float32": func() []*mlx.Array { return as(random.Uniform(-2.0, 3.0, mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/normal_float32":        func() []*mlx.Array { return as(random.Normal(mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/normal_loc_scale_float32": func() []*mlx.Array {
		return as(random.Normal(mlx.Shape{5}, random.Loc(1), random.Scale(2), key(1), mlx.Float32))
	},
	"random/truncated_normal_float32": func() []*mlx.Array { return as(random.TruncatedNormal(-1.0, 2.0, mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/gumbel_float32":           func() []*mlx.Array { return as(random.Gumbel(mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/laplace_float32":          func() []*mlx.Array { return as(random.Laplace(mlx.Shape{5}, key(1), mlx.Float32)) },
	"random/laplace_loc_scale_float32": func() []*mlx.Array {
		return as(random.Laplace(mlx.Shape{5}, random.Loc(-1), random.Scale(0.5), key(1), mlx.Float32))
	},
	"random/uniform_float16":       func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/uniform_range_float16": func() []*mlx.Array { return as(random.Uniform(-2.0, 3.0, mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/normal_float16":        func() []*mlx.Array { return as(random.Normal(mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/normal_loc_scale_float16": func() []*mlx.Array {
		return as(random.Normal(mlx.Shape{5}, random.Loc(1), random.Scale(2), key(1), mlx.Float16))
	},
	"random/truncated_normal_float16": func() []*mlx.Array { return as(random.TruncatedNormal(-1.0, 2.0, mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/gumbel_float16":           func() []*mlx.Array { return as(random.Gumbel(mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/laplace_float16":          func() []*mlx.Array { return as(random.Laplace(mlx.Shape{5}, key(1), mlx.Float16)) },
	"random/laplace_loc_scale_float16": func() []*mlx.Array {
		return as(random.Laplace(mlx.Shape{5}, random.Loc(-1), random.Scale(0.5), key(1), mlx.Float16))
	},
	"random/uniform_bfloat16":       func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/uniform_range_bfloat16": func() []*mlx.Array { return as(random.Uniform(-2.0, 3.0, mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/normal_bfloat16":        func() []*mlx.Array { return as(random.Normal(mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/normal_loc_scale_bfloat16": func() []*mlx.Array {
		return as(random.Normal(mlx.Shape{5}, random.Loc(1), random.Scale(2), key(1), mlx.BFloat16))
	},
	"random/truncated_normal_bfloat16": func() []*mlx.Array { return as(random.TruncatedNormal(-1.0, 2.0, mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/gumbel_bfloat16":           func() []*mlx.Array { return as(random.Gumbel(mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/laplace_bfloat16":          func() []*mlx.Array { return as(random.Laplace(mlx.Shape{5}, key(1), mlx.BFloat16)) },
	"random/laplace_loc_scale_bfloat16": func() []*mlx.Array {
		return as(random.Laplace(mlx.Shape{5}, random.Loc(-1), random.Scale(0.5), key(1), mlx.BFloat16))
	},
	"random/randint_int8":            func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Int8)) },
	"random/randint_int16":           func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Int16)) },
	"random/randint_int32":           func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Int32)) },
	"random/randint_int64":           func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Int64)) },
	"random/randint_uint8":           func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Uint8)) },
	"random/randint_uint16":          func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Uint16)) },
	"random/randint_uint32":          func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Uint32)) },
	"random/randint_uint64":          func() []*mlx.Array { return as(random.RandInt(0, 100, mlx.Shape{8}, key(1), mlx.Uint64)) },
	"random/uniform_array_bounds":    func() []*mlx.Array { return as(random.Uniform(f(0, 10), f(1, 20), mlx.Shape{3, 2}, key(2))) },
	"random/uniform_no_shape":        func() []*mlx.Array { return as(random.Uniform(0, 1, nil, key(2))) },
	"random/uniform_int_dtype_error": func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{2}, mlx.Int32)) },
	"random/uniform_shape_error":     func() []*mlx.Array { return as(random.Uniform(zeros(3), zeros(3), mlx.Shape{2})) },
	"random/uniform_odd_5x3":         func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{5, 3}, key(7))) },
	"random/normal_no_shape":         func() []*mlx.Array { return as(random.Normal(nil, key(2))) },
	"random/normal_int_error":        func() []*mlx.Array { return as(random.Normal(mlx.Shape{2}, mlx.Int32)) },
	"random/randint_negative":        func() []*mlx.Array { return as(random.RandInt(-5, 5, mlx.Shape{12}, key(3))) },
	"random/randint_one_value":       func() []*mlx.Array { return as(random.RandInt(3, 4, mlx.Shape{4}, key(3))) },
	"random/randint_empty_range":     func() []*mlx.Array { return as(random.RandInt(3, 3, mlx.Shape{4}, key(3))) },
	"random/randint_array_bounds": func() []*mlx.Array {
		return as(random.RandInt(arr([]int{0, 10}), arr([]int{5, 20}), mlx.Shape{3, 2}, key(3)))
	},
	"random/randint_float_dtype_error": func() []*mlx.Array { return as(random.RandInt(0, 5, mlx.Shape{2}, mlx.Float32)) },
	"random/bernoulli_default":         func() []*mlx.Array { return as(random.Bernoulli(0.5, mlx.Shape{8}, key(1))) },
	"random/bernoulli_array":           func() []*mlx.Array { return as(random.Bernoulli(f(0, 1, 0.5), mlx.Shape{4, 3}, key(1))) },
	"random/bernoulli_int_p":           func() []*mlx.Array { return as(random.Bernoulli(1, mlx.Shape{2}, key(1))) },
	"random/categorical_axis0":         func() []*mlx.Array { return as(random.Categorical(zeros(4, 2), mlx.Axis(0), key(1))) },
	"random/categorical_num_samples":   func() []*mlx.Array { return as(random.Categorical(zeros(2, 4), random.NumSamples(5), key(1))) },
	"random/categorical_minus_inf": func() []*mlx.Array {
		return as(random.Categorical(arr([][]float64{{-inf, 0, -inf}}), random.NumSamples(6), key(1)))
	},
	"random/categorical_1d_minus_inf": func() []*mlx.Array { return as(random.Categorical(f(-inf, 0, -inf), random.NumSamples(6), key(1))) },
	"random/categorical_1x1":          func() []*mlx.Array { return as(random.Categorical(zeros(1, 1), key(1))) },
	"random/categorical_row_many": func() []*mlx.Array {
		return as(random.Categorical(arr([][]float64{{0, 1, 2, 3}}), random.NumSamples(16), key(1)))
	},
	"random/categorical_1d_many":     func() []*mlx.Array { return as(random.Categorical(f(0, 1, 2, 3), random.NumSamples(16), key(1))) },
	"random/permutation_int":         func() []*mlx.Array { return as(random.Permutation(10, key(1))) },
	"random/permutation_array_axis1": func() []*mlx.Array { return as(random.Shuffle(grid(2, 6), mlx.Axis(1), key(1))) },
	"random/key":                     func() []*mlx.Array { return as(key(12345678901).A) },
	"random/split_5":                 func() []*mlx.Array { return as(trandom.Split(key(5).A, 5, none)) },
	"random/split":                   func() []*mlx.Array { return as(trandom.Split(key(5).A, 2, none)) },
	"random/key_shape_error": func() []*mlx.Array {
		return as(random.Uniform(0, 1, mlx.Shape{2}, random.Key{A: arr([]uint32{1, 2, 3})}))
	},
	"random/key_dtype_error": func() []*mlx.Array { return as(random.Uniform(0, 1, mlx.Shape{2}, random.Key{A: arr([]int{1, 2})})) },
	"random/seed_then_three_calls": func() []*mlx.Array {
		random.Seed(11)
		return as(random.Uniform(0, 1, mlx.Shape{2}), random.Normal(mlx.Shape{2}), random.RandInt(0, 1000, mlx.Shape{3}))
	},
	"random/seed_large": func() []*mlx.Array {
		random.Seed(1<<40 + 3)
		return as(random.Uniform(0, 1, mlx.Shape{2}))
	},
}

func ones(shape ...int) *mlx.Array { return mlx.Ones(shape) }

func rope(x *mlx.Array, dims int) []*mlx.Array {
	return as(fast.RoPE{Dims: dims, Base: 1e4}.Apply(x, 0))
}

func attend(q, k, v *mlx.Array, o ...fast.AttentionOption) []*mlx.Array {
	return as(fast.ScaledDotProductAttention(q, k, v, 1, o...))
}

// fastEdges are the recorded calls of mx.fast. Rows that may see no key are ours
// to define (0), and tested in mlx/fast.
var fastEdges = map[string]func() []*mlx.Array{
	"fast/rms_norm_weight_size_error": func() []*mlx.Array { return as(fast.RMSNorm(ones(2, 4), ones(3), 1e-5)) },
	"fast/rms_norm_weight_ndim_error": func() []*mlx.Array { return as(fast.RMSNorm(ones(2, 4), ones(1, 4), 1e-5)) },
	"fast/rms_norm_0d_error":          func() []*mlx.Array { return as(fast.RMSNorm(arr(1.0), nil, 1e-5)) },
	"fast/rms_norm_zero_row":          func() []*mlx.Array { return as(fast.RMSNorm(zeros(1, 4), nil, 1e-5)) },
	"fast/rms_norm_int_error":         func() []*mlx.Array { return as(fast.RMSNorm(mlx.Ones(mlx.Shape{1, 4}, mlx.Int32), nil, 1e-5)) },
	"fast/rope_1d_error":              func() []*mlx.Array { return rope(ones(4), 4) },
	"fast/rope_2d_error":              func() []*mlx.Array { return rope(ones(2, 4), 4) },
	"fast/rope_odd_dims_error":        func() []*mlx.Array { return rope(ones(1, 2, 4), 3) },
	"fast/rope_dims_too_large_error":  func() []*mlx.Array { return rope(ones(1, 2, 4), 6) },
	"fast/rope_base_and_freqs_error":  func() []*mlx.Array { return as(fast.RoPE{Dims: 4, Base: 1e4, Freqs: ones(2)}.Apply(ones(1, 2, 4), 0)) },
	"fast/rope_neither_error":         func() []*mlx.Array { return as(fast.RoPE{Dims: 4}.Apply(ones(1, 2, 4), 0)) },
	"fast/rope_freqs_shape_error":     func() []*mlx.Array { return as(fast.RoPE{Dims: 4, Freqs: ones(3)}.Apply(ones(1, 2, 4), 0)) },
	"fast/rope_int_error":             func() []*mlx.Array { return rope(mlx.Ones(mlx.Shape{1, 2, 4}, mlx.Int32), 4) },
	"fast/rope_offset_array": func() []*mlx.Array {
		return as(fast.RoPE{Dims: 4, Base: 1e4}.ApplyAt(ones(2, 1, 2, 4), arr([]int{0, 3})))
	},
	"fast/rope_offset_array_wrong_size_error": func() []*mlx.Array {
		return as(fast.RoPE{Dims: 4, Base: 1e4}.ApplyAt(ones(2, 1, 2, 4), arr([]int{0, 3, 4})))
	},
	"fast/sdpa_rank_error":     func() []*mlx.Array { return attend(ones(2, 3, 4), ones(2, 3, 4), ones(2, 3, 4)) },
	"fast/sdpa_head_dim_error": func() []*mlx.Array { return attend(ones(1, 2, 3, 4), ones(1, 2, 3, 5), ones(1, 2, 3, 4)) },
	"fast/sdpa_heads_error":    func() []*mlx.Array { return attend(ones(1, 3, 3, 4), ones(1, 2, 3, 4), ones(1, 2, 3, 4)) },
	"fast/sdpa_kv_heads_error": func() []*mlx.Array { return attend(ones(1, 2, 3, 4), ones(1, 2, 3, 4), ones(1, 1, 3, 4)) },
	"fast/sdpa_batch_error":    func() []*mlx.Array { return attend(ones(2, 2, 3, 4), ones(1, 2, 3, 4), ones(1, 2, 3, 4)) },
	"fast/sdpa_mask_shape_error": func() []*mlx.Array {
		return attend(ones(1, 2, 3, 4), ones(1, 2, 3, 4), ones(1, 2, 3, 4), fast.Mask(ones(3, 5)))
	},
	"fast/sdpa_int_error": func() []*mlx.Array {
		return attend(mlx.Ones(mlx.Shape{1, 2, 3, 4}, mlx.Int32), mlx.Ones(mlx.Shape{1, 2, 3, 4}, mlx.Int32), mlx.Ones(mlx.Shape{1, 2, 3, 4}, mlx.Int32))
	},
}

// edgeWeight is the matrix that the recorded calls quantize.
func edgeWeight() *mlx.Array {
	v := make([]float32, 2*64)
	for i := range v {
		v[i] = float32(i%17)/4 - 2
	}
	return mlx.FromSlice(v, 2, 64)
}

func quantizedOf(w *mlx.Array, o ...mlx.QuantOption) mlx.Quantized {
	return mlx.Quantize(w, append(o, mlx.RoundCPU)...)
}

func quantized(w *mlx.Array, o ...mlx.QuantOption) []*mlx.Array {
	q := quantizedOf(w, o...)
	out := as(q.Weight, q.Scales)
	if q.Biases != nil {
		out = append(out, q.Biases)
	}
	return out
}

// quantEdges are the recorded calls of quantization, by the CPU's quantizer.
var quantEdges = map[string]func() []*mlx.Array{
	"quantize/g32_b4":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(32), mlx.Bits(4)) },
	"quantize/g64_b8":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(64), mlx.Bits(8)) },
	"quantize/g32_b2":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(32), mlx.Bits(2)) },
	"quantize/g32_b3":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(32), mlx.Bits(3)) },
	"quantize/g32_b5":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(32), mlx.Bits(5)) },
	"quantize/g32_b6":       func() []*mlx.Array { return quantized(edgeWeight(), mlx.GroupSize(32), mlx.Bits(6)) },
	"quantize/zero_row":     func() []*mlx.Array { return quantized(zeros(1, 32), mlx.GroupSize(32), mlx.Bits(4)) },
	"quantize/constant_row": func() []*mlx.Array { return quantized(mlx.Full(mlx.Shape{1, 32}, 1.5), mlx.GroupSize(32), mlx.Bits(4)) },
	"quantize/constant_negative_row": func() []*mlx.Array {
		return quantized(mlx.Full(mlx.Shape{1, 32}, -1.5), mlx.GroupSize(32), mlx.Bits(4))
	},
	"quantize/1d_error":                  func() []*mlx.Array { return quantized(zeros(64)) },
	"quantize/last_dim_error":            func() []*mlx.Array { return quantized(zeros(2, 100)) },
	"quantize/last_dim_32_default_error": func() []*mlx.Array { return quantized(zeros(2, 32)) },
	"quantize/group_size_error":          func() []*mlx.Array { return quantized(zeros(2, 64), mlx.GroupSize(48)) },
	"quantize/group_size_16_error":       func() []*mlx.Array { return quantized(zeros(2, 64), mlx.GroupSize(16)) },
	"quantize/bits_error":                func() []*mlx.Array { return quantized(zeros(2, 64), mlx.Bits(7)) },
	"quantize/bits_1_error":              func() []*mlx.Array { return quantized(zeros(2, 64), mlx.Bits(1)) },
	"quantize/int_error":                 func() []*mlx.Array { return quantized(mlx.Zeros(mlx.Shape{2, 64}, mlx.Int32)) },
	"quantize/mode_error":                func() []*mlx.Array { return quantized(zeros(2, 64), mlx.Mode("foo")) },
	"quantize/mxfp4":                     func() []*mlx.Array { return quantized(edgeWeight(), mlx.Mode("mxfp4")) },
	"quantize/mxfp8":                     func() []*mlx.Array { return quantized(edgeWeight(), mlx.Mode("mxfp8")) },
	"quantize/nvfp4":                     func() []*mlx.Array { return quantized(edgeWeight(), mlx.Mode("nvfp4")) },
	"quantize/mxfp4_group_error":         func() []*mlx.Array { return quantized(zeros(2, 64), mlx.GroupSize(64), mlx.Mode("mxfp4")) },
	"quantize/mxfp4_bits_error":          func() []*mlx.Array { return quantized(zeros(2, 64), mlx.Bits(8), mlx.Mode("mxfp4")) },
	"quantize/nvfp4_group_error":         func() []*mlx.Array { return quantized(zeros(2, 64), mlx.GroupSize(32), mlx.Mode("nvfp4")) },
	"quantize/dequantize_missing_biases": func() []*mlx.Array { q := quantizedOf(edgeWeight()); q.Biases = nil; return as(mlx.Dequantize(q)) },
	"quantize/dequantize_shape_error": func() []*mlx.Array {
		q := quantizedOf(edgeWeight())
		q.Scheme.GroupSize = 32
		return as(mlx.Dequantize(q))
	},
	"quantize/quantized_matmul": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), quantizedOf(edgeWeight())))
	},
	"quantize/quantized_matmul_no_transpose": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 2}), quantizedOf(edgeWeight()), mlx.TransposeRHS(false)))
	},
	"quantize/quantized_matmul_vector": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{64}), quantizedOf(edgeWeight())))
	},
	"quantize/quantized_matmul_shape_error": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 32}), quantizedOf(edgeWeight())))
	},
	"quantize/quantized_matmul_missing_biases": func() []*mlx.Array {
		q := quantizedOf(edgeWeight())
		q.Biases = nil
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), q))
	},
	"quantize/quantized_matmul_group_mismatch": func() []*mlx.Array {
		q := quantizedOf(edgeWeight())
		q.Scheme.GroupSize = 32
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), q))
	},
	"quantize/quantized_matmul_mixed_dtype": func() []*mlx.Array {
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), quantizedOf(edgeWeight().AsType(mlx.BFloat16))))
	},
	"quantize/quantized_matmul_w_not_uint32": func() []*mlx.Array {
		q := quantizedOf(edgeWeight())
		q.Weight = q.Weight.AsType(mlx.Int32)
		return as(mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), q))
	},
}
