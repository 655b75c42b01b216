package foreign_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// codes8 are random codes of 8-bit floats that are numbers.
func codes8(r *rand.Rand, n, exponentBits, mantissaBits int) []byte {
	out := make([]byte, n)
	for i := range out {
		for {
			out[i] = byte(r.Uint32())
			if e := int(out[i]) >> mantissaBits & (1<<exponentBits - 1); e < 1<<exponentBits-1 || exponentBits == 4 && out[i]&7 != 7 {
				break
			}
		}
	}
	return out
}

// TestFloats8: scales of blocks, rows, groups and whole matrices, by all names.
func TestFloats8(t *testing.T) {
	const rows, cols = 50, 96
	fp8 := func(block ...int) object {
		q := object{"quant_method": "fp8", "activation_scheme": "dynamic"}
		if block != nil {
			q["weight_block_size"] = block
		}
		return object{"model_type": "llama", "quantization_config": q}
	}
	compressed := func(w object) object { return compressedConfig("float-quantized", w) }
	for i, c := range []struct {
		config        object
		ending        string
		shape         []int
		br, bc        int // the block's
		raw           string
		powersOfTwo   bool
		d             dtype.DType
		packed        string
		extra, before string
	}{
		{fp8(32, 32), "_scale_inv", []int{2, 3}, 32, 32, "F8_E4M3", false, dtype.Float32, "", ".activation_scale", ""},
		{fp8(48, 40), "_scale_inv", []int{2, 3}, 48, 40, "F8_E4M3", false, dtype.BFloat16, "", "", ""},
		{fp8(128, 128), "_scale_inv", []int{1, 1}, rows, cols, "F8_E4M3", false, dtype.Float32, "", "", ""},
		{fp8(), "_scale_inv", []int{}, rows, cols, "F8_E4M3", false, dtype.BFloat16, "", ".input_scale", ""},
		{fp8(), "_scale_inv", []int{1}, rows, cols, "F8_E5M2", false, dtype.Float32, "", "", ""},
		{fp8(), "_scale", []int{rows, 1}, 1, cols, "F8_E4M3", false, dtype.Float32, "", "", ""},
		{fp8(32, 32), "_scale_inv", []int{2, 3}, 32, 32, "F8_E4M3", true, dtype.Float32, "mxfp8", "", ""},
		{fp8(40, 40), "_scale_inv", []int{2, 3}, 40, 40, "F8_E4M3", true, dtype.Float32, "", "", ""},
		{fp8(), "_scale", []int{rows, 1}, 1, cols, "F8_E4M3", true, dtype.BFloat16, "mxfp8", "", ""},
		{object{"model_type": "llama"}, "_scale_inv", []int{1}, rows, cols, "F8_E4M3", false, dtype.Float32, "", "", ""},
		{compressed(object{"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true}), "_scale", []int{rows, 1}, 1, cols, "F8_E4M3", false, dtype.BFloat16, "", ".input_scale", ""},
		{compressed(object{"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true}), "_scale", []int{1}, rows, cols, "F8_E4M3", false, dtype.Float32, "", ".input_scale", ""},
		{compressed(object{"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32}), "_scale", []int{rows, 3}, 1, 32, "F8_E4M3", false, dtype.BFloat16, "", "", ""},
		{compressed(object{"num_bits": 8, "type": "float", "strategy": "block", "block_structure": []int{32, 48}}), "_scale", []int{2, 2}, 32, 48, "F8_E4M3", false, dtype.BFloat16, "", "", ""},
	} {
		t.Run(name(i, c.ending, c.shape), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 5))
			eb, mb := 4, 3
			if c.raw == "F8_E5M2" {
				eb, mb = 5, 2
			}
			codes := codes8(r, rows*cols, eb, mb)
			n := 1
			for _, d := range c.shape {
				n *= d
			}
			scales := make([]float64, n)
			for k := range scales {
				scales[k] = rounded(0.001+0.01*r.Float64(), c.d)
				if c.powersOfTwo {
					scales[k] = math.Ldexp(1, -r.IntN(9))
				}
			}
			perRow := (cols + c.bc - 1) / c.bc
			want := make([][]float64, rows)
			for row := range want {
				want[row] = make([]float64, cols)
				for col := range want[row] {
					want[row][col] = float8(int(codes[row*cols+col]), eb, mb) * scales[row/c.br*perRow+col/c.bc]
				}
			}
			ts := []safetensors.Tensor{octets(layer+".weight", c.raw, codes, rows, cols), floats(layer+".weight"+c.ending, c.d, scales, c.shape...), embedding()}
			if c.extra != "" {
				ts = append(ts, floats(layer+c.extra, dtype.Float32, []float64{3}, 1))
			}
			check(t, source(c.config, ts...), want, c.packed, dtype.Uint8)
		})
	}
}

// TestExperts8: a stack of matrices has a stack of scales.
func TestExperts8(t *testing.T) {
	const n, rows, cols = 3, 40, 64
	r := rand.New(rand.NewPCG(1, 6))
	codes := codes8(r, n*rows*cols, 4, 3)
	scales := make([]float64, n*2*2)
	for i := range scales {
		scales[i] = float64(float32(0.01 + r.Float64()))
	}
	want := make([][]float64, n*rows)
	for i := range want {
		want[i] = make([]float64, cols)
		for c := range cols {
			want[i][c] = float8(int(codes[i*cols+c]), 4, 3) * scales[i/rows*4+i%rows/32*2+c/32]
		}
	}
	s := source(object{"model_type": "llama", "quantization_config": object{"quant_method": "fp8", "weight_block_size": []int{32, 32}}},
		octets(layer+".weight", "F8_E4M3", codes, n, rows, cols), floats(layer+".weight_scale_inv", dtype.Float32, scales, n, 2, 2))
	all, config, _ := translated(t, s)
	same(t, decoded(t, all, config, layer), want)
}

// TestFloats4: nvfp4 stays packed where its scales can be divided exactly.
func TestFloats4(t *testing.T) {
	const rows, cols = 24, 96
	for i, c := range []struct {
		global float64
		large  bool // scales whose quarter e4m3 still has
		mx     bool
		packed string
	}{{1, false, false, "nvfp4"}, {4, true, false, "nvfp4"}, {4, false, false, ""}, {1234.5, true, false, ""}, {0, false, false, "nvfp4"}, {0, false, true, "mxfp4"}} {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		packed := make([]byte, rows*cols/2)
		for k := range packed {
			packed[k] = byte(r.Uint32())
		}
		group, raw := 16, "F8_E4M3"
		if c.mx {
			group, raw = 32, "U8"
		}
		scales := make([]byte, rows*cols/group)
		for k := range scales {
			scales[k] = byte(r.IntN(0x7f))
			if c.large {
				scales[k] = byte(0x40 + r.IntN(0x3f))
			} else if c.mx {
				scales[k] = byte(100 + r.IntN(40))
			}
		}
		scales[0] = 1 // the smallest
		if c.large {
			scales[0] = 0x70
		}
		divisor := c.global
		if divisor == 0 {
			divisor = 1
		}
		want := make([][]float64, rows)
		for row := range want {
			want[row] = make([]float64, cols)
			for col := range want[row] {
				at := row*cols + col
				scale := float64(float32(float8(int(scales[at/group]), 4, 3)) / float32(divisor))
				if c.mx {
					scale = math.Ldexp(1, int(scales[at/group])-127)
				}
				want[row][col] = float4(int(packed[at/2])>>(4*(at%2))&15) * scale
			}
		}
		ts := []safetensors.Tensor{octets(layer+".weight_packed", "U8", packed, rows, cols/2), octets(layer+".weight_scale", raw, scales, rows, cols/group), embedding()}
		if c.global > 0 {
			ts = append(ts, floats(layer+".weight_global_scale", dtype.Float32, []float64{c.global}, 1), floats(layer+".input_global_scale", dtype.Float32, []float64{2}, 1))
		}
		check(t, source(compressedConfig("nvfp4-pack-quantized", object{"num_bits": 4, "type": "float", "group_size": 16}), ts...), want, c.packed, dtype.Uint8)
	}
}

// TestBlocks4: gpt-oss's blocks are MLX's words, their biases stay beside them.
func TestBlocks4(t *testing.T) {
	const experts, rows, groups = 2, 6, 3
	r := rand.New(rand.NewPCG(1, 8))
	blocks, scales := make([]byte, experts*rows*groups*16), make([]byte, experts*rows*groups)
	for i := range blocks {
		blocks[i] = byte(r.Uint32())
	}
	for i := range scales {
		scales[i] = byte(110 + r.IntN(20))
	}
	want := make([][]float64, experts*rows)
	for i := range want {
		for c := range groups * 32 {
			at := i*groups*32 + c
			want[i] = append(want[i], float4(int(blocks[at/2])>>(4*(at%2))&15)*math.Ldexp(1, int(scales[at/32])-127))
		}
	}
	s := source(object{"model_type": "gpt_oss", "quantization_config": object{"quant_method": "mxfp4", "modules_to_not_convert": []string{"lm_head"}}},
		octets(layer+"_blocks", "U8", blocks, experts, rows, groups, 16), octets(layer+"_scales", "U8", scales, experts, rows, groups),
		floats(layer+"_bias", dtype.BFloat16, make([]float64, experts*rows), experts, rows), embedding())
	all, config, _ := translated(t, s)
	same(t, decoded(t, all, config, layer), want)
	if b := all[layer+".bias"]; b.RawDType != "BF16" || all[layer+".weight"].Make != nil {
		t.Error("the bias is gone, or the blocks were copied")
	}
}
