package foreign_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/hf/tokenizer"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

func openGGUF(t *testing.T, path string) weights.Source {
	t.Helper()
	s, err := foreign.OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readGGUF(t *testing.T, s weights.Source, name string) []byte {
	t.Helper()
	data, err := s.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The tokenizers made of llama.cpp's vocabularies give llama.cpp's ids.
func TestGGUFTokenizers(t *testing.T) {
	for _, name := range []string{"llama-spm", "gpt-2"} {
		path := llmtest.Shared(t, "data", "ggml-vocab-"+name+".gguf")
		tok, err := tokenizer.Parse(readGGUF(t, openGGUF(t, path), "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.ReadFile(path + ".inp")
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.ReadFile(path + ".out")
		if err != nil {
			t.Fatal(err)
		}
		texts := strings.Split(string(in), "\n__ggml_vocab_test__\n")
		lines := strings.Split(string(out), "\n")
		if len(texts) < 40 || len(lines) < len(texts) {
			t.Fatalf("%s: %d texts and %d lines", name, len(texts), len(lines))
		}
		for i, text := range texts {
			var want []int
			for id := range strings.FieldsSeq(lines[i]) {
				n, err := strconv.Atoi(id)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, n)
			}
			got := tok.Encode(text, false)
			if len(got) != len(want) {
				t.Errorf("%s: %q is %v, want %v", name, text, got, want)
				continue
			}
			for j := range want {
				if got[j] != want[j] {
					t.Errorf("%s: %q is %v, want %v", name, text, got, want)
					break
				}
			}
		}
	}
}

// The trained model's GGUF file, which another program made, is its directory: the same
// configuration, and every tensor bit for bit, with the rows of q and k in their places.
func TestGGUFIsTheDirectory(t *testing.T) {
	s := openGGUF(t, llmtest.Shared(t, "models", "stories260Ktok512.gguf"))
	var got, want map[string]any
	if err := json.Unmarshal(readGGUF(t, s, "config.json"), &got); err != nil {
		t.Fatal(err)
	}
	dir := llmtest.Shared(t, "models", "stories260k")
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	// The file says less, has the head once more, and no context to be believed.
	want["tie_word_embeddings"], want["eos_token_id"], want["head_dim"] = false, []any{2.}, 8.
	delete(want, "hidden_act")
	delete(want, "max_position_embeddings")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("config.json is %v, want %v", got, want)
	}
	set, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for _, x := range s.Tensors {
		name := x.Name
		if name == "lm_head.weight" {
			name = "model.embed_tokens.weight"
		}
		w, ok := set.Tensor(name)
		data, err := x.Bytes()
		if err != nil || !ok || !slices.Equal(x.Shape, w.Shape) || x.RawDType != w.RawDType || !bytes.Equal(data, w.Data) {
			t.Errorf("%s %s %v differs (%v)", x.Name, x.RawDType, x.Shape, err)
		}
	}
	if len(s.Tensors) != len(set.Names())+1 {
		t.Errorf("%d tensors, want %d and lm_head", len(s.Tensors), len(set.Names()))
	}
}
