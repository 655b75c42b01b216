package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// Every kind of directory loads and says finite things.
func TestMLX(t *testing.T) {
	for _, bits := range []string{"4", "8", "16"} {
		dir := filepath.Join(t.TempDir(), "model")
		if err := run([]string{"-shape", "tiny", "-bits", bits, "-mlx", dir}); err != nil {
			t.Fatal(err)
		}
		m, err := llm.Load(dir, llm.LoadOptions{New: models.New})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Tokenizer.Decode([]int{300, 3 + 'a', 2}, true); got != "t300a" {
			t.Errorf("%s bits: text %q", bits, got)
		}
		g, err := llm.Generate(m, []int{300, 5, 9}, llm.Options{MaxTokens: 20, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for token, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if p := float64(token.Logprob); !(p < 0 && !math.IsInf(p, 0)) {
				t.Errorf("%s bits: %+v", bits, token)
			}
			count++
		}
		if count != 20 {
			t.Errorf("%s bits: %d tokens", bits, count)
		}
	}
}

// The file has the parts that its header says, and as many bits a weight as MLX's.
func TestGGUF(t *testing.T) {
	for bits, perWeight := range map[string]float64{"4": 4.5, "8": 8.5, "16": 16} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		if err := run([]string{"-shape", "tiny", "-bits", bits, "-gguf", path}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := shapes["tiny"]
		count := func(at int) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
		tensors := s.ggufTensors()
		if string(data[:4]) != "GGUF" || binary.LittleEndian.Uint32(data[4:]) != 3 || count(8) != uint64(len(tensors)) || len(tensors) != 2+11*s.layers {
			t.Fatalf("header % x, %d tensors", data[:24], len(tensors))
		}
		matrices, vectors := 0, 0
		for _, x := range tensors {
			if len(x.dims) > 1 {
				matrices += x.elements()
			} else {
				vectors += x.elements()
			}
			entry := binary.LittleEndian.AppendUint64(nil, uint64(len(x.name)))
			entry = binary.LittleEndian.AppendUint32(append(entry, x.name...), uint32(len(x.dims)))
			if n := bytes.Count(data, entry); n != 1 {
				t.Errorf("%s is there %d times", x.name, n)
			}
		}
		body := int(float64(matrices)*perWeight/8) + 4*vectors // all are multiples of 32 bytes
		last := binary.LittleEndian.Uint32(data[len(data)-body:])
		if len(data)%ggufAlign != 0 || len(data) < body || bytes.Contains(data[len(data)-body:], []byte("blk.")) || last == 0 {
			t.Errorf("%s bits: %d bytes with %d of weights", bits, len(data), body)
		}
	}
}

func TestErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"-shape nix: there are llama1b, qwen06": {"-shape", "nix", "-mlx", "x"},
		"-bits 5: there are 4, 8 and 16":        {"-bits", "5", "-mlx", "x"},
		"neither -mlx nor -gguf":                nil,
		"unexpected argument \"x\"":             {"-mlx", "y", "x"},
		"no such file":                          {"-shape", "tiny", "-gguf", filepath.Join(t.TempDir(), "no", "x.gguf")},
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
