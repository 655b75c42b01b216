package models_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestCaches compares with the logits of mlx-lm's caches: 24 tokens at once, then 16
// one by one.
func TestCaches(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	m := load(t, llmtest.Shared(t, "models", "stories260k"))
	ref := llmtest.Arrays(t, llmtest.Shared(t, "training", "caches.safetensors"))
	ids := mlx.ToSlice[int32](ref["input_ids"])
	for name, kind := range map[string]cache.Kind{"plain": {}, "rotating16": cache.Rotating(16), "rotating16_keep0": {MaxSize: 16}} {
		want := mlx.ToSlice[float32](ref[name])
		c := cache.NewOf(kind, m.Model.Layout(), 1, m.DType)
		var got []float32
		for at := 0; at < len(ids); {
			n := 1
			if at == 0 {
				n = 24
			}
			if err := c.Reserve(n); err != nil {
				t.Fatal(err)
			}
			kv, after := c.Layers(at + n)
			logits := m.Model.Forward(mlx.FromSlice(ids[at:at+n], 1, n), nil, kv)
			c.SetArrays(after())
			if err := mlx.Eval(logits, c.Arrays()); err != nil {
				t.Fatal(err)
			}
			c.Advance(n)
			got = append(got, mlx.ToSlice[float32](logits)...)
			at += n
		}
		worst := 0.0
		for i := range want {
			worst = max(worst, math.Abs(float64(got[i]-want[i])))
		}
		if !(worst <= 2e-3) || len(got) != len(want) {
			t.Errorf("%s: off by %g", name, worst)
		}
	}
}

// through generates with a sequence and returns the ids.
func through(t testing.TB, q *llm.Sequence, prompt []int, o llm.Options) (ids []int, stats llm.Statistics) {
	t.Helper()
	g, err := q.Generate(prompt, o)
	if err != nil {
		t.Fatal(err)
	}
	for tok, err := range g.Tokens(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if tok.ID >= 0 {
			ids = append(ids, tok.ID)
		}
	}
	return ids, g.Statistics()
}

// saved reads tokens, saves the memory and loads it.
func saved(t testing.TB, m *llm.Loaded, kv llm.KVOptions, tokens []int, step int) *llm.Sequence {
	t.Helper()
	q, err := m.NewSequenceOf(kv)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Read(context.Background(), tokens, step, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cache.safetensors")
	if err := q.Save(path, llm.PromptInfo{Model: "m"}); err != nil {
		t.Fatal(err)
	}
	f, err := llm.OpenPromptCache(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if q, err = f.Load(m, "another name", kv); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestStories260KSaved: the reference tokens from a cache on disk, and in a rotating
// cache that is longer than the text.
func TestStories260KSaved(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "stories260k")
	m := load(t, dir)
	refs := map[string]reference{}
	readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		o := llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS}
		for _, kv := range []llm.KVOptions{{}, {MaxSize: len(ref.IDs) + len(ref.Tokens) + 1}} {
			for _, n := range []int{1, len(ref.IDs) - 1, len(ref.IDs)} {
				if n < 1 {
					continue
				}
				got, stats := through(t, saved(t, m, kv, ref.IDs[:n], 0), ref.IDs, o)
				same(t, prompt, got, ref)
				if kept := min(n, len(ref.IDs)-1); stats.CachedTokens != kept || stats.PromptTokens != len(ref.IDs)-kept {
					t.Errorf("%q: %d tokens were kept, %d run", prompt, stats.CachedTokens, stats.PromptTokens)
				}
			}
			o.KV = kv
			got, _ := greedy(t, m, ref.IDs, o)
			same(t, prompt, got, ref)
		}
	}
}

// TestStory10MQuantizedCache: 8 bits change no token that has a clear lead, after what the
// model says then, and after the reference tokens wherever they lead.
func TestStory10MQuantizedCache(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "story-10m")
	m := load(t, dir)
	if m.DType != mlx.Float32 {
		t.Fatalf("computes in %v", m.DType)
	}
	refs := map[string]reference{}
	readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		o := llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS, KV: llm.KVOptions{Bits: 8, GroupSize: 64}}
		g, err := llm.Generate(m, ref.IDs, o)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for tok, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, tok.ID)
		}
		for i, want := range ref.Tokens {
			if i < len(ref.Gaps) && ref.Gaps[i] <= 0.05 {
				break // from here on the texts may differ
			}
			if i >= len(got) || got[i] != want {
				t.Errorf("%q: token %d differs: %v, not %v", prompt, i, got, ref.Tokens)
				break
			}
		}
		q, err := m.NewSequenceOf(o.KV)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range ref.Tokens {
			if i >= len(ref.Gaps) || ref.Gaps[i] <= 0.05 {
				continue
			}
			got, _ := through(t, q, slices.Concat(ref.IDs, ref.Tokens[:i]), llm.Options{MaxTokens: 1, EOS: o.EOS})
			if !slices.Equal(got, []int{want}) {
				t.Errorf("%q: after %d reference tokens %v follows, not %d, with a gap of %g", prompt, i, got, want, ref.Gaps[i])
			}
		}
		if s := g.Statistics(); s.CacheMemory <= 0 || s.CacheSaved < 2*s.CacheMemory {
			t.Errorf("%d bytes, %d saved", s.CacheMemory, s.CacheSaved)
		}
	}
}

