package models_test

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// gptq stores the matrices whose names pack accepts as 4-bit GPTQ with groups of 32, and
// gives the weights that they stand for. Moved puts the columns in groups in another order.
func gptq(r *rand.Rand, w []safetensors.Tensor, pack func(name string) bool, moved bool) (packed, wide []safetensors.Tensor) {
	for _, x := range w {
		if len(x.Shape) != 2 || !pack(x.Name) {
			packed, wide = append(packed, x), append(wide, x)
			continue
		}
		out, in := x.Shape[0], x.Shape[1]
		groups := in / 32
		groupOf := make([]int, in)
		for c, at := range r.Perm(in) {
			if !moved {
				at = c
			}
			groupOf[c] = at / 32
		}
		q, z := make([]uint32, in/8*out), make([]uint32, groups*out/8)
		index, scales, values := make([]byte, 0, 4*in), make([]float32, groups*out), make([]float32, out*in)
		for _, g := range groupOf {
			index = binary.LittleEndian.AppendUint32(index, uint32(g))
		}
		zero := make([]int, groups*out)
		for i := range zero {
			zero[i] = r.IntN(16)
			g, n := i/out, i%out
			z[g*(out/8)+n/8] |= uint32((zero[i]+15)&15) << (4 * (n % 8))
			scales[i] = dtype.F16ToF32(dtype.F32ToF16(0.002 + 0.01*r.Float32()))
		}
		for n := range out {
			for c := range in {
				code := r.IntN(16)
				q[c/8*out+n] |= uint32(code) << (4 * (c % 8))
				i := groupOf[c]*out + n
				values[n*in+c] = float32(code-zero[i]) * scales[i]
			}
		}
		path := strings.TrimSuffix(x.Name, ".weight")
		packed = append(packed, i32(path+".qweight", q, in/8, out), i32(path+".qzeros", z, groups, out/8),
			safetensors.Tensor{Name: path + ".g_idx", DType: mlx.Int32, Shape: []int{in}, Data: index},
			llmtest.Tensor(path+".scales", scales, mlx.Float16, groups, out))
		wide = append(wide, llmtest.Tensor(x.Name, values, mlx.Float32, out, in))
	}
	return packed, wide
}

func i32(name string, v []uint32, shape ...int) safetensors.Tensor {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, x)
	}
	return safetensors.Tensor{Name: name, DType: mlx.Int32, Shape: shape, Data: data}
}

var gptqBlock = llmtest.Config{"quantization_config": llmtest.Config{"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": true}}

// near compares logits of a packed model with those of its weights in float32.
func near(t *testing.T, got, want [][]float32) {
	t.Helper()
	for at, row := range want {
		for j, x := range row {
			if d := got[at][j] - x; !(d <= 1e-4 && d >= -1e-4) {
				t.Fatalf("logit %d at %d is %v, not %v", j, at, got[at][j], x)
			}
		}
	}
}

