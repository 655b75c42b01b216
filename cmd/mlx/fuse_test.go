package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFuseDocs runs the commands of docs/lora.md, "Fusing"; what they write can be run.
func TestFuseDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "lora.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	filesForExamples(t)
	n := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "mlx" || words[1] != "fuse" {
			continue
		}
		n++
		if _, e, code := command(t, false, words[1:]...); code != 0 || !strings.Contains(e, "mlx: fused 7 layers: the change is ") {
			t.Errorf("%s: exit status %d: %s", strings.TrimSpace(line), code, e)
		}
	}
	models, err := filepath.Glob("story-*")
	if err != nil || n != 3 || len(models) != n+2 { // two of filesForExamples
		t.Fatalf("%d commands, and %q", n, models)
	}
	for _, dir := range append(models, "story-wide/ggml-model-f16.gguf") {
		if out, e, code := command(t, false, "generate", "--model", dir, "--prompt", "Once", "--max-tokens", "2", "--verbose", "f"); code != 0 || out == "" {
			t.Errorf("%s: exit status %d: %s", dir, code, e)
		}
	}
}