// kvModels are small models with and without windows.
func kvModels(t *testing.T) map[string]*llm.Loaded {
	out := map[string]*llm.Loaded{}
	for name, c := range map[string]llmtest.Config{
		"llama":   llmtest.Tiny("llama").With(llmtest.Config{"head_dim": 32}),
		"mistral": llmtest.Tiny("mistral").With(llmtest.Config{"sliding_window": 24, "head_dim": 32}),
		"qwen2":   llmtest.Tiny("qwen2").With(llmtest.Config{"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1, "head_dim": 32}),
	} {
		out[name] = load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	}
	return out
}

func someTokens(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = 3 + i*i*7%90
	}
	return ids
}

// TestKVSplits: whatever the kind of cache, the tokens depend neither on how the prompt
// is cut, nor on whether the beginning comes from a file, nor on how steps are run.
func TestKVSplits(t *testing.T) {
	for name, m := range kvModels(t) {
		for _, kv := range []llm.KVOptions{
			{}, {MaxSize: 5}, {MaxSize: 16}, {MaxSize: 40}, {Bits: 8}, {Bits: 4, GroupSize: 32, QuantizedStart: 10},
			{Bits: 8, QuantizedStart: 45}, {MaxSize: 16, Bits: 6, QuantizedStart: 20}, {MaxSize: 16, Bits: 8},
		} {
			lengths := []int{1, 9, 17, 40}
			if testing.Short() || llmtest.Race {
				lengths = []int{17}
			}
			for _, n := range lengths {
				prompt := someTokens(n)
				o := llm.Options{MaxTokens: 14, IgnoreEOS: true, KV: kv}
				want, _ := greedy(t, m, prompt, o)
				steps := []int{1, 2, 7, 16, 33}
				if testing.Short() || llmtest.Race {
					steps = []int{7}
				}
				for _, step := range steps {
					for _, eager := range []bool{false, true} {
						o.PrefillStep, o.Eager = step, eager
						if got, _ := greedy(t, m, prompt, o); !slices.Equal(got, want) {
							t.Fatalf("%s %+v, %d tokens by %d, eager %v: %v, not %v", name, kv, n, step, eager, got, want)
						}
					}
				}
				o.PrefillStep, o.Eager = 0, false
				for _, read := range []int{1, n / 2, n - 1, n} {
					if read < 1 || read > n {
						continue
					}
					if got, _ := through(t, saved(t, m, kv, prompt[:read], 5), prompt, o); !slices.Equal(got, want) {
						t.Fatalf("%s %+v, %d of %d tokens from a file: %v, not %v", name, kv, read, n, got, want)
					}
				}
			}
		}
	}
}

// TestMaxSizeHolds: with one layer, what is out of reach changes nothing, and what is in
// reach does (the first positions are always), also with a window of the model's own.
func TestMaxSizeHolds(t *testing.T) {
	c := llmtest.Tiny("mistral").With(llmtest.Config{"num_hidden_layers": 1, "sliding_window": 20})
	windowed := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	c = llmtest.Tiny("llama").With(llmtest.Config{"num_hidden_layers": 1})
	plain := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	logprob := func(m *llm.Loaded, prompt []int, size int) float32 {
		g, err := llm.Generate(m, prompt, llm.Options{MaxTokens: 1, KV: llm.KVOptions{MaxSize: size}})
		if err != nil {
			t.Fatal(err)
		}
		for tok, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			return tok.Logprob
		}
		return 0
	}
	for _, k := range []struct {
		m            *llm.Loaded
		size, sees   int // so many of the last
		alwaysAtHead int
	}{{plain, 12, 8, 4}, {windowed, 12, 12, 0}, {windowed, 30, 20, 0}, {plain, 30, 26, 4}} {
		for n := k.size - 2; n < 3*k.size; n++ {
			prompt := someTokens(n)
			base := logprob(k.m, prompt, k.size)
			for at := range n - 1 {
				other := slices.Clone(prompt)
				other[at] = 95
				seen := at < k.alwaysAtHead || at >= n-k.sees
				if changed := logprob(k.m, other, k.size) != base; changed != seen {
					t.Fatalf("size %d, %d tokens: token %d changes the result: %v", k.size, n, at, changed)
				}
			}
			if llmtest.Race {
				break
			}
		}
	}
}

