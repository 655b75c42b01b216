//go:build ignore

// Make quantizes a Hugging Face directory to 4 bits with group size 64, as the
// built-in model is: go run make.go FROM TO.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go run make.go FROM TO")
	}
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func convert(from, to string) error {
	m, err := llm.Load(from, llm.LoadOptions{New: models.New, NoTokenizer: true})
	if err != nil {
		return err
	}
	// The reference bytes are of the CPU's rounding.
	nn.Quantize(m.Model, mlx.Scheme{Bits: 4, GroupSize: 64, Rounding: mlx.RoundCPU})
	var tensors []safetensors.Tensor
	for path, a := range nn.Parameters(m.Model) {
		tensors = append(tensors, safetensors.Tensor{Name: path, DType: a.DType(), Shape: a.Shape(), Data: a.Bytes()})
	}
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(to, "model.safetensors"), tensors, map[string]string{"format": "mlx"}); err != nil {
		return err
	}
	if err := writeConfig(from, to); err != nil {
		return err
	}
	for _, name := range []string{"generation_config.json", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// writeConfig adds the quantization blocks, keys sorted and indented as mlx-lm's.
func writeConfig(from, to string) error {
	data, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		return err
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	block := map[string]any{"bits": 4, "group_size": 64, "mode": "affine"}
	c["quantization"], c["quantization_config"] = block, block
	if data, err = json.MarshalIndent(c, "", "    "); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "config.json"), append(data, '\n'), 0o666)
}
