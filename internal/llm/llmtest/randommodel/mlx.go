package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

const group = 64

func bf16(x float32) uint16 { return dtype.F32ToBF16(x) }

// config is the config.json of s.
func (s shape) config(bits int) map[string]any {
	c := map[string]any{
		"model_type": s.modelType, "vocab_size": s.vocab, "hidden_size": s.hidden, "intermediate_size": s.inner,
		"num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kvHeads, "head_dim": s.headDim,
		"max_position_embeddings": s.context, "rms_norm_eps": s.eps, "rope_theta": s.ropeBase,
		"tie_word_embeddings": true, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
	}
	if bits < 16 {
		block := map[string]any{"bits": bits, "group_size": group, "mode": "affine"}
		c["quantization"], c["quantization_config"] = block, block
	}
	return c
}

// tensors are the names, types and shapes of the weights, without data.
func (s shape) tensors(bits int) ([]safetensors.Tensor, error) {
	raw, err := json.Marshal(s.config(bits))
	if err != nil {
		return nil, err
	}
	m, err := models.New(s.modelType, raw)
	if err != nil {
		return nil, err
	}
	m.Sanitize(func(string) bool { return false })
	if bits < 16 {
		nn.Quantize(m, mlx.Scheme{Bits: bits, GroupSize: group})
	}
	var out []safetensors.Tensor
	for path, a := range nn.Parameters(m) { // lazy arrays: nothing is computed
		d := a.DType()
		if d.Is(mlx.Floating) {
			d = mlx.BFloat16
		}
		out = append(out, safetensors.Tensor{Name: path, DType: d, Shape: a.Shape()})
	}
	return out, nil
}

// writeMLX writes config.json, model.safetensors and a tokenizer into dir.
func writeMLX(dir string, s shape, bits int) error {
	tensors, err := s.tensors(bits)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	codes := newNoise(4096, randomBytes)
	plain := newNoise(4096, randomBF16)
	step := float32(scale4)
	if bits == 8 {
		step = scale8
	}
	fill := func(t safetensors.Tensor, w io.Writer) error {
		size := t.DType.Size()
		for _, n := range t.Shape {
			size *= n
		}
		switch {
		case t.DType == mlx.Uint32:
			return codes.write(w, size)
		case strings.HasSuffix(t.Name, ".scales"):
			return repeat(w, bf16(step), size)
		case strings.HasSuffix(t.Name, ".biases"):
			return repeat(w, bf16(-step*float32(int(1)<<(bits-1))), size)
		case len(t.Shape) == 1: // norms
			return repeat(w, bf16(1), size)
		}
		return plain.write(w, size)
	}
	if err := safetensors.WriteFunc(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "mlx"}, false, fill); err != nil {
		return err
	}
	for name, v := range map[string]any{
		"config.json": s.config(bits), "tokenizer.json": tokenizer(s.vocab),
		"tokenizer_config.json": map[string]any{"bos_token": "<s>", "eos_token": "</s>"},
	} {
		raw, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repeat writes size bytes of one value.
func repeat(w io.Writer, h uint16, size int) error {
	one := newNoise(2, func(_ *rand.Rand, b []byte) { binary.LittleEndian.PutUint16(b, h) })
	return one.write(w, size)
}

// tokenizer is a tokenizer.json without merges: text becomes bytes.
func tokenizer(vocab int) map[string]any {
	ids := map[string]int{}
	for i, token := range vocabulary(vocab) {
		ids[token] = i
	}
	var added []any
	for i, token := range []string{"<unk>", "<s>", "</s>"} {
		added = append(added, map[string]any{
			"id": i, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
		})
	}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": nil, "pre_tokenizer": nil, "post_processor": nil,
		"decoder": map[string]any{"type": "Sequence", "decoders": []any{map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"}}},
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": ids, "merges": []any{},
		},
	}
}
