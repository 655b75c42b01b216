package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"a b é 😀 ·": "a b é 😀 ·", "\x1b[31m": `\x1b[31m`, "a\n\tb": `a\n\tb`, "'\"\\": "'\"\\", "\u009b1m\x00": `\u009b1m\x00`, "\xff": "\ufffd",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// Names in files of others do not command the terminal.
func TestHostileNames(t *testing.T) {
	const name = "a\x1b[31m\nb\u009b"
	c := llmtest.Tiny("llama").With(llmtest.Config{"hidden_act": "\x1b[31m"})
	dir := llmtest.Write(t, c, nil)
	path := filepath.Join(dir, "model.safetensors")
	tensor := safetensors.Tensor{Name: name, DType: mlx.Float32, Shape: mlx.Shape{1}, Data: make([]byte, 4)}
	if err := safetensors.Write(path, []safetensors.Tensor{tensor}, map[string]string{name: name}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"inspect", "--model", path}, {"inspect", "--model", dir}, {"generate", "--model", dir}, {"generate", "--model", name}} {
		stdout, stderr, _ := command(t, false, args...)
		if text := stdout + stderr; strings.ContainsAny(text, "\x1b\u009b") || strings.Contains(text, "\nb") || text == "" {
			t.Errorf("%q: %q", args, text)
		}
	}
}
