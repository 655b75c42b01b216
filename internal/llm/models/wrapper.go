package models

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// Models that see and read, of which only the text part runs (as in mlx-lm): its
// configuration is text_config, its weights have a prefix, and those of other parts
// are not used.

// wrapped makes the constructor of such a model. Text names the architecture for each
// model_type of text_config; "" is for none.
func wrapped(text map[string]string) func([]byte) (llm.Model, error) {
	return func(config []byte) (llm.Model, error) {
		inner, kind, err := textConfig(config)
		if err != nil {
			return nil, err
		}
		name, ok := text[kind]
		if !ok {
			return nil, fmt.Errorf("config.json: text_config: model type %q is not supported here", kind)
		}
		m, err := families[name](inner)
		if err != nil {
			return nil, err
		}
		s := m.(interface{ parts() *spec }).parts()
		s.fileName = func(path string) string { return "language_model." + path }
		if name == "gemma3n_text" {
			s.fileName = func(path string) string { return "model.language_model." + strings.TrimPrefix(path, "model.") }
		}
		own := s.translate
		s.tested = false // none of these has been recorded whole
		s.translate = func(name string) (string, bool) {
			name = textName(name)
			if own == nil || name == "" {
				return name, false
			}
			return own(name)
		}
		return m, nil
	}
}

// textConfig is text_config with what only the outer configuration says, and its
// model_type. The first of these configurations have no inner one.
func textConfig(config []byte) (inner []byte, kind string, err error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, "", fmt.Errorf("config.json: %w", llm.JSONError(err))
	}
	own := map[string]json.RawMessage{}
	if raw, ok := all["text_config"]; ok {
		if err := json.Unmarshal(raw, &own); err != nil {
			return nil, "", fmt.Errorf("config.json: text_config: %w", llm.JSONError(err))
		}
		delete(all, "text_config")
		delete(all, "model_type")
	}
	for key, value := range own {
		all[key] = value
	}
	if raw, ok := all["model_type"]; ok {
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, "", fmt.Errorf("config.json: text_config: model_type: %w", llm.JSONError(err))
		}
	}
	inner, err = json.Marshal(all)
	return inner, kind, err
}

// otherParts begin the names of what is not text.
var otherParts = []string{"vision_tower.", "multi_modal_projector.", "visual.", "vision_encoder.", "vision_language_adapter.",
	"patch_merger.", "pre_mm_projector_norm.", "audio_tower.", "embed_audio.", "embed_vision."}

// textName is the name without the prefixes of the text part, "" for other parts.
func textName(name string) string {
	bare := strings.TrimPrefix(name, "model.")
	for _, part := range otherParts {
		if strings.HasPrefix(bare, part) || strings.HasPrefix(name, part) {
			return ""
		}
	}
	if rest, ok := strings.CutPrefix(name, "model.language_model."); ok {
		return "model." + rest
	}
	return strings.TrimPrefix(name, "language_model.")
}
