package bench

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

func loader(t testing.TB, c llmtest.Config, tensors []safetensors.Tensor) func() (*llm.Loaded, error) {
	t.Helper()
	dir := llmtest.Write(t, c, tensors)
	return func() (*llm.Loaded, error) { return llm.Load(dir, llm.LoadOptions{New: models.New}) }
}

func random(t testing.TB, c llmtest.Config) func() (*llm.Loaded, error) {
	t.Helper()
	return loader(t, c, llmtest.Random(t, c, 1, mlx.Float32))
}

// packed is the model of c in 4 bits, tied.
func packed(t testing.TB, c llmtest.Config) func() (*llm.Loaded, error) {
	t.Helper()
	m, err := random(t, c)()
	if err != nil {
		t.Fatal(err)
	}
	nn.Quantize(m.Model, mlx.Scheme{Bits: 4, GroupSize: 32})
	var tensors []safetensors.Tensor
	for path, a := range nn.Parameters(m.Model) {
		tensors = append(tensors, safetensors.Tensor{Name: path, DType: a.DType(), Shape: a.Shape(), Data: a.Bytes()})
	}
	return loader(t, c.With(llmtest.Config{"quantization": map[string]any{"bits": 4, "group_size": 32}}), tensors)
}

// The sizes of llmtest.Tiny, by hand: for each of 2 layers q 64x64, k and v 32x64, o
// 64x64, gate and up 96x64, down 64x96, two norms of 64; a last norm; 96 tokens.
const (
	layer    = 64*64 + 2*32*64 + 64*64 + 3*96*64
	vocab    = 96 * 64
	allNorms = 5 * 64
)

