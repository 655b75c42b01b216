package models_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// TestInspectWindows: the memory at a context length is that of the windows.
func TestInspectWindows(t *testing.T) {
	c := llmtest.Tiny("gemma2").With(llmtest.Config{"sliding_window": 100, "num_hidden_layers": 4, "max_position_embeddings": 65536})
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.BFloat16))
	const row = 2 * 2 * 16 * 2 // keys and values of 2 heads of 16
	for context, want := range map[int]int64{10: 4 * 256 * row, 512: 4 * 512 * row, 32768: 2*512*row + 2*32768*row} {
		i, err := llm.InspectDir(dir, headers(t, dir), llm.LoadOptions{New: models.New}, context)
		if err != nil {
			t.Fatal(err)
		}
		if i.Memory.Cache != want || i.Memory.Total != i.Memory.Weights+i.Memory.Converted+want {
			t.Errorf("%d tokens: %+v, not %d bytes", context, i.Memory, want)
		}
	}
}

// headers are the weights of dir without their data.
func headers(t *testing.T, dir string) *safetensors.Set {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	index, err := os.ReadFile(filepath.Join(dir, safetensors.IndexName))
	if err != nil {
		index = nil
	}
	s, err := safetensors.OpenFunc(dir, names, index, func(name string) (*safetensors.File, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		n, err := safetensors.HeaderSize(data)
		if err != nil {
			return nil, err
		}
		return safetensors.ParseHeader(data[:n], int64(len(data)), filepath.Join(dir, name))
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What inspecting says of the recorded models is what loading them does.
func TestInspectReferences(t *testing.T) {
	n := 0
	for _, kind := range []string{"parity", "parity-hf", "parity-quantized", "models"} {
		root := llmtest.Shared(t, kind)
		dirs, err := filepath.Glob(filepath.Join(root, "*", "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range dirs {
			dir := filepath.Dir(config)
			n++
			o := llm.LoadOptions{New: models.New, MapWeights: true}
			m, loadErr := llm.Load(dir, o)
			i, err := llm.InspectDir(dir, headers(t, dir), o, 64)
			if err != nil {
				t.Errorf("%s: %v", dir, err)
				continue
			}
			if (loadErr == nil) != (len(i.Problems) == 0) {
				t.Errorf("%s: load: %v, problems: %q", dir, loadErr, i.Problems)
			}
			if loadErr != nil {
				continue
			}
			info := m.Model.Info()
			if !i.Supported || i.VocabSize != info.VocabSize || i.ComputeType != m.DType.String() || len(i.Attention) != len(m.Model.Layout()) || len(i.Missing)+len(i.Unexpected) != 0 {
				t.Errorf("%s: %+v", dir, i)
			}
			if i.Parameters <= 0 || i.BitsPerWeight <= 0 || i.BitsPerWeight > 32 || i.Memory.Weights <= 0 || i.Memory.Cache <= 0 {
				t.Errorf("%s: %d parameters, %g bits, %+v", dir, i.Parameters, i.BitsPerWeight, i.Memory)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d models", n)
	}
}
