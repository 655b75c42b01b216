package foreign_test

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// small is a model of one block, with entries in the place of its own or more, and with
// matrices of a type.
func small(t *testing.T, kind gguf.Type, more ...gguf.Entry) string {
	t.Helper()
	n := func(x float64) gguf.Value { return gguf.Number(gguf.Uint32, x) }
	entries := []gguf.Entry{{Key: "general.architecture", Value: gguf.Text("llama")}, {Key: "llama.block_count", Value: n(1)},
		{Key: "llama.embedding_length", Value: n(256)}, {Key: "llama.feed_forward_length", Value: n(256)}, {Key: "llama.attention.head_count", Value: n(4)}}
	for _, e := range more {
		i := slices.IndexFunc(entries, func(x gguf.Entry) bool { return x.Key == e.Key })
		if i < 0 {
			entries = append(entries, e)
		} else {
			entries[i] = e
		}
	}
	var outs []gguf.Out
	for _, name := range []string{"token_embd", "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm", "blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v",
		"blk.0.attn_output", "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down"} {
		o := gguf.Out{Name: name + ".weight", Type: kind, Shape: []int{256, 256}}
		if strings.HasSuffix(name, "norm") {
			o.Type, o.Shape = gguf.F32, []int{256}
		}
		o.Fill = func(w io.Writer) error {
			b := make([]byte, o.Size())
			for i := range b {
				b[i] = byte(i) & 0x1f // small numbers as floats too
			}
			_, err := w.Write(b)
			return err
		}
		outs = append(outs, o)
	}
	path := filepath.Join(t.TempDir(), "small.gguf")
	if err := gguf.Write(path, entries, outs); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a file says wrongly of itself is told in a sentence that names the key or tensor.
func TestGGUFContradictions(t *testing.T) {
	n := func(key string, x float64) gguf.Entry {
		return gguf.Entry{Key: key, Value: gguf.Number(gguf.Uint32, x)}
	}
	for want, e := range map[string]gguf.Entry{
		"llama.block_count is 1000000000, and there are tensors of 1 blocks":       n("llama.block_count", 1e9),
		"tokenizer.ggml.tokens has 3 tokens, and token_embd.weight has 256 rows":   {Key: "tokenizer.ggml.tokens", Value: gguf.Texts([]string{"a", "b", "c"})},
		`architecture "mamba" are not supported`:                                   {Key: "general.architecture", Value: gguf.Text("mamba")},
		"general.architecture is a uint32, not a string":                           n("general.architecture", 7),
		"llama.expert_count is 8":                                                  n("llama.expert_count", 8),
		"llama.attention.head_count is 0":                                          n("llama.attention.head_count", 0),
		"blk.0.attn_q.weight has 256 rows, and 8 heads of 64 make 512":             {Key: "llama.attention.head_count", Value: gguf.Number(gguf.Uint32, 8)},
		"llama.attention.value_length 32 differs from key_length 64":               n("llama.attention.value_length", 32),
		"llama.rope.dimension_count is 99":                                         n("llama.rope.dimension_count", 99),
		`llama.rope.scaling.type "su" is not supported`:                            {Key: "llama.rope.scaling.type", Value: gguf.Text("su")},
		"llama.embedding_length is a string, not a number":                         {Key: "llama.embedding_length", Value: gguf.Text("256")},
		"token_embd.weight has shape [256 256], and llama.embedding_length is 128": n("llama.embedding_length", 128),
		"one of 3 files of a split model":                                          n("split.count", 3),
		"llama.feed_forward_length differs from layer to layer (256 and 512)":      {Key: "llama.feed_forward_length", Value: gguf.Numbers(gguf.Int32, []int{256, 512})},
		"llama: 4 heads for queries and 9 for keys":                                n("llama.attention.head_count_kv", 9),
		"GGUF files of the architecture \"\\x00\" are not supported":               {Key: "general.architecture", Value: gguf.Text("\x00")},
	} {
		more := []gguf.Entry{e}
		if strings.Contains(want, "make 512") {
			more = append(more, n("llama.attention.key_length", 64))
		}
		path := small(t, gguf.F16, more...)
		_, err := foreign.OpenGGUF(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A tokenizer that cannot be made is an error of its file, not of the model.
func TestGGUFTokenizerErrors(t *testing.T) {
	tokens := make([]string, 256)
	for i := range tokens {
		tokens[i] = string(rune('0' + i))
	}
	have := gguf.Entry{Key: "tokenizer.ggml.tokens", Value: gguf.Texts(tokens)}
	text := func(key, s string) gguf.Entry { return gguf.Entry{Key: "tokenizer.ggml." + key, Value: gguf.Text(s)} }
	for want, more := range map[string][]gguf.Entry{
		`tokenizer.ggml.model "bert" is not supported`: {text("model", "bert"), have},
		`tokenizer.ggml.pre "new" is not supported`:    {text("model", "gpt2"), text("pre", "new"), have},
		`tokenizer.ggml.merges is missing`:             {text("model", "gpt2"), have},
		`tokenizer.ggml.tokens is missing`:             {text("model", "llama")},
		`tokenizer.ggml.scores is missing`:             {text("model", "llama"), have},
		`scores has 1 entries for 256 tokens`:          {text("model", "llama"), have, {Key: "tokenizer.ggml.scores", Value: gguf.Numbers(gguf.Float32, []float32{1})}},
		`token_type has 1 entries for 256 tokens`:      {text("model", "llama"), have, {Key: "tokenizer.ggml.token_type", Value: gguf.Numbers(gguf.Int32, []int{1})}},
		`entry 0, "ab", is no pair`:                    {text("model", "gpt2"), have, {Key: "tokenizer.ggml.merges", Value: gguf.Texts([]string{"ab"})}},
	} {
		s := openGGUF(t, small(t, gguf.F16, more...))
		readGGUF(t, s, "config.json")
		if _, err := s.Read("tokenizer.json"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Every type becomes what MLX can hold: views, packed layers, or float16 with the numbers
// of the blocks, rows of q and k in their places.
func TestGGUFTypes(t *testing.T) {
	for kind, want := range map[gguf.Type]string{gguf.F32: "F32", gguf.F16: "F16", gguf.BF16: "BF16", gguf.Q4_0: "U32", gguf.Q4_1: "U32", gguf.Q8_0: "U32",
		gguf.Q5_0: "F16", gguf.Q5_1: "F16", gguf.Q2_K: "F16", gguf.Q3_K: "F16", gguf.Q4_K: "F16", gguf.Q5_K: "F16", gguf.Q6_K: "F16"} {
		path := small(t, kind)
		s := openGGUF(t, path)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		raw := f.Tensors()[4] // blk.0.attn_q
		y := make([]float32, raw.Elements())
		gguf.Dequantize(y, raw.Type, raw.Data)
		for _, x := range s.Tensors {
			if x.Name != "model.layers.0.self_attn.q_proj.weight" {
				continue
			}
			data, err := x.Bytes()
			if err != nil || x.RawDType != want || int64(len(data)) != x.Size() {
				t.Fatalf("%v: %s %v (%v)", kind, x.RawDType, x.Shape, err)
			}
			for _, row := range []int{0, 1, 33, 95} { // heads of 64: row i < 32 is 2i of the file
				from := row/64*64 + row%64*2
				if row%64 >= 32 {
					from -= 63
				}
				for col := 0; col < 256 && want == "F16"; col += 37 {
					at := 2 * (row*256 + col)
					if got, w := uint16(data[at])|uint16(data[at+1])<<8, dtype.F32ToF16(y[from*256+col]); got != w {
						t.Fatalf("%v: row %d, column %d is %#x, want %#x", kind, row, col, got, w)
					}
				}
			}
		}
		var c map[string]any
		if err := json.Unmarshal(readGGUF(t, s, "config.json"), &c); err != nil || (c["quantization"] != nil) != (want == "U32") {
			t.Errorf("%v: quantization is %v (%v)", kind, c["quantization"], err)
		}
		f.Close()
	}
}
