package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"

	"github.com/mlxgo/mlx/internal/dtype"
)

// ggmlType is how GGUF stores matrices: the number of the type, elements and bytes of
// a block, the number of the file's type.
type ggmlType struct{ id, elements, bytes, file int }

var ggmlTypes = map[int]ggmlType{4: {2, 32, 18, 2}, 8: {8, 32, 34, 7}, 16: {30, 1, 2, 32}}

const ggmlF32 = 0

// The types of values in GGUF's header.
const (
	ggufInt32   = 5
	ggufUint32  = 4
	ggufFloat32 = 6
	ggufString  = 8
	ggufArray   = 9
)

// header collects the part before the tensors' data.
type header struct{ bytes.Buffer }

func (h *header) put(values ...any) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			h.put(uint64(len(s)))
			h.WriteString(s)
			continue
		}
		_ = binary.Write(h, binary.LittleEndian, v) // a buffer takes everything of fixed size
	}
}

// pair is a key and its value.
func (h *header) pair(key string, value any) {
	h.put(key)
	switch v := value.(type) {
	case uint32:
		h.put(uint32(ggufUint32), v)
	case float32:
		h.put(uint32(ggufFloat32), v)
	case string:
		h.put(uint32(ggufString), v)
	case []string:
		h.put(uint32(ggufArray), uint32(ggufString), uint64(len(v)))
		for _, s := range v {
			h.put(s)
		}
	case []int32:
		h.put(uint32(ggufArray), uint32(ggufInt32), uint64(len(v)), v)
	case []float32:
		h.put(uint32(ggufArray), uint32(ggufFloat32), uint64(len(v)), v)
	default:
		panic(fmt.Sprintf("%s: %T", key, value))
	}
}

// ggufTensor has its dimensions as GGUF writes them, the last axis first.
type ggufTensor struct {
	name string
	dims []int
}

func (t ggufTensor) elements() int {
	n := 1
	for _, d := range t.dims {
		n *= d
	}
	return n
}

func (s shape) ggufTensors() []ggufTensor {
	q, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	ts := []ggufTensor{{"token_embd.weight", []int{s.hidden, s.vocab}}, {"output_norm.weight", []int{s.hidden}}}
	for i := range s.layers {
		add := func(name string, dims ...int) {
			ts = append(ts, ggufTensor{fmt.Sprintf("blk.%d.%s.weight", i, name), dims})
		}
		add("attn_norm", s.hidden)
		add("attn_q", s.hidden, q)
		add("attn_k", s.hidden, kv)
		add("attn_v", s.hidden, kv)
		add("attn_output", q, s.hidden)
		add("ffn_norm", s.hidden)
		add("ffn_gate", s.hidden, s.inner)
		add("ffn_up", s.hidden, s.inner)
		add("ffn_down", s.inner, s.hidden)
		if s.qkNorm {
			add("attn_q_norm", s.headDim)
			add("attn_k_norm", s.headDim)
		}
	}
	return ts
}

// pairs are the keys of the header, in order.
func (s shape) pairs(name string, fileType int) (keys []string, values []any) {
	add := func(key string, value any) { keys, values = append(keys, key), append(values, value) }
	own := func(key string, value any) { add(s.modelType+"."+key, value) }
	add("general.architecture", s.modelType)
	add("general.name", name)
	add("general.file_type", uint32(fileType))
	own("block_count", uint32(s.layers))
	own("context_length", uint32(s.context))
	own("embedding_length", uint32(s.hidden))
	own("feed_forward_length", uint32(s.inner))
	own("attention.head_count", uint32(s.heads))
	own("attention.head_count_kv", uint32(s.kvHeads))
	own("attention.layer_norm_rms_epsilon", float32(s.eps))
	own("attention.key_length", uint32(s.headDim))
	own("attention.value_length", uint32(s.headDim))
	own("rope.freq_base", float32(s.ropeBase))
	own("rope.dimension_count", uint32(s.headDim))
	own("vocab_size", uint32(s.vocab))
	tokens, scores, types := vocabulary(s.vocab), make([]float32, s.vocab), make([]int32, s.vocab)
	for i := range tokens {
		scores[i] = -float32(i)
		switch { // unknown, control, byte, normal
		case i == 0:
			types[i] = 2
		case i < 3:
			types[i] = 3
		case i < firstWord:
			types[i] = 6
		default:
			types[i] = 1
		}
	}
	add("tokenizer.ggml.model", "llama")
	add("tokenizer.ggml.tokens", tokens)
	add("tokenizer.ggml.scores", scores)
	add("tokenizer.ggml.token_type", types)
	add("tokenizer.ggml.bos_token_id", uint32(1))
	add("tokenizer.ggml.eos_token_id", uint32(2))
	add("tokenizer.ggml.unknown_token_id", uint32(0))
	return keys, values
}

const ggufAlign = 32

// writeGGUF writes a GGUF file of version 3.
func writeGGUF(path string, s shape, bits int, name string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = s.gguf(w, ggmlTypes[bits], name)
	if err == nil {
		err = w.Flush()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func (s shape) gguf(w io.Writer, t ggmlType, name string) error {
	tensors := s.ggufTensors()
	keys, values := s.pairs(name, t.file)
	var h header
	h.WriteString("GGUF")
	h.put(uint32(3), uint64(len(tensors)), uint64(len(keys)))
	for i, key := range keys {
		h.pair(key, values[i])
	}
	sizes := make([]int, len(tensors))
	offset := 0
	for i, x := range tensors {
		id := ggmlF32
		if sizes[i] = 4 * x.elements(); len(x.dims) > 1 {
			id, sizes[i] = t.id, x.elements()/t.elements*t.bytes
		}
		h.put(x.name, uint32(len(x.dims)))
		for _, d := range x.dims {
			h.put(uint64(d))
		}
		h.put(uint32(id), uint64(offset))
		offset += aligned(sizes[i])
	}
	h.Write(make([]byte, aligned(h.Len())-h.Len()))
	if _, err := w.Write(h.Bytes()); err != nil {
		return err
	}
	weights := t.noise()
	ones := newNoise(4, func(_ *rand.Rand, b []byte) { binary.LittleEndian.PutUint32(b, math.Float32bits(1)) })
	for i, x := range tensors {
		n := weights
		if len(x.dims) == 1 {
			n = ones
		}
		if err := n.write(w, sizes[i]); err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, aligned(sizes[i])-sizes[i])); err != nil {
			return err
		}
	}
	return nil
}

func aligned(n int) int { return (n + ggufAlign - 1) / ggufAlign * ggufAlign }

// noise is random blocks: a float16 scale and codes, or values.
func (t ggmlType) noise() *noise {
	step := float32(scale4)
	switch t.bytes {
	case 2:
		return newNoise(t.bytes, randomBF16)
	case 34:
		step = scale8
	}
	return newNoise(t.bytes, func(rng *rand.Rand, b []byte) {
		binary.LittleEndian.PutUint16(b, dtype.F32ToF16(step))
		randomBytes(rng, b[2:])
	})
}
