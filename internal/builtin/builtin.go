// Package builtin is the story model that ships inside the program: story-10m, a
// 10M-parameter Llama of our own training, quantized to 4 bits with group size 64.
//
// It hands out what package llm would load from a directory; it has no code of its
// own for models.
package builtin

import (
	"embed"
	"encoding/json"
	"fmt"
	"unsafe"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

//go:generate go run make.go ../../../shared/models/story-10m story-10m

// Name is the model's name; --model builtin means it.
const Name = "story-10m"

//go:embed story-10m/*.json
var files embed.FS

// packed is a string so that it is not copied: embed.FS gives copies.
//
//go:embed story-10m/model.safetensors
var packed string

// read is a file of the model.
func read(name string) ([]byte, error) { return files.ReadFile(Name + "/" + name) }

// Source is the model's files.
func Source() (llm.Source, error) {
	f, err := safetensors.Parse(unsafe.Slice(unsafe.StringData(packed), len(packed)), Name+"/model.safetensors")
	if err != nil {
		return llm.Source{}, err
	}
	return llm.Source{Name: Name, Read: read, Tensors: weights.Of(f.Tensors())}, nil
}

// Load makes the model ready to run. Its weights are the program's own pages.
func Load(o llm.LoadOptions) (*llm.Loaded, error) {
	s, err := Source()
	if err != nil {
		return nil, err
	}
	return llm.LoadSource(s, o)
}

// Tokenizer is the model's tokenizer alone.
func Tokenizer() (*llm.Tokenizer, error) {
	all := map[string][]byte{}
	entries, err := files.ReadDir(Name)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if all[e.Name()], err = read(e.Name()); err != nil {
			return nil, err
		}
	}
	return llm.ParseTokenizer(all)
}

// Sampling is the temperature and top-p of the model's generation_config.json: the
// defaults for this model alone, so that the first story is a good one.
func Sampling() (temperature, topP float64) {
	var c struct {
		Temperature float64 `json:"temperature"`
		TopP        float64 `json:"top_p"`
	}
	data, err := read("generation_config.json")
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil { // the file is part of the program
		panic(fmt.Sprintf("builtin: generation_config.json: %v", err))
	}
	return c.Temperature, c.TopP
}
