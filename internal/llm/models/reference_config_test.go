package models_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// edge is a configuration where a wrong default or precedence would give plausible
// logits.
type edge struct {
	kind   string
	change llmtest.Config
}

// plainEdges are what a configuration may leave out, and windows.
func plainEdges() []edge {
	return []edge{
		{"llama", llmtest.Config{"rms_norm_eps": nil}},
		{"llama", llmtest.Config{"rope_theta": nil}},
		{"llama", llmtest.Config{"num_key_value_heads": nil}},
		{"llama", llmtest.Config{"sliding_window": 5}},
		{"llama", llmtest.Config{"sliding_window": 5, "layer_types": []string{"sliding_attention", "full_attention"}}},
		{"mistral", llmtest.Config{"sliding_window": 5}},
		{"mistral", llmtest.Config{"sliding_window": 5, "use_sliding_window": false}},
		{"qwen2", llmtest.Config{"attention_bias": true}}, // the output has no bias
		{"qwen2", llmtest.Config{"sliding_window": 5}},
		{"qwen2", llmtest.Config{"sliding_window": 5, "use_sliding_window": true}}, // max_window_layers is 28
		{"qwen2", llmtest.Config{"sliding_window": 5, "use_sliding_window": true, "max_window_layers": 1}},
		{"qwen3", llmtest.Config{"sliding_window": 5, "use_sliding_window": true}},
		{"qwen3", llmtest.Config{"sliding_window": 5, "use_sliding_window": true, "max_window_layers": 0}},
		{"qwen3", llmtest.Config{"sliding_window": 5, "use_sliding_window": true, "max_window_layers": 0, "layer_types": []string{"full_attention", "sliding_attention"}}},
		{"llama", llmtest.Config{"partial_rotary_factor": 0.25}},
	}
}

