package models_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// fullKV is a layer's memory of all positions, in which a query sees what an explicit
// mask says.
type fullKV struct {
	layout    cache.Layout
	k, v      *mlx.Array
	pos, last *mlx.Array
	from      int
}

func (f *fullKV) Pos() *mlx.Array  { return f.pos }
func (f *fullKV) Last() *mlx.Array { return f.last }

func (f *fullKV) Attend(q, k, v *mlx.Array, scale float64) *mlx.Array {
	if f.k != nil {
		k, v = mlx.Concatenate(mlx.Arrays{f.k, k}, mlx.Axis(2)), mlx.Concatenate(mlx.Arrays{f.v, v}, mlx.Axis(2))
	}
	f.k, f.v = k, v
	return f.Again(q, scale)
}

func (f *fullKV) Again(q *mlx.Array, scale float64) *mlx.Array {
	k, v := f.k, f.v
	keys := k.Shape()[2]
	mask := make([]bool, 0, keys*(keys-f.from))
	for i := f.from; i < keys; i++ {
		for j := range keys {
			mask = append(mask, j <= i && (f.layout.Window == 0 || j > i-f.layout.Window))
		}
	}
	p := fast.Attention{Scale: tensor.MakeF64(scale), SoftCap: tensor.MakeF64(f.layout.SoftCap)}
	return fast.AttentionOf(p, q, k, v, mlx.FromSlice(mask, 1, 1, keys-f.from, keys), nil, nil, mlx.Stream{})
}

// TestWindowsHold: each family with windows has the logits, bit for bit, of caches that
// keep all positions, long after these have left the window, in chunks and alone, and
// after going back.
func TestWindowsHold(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	for _, kind := range []string{"cohere2", "exaone4", "gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "iquestloopcoder", "mistral", "olmo3", "phi3", "qwen2"} {
		t.Run(kind, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 11))
			c := llmtest.Tiny(kind).With(llmtest.Config{"num_hidden_layers": 3})
			if change := families[kind]; change != nil {
				change(r, c)
			}
			c["sliding_window"], c["max_position_embeddings"] = 40, 4096
			switch kind {
			case "gemma3n_text", "gemma4_text": // the last layers share keys of both kinds
				c["num_kv_shared_layers"], c["num_hidden_layers"] = 2, 5
				c["layer_types"] = []string{"full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"}
				c["activation_sparsity_pattern"], c["intermediate_size"] = []float64{0.5, 0, 0, 0, 0}, 96
			default:
				delete(c, "layer_types")
			}
			c["loop_window_size"] = 40
			if kind == "qwen2" {
				c["use_sliding_window"], c["max_window_layers"] = true, 1
			}
			m := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, pick(r, mlx.Float32, mlx.BFloat16))))
			layout := m.Model.Layout()
			if !(cache.Kind{}).Rotates(layout) {
				t.Fatal("no layer has a window")
			}
			own := cache.New(layout, 1, m.DType)
			full := make([]cache.KV, len(layout))
			ids := someTokens(1300)
			for i, n := range []int{300, 1, 1, 600, 1, -60, 20, 1, 130, 1} {
				if n < 0 {
					if err := own.Trim(-n); err != nil {
						t.Fatal(err)
					}
					for _, kv := range full {
						f := kv.(*fullKV)
						f.k, f.v = tensor.SliceAxis(f.k, 2, 0, own.Len(), mlx.Stream{}), tensor.SliceAxis(f.v, 2, 0, own.Len(), mlx.Stream{})
					}
					continue
				}
				at := own.Len()
				for l := range full {
					f, _ := full[l].(*fullKV)
					if f == nil {
						f = &fullKV{layout: layout[l]}
					}
					f.from, f.pos, f.last = at, mlx.FromSlice([]int32{int32(at)}), mlx.FromSlice([]int32{int32(at + n - 1)})
					full[l] = f
				}
				tokens := make([]int32, n)
				for j := range tokens {
					tokens[j] = int32(ids[at+j])
				}
				if err := own.Reserve(n); err != nil {
					t.Fatal(err)
				}
				kv, after := own.Layers(at + n)
				got := m.Model.Forward(mlx.FromSlice(tokens, 1, n), nil, kv).AsType(mlx.Float32)
				own.SetArrays(after())
				want := m.Model.Forward(mlx.FromSlice(tokens, 1, n), nil, full).AsType(mlx.Float32)
				if err := mlx.Eval(got, want, own.Arrays()); err != nil {
					t.Fatal(err)
				}
				own.Advance(n)
				if !slices.Equal(mlx.ToSlice[float32](got), mlx.ToSlice[float32](want)) {
					t.Fatalf("pass %d, %d tokens after %d: other logits", i, n, at)
				}
			}
		})
	}
}