// TestSequenceKinds: a text that goes on keeps what it can, and one that turns back begins
// anew where a rotating cache has lost its way.
func TestSequenceKinds(t *testing.T) {
	for name, m := range kvModels(t) {
		for _, kv := range []llm.KVOptions{{}, {MaxSize: 12}, {Bits: 8}} {
			q, err := m.NewSequenceOf(kv)
			if err != nil {
				t.Fatal(err)
			}
			o := llm.Options{MaxTokens: 9, IgnoreEOS: true, KV: kv}
			text := someTokens(20)
			for turn := range 4 {
				if turn == 2 {
					text = append(slices.Clone(text[:15]), 7, 7, 8)
				}
				want, _ := greedy(t, m, text, o)
				copied, err := q.Clone()
				if err != nil {
					t.Fatal(err)
				}
				got, stats := through(t, q, text, o)
				again, _ := through(t, copied, text, o)
				if turn%2 == 0 || kv.MaxSize == 0 { // else rows of the answer saw otherwise than rows of a prompt
					if !slices.Equal(got, want) {
						t.Errorf("%s %+v, turn %d: %v, not %v", name, kv, turn, got, want)
					}
				}
				if !slices.Equal(got, again) {
					t.Errorf("%s %+v, turn %d: the copy says %v, not %v", name, kv, turn, again, got)
				}
				lost := kv.MaxSize > 0 && name != "mistral" // all of whose layers remember more than they see
				switch {
				case turn == 0 && stats.CachedTokens != 0, turn == 1 && stats.CachedTokens != 28,
					turn == 2 && !lost && stats.CachedTokens != 15, turn == 2 && lost && stats.CachedTokens != 0:
					t.Errorf("%s %+v, turn %d: %d cached", name, kv, turn, stats.CachedTokens)
				}
				text = append(append(text, got...), 11, 12)
			}
		}
	}
}

// rewritten is the prompt cache at path with other metadata.
func rewritten(t *testing.T, path string, change map[string]string) *llm.PromptFile {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	maps.Copy(f.Metadata, change)
	other := filepath.Join(t.TempDir(), "other.safetensors")
	if err := safetensors.Write(other, f.Tensors(), f.Metadata); err != nil {
		t.Fatal(err)
	}
	p, err := llm.OpenPromptCache(other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestPromptCacheRefused: what does not belong together is refused in a sentence.
func TestPromptCacheRefused(t *testing.T) {
	c := llmtest.Tiny("llama")
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32))
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, llm.TokenizerFile), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tokenizer, err := os.ReadFile(filepath.Join("..", "testdata", llm.TokenizerFile))
	if err != nil {
		t.Fatal(err)
	}
	write(string(tokenizer))
	m := load(t, dir)
	q := m.NewSequence()
	if err := q.Read(context.Background(), someTokens(10), 0, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cache.safetensors")
	if err := q.Save(path, llm.PromptInfo{Model: "name"}); err != nil {
		t.Fatal(err)
	}
	f, err := llm.OpenPromptCache(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	refused := func(m *llm.Loaded, o llm.KVOptions, want string) {
		t.Helper()
		if _, err := f.Load(m, "name", o); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", want, err)
		}
	}
	refused(load(t, llmtest.Write(t, c, llmtest.Random(t, c, 4, mlx.Float32))), llm.KVOptions{}, "another model")
	refused(m, llm.KVOptions{MaxSize: 16}, "of all positions")
	write(string(tokenizer) + "\n")
	refused(load(t, dir), llm.KVOptions{}, "another tokenizer")
	meta := map[string]string{}
	for _, layer := range []string{"0", "1"} {
		meta["2."+layer] = "RotatingKVCache"
		for i, n := range []string{"0", "1000000000", "1000000000", "10"} {
			meta[fmt.Sprintf("0.%s.%d", layer, i)] = n
		}
	}
	big := rewritten(t, path, meta)
	if _, err := big.Load(m, "name", llm.KVOptions{}); err == nil || !strings.Contains(err.Error(), "of memory") {
		t.Errorf("a ring of a billion positions: %v", err)
	}
	if _, err := m.NewSequenceOf(llm.KVOptions{Bits: 8}); err == nil || !strings.Contains(err.Error(), "the head size of layer 0 is 16") {
		t.Errorf("a head size of 16 in groups of 32: %v", err)
	}
	if _, err := llm.Generate(m, []int{3}, llm.Options{KV: llm.KVOptions{MaxSize: 3}}); err == nil {
		t.Error("a cache of 3 positions that keeps 4")
	}
	if fmt.Sprint(q.Len()) != "10" {
		t.Error(q.Len())
	}
}
