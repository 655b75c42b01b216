//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fusion is mlx fuse with an adapter over all layers of the built-in model.
type fusion struct {
	t       *testing.T
	program string
	adapter string
}

func newFusion(t *testing.T) *fusion {
	t.Helper()
	f := &fusion{t, program(t), filepath.Join(t.TempDir(), "adapters")}
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "train.jsonl"), jsonLines("text", 0, 4), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, e, code := command(t, false, "lora", "--train", "--data", data, "--iters", "2", "--batch-size", "2", "--num-layers", "-1", "--learning-rate", "1e-3", "--adapter-path", f.adapter); code != 0 {
		t.Fatalf("exit status %d: %s", code, e)
	}
	return f
}

func (f *fusion) start(out string) (*exec.Cmd, *bytes.Buffer) {
	f.t.Helper()
	cmd := exec.Command(f.program, "fuse", "--adapter-path", f.adapter, "--save-path", out, "--dequantize", "--export-gguf")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	return cmd, &stderr
}

// finish runs to the end.
func (f *fusion) finish(out string) {
	f.t.Helper()
	cmd, stderr := f.start(out)
	if err := cmd.Wait(); err != nil {
		f.t.Fatalf("%v: %s", err, stderr)
	}
}

// TestKilledFusion kills a fusion at random moments: until it is complete, with its GGUF
// file, there is no model at its place, and the same command ends with the bytes of one
// that nobody killed. There are more moments with MLX_FULL.
func TestKilledFusion(t *testing.T) {
	moments := 3
	if os.Getenv("MLX_FULL") != "" {
		moments = 40
	}
	f := newFusion(t)
	parent := t.TempDir()
	out := filepath.Join(parent, "out") // one place: the README has its name
	began := time.Now()
	f.finish(out)
	whole := time.Since(began)
	want := filesOf(t, out)
	if len(want) < 7 || len(want["ggml-model-f16.gguf"]) == 0 {
		t.Fatalf("files %q", slices.Sorted(maps.Keys(want)))
	}
	rng := rand.New(rand.NewPCG(uint64(moments), 3))
	unfinished := 0
	for i := range moments {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		// Stages of equal parts of the time: a few moments see them all.
		cmd, _ := f.start(out)
		time.Sleep(time.Duration((float64(i) + rng.Float64()) / float64(moments) * float64(whole)))
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if _, err := os.Stat(out); errors.Is(err, fs.ErrNotExist) {
			unfinished++
			if _, e, code := command(t, false, "generate", "--model", out, "--prompt", "Once", "--max-tokens", "1"); code == 0 || !strings.Contains(e, "there is no directory") {
				t.Errorf("moment %d: what is not there runs, or is told otherwise: exit status %d: %s", i, code, e)
			}
			f.finish(out)
		}
		got := filesOf(t, out)
		if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
			t.Errorf("moment %d: files %q, want %q", i, a, b)
		}
		for name, data := range want {
			if !bytes.Equal(got[name], data) {
				t.Errorf("moment %d: %s differs", i, name)
			}
		}
		entries, err := os.ReadDir(parent)
		if err != nil || len(entries) > 2 || len(entries) == 2 && entries[1].Name() != "out.partial" {
			t.Errorf("moment %d: %v is left, %v", i, entries, err)
		}
		if err := os.RemoveAll(out + ".partial"); err != nil { // of a run that was killed after its end
			t.Fatal(err)
		}
	}
	if unfinished == 0 {
		t.Error("no fusion was killed before its end")
	}
	t.Logf("%d kills in runs of %v, %d of them before the end", moments, whole, unfinished)
}