// TestWindowedSequence: a long text in a model with windows has the same tokens however it
// is cut, from a file and in a batch; a chat goes back by a little and otherwise begins
// anew; the memory that windows save is in the statistics.
func TestWindowedSequence(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	c := llmtest.Tiny("gemma3_text").With(llmtest.Config{"sliding_window": 40, "sliding_window_pattern": 2, "num_hidden_layers": 4, "head_dim": 32, "query_pre_attn_scalar": 16})
	m := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	prompt := someTokens(1250)
	for _, kv := range []llm.KVOptions{{}, {Bits: 8}, {Bits: 4, QuantizedStart: 700}, {MaxSize: 600}} {
		o := llm.Options{MaxTokens: 30, IgnoreEOS: true, KV: kv}
		q, err := m.NewSequenceOf(kv)
		if err != nil {
			t.Fatal(err)
		}
		want, stats := through(t, q, prompt, o)
		if stats.CacheSaved < stats.CacheMemory/4 {
			t.Errorf("%+v: %d bytes, %d saved", kv, stats.CacheMemory, stats.CacheSaved)
		}
		for _, step := range []int{33, 2048} {
			o.PrefillStep = step
			if got, _ := greedy(t, m, prompt, o); !slices.Equal(got, want) {
				t.Errorf("%+v by %d: %v, not %v", kv, step, got, want)
			}
		}
		o.PrefillStep, o.Eager = 0, true
		if got, _ := greedy(t, m, prompt, o); !slices.Equal(got, want) {
			t.Errorf("%+v, eager: %v, not %v", kv, got, want)
		}
		o.Eager = false
		for _, read := range []int{700, 1249, 1250} {
			if got, stats := through(t, saved(t, m, kv, prompt[:read], 100), prompt, o); !slices.Equal(got, want) || stats.CachedTokens != min(read, 1249) {
				t.Errorf("%+v, %d tokens from a file: %v, not %v, %d cached", kv, read, got, want, stats.CachedTokens)
			}
		}
		if kv.QuantizedStart == 0 {
			texts := [][]int{prompt[:3], prompt, prompt[:600], prompt[5:900]}
			for i, r := range batch(t, context.Background(), m, texts, o, 3) {
				want, _ := greedy(t, m, texts[i], o)
				if ids, _ := idsOf(r.Tokens); !slices.Equal(ids, want) {
					t.Errorf("%+v in a batch, prompt %d: %v, not %v", kv, i, ids, want)
				}
			}
		}
		for _, turn := range []struct{ same, cached int }{{1270, 1270}, {1240, 1240}, {700, 0}} {
			if kv.MaxSize > 0 { // layers without a window of their own keep no more than it says
				turn.cached = 0
			}
			text := append(slices.Clone(append(prompt, want...)[:turn.same]), 7, 8, 9)
			expected, _ := greedy(t, m, text, o)
			got, stats := through(t, q, text, o)
			if !slices.Equal(got, expected) || stats.CachedTokens != turn.cached {
				t.Errorf("%+v, back to %d: %v, not %v, %d cached", kv, turn.same, got, expected, stats.CachedTokens)
			}
		}
	}
}
