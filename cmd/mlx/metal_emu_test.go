//go:build linux && metalemu

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMetalGenerate: on the emulated GPU the built-in model says what it says on the CPU,
// and no op of it runs elsewhere.
func TestMetalGenerate(t *testing.T) {
	program := program(t)
	generate := func(device string) (r result) {
		cmd := exec.Command(program, "generate", "--model", "builtin", "--prompt", "Once upon a time, there was a big dog who",
			"--temp", "0", "--max-tokens", "200", "--ignore-eos", "--json")
		cmd.Env = append(os.Environ(), "MLX_DEVICE="+device, "MLX_TRACE=1")
		var out, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &e
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v: %s", device, err, e.String())
		}
		if e.Len() > 0 { // a line tells of each op without a kernel
			t.Errorf("%s: %s", device, e.String())
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	want, got := generate("cpu"), generate("metal-emu")
	if len(want.Tokens) != 200 {
		t.Fatalf("%d tokens", len(want.Tokens))
	}
	if !slices.Equal(got.Tokens, want.Tokens) {
		t.Errorf("tokens %v\nwant %v", got.Tokens, want.Tokens)
	}
}

// TestMetalLoRA: fine-tuning on the emulated GPU tells the CPU's losses, and no op of it
// runs elsewhere.
func TestMetalLoRA(t *testing.T) {
	r := newTuning(t)
	train := func(device string) map[string]string {
		out := filepath.Join(t.TempDir(), "adapter")
		cmd, stdout, stderr := r.command(out, "--iters", "8", "--grad-checkpoint")
		cmd.Env = append(os.Environ(), "MLX_DEVICE="+device, "MLX_TRACE=1")
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v: %s", device, err, stderr)
		}
		if text := stderr.String(); strings.Contains(text, "runs on the CPU") {
			t.Errorf("%s: %s", device, text)
		}
		if _, err := os.Stat(filepath.Join(out, "adapters.safetensors")); err != nil {
			t.Errorf("%s: %v", device, err)
		}
		return lossesOf(stdout.String())
	}
	want, got := train("cpu"), train("metal-emu")
	if len(want) < 4 || len(got) != len(want) {
		t.Fatalf("losses %v, on the CPU %v", got, want)
	}
	for line, text := range want {
		w, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if g, err := strconv.ParseFloat(got[line], 64); err != nil || !(math.Abs(g-w) <= 2e-3) {
			t.Errorf("%s %s, on the CPU %s", line, got[line], text)
		}
	}
	t.Log(got)
}
