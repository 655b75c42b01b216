package models_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// settled collects garbage and its cleanups and counts what stays.
func settled() (objects, active int64) {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects), mlx.ActiveMemory()
}

// TestGenerationIsFlat generates 2,000 tokens of a random model with a context of
// 4,096: from the first to the last hundreds heap objects and active bytes stay.
func TestGenerationIsFlat(t *testing.T) {
	tokens := 2000
	if testing.Short() {
		tokens = 600
	}
	if llmtest.Race {
		t.Skip("the race detector allocates")
	}
	c := llmtest.Tiny("llama")
	m := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 9, mlx.BFloat16)))
	seed := uint64(3)
	for _, eager := range []bool{false, true} {
		g, err := llm.Generate(m, tokensOf(20), llm.Options{MaxTokens: tokens, IgnoreEOS: true, Eager: eager, Sampling: sample.Options{Temperature: 1, Seed: &seed}})
		if err != nil {
			t.Fatal(err)
		}
		n, early, last := 0, int64(0), int64(0)
		for _, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if n == 300 {
				early, _ = settled()
			}
			if n == tokens {
				last, _ = settled()
			}
		}
		if n != tokens {
			t.Fatalf("%d tokens", n)
		}
		if grown := last - early; grown > 300 {
			t.Errorf("eager %v: %d heap objects more at token %d than at 300", eager, grown, n)
		}
	}
	before, activeBefore := settled()
	for range 3 {
		greedy(t, m, tokensOf(20), llm.Options{MaxTokens: 300, IgnoreEOS: true})
	}
	after, activeAfter := settled()
	if after-before > 500 || activeAfter > activeBefore {
		t.Errorf("three generations leave %d heap objects and %d active bytes", after-before, activeAfter-activeBefore)
	}
}

// TestDecodeAllocations: a decode step allocates nothing but what the history and
// the text need.
func TestDecodeAllocations(t *testing.T) {
	if llmtest.Race {
		t.Skip("the race detector allocates")
	}
	c := llmtest.Tiny("llama")
	m := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 9, mlx.Float32)))
	g, err := llm.Generate(m, tokensOf(3), llm.Options{MaxTokens: 240, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	var m0, m1 runtime.MemStats
	n := 0
	for _, err := range g.Tokens(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		switch n++; n {
		case 20:
			runtime.ReadMemStats(&m0)
		case 220:
			runtime.ReadMemStats(&m1)
		}
	}
	if a := m1.Mallocs - m0.Mallocs; a > 100 {
		t.Errorf("%d allocations in 200 tokens", a)
	}
}
