package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestMain converts, instead of testing, in the processes that TestKill starts.
func TestMain(m *testing.M) {
	dir := os.Getenv("MLX_CONVERT_FROM")
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := tryConvert(context.Background(), dir, os.Getenv("MLX_CONVERT_TO"), killed()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func killed() Options {
	o := small()
	o.shard = 1_500_000
	return o
}

// TestKill: a conversion that is killed at random moments ends with the bytes of one that
// is not. There are more moments with MLX_FULL.
func TestKill(t *testing.T) {
	moments := 3
	if os.Getenv("MLX_FULL") != "" {
		moments = 20
	}
	dir := t.TempDir()
	llmtest.WriteShards(t, dir, llmtest.Tiny("llama").With(llmtest.Config{"num_hidden_layers": 12, "hidden_size": 512, "intermediate_size": 1024}), 6, 10_000_000)
	start := func(out string) (*exec.Cmd, func() error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MLX_CONVERT_FROM="+dir, "MLX_CONVERT_TO="+out)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, cmd.Wait
	}
	want := filepath.Join(t.TempDir(), "want")
	began := time.Now()
	if _, wait := start(want); wait() != nil {
		t.Fatal("the conversion fails")
	}
	whole := time.Since(began)
	rng := rand.New(rand.NewPCG(uint64(moments), 1))
	between := 0
	for i := range moments {
		parent := t.TempDir()
		out := filepath.Join(parent, "out")
		cmd, wait := start(out)
		time.Sleep(time.Duration(rng.Float64() * float64(whole)))
		_ = cmd.Process.Kill() // it may have ended
		_ = wait()
		_, err := os.Stat(out)
		if errors.Is(err, fs.ErrNotExist) {
			if s, err := readState(out + workSuffix); err == nil && len(s.Sums) > 0 {
				between++
			}
			if _, wait := start(out); wait() != nil {
				t.Fatalf("moment %d: the second run fails", i)
			}
		}
		sameFiles(t, want, out)
		if list, _ := os.ReadDir(parent); len(list) != 1 && err != nil {
			t.Errorf("moment %d: %v is left", i, list)
		}
	}
	t.Logf("%d kills in %v, %d of them with finished shards", moments, whole, between)
}
