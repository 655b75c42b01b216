package foreign_test

import (
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

func awqConfig(more object) object {
	q := object{"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}
	for k, v := range more {
		q[k] = v
	}
	return object{"model_type": "llama", "quantization_config": q}
}

func gptqConfig(more object) object {
	q := object{"quant_method": "gptq", "bits": 4, "group_size": 32}
	for k, v := range more {
		q[k] = v
	}
	return object{"model_type": "llama", "quantization_config": q}
}

// without is ts less those whose name has the ending; change is applied to the one that
// has the other ending.
func without(ts []safetensors.Tensor, ending string) []safetensors.Tensor {
	return slices.DeleteFunc(slices.Clone(ts), func(t safetensors.Tensor) bool { return strings.HasSuffix(t.Name, ending) })
}

func changed(ts []safetensors.Tensor, ending string, change func(*safetensors.Tensor)) []safetensors.Tensor {
	out := slices.Clone(ts)
	for i := range out {
		if strings.HasSuffix(out[i].Name, ending) {
			change(&out[i])
		}
	}
	return out
}

// TestErrors: each names the tensor and its shape, or the key.
func TestErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	g := newGrid(r, 64, 128, 4, 32, dtype.Float16, false, inOrder)
	awq, gptq, ct := packAWQ(g), packGPTQ(g, 1), packCompressed(g, false, false, false)
	asymmetric := object{"num_bits": 4, "type": "int", "symmetric": false, "group_size": 32}
	packed := func(w object) object { return compressedConfig("pack-quantized", w) }
	fp8 := []safetensors.Tensor{octets(layer+".weight", "F8_E4M3", codes8(r, 64*64, 4, 3), 64, 64), floats(layer+".weight_scale_inv", dtype.Float32, make([]float64, 4), 2, 2)}
	method := func(m string) object {
		return object{"model_type": "llama", "quantization_config": object{"quant_method": m}}
	}
	for _, c := range []struct {
		config object
		ts     []safetensors.Tensor
		want   string
	}{
		{method("bitsandbytes"), nil, `config.json: quantization_config.quant_method: weights quantized by "bitsandbytes" are not supported: load it with transformers, call dequantize()`},
		{method("frob"), nil, `weights quantized by "frob" are not supported: take the unquantized model`},
		{object{"model_type": "x", "text_config": object{"quantization_config": object{"quant_method": "hqq"}}}, nil, `config.json: text_config.quantization_config.quant_method: weights quantized by "hqq"`},
		{object{"model_type": "x", "quantization_config": 5}, nil, "config.json: quantization_config: a JSON number stands where an object belongs"},
		{object{"model_type": "x", "quantization_config": object{"quant_method": "awq", "bits": "4"}}, nil, "config.json: quantization_config: bits is a JSON string"},
		{awqConfig(object{"version": "gemv"}), awq, `quantization_config.version: the layout "gemv" of awq is not supported, only gemm is`},
		{awqConfig(object{"bits": 3}), awq, "quantization_config.bits: awq with 3 bits is not supported"},
		{awqConfig(object{"group_size": 64}), awq, layer + ".qweight: shapes [128 8] and [4 64] are of groups of 32, but quantization_config says group_size 64"},
		{awqConfig(nil), without(awq, ".qzeros"), layer + ".qweight: there is no " + layer + ".qzeros beside it"},
		{awqConfig(nil), without(awq, ".scales"), layer + ".qweight: there is no " + layer + ".scales beside it"},
		{awqConfig(nil), changed(awq, ".qzeros", func(t *safetensors.Tensor) { t.Shape = []int{2, 16} }), layer + ".qweight: shape [128 8] does not go with qzeros [2 16] and scales [4 64] of 4 bits"},
		{awqConfig(nil), changed(awq, ".qweight", func(t *safetensors.Tensor) { t.Shape = []int{128, 2, 4} }), layer + ".qweight: shape [128 2 4] has 3 axes, not 2"},
		{awqConfig(nil), changed(awq, ".qweight", func(t *safetensors.Tensor) { t.RawDType = "F32" }), layer + ".qweight: dtype F32 is not supported, only packed I32 is"},
		{awqConfig(nil), changed(awq, ".scales", func(t *safetensors.Tensor) { t.RawDType = "I16" }), layer + ".scales: dtype I16 is not supported for scales"},
		{awqConfig(nil), append(slices.Clone(awq), floats(layer+".weight", dtype.Float16, []float64{1}, 1)), layer + ".weight: it is there beside the packed tensors of the same layer"},
		{gptqConfig(object{"checkpoint_format": "marlin"}), gptq, `quantization_config.checkpoint_format: the layout "marlin" of gptq is not supported, only gptq and gptq_v2 are`},
		{gptqConfig(object{"bits": 5}), gptq, "quantization_config.bits: gptq with 5 bits is not supported"},
		{gptqConfig(object{"bits": 8}), gptq, layer + ".qweight: shapes [16 64] and [4 8] are of 4 bits, but quantization_config says 8"},
		{gptqConfig(nil), changed(gptq, ".g_idx", func(t *safetensors.Tensor) { t.Shape, t.Data = []int{64}, t.Data[:256] }), layer + ".g_idx: shape [64] does not go with 128 inputs"},
		{gptqConfig(nil), changed(gptq, ".g_idx", func(t *safetensors.Tensor) { t.Data = slices.Clone(t.Data); t.Data[4*7] = 9 }), layer + ".g_idx: input 7 is in group 9, but there are 4"},
		{gptqConfig(nil), changed(gptq, ".scales", func(t *safetensors.Tensor) { t.Shape = []int{8, 32} }), layer + ".qweight: shape [16 64] does not go with qzeros [4 8] and scales [8 32]"},
		{object{"model_type": "llama"}, gptq, "there are tensors *.qweight, but config.json has no quantization_config"},
		{compressedConfig("marlin-24", asymmetric), ct, `quantization_config.format: the layout "marlin-24" of compressed-tensors is not supported`},
		{packed(asymmetric), without(ct, "zero_point"), layer + ".weight_packed: there is no " + layer + ".weight_zero_point beside it, but quantization_config says that it is not symmetric"},
		{packed(asymmetric), changed(ct, "zero_point", func(t *safetensors.Tensor) { t.Shape, t.Data = []int{7, 4}, t.Data[:112] }), layer + ".weight_zero_point: I32 [7 4] does not go with 64 outputs of 4 groups of 4 bits"},
		{packed(asymmetric), changed(ct, "weight_shape", func(t *safetensors.Tensor) { t.Data = slices.Clone(t.Data); t.Data[8] = 129 }), layer + ".weight_shape: [64, 129] does not go with " + layer + ".weight_packed [64 16] of 8 codes a word"},
		{packed(asymmetric), changed(ct, "weight_scale", func(t *safetensors.Tensor) { t.Shape = []int{4, 64} }), layer + ".weight_scale: shape [4 64] does not go with 64 outputs of 128 inputs"},
		{packed(object{"num_bits": 4, "type": "int", "group_size": 16}), ct, "does not go with 64 outputs of 128 inputs in groups of 16"},
		{packed(object{"num_bits": 9, "type": "int"}), ct, "num_bits and type say otherwise"},
		{compressedConfig("float-quantized", nil), []safetensors.Tensor{floats(layer+".weight_scale", dtype.Float32, []float64{1}, 1)}, layer + ".weight_scale: there is no " + layer + ".weight beside it"},
		{compressedConfig("float-quantized", nil), []safetensors.Tensor{floats(layer+".weight", dtype.Float32, []float64{1}, 1, 1), floats(layer+".weight_scale", dtype.Float32, []float64{1}, 1)}, layer + ".weight: dtype F32 with scales beside it is not supported: the checkpoint is not compressed"},
		{object{"model_type": "x", "quantization_config": object{"quant_method": "fp8", "weight_block_size": []int{16, 16}}}, fp8, layer + ".weight_scale_inv: scales of shape [2 2] do not fit a weight of shape [64 64] in blocks of [16 16] (weight_block_size)"},
		{object{"model_type": "x", "quantization_config": object{"quant_method": "fp8", "weight_block_size": []int{16}}}, fp8, "quantization_config.weight_block_size: it has 1 numbers, not 2"},
		{object{"model_type": "x", "quantization_config": object{"quant_method": "mxfp4"}}, []safetensors.Tensor{octets("a_blocks", "U8", make([]byte, 32), 2, 16)}, "a_blocks: there is no a_scales beside it"},
	} {
		_, _, err := foreign.Translate(source(c.config, c.ts...), foreign.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\nis not: %s", err, c.want)
		}
	}
}

// TestBadElements: what only shows when the elements are made.
func TestBadElements(t *testing.T) {
	f16 := dtype.Float16
	g := newGrid(rand.New(rand.NewPCG(1, 10)), 8, 32, 8, 32, f16, true, inOrder)
	g.scale[3][0] = 1000 // times 128 is beyond float16
	nan := octets(layer+".weight", "F8_E4M3", make([]byte, 32*32), 32, 32)
	nan.Data[33] = 0xff
	for want, s := range map[string]weights.Source{
		"row 3: scale 1000 times zero 128 is no float16": source(compressedConfig("pack-quantized", object{"num_bits": 8, "type": "int"}), packCompressed(g, true, false, false)...),
		"element 33 is NaN": source(object{"model_type": "x", "quantization_config": object{"quant_method": "fp8"}}, nan, floats(layer+".weight_scale", dtype.Float32, []float64{0.5}, 1)),
	} {
		out, _, err := foreign.Translate(s, foreign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, x := range out.Tensors {
			if _, err := x.Bytes(); err != nil {
				found = found || strings.Contains(err.Error(), want) && strings.HasPrefix(err.Error(), layer)
			}
		}
		if !found {
			t.Errorf("no tensor says: %s", want)
		}
	}
}

// TestLegacyFiles: older checkpoints have the block in a file of its own.
func TestLegacyFiles(t *testing.T) {
	g := newGrid(rand.New(rand.NewPCG(2, 10)), 64, 128, 4, 32, dtype.Float16, false, inOrder)
	for file, ts := range map[string][]safetensors.Tensor{"quantize_config.json": packGPTQ(g, 1), "quant_config.json": packAWQ(g)} {
		s := source(object{"model_type": "llama"}, ts...)
		read := s.Read
		s.Read = func(name string) ([]byte, error) {
			if name == file {
				return []byte(`{"bits": 4, "w_bit": 4, "zero_point": true, "desc_act": false}`), nil
			}
			return read(name)
		}
		check(t, s, g.value(), "affine", dtype.Float32)
	}
}

// FuzzTranslate: small checkpoints with other bytes, shapes and configurations give an
// error or tensors that can be made, never a crash.
func FuzzTranslate(f *testing.F) {
	bases := fuzzBases()
	for i := range bases {
		f.Add(uint8(i), uint64(0), []byte(nil), "")
		f.Add(uint8(i), uint64(i)*977, []byte{1, 2, 200, 255, 9, 0, 3}, "")
	}
	f.Add(uint8(1), uint64(3), []byte{4}, `{"quant_method":"gptq","bits":3,"group_size":-1,"desc_act":true}`)
	f.Add(uint8(2), uint64(3), []byte{4}, `{"quant_method":"compressed-tensors","config_groups":{"a":{"targets":["re:("]},"b":{"weights":{"num_bits":1}}}}`)
	f.Fuzz(fuzzOne)
}

// fuzzBases are sound checkpoints.
func fuzzBases() []weights.Source {
	r := rand.New(rand.NewPCG(3, 10))
	g := newGrid(r, 32, 64, 4, 32, dtype.Float16, false, actOrder)
	int4 := object{"num_bits": 4, "type": "int", "symmetric": false, "group_size": 32}
	return []weights.Source{
		source(awqConfig(nil), packAWQ(g)...), source(gptqConfig(nil), packGPTQ(g, 1)...), source(compressedConfig("pack-quantized", int4), packCompressed(g, false, false, true)...),
		source(compressedConfig("pack-quantized", int4), packCompressed(g, false, true, false)...),
		source(object{"model_type": "x", "quantization_config": object{"quant_method": "fp8", "weight_block_size": []int{16, 16}}},
			octets(layer+".weight", "F8_E4M3", make([]byte, 32*32), 32, 32), floats(layer+".weight_scale_inv", dtype.Float32, make([]float64, 4), 2, 2)),
		source(compressedConfig("nvfp4-pack-quantized", object{"num_bits": 4, "type": "float"}),
			octets(layer+".weight_packed", "U8", make([]byte, 128), 8, 16), octets(layer+".weight_scale", "F8_E4M3", make([]byte, 16), 8, 2), floats(layer+".weight_global_scale", dtype.Float32, []float64{1}, 1)),
		source(object{"model_type": "x", "quantization_config": object{"quant_method": "mxfp4"}}, octets("a_blocks", "U8", make([]byte, 64), 2, 2, 16), octets("a_scales", "U8", make([]byte, 4), 2, 2)),
	}
}

// fuzzOne edits a checkpoint and translates it, and its headers.
func fuzzOne(t *testing.T, base uint8, seed uint64, edits []byte, config string) {
	bases := fuzzBases()
	raws := []string{"I32", "U8", "I8", "F16", "BF16", "F32", "F8_E4M3", "F8_E8M0", "I64", "F8_E5M2"}
	kinds := []dtype.DType{dtype.Int32, dtype.Uint8, dtype.Int8, dtype.Float16, dtype.BFloat16, dtype.Float32, dtype.Uint8, dtype.Uint8, dtype.Int64, dtype.Uint8}
	s := bases[int(base)%len(bases)]
	r := rand.New(rand.NewPCG(seed, 1))
	ts := slices.Clone(s.Tensors)
	for _, e := range edits[:min(len(edits), 12)] {
		x := &ts[r.IntN(len(ts))]
		switch e % 6 {
		case 0: // another byte
			if len(x.Data) > 0 {
				x.Data = slices.Clone(x.Data)
				x.Data[r.IntN(len(x.Data))] = e
			}
		case 1: // an axis less or more
			x.Shape = append([]int{1}, x.Shape...)
		case 2:
			if len(x.Shape) == 2 {
				x.Shape = []int{x.Shape[1], x.Shape[0]}
			}
		case 3: // fewer of the last axis
			if n := len(x.Shape) - 1; n >= 0 {
				x.Shape = slices.Clone(x.Shape)
				x.Shape[n] = min(x.Shape[n], int(e/6))
			}
		case 4:
			k := r.IntN(len(raws))
			x.RawDType, x.DType = raws[k], kinds[k]
		case 5:
			x.Shape = slices.Clone(x.Shape)
			for i := range x.Shape {
				x.Shape[i] = min(x.Shape[i]*2, 256)
			}
		}
		if n := x.Size(); n > 1<<20 {
			return
		} else {
			x.Data = append(slices.Clone(x.Data), make([]byte, n)...)[:n]
		}
	}
	s.Tensors = ts
	if config != "" {
		all := map[string]json.RawMessage{"model_type": json.RawMessage(`"x"`)}
		if !json.Valid([]byte(config)) {
			return
		}
		all["quantization_config"] = json.RawMessage(config)
		raw, _ := json.Marshal(all)
		s.Read = func(name string) ([]byte, error) {
			if name == "config.json" {
				return raw, nil
			}
			return nil, fs.ErrNotExist
		}
	}
	for _, s := range []weights.Source{s, headersOf(s)} {
		out, report, err := foreign.Translate(s, foreign.Options{})
		if err != nil || report == nil {
			continue
		}
		for _, x := range out.Tensors {
			_, _ = x.Bytes()
		}
		raw, err := out.Read("config.json")
		if err != nil || !json.Valid(raw) {
			t.Errorf("config.json: %v %s", err, raw)
		}
	}
}
