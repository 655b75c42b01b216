package models_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// Logits and log-probabilities of a decode have the same bits for any number of
// threads and beside busy neighbours.
func TestSameBitsForAnyThreads(t *testing.T) {
	c := llmtest.Tiny("llama").With(llmtest.Config{
		"vocab_size": 1024, "hidden_size": 256, "intermediate_size": 512, "head_dim": 64, // large enough to be shared
	})
	m := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	run := func() (out []float32) {
		logits, err := m.Logits([]int{5, 6, 7, 8, 9})
		if err != nil {
			t.Fatal(err)
		}
		out = mlx.ToSlice[float32](logits)
		g, err := llm.Generate(m, []int{5, 6, 7, 8, 9}, llm.Options{MaxTokens: 12, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range g.Tokens(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, float32(r.ID), r.Logprob)
		}
		return out
	}
	cpu.SetWorkers(1)
	defer cpu.SetWorkers(0)
	want := run()

	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	for _, busy := range []bool{false, true} {
		if busy {
			for range runtime.NumCPU() {
				wg.Go(func() {
					for !stop.Load() {
					}
				})
			}
		}
		for _, n := range []int{1, 2, 3, 5} {
			cpu.SetWorkers(n)
			got := run()
			if len(got) != len(want) {
				t.Fatalf("%d threads, busy %v: %d numbers, want %d", n, busy, len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%d threads, busy %v: number %d is %v, with one thread %v", n, busy, i, got[i], want[i])
				}
			}
		}
	}
}