// TestForeignModels: biases, tied heads with leftovers, layers that are left out, shards,
// act-order, packed heads and embeddings in between.
func TestForeignModels(t *testing.T) {
	blocks := func(name string) bool { return strings.Contains(name, ".layers.") }
	for i, c := range []struct {
		name, kind    string
		tied          bool
		pack          func(name string) bool
		moved, shards bool
		leftover      bool
	}{
		{"biases", "qwen2", false, blocks, false, false, false},
		{"empty biases", "llama", false, blocks, false, false, false},
		{"act-order", "qwen2", false, blocks, true, false, false},
		{"packed head", "llama", false, func(name string) bool { return blocks(name) || strings.HasPrefix(name, "lm_head") }, false, false, false},
		{"excluded", "llama", false, func(name string) bool { return blocks(name) && !strings.Contains(name, "layers.0.mlp") }, false, false, false},
		{"tied", "qwen3", true, blocks, false, false, false},
		{"tied, packed head left over", "llama", true, blocks, false, false, true},
		{"shards", "llama", false, blocks, true, true, false},
		{"fused", "phi3", false, blocks, false, false, false},
		{"columns", "gpt2", true, func(name string) bool { return strings.Contains(name, ".h.") }, false, false, false},
		{"columns, act-order", "gpt2", true, func(name string) bool { return strings.Contains(name, ".h.") }, true, false, false},
		{"sees", "mistral3", false, blocks, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 49))
			config := llmtest.Tiny(c.kind)
			if c.kind == "mistral3" {
				config = llmtest.Tiny("ministral3")
			}
			if change := families[config["model_type"].(string)]; change != nil {
				change(r, config)
			}
			config["tie_word_embeddings"] = c.tied
			packed, wide := gptq(r, lively(t, r, config, mlx.Float32), c.pack, c.moved)
			if c.leftover {
				head, _ := gptq(r, []safetensors.Tensor{llmtest.Tensor("lm_head.weight", make([]float32, 96*64), mlx.Float32, 96, 64)}, func(string) bool { return true }, false)
				packed = append(packed, head...)
			}
			if c.name == "empty biases" { // some tools write them for each packed layer
				for _, x := range packed {
					if path, ok := strings.CutSuffix(x.Name, ".scales"); ok {
						packed = append(packed, llmtest.Tensor(path+".bias", make([]float32, x.Shape[1]), mlx.Float16, x.Shape[1]))
					}
				}
			}
			want := logitsFrom(t, load(t, llmtest.Write(t, config, wide)), tokensOf(20))
			config = config.With(gptqBlock)
			if c.kind == "mistral3" {
				inner := config
				config = llmtest.Config{"model_type": "mistral3", "text_config": inner}
				for k := range packed {
					packed[k].Name = "language_model." + packed[k].Name
				}
			}
			if c.kind == "gpt2" { // the names of files whose matrices are [in, out], unless they are packed
				for k := range packed {
					packed[k].Name = strings.Replace(packed[k].Name, "model.", "transformer.", 1)
				}
			}
			dir := t.TempDir()
			llmtest.WriteJSON(t, dir, "config.json", config)
			names := []string{"model.safetensors"}
			if c.shards {
				names = []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
			}
			for k, name := range names { // a layer's tensors may be in several
				var part []safetensors.Tensor
				for j, x := range packed {
					if j%len(names) == k {
						part = append(part, x)
					}
				}
				if err := safetensors.Write(filepath.Join(dir, name), part, nil); err != nil {
					t.Fatal(err)
				}
			}
			near(t, logitsFrom(t, load(t, dir), tokensOf(20)), want)
			set, err := safetensors.OpenDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			got, err := llm.InspectDir(dir, set, llm.LoadOptions{New: models.New}, 0)
			if err != nil {
				t.Fatal(err)
			}
			layers := len(got.Foreign.Packed) + len(got.Foreign.Dequantized)
			if len(got.Problems) > 0 || c.moved != (len(got.Foreign.Dequantized) > 0) || layers == 0 {
				t.Errorf("%v, %v", got.Problems, got.Foreign)
			}
		})
	}
}

// TestTorchModel: the same model out of PyTorch's files, whole and in shards, also with a
// packed format in them.
func TestTorchModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 50))
	config := llmtest.Tiny("llama")
	w := lively(t, r, config, mlx.Float32)
	want := logitsFrom(t, load(t, llmtest.Write(t, config, w)), tokensOf(20))
	packed, wide := gptq(r, w, func(name string) bool { return strings.Contains(name, "mlp") }, true)
	for _, c := range []struct {
		config llmtest.Config
		w      []safetensors.Tensor
		want   [][]float32
	}{{config, w, want}, {config.With(gptqBlock), packed, logitsFrom(t, load(t, llmtest.Write(t, config, wide)), tokensOf(20))}} {
		for _, shards := range []bool{false, true} {
			dir := t.TempDir()
			llmtest.WriteJSON(t, dir, "config.json", c.config)
			if shards {
				llmtest.WriteTorch(t, dir, "pytorch_model-00001-of-00002.bin", c.w[:5])
				llmtest.WriteTorch(t, dir, "pytorch_model-00002-of-00002.bin", c.w[5:])
			} else {
				llmtest.WriteTorch(t, dir, "pytorch_model.bin", c.w)
			}
			near(t, logitsFrom(t, load(t, dir), tokensOf(20)), c.want)
		}
	}
	dir := t.TempDir()
	llmtest.WriteJSON(t, dir, "config.json", config)
	if _, err := llm.Load(dir, llm.LoadOptions{New: models.New}); err == nil || !strings.Contains(err.Error(), "no safetensors found") {
		t.Errorf("no weights: %v", err)
	}
}
