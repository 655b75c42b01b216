//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// program is the path of this binary under the name of the program.
func program(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "mlx")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// wantCached checks that the cache has the model's files, whole, and nothing else.
func wantCached(t *testing.T, files map[string][]byte) {
	t.Helper()
	c, err := hub.FromEnv(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	repos, err := hub.Scan(c.Cache)
	if err != nil || len(repos) != 1 || len(repos[0].Revisions) != 1 || repos[0].Unfinished != 0 {
		t.Fatalf("%+v, %v", repos, err)
	}
	for name, data := range files {
		if got, err := os.ReadFile(filepath.Join(repos[0].Revisions[0].Path, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(data), err)
		}
	}
}

// TestKilledDownload kills the program again and again while a model comes; what it
// has stays, and the next one goes on.
func TestKilledDownload(t *testing.T) {
	mlx := program(t)
	h := testHub(t, "org/name")
	files := filesOf(t, speaker(t, nil, tinyIDs(t, sentence...)...))
	h.Put("org/name", hubtest.Commit("1"), files)
	total := 0
	for _, data := range files {
		total += len(data)
	}
	var mu sync.Mutex
	var running *exec.Cmd
	run := 0 // bytes since the program started
	hear := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		run += n
		if running != nil && run > total/9 {
			running.Process.Kill()
			running = nil
		}
	}
	h.Do(func() { h.Piece, h.Sent = 1000, hear })
	killed := 0
	for {
		cmd := exec.Command(mlx, "logits", "--model", "org/name", "--tokens", "5", "--out", filepath.Join(t.TempDir(), "l"))
		var e bytes.Buffer
		cmd.Stderr = &e
		mu.Lock()
		run = 0
		err := cmd.Start()
		if killed < 8 {
			running = cmd
		}
		mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		mu.Lock()
		done := running != nil || killed == 8
		running = nil
		mu.Unlock()
		if done {
			if err != nil {
				t.Fatalf("%v: %s", err, e.String())
			}
			break
		}
		killed++
	}
	if killed == 0 {
		t.Error("never killed")
	}
	wantCached(t, files)
}

// TestTwoPrograms download the same model at the same time.
func TestTwoPrograms(t *testing.T) {
	mlx := program(t)
	h := testHub(t, "org/name")
	files := filesOf(t, speaker(t, nil, tinyIDs(t, sentence...)...))
	h.Put("org/name", hubtest.Commit("1"), files)
	h.Do(func() { h.Cut = 0.5 })
	var wg sync.WaitGroup
	for range 2 {
		out := filepath.Join(t.TempDir(), "l")
		wg.Go(func() {
			cmd := exec.Command(mlx, "logits", "--model", "org/name", "--tokens", "5", "--out", out)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
	wg.Wait()
	wantCached(t, files)
}
