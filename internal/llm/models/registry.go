// Package models has the model files: one file per family, one registry line per
// model_type. A model file is written against the public packages mlx, nn and fast,
// top to bottom as its reference: config, attention, MLP, block, model.
package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// architectures is model_type → constructor, with the defaults of transformers'
// configuration classes.
var architectures = map[string]func(config []byte) (llm.Model, error){
	"llama":   arch(newLlama, llamaConfig{}),
	"mistral": arch(newLlama, llamaConfig{windowAlways: true, SlidingWindow: 4096}),
	"qwen2":   arch(newLlama, llamaConfig{QKVBias: true, SlidingWindow: 4096, MaxWindowLayers: 28}),
	"qwen3":   arch(newLlama, llamaConfig{qkNorm: true, SlidingWindow: 4096, MaxWindowLayers: 28}),
}

// arch reads config.json over the defaults of a model_type and calls its
// constructor.
func arch[C any, M llm.Model](construct func(C) (M, error), defaults C) func([]byte) (llm.Model, error) {
	return func(config []byte) (llm.Model, error) {
		c := defaults
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, fmt.Errorf("config.json: %w", llm.JSONError(err))
		}
		m, err := construct(c)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// Types lists the known model types.
func Types() []string { return slices.Sorted(maps.Keys(architectures)) }

// New makes the model of a model_type with lazy random parameters.
func New(modelType string, config []byte) (llm.Model, error) {
	build, ok := architectures[modelType]
	if !ok {
		return nil, fmt.Errorf("model type %q is not supported; the known ones are %s", modelType, strings.Join(Types(), ", "))
	}
	return build(config)
}
