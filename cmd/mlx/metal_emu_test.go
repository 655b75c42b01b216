//go:build linux && metalemu

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestMetalGenerate: on the emulated GPU the built-in model says what it says on the CPU,
// and no op of it runs elsewhere.
func TestMetalGenerate(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "mlx")
	if err := os.Symlink(exe, program); err != nil {
		t.Fatal(err)
	}
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
