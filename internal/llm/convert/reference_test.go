package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/quant"
)

// convertDir converts the model in dir to a new directory, which it returns.
func convertDir(t testing.TB, dir string, o Options) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if _, err := tryConvert(context.Background(), dir, out, o); err != nil {
		t.Fatal(err)
	}
	return out
}

func tryConvert(ctx context.Context, dir, out string, o Options) (*Result, error) {
	src, set, err := llm.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	o.New, o.Model, o.Dir = models.New, dir, dir
	return Run(ctx, src, out, o)
}

// openWeights is the weights of a directory, by name.
func openWeights(t testing.TB, dir string) map[string]safetensors.Tensor {
	t.Helper()
	set, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	out := map[string]safetensors.Tensor{}
	for _, name := range set.Names() {
		out[name], _ = set.Tensor(name)
	}
	return out
}

// readJSON reads a file of dir into v.
func readJSON(t testing.TB, v any, elem ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestReference: what mlx-lm made of story-10m on a CPU, all tensors and what config.json
// says of them.
func TestReference(t *testing.T) {
	dir := llmtest.Shared(t, "models", "story-10m")
	var want map[string]struct {
		Args struct {
			GroupSize int        `json:"group_size"`
			Bits      int        `json:"bits"`
			Mode      quant.Mode `json:"mode"`
			Recipe    string     `json:"quant_predicate"`
		} `json:"args"`
		Quantization any               `json:"quantization"`
		Tensors      map[string][3]any `json:"tensors"`
	}
	readJSON(t, &want, dir, "reference_quantized.json")
	if len(want) < 4 {
		t.Fatalf("%d settings", len(want))
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			s := quant.Scheme{Mode: w.Args.Mode, Bits: w.Args.Bits, GroupSize: w.Args.GroupSize, Rounding: quant.RoundCPU}
			out := convertDir(t, dir, Options{Quantize: true, Scheme: s, Recipe: w.Args.Recipe})
			got := openWeights(t, out)
			if len(got) != len(w.Tensors) {
				t.Errorf("%d tensors, want %d", len(got), len(w.Tensors))
			}
			for name, ref := range w.Tensors {
				x, ok := got[name]
				if !ok {
					t.Errorf("there is no %s", name)
					continue
				}
				sum := sha256.Sum256(x.Data)
				have := fmt.Sprint(x.Shape, " mlx.core.", x.DType, " ", hex.EncodeToString(sum[:]))
				if ref := fmt.Sprint(ref[0], " ", ref[1], " ", ref[2]); have != ref {
					t.Errorf("%s is %s, want %s", name, have, ref)
				}
			}
			var config map[string]any
			readJSON(t, &config, out, "config.json")
			for _, key := range []string{"quantization", "quantization_config"} {
				if have, ref := fmt.Sprint(config[key]), fmt.Sprint(w.Quantization); have != ref {
					t.Errorf("%s is %s, want %s", key, have, ref)
				}
			}
		})
	}
}

// TestFiles: the files of a result, and their form.
func TestFiles(t *testing.T) {
	dir := llmtest.Shared(t, "models", "story-10m")
	var lines, notes []string
	out := convertDir(t, dir, Options{Quantize: true, Line: func(s string) { lines = append(lines, s) }, Note: func(s string) { notes = append(notes, s) }})
	var names []string
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := "README.md chat_template.jinja config.json generation_config.json model.safetensors model.safetensors.index.json tokenizer.json tokenizer_config.json"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files %s", got)
	}
	if got := strings.Join(lines, "|"); got != "[INFO] Using dtype: bfloat16|[INFO] Quantizing|[INFO] Quantized model with 4.506 bits per weight." || len(notes) > 0 {
		t.Errorf("lines %s, notes %q", got, notes)
	}
	const config = `{
    "architectures": [
        "LlamaForCausalLM"
    ],
    "attention_bias": false,
    "bos_token_id": 1,
    "eos_token_id": [
        2,
        4
    ],
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 384,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
    "mlp_bias": false,
    "model_type": "llama",
    "num_attention_heads": 6,
    "num_hidden_layers": 6,
    "num_key_value_heads": 2,
    "pad_token_id": 2,
    "quantization": {
        "group_size": 64,
        "bits": 4,
        "mode": "affine"
    },
    "quantization_config": {
        "group_size": 64,
        "bits": 4,
        "mode": "affine"
    },
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": true,
    "torch_dtype": "bfloat16",
    "vocab_size": 2048
}`
	if text, err := os.ReadFile(filepath.Join(out, "config.json")); err != nil || string(text) != config {
		t.Errorf("config.json is %s, %v", text, err)
	}
	card := "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n  - mlx\n---\n"
	if text, err := os.ReadFile(filepath.Join(out, "README.md")); err != nil || string(text) != card {
		t.Errorf("README.md is %q, %v", text, err)
	}
	var index struct {
		Metadata struct {
			Size       int64 `json:"total_size"`
			Parameters int64 `json:"total_parameters"`
		} `json:"metadata"`
		Map map[string]string `json:"weight_map"`
	}
	readJSON(t, &index, out, "model.safetensors.index.json")
	var bytes int64
	for name, x := range openWeights(t, out) {
		bytes += x.Size()
		if index.Map[name] != "model.safetensors" {
			t.Errorf("%s is in %q", name, index.Map[name])
		}
		if x.File.Metadata["format"] != "mlx" || len(x.File.Metadata) != 1 {
			t.Errorf("metadata %v", x.File.Metadata)
		}
	}
	if index.Metadata.Size != bytes || index.Metadata.Parameters != 10228608 || slices.Contains(names, "plan.json") {
		t.Errorf("index %+v, tensors have %d bytes", index.Metadata, bytes)
	}
}
