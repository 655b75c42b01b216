package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// Every render of the reference, by the command: the text, or both fail.
func TestChatTemplateReference(t *testing.T) {
	shared := llmtest.Shared(t, "chat-templates")
	var ref struct {
		Cases     map[string]json.RawMessage
		Tokens    map[string]any
		Now       string
		Templates map[string]map[string]struct{ Text *string }
	}
	data, err := os.ReadFile(filepath.Join(shared, "reference.json"))
	if err == nil {
		err = json.Unmarshal(data, &ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	cases := t.TempDir()
	for name, input := range ref.Cases {
		if err := os.WriteFile(filepath.Join(cases, name), input, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for name, renders := range ref.Templates {
		source, err := os.ReadFile(filepath.Join(shared, name))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), source, 0o666); err != nil {
			t.Fatal(err)
		}
		llmtest.WriteJSON(t, dir, "tokenizer_config.json", ref.Tokens)
		for key, want := range renders {
			n++
			var out bytes.Buffer
			o := &chatTemplateOptions{Model: dir, Messages: filepath.Join(cases, key), Now: ref.Now, from: sources{}}
			err := runChatTemplate(context.Background(), &streams{out: &out, err: &out}, o)
			if (err == nil) != (want.Text != nil) || err == nil && out.String() != *want.Text {
				t.Errorf("%s, %s: %q, %v", name, key, out.String(), err)
			}
		}
	}
	if n != 715 {
		t.Errorf("%d renders", n)
	}
}