// ropeEdges are rotary scalings, and what they may leave out or say twice.
func ropeEdges() []edge {
	factors := func(from float64) (out []float64) {
		for i := range 8 {
			out = append(out, from+float64(i)/2)
		}
		return out
	}
	rope := func(p llmtest.Config) llmtest.Config { return llmtest.Config{"rope_scaling": p} }
	yarn := func(more llmtest.Config) llmtest.Config {
		return rope(llmtest.Config{"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}.With(more))
	}
	long := func(more llmtest.Config) llmtest.Config {
		p := llmtest.Config{"rope_type": "longrope", "short_factor": factors(1), "long_factor": factors(3), "original_max_position_embeddings": 32}
		return rope(p.With(more))
	}
	llama3 := llmtest.Config{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
	return []edge{
		{"llama", rope(llama3)},
		{"llama", rope(llmtest.Config{"rope_type": "dynamic", "factor": 4.0}).With(llmtest.Config{"max_position_embeddings": 32})},
		{"llama", rope(llama3.With(llmtest.Config{"original_max_position_embeddings": nil})).With(llmtest.Config{"original_max_position_embeddings": 64})},
		{"llama", yarn(nil)},
		{"llama", yarn(llmtest.Config{"factor": nil})},
		{"llama", yarn(nil).With(llmtest.Config{"rope_theta": nil, "rope_parameters": llmtest.Config{"rope_type": "default", "rope_theta": 5e5}})},
		{"llama", yarn(llmtest.Config{"rope_theta": 1e3}).With(llmtest.Config{"rope_parameters": llmtest.Config{"rope_type": "default", "rope_theta": 5e5}})},
		{"llama", llmtest.Config{"rope_scaling": (*int)(nil), "rope_theta": nil, "rope_parameters": llmtest.Config{"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}}},
		{"llama", yarn(llmtest.Config{"original_max_position_embeddings": nil})},
		{"llama", yarn(llmtest.Config{"mscale": 1.0, "mscale_all_dim": 0.5})},
		{"llama", yarn(llmtest.Config{"mscale": 0.7, "mscale_all_dim": 0.0})},
		{"llama", yarn(llmtest.Config{"mscale": 1.0, "mscale_all_dim": 0.5, "attention_factor": 0.9})},
		{"llama", yarn(llmtest.Config{"truncate": false})},
		{"llama", yarn(llmtest.Config{"beta_fast": 8.0, "beta_slow": 3.0})},
		{"llama", yarn(llmtest.Config{"original_max_position_embeddings": 4})}, // no dimension turns fast
		{"llama", yarn(nil).With(llmtest.Config{"partial_rotary_factor": 0.5})},
		{"llama", long(nil)},
		{"llama", long(llmtest.Config{"factor": 3.0})}, // goes before the ratio of contexts
		{"llama", long(llmtest.Config{"factor": 0.5})},
		{"llama", long(llmtest.Config{"attention_factor": 1.2})},
		{"llama", long(llmtest.Config{"original_max_position_embeddings": nil})},
		{"llama", long(llmtest.Config{"original_max_position_embeddings": nil}).With(llmtest.Config{"original_max_position_embeddings": 32})},
		{"llama", long(nil).With(llmtest.Config{"original_max_position_embeddings": 48})}, // the top level goes first
		{"llama", long(llmtest.Config{"rope_type": nil, "type": "longrope"})},
	}
}

// familyEdges are what configurations of other families may leave out: the defaults are
// those of transformers' configuration classes.
func familyEdges() (out []edge) {
	bare := llmtest.Config{"head_dim": nil, "rms_norm_eps": nil, "rope_theta": nil}
	for _, kind := range []string{"apertus", "ernie4_5", "glm", "glm4", "helium", "ministral3", "qwen3"} {
		out = append(out, edge{kind, bare}, edge{kind, llmtest.Config{"head_dim": (*int)(nil)}})
	}
	var short, long []float64
	for i := range 8 {
		short, long = append(short, 1+float64(i)/8), append(long, 1+float64(i))
	}
	for _, name := range []string{"yarn", "su", "longrope"} { // phi3's first names of one type
		p := llmtest.Config{"type": name, "short_factor": short, "long_factor": long}
		for _, key := range []string{"rope_scaling", "rope_parameters"} {
			for _, original := range []int{32, 100} { // below and above what the test runs
				out = append(out, edge{"phi3", llmtest.Config{key: p, "original_max_position_embeddings": original}})
			}
		}
	}
	return out
}

func TestConfigAgainstReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector")
	}
	for i, c := range append(append(plainEdges(), ropeEdges()...), familyEdges()...) {
		r := rand.New(rand.NewPCG(uint64(i), 45))
		base := llmtest.Tiny(c.kind).With(llmtest.Config{"max_position_embeddings": 128})
		config := base.With(c.change)
		dir := llmtest.Write(t, config, lively(t, r, config, mlx.Float32))
		got, ref := logitsFrom(t, load(t, dir), tokensOf(60)), newRef(t, dir)
		var s refState
		worst := 0.0
		for i, row := range ref.feed(&s, tokensOf(60)) {
			for j, x := range row {
				if d := math.Abs(float64(got[i][j]) - x); !(d <= worst) {
					worst = d
				}
			}
		}
		if !(worst <= 2e-3) {
			t.Errorf("%s with %s: logits differ by %.3g", c.kind, describe(c.change), worst)
		}
	}
}

// TestDefaultsStay: one configuration leaves no trace in those that are read after it.
func TestDefaultsStay(t *testing.T) {
	logits := func(c llmtest.Config) []float32 {
		w := llmtest.Random(t, c, 1, mlx.Float32)
		return logitsFrom(t, load(t, llmtest.Write(t, c, w)), tokensOf(4))[3]
	}
	for kind, change := range families {
		c := llmtest.Tiny(kind)
		change(rand.New(rand.NewPCG(1, 47)), c)
		want := logits(c)
		logits(c.With(llmtest.Config{"rms_norm_eps": 0.3, "layer_norm_eps": 0.3, "norm_eps": 0.3, "layer_norm_epsilon": 0.3, "norm_epsilon": 0.3,
			"use_qk_norm": false, "use_bias": false, "rope_theta": 77.0}))
		bare := c.With(llmtest.Config{"rms_norm_eps": nil})
		first := logits(bare)
		logits(c.With(llmtest.Config{"rms_norm_eps": 0.5}))
		if got := logits(c); !slices.Equal(got, want) {
			t.Errorf("%s: logits depend on the model that was read before", kind)
		}
		if got := logits(bare); !slices.Equal(got, first) {
			t.Errorf("%s: without rms_norm_eps logits depend on the model that was read before", kind)
		}
	}
}

// TestWindowDefaults: sliding_window is 4096 where it is missing, and none where it
// is null.
func TestWindowDefaults(t *testing.T) {
	for _, c := range []struct {
		kind   string
		change llmtest.Config
		want   [2]int
	}{
		{"llama", nil, [2]int{0, 0}},
		{"mistral", nil, [2]int{4096, 4096}},
		{"mistral", llmtest.Config{"sliding_window": (*int)(nil)}, [2]int{0, 0}},
		{"mistral", llmtest.Config{"sliding_window": 7}, [2]int{7, 7}},
		{"qwen2", nil, [2]int{0, 0}},
		{"qwen2", llmtest.Config{"sliding_window": 7}, [2]int{0, 0}},
		{"qwen2", llmtest.Config{"use_sliding_window": true, "max_window_layers": 1}, [2]int{0, 4096}},
		{"qwen3", llmtest.Config{"use_sliding_window": true, "max_window_layers": 1, "sliding_window": (*int)(nil)}, [2]int{0, 0}},
		{"qwen3", llmtest.Config{"use_sliding_window": true, "max_window_layers": 1, "sliding_window": 7}, [2]int{0, 7}},
	} {
		m, err := models.New(c.kind, []byte(describe(llmtest.Tiny(c.kind).With(c.change))))
		if err != nil {
			t.Fatal(err)
		}
		l := m.Layout()
		if got := [2]int{l[0].Window, l[1].Window}; got != c.want {
			t.Errorf("%s with %s: windows %v, not %v", c.kind, describe(c.change), got, c.want)
		}
	}
}

// TestRopeParametersIncomplete: a layer type without parameters is no default.
func TestRopeParametersIncomplete(t *testing.T) {
	c := llmtest.Tiny("qwen3").With(llmtest.Config{"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1,
		"rope_parameters": llmtest.Config{"sliding_attention": llmtest.Config{"rope_type": "linear", "factor": 2.0}}})
	_, err := models.New("qwen3", []byte(describe(c)))
	if err == nil || !strings.Contains(err.Error(), "rope_parameters has sliding_attention, but not full_attention") {
		t.Error(err)
	}
}