func TestWork(t *testing.T) {
	c := llmtest.Tiny("llama")
	tied := c.With(llmtest.Config{"tie_word_embeddings": true})
	for _, x := range []struct {
		name string
		load func() (*llm.Loaded, error)
		want work
	}{
		{"two tables", random(t, c), work{weights: 4 * (2*layer + 2*vocab + allNorms), step: 4 * (2*layer + vocab + allNorms), linear: 2 * layer, head: vocab, table: vocab}},
		{"tied", random(t, tied), work{weights: 4 * (2*layer + vocab + allNorms), step: 4 * (2*layer + vocab + allNorms), linear: 2 * layer, head: vocab}},
		// half a byte a weight, and scale and bias in float32 for each 32: 6 bits
		{"packed", packed(t, tied), work{weights: (2*layer+vocab)*3/4 + 4*allNorms, step: (2*layer+vocab)*3/4 + 4*allNorms, linear: 2 * layer, head: vocab}},
		{"two packed tables", packed(t, c), work{weights: (2*layer+2*vocab)*3/4 + 4*allNorms, step: (2*layer+vocab)*3/4 + 4*allNorms, linear: 2 * layer, head: vocab, table: vocab}},
	} {
		m, err := x.load()
		if err != nil {
			t.Fatal(err)
		}
		if got := workOf(m); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
	m, err := random(t, c.With(llmtest.Config{"model_type": "mistral", "sliding_window": 8}))()
	if err != nil {
		t.Fatal(err)
	}
	// 2 layers of 2 heads of 16, keys and values in float32
	if got, want := cacheBytes(m, 5), int64(2*2*2*16*4*5); got != want {
		t.Errorf("5 positions of cache: %d bytes, want %d", got, want)
	}
	if got, want := cacheBytes(m, 50), int64(2*2*2*16*4*8); got != want {
		t.Errorf("50 positions with a window of 8: %d bytes, want %d", got, want)
	}
	if got, want := workOf(m).prefill(10), 2.0*(10*2*layer+vocab); got != want {
		t.Errorf("a prompt of 10 tokens: %g operations, want %g", got, want)
	}
}

// Every figure is there, and fits the others; none depends on how fast this is.
func TestRun(t *testing.T) {
	ctx := context.Background()
	b, err := Start(ctx, packed(t, llmtest.Tiny("qwen3").With(llmtest.Config{"tie_word_embeddings": true})), []int{5, 6, 7})
	if err != nil {
		t.Fatal(err)
	}
	var seen []Trial
	o := Options{
		PromptTokens: 20, GenerationTokens: 4, Context: 30, BatchSize: 3, Trials: 2, PrefillStep: 16,
		Limits: true, LimitBytes: 4 << 20, LimitTime: time.Millisecond, Delay: time.Millisecond,
		Trial: func(n int, t Trial) { seen = append(seen[:n-1], t) },
	}
	r, err := b.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	w := workOf(b.Model())
	if m := r.Model; m.Type != "qwen3" || m.DType != "float32" || m.WeightBytes != w.weights || m.StepBytes != w.step || m.Parameters != 2*layer+vocab {
		t.Errorf("model %+v", m)
	}
	if l := r.Load; l.Seconds <= 0 || l.FirstTokenSeconds < l.Seconds || l.PromptTokens != 16 {
		t.Errorf("load %+v", l)
	}
	if m := r.Memory; m.Arrays <= 0 || runtime.GOOS == "linux" && m.Resident < 1<<20 {
		t.Errorf("memory %+v", m)
	}
	if l := r.Limits; l == nil || l.BufferBytes != 4<<20 || l.Kernels == "" {
		t.Fatalf("limits %+v", l)
	}
	for name, s := range map[string]Series{
		"read by 1": r.Limits.Read1, "read": r.Limits.Read, "multiply by 1": r.Limits.Multiply1, "multiply": r.Limits.Multiply,
		"prefill": r.Prefill.TPS, "decode": r.Decode.TPS, "long": r.Long.TPS, "long prefill": r.Long.Prefill.TPS,
		"batch": r.Batch.TPS, "dispatch": r.Idle.Microseconds,
	} {
		if len(s.Values) != 2 || !(s.Min > 0 && s.Min <= s.Median && s.Median <= s.Max) || s.Median != (s.Values[0]+s.Values[1])/2 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"GFLOP/s":  {r.Prefill.GFLOPS, w.prefill(20) / 20 * r.Prefill.TPS.Median / 1e9},
		"GB/s":     {r.Decode.WeightGBps, float64(w.step) * r.Decode.TPS.Median / 1e9},
		"batch":    {r.Batch.WeightGBps, float64(w.step) * r.Batch.TPS.Median / 3 / 1e9},
		"cache":    {r.Long.CacheGBps, float64(cacheBytes(b.Model(), 32)) * r.Long.TPS.Median / 1e9},
		"fraction": {*r.Long.OfLimit * r.Limits.Read.Median, r.Long.WeightGBps + r.Long.CacheGBps},
		"of FMA":   {*r.Prefill.OfLimit * r.Limits.Multiply.Median, r.Prefill.GFLOPS},
		"averages": {r.Average.PromptTPS, (seen[0].PromptTPS + seen[1].PromptTPS) / 2},
	} {
		if d := c.got/c.want - 1; !(d < 1e-9 && d > -1e-9) {
			t.Errorf("%s: %g, want %g", name, c.got, c.want)
		}
	}
	if r.Prefill.Tokens != 20 || r.Long.Prefill.Tokens != 30 || r.Long.Context != 30 || r.Decode.Context != 1 || r.Batch.Size != 3 || r.Batch.Context != 0 {
		t.Errorf("lengths of %+v", r)
	}
	if r.Idle.Kernels < 20 || r.Idle.Barriers < 10 || len(r.Trials) != 2 || len(seen) != 2 || seen[1] != r.Trials[1] {
		t.Errorf("dispatch %+v, trials %v and %v", r.Idle, r.Trials, seen)
	}
}

func TestLeftOut(t *testing.T) {
	b, err := Start(context.Background(), random(t, llmtest.Tiny("llama")), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Run(context.Background(), Options{PromptTokens: 3, GenerationTokens: 2, BatchSize: 1, Trials: 1, PrefillStep: 512})
	if err != nil {
		t.Fatal(err)
	}
	if r.Limits != nil || r.Long != nil || r.Batch != nil || r.Prefill.OfLimit != nil || r.Decode.OfLimit != nil {
		t.Errorf("%+v", r)
	}
	for _, id := range b.prompt(5000) {
		if id < 0 || id >= 96 {
			t.Fatalf("random token %d", id)
		}
	}
}

func TestErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 8})
	b, err := Start(ctx, random(t, c), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := Options{PromptTokens: 6, GenerationTokens: 2, BatchSize: 1, Trials: 1, PrefillStep: 512}
	for want, change := range map[string]func(*Options){
		"8 tokens and 2 generated ones are more than the model's context of 8": func(o *Options) { o.Context = 8 },
		"prompt tokens 0: it must be at least 1":                               func(o *Options) { o.PromptTokens = 0 },
		"trials 0":                                                             func(o *Options) { o.Trials = 0 },
		"batch size 0":                                                         func(o *Options) { o.BatchSize = 0 },
		"limits: 1 bytes":                                                      func(o *Options) { o.Limits, o.LimitBytes = true, 1 },
	} {
		o := good
		change(&o)
		if _, err := b.Run(ctx, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := b.Run(ctx, good); err != nil { // the whole context
		t.Error(err)
	}
	cancel()
	if _, err := b.Run(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the end of the context", err)
	}
	failed := errors.New("no model")
	if _, err := Start(context.Background(), func() (*llm.Loaded, error) { return nil, failed }, nil); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of loading", err)
	}
}
