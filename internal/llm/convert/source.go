package convert

import (
	"encoding/json"
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Changed is the source of a model that is read from base and has other weights now:
// tensors, called by the paths of m's parameters, get the names that they have in files.
// Config is its config.json, see WithQuantization; all else is base's.
func Changed(base llm.Source, m llm.Model, config []byte, tensors []weights.Tensor) llm.Source {
	name := FileNames(m)
	out := llm.Source{Name: base.Name, Release: base.Release, Read: func(file string) ([]byte, error) {
		if file == configFile {
			return config, nil
		}
		return base.Read(file)
	}}
	for _, t := range tensors {
		t.Name = name(t.Name)
		out.Tensors = append(out.Tensors, t)
	}
	return out
}

// FileNames gives paths of parameters and layers the names that they have in files.
func FileNames(m llm.Model) func(path string) string {
	if n, ok := m.(llm.FileNamer); ok {
		return n.FileName
	}
	return func(path string) string { return path }
}

// TensorOf is a tensor of a dtype and shape without elements: Data or Make are for the
// caller to set.
func TensorOf(path string, d mlx.DType, shape mlx.Shape) (weights.Tensor, error) {
	t := safetensors.Tensor{Name: path, DType: d, RawDType: safetensors.RawDType(d), Shape: append([]int{}, shape...)}
	if t.RawDType == "" {
		return weights.Tensor{}, fmt.Errorf("%s: dtype %v cannot be written", path, d)
	}
	return weights.Tensor{Tensor: t}, nil
}

// WithQuantization is a config.json with another block of what is packed, nil for
// nothing. What a model of BitNet says of itself stays.
func WithQuantization(raw []byte, packed map[string]any) ([]byte, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("config.json: %w", llm.JSONError(err))
	}
	var own struct {
		Method string `json:"quant_method"`
	}
	if json.Unmarshal(all[hfBlock], &own) != nil || own.Method != "bitnet" {
		delete(all, hfBlock)
	}
	delete(all, block)
	if packed != nil {
		text, err := json.Marshal(packed)
		if err != nil {
			return nil, err
		}
		all[block] = text
	}
	return json.Marshal(all)
}
