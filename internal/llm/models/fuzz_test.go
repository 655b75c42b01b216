package models_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// FuzzConfig: any config.json and generation_config.json are inspected, or refused in a
// sentence; nothing panics.
func FuzzConfig(f *testing.F) {
	for _, name := range models.Types() {
		data, err := json.Marshal(llmtest.Tiny(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte(`{"eos_token_id": [2, 3.0]}`))
	}
	f.Add([]byte(`{"model_type": "llama", "quantization": {"bits": 4, "group_size": 64, "lm_head": false}}`), []byte(`[]`))
	f.Add([]byte(`[1]`), []byte(`{"eos_token_id": "x"}`))
	f.Fuzz(func(t *testing.T, config, generation []byte) {
		files := map[string][]byte{llm.ConfigFile: config, llm.GenerationConfigFile: generation}
		read := func(name string) ([]byte, error) {
			if data, ok := files[name]; ok {
				return data, nil
			}
			return nil, fs.ErrNotExist
		}
		i, err := llm.Inspect(llm.Source{Name: "m", Read: read}, llm.LoadOptions{New: models.New}, 0)
		if err != nil {
			t.Fatal(err) // there is a config.json
		}
		if len(i.Problems) == 0 && len(i.Missing) == 0 {
			t.Errorf("a model without weights has no problem: %s", config)
		}
		if _, err := json.Marshal(i); err != nil {
			t.Error(err)
		}
	})
}
