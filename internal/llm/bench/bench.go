// Package bench measures how fast a model runs here: prefill, decode at an empty and
// a long context and for several sequences, dispatch, load and memory, and in the
// same run what the machine could do at most.
//
// Its types are Bench (a model being measured), Options and Report. It neither reads
// flags nor prints; all times are of the wall clock, and the figures medians of
// trials with their range.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/llm"
)

// Options say what is measured. Counts are above 0; see Check.
type Options struct {
	PromptTokens     int // of the prompt whose prefill is measured
	GenerationTokens int // decode steps of each measurement
	Context          int // tokens before the decode at a long context; 0 leaves it out
	BatchSize        int // sequences that decode together; 1 leaves it out
	Trials           int
	PrefillStep      int // prompt tokens that run at once
	// Limits measures the machine too. LimitBytes is the memory that is read, 0 for
	// limits.BufferSize, and LimitTime how long each limit is measured, 0 for 0.1 s.
	Limits     bool
	LimitBytes int64
	LimitTime  time.Duration
	Delay      time.Duration // before each trial
	// Trial is called after each trial, with numbers from 1; nil is allowed.
	Trial func(n int, t Trial)
}

// Longest is the most positions of a sequence that o takes.
func (o *Options) Longest() int { return max(o.PromptTokens, o.Context, 1) + o.GenerationTokens }

// Check says what of o cannot be measured with a model's context; 0 is no limit.
func (o *Options) Check(maxContext int) error {
	for _, c := range []struct {
		name         string
		value, least int
	}{
		{"prompt tokens", o.PromptTokens, 1}, {"generation tokens", o.GenerationTokens, 1}, {"context", o.Context, 0},
		{"batch size", o.BatchSize, 1}, {"trials", o.Trials, 1}, {"prefill step", o.PrefillStep, 1},
	} {
		if c.value < c.least {
			return fmt.Errorf("bench: %s %d: it must be at least %d", c.name, c.value, c.least)
		}
	}
	if n := o.Longest(); maxContext > 0 && n > maxContext {
		return fmt.Errorf("bench: %d tokens and %d generated ones are more than the model's context of %d", n-o.GenerationTokens, o.GenerationTokens, maxContext)
	}
	return nil
}

// Bench is a model that is being measured, by one goroutine at a time.
type Bench struct {
	m    *llm.Loaded
	ids  []int // what prompts are made of, repeated as often as needed
	load Load
}

// firstPrompt is the length of the first prompt: short, so that the time to the
// first token is that of loading.
const firstPrompt = 16

// Start loads a model by load, and measures this and the time to its first token.
// Prompts are made of ids; without any they are random, always the same.
func Start(ctx context.Context, load func() (*llm.Loaded, error), ids []int) (*Bench, error) {
	start := time.Now()
	m, err := load()
	if err != nil {
		return nil, err
	}
	b := &Bench{m: m, ids: ids}
	b.load.Seconds = time.Since(start).Seconds()
	if len(ids) == 0 {
		rng := rand.New(rand.NewPCG(0, 0))
		for range 4096 {
			b.ids = append(b.ids, rng.IntN(m.Model.Info().VocabSize))
		}
	}
	n := firstPrompt
	if limit := m.Model.Info().MaxContext; limit > 0 {
		n = min(n, max(limit-1, 1))
	}
	b.load.PromptTokens = n
	if _, err := b.generate(ctx, n, 0, 512); err != nil {
		return nil, err
	}
	b.load.FirstTokenSeconds = time.Since(start).Seconds()
	return b, nil
}

// Model is what was loaded.
func (b *Bench) Model() *llm.Loaded { return b.m }

// prompt is n tokens.
func (b *Bench) prompt(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = b.ids[i%len(b.ids)]
	}
	return ids
}

// generated is what one generation took.
type generated struct {
	prefill time.Duration // to the first token
	decode  time.Duration // of the steps after it
	peak    int64         // bytes of arrays
}

// generate runs a prompt of n tokens, takes the likeliest token and decodes so many
// steps after it: what mlx generate does, sampling included.
func (b *Bench) generate(ctx context.Context, n, steps, prefillStep int) (out generated, err error) {
	g, err := llm.Generate(b.m, b.prompt(n), llm.Options{MaxTokens: steps + 1, IgnoreEOS: true, PrefillStep: prefillStep})
	if err != nil {
		return out, err
	}
	runtime.GC() // the cache of the generation before is no part of this one's peak
	start := time.Now()
	var first, last time.Time
	count := 0
	for token, err := range g.Tokens(ctx) {
		if err != nil {
			return out, err
		}
		if token.ID < 0 {
			continue
		}
		last = time.Now()
		if count++; count == 1 {
			first = last
		}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if count != steps+1 {
		return out, fmt.Errorf("bench: the generation ended after %d tokens of %d", count, steps+1)
	}
	return generated{prefill: first.Sub(start), decode: last.Sub(first), peak: g.Statistics().PeakMemory}, nil
}

// Run measures. The first trial of all is not counted: it compiles, and its memory is
// the one reported, before the buffer for the limits exists.
func (b *Bench) Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(b.m.Model.Info().MaxContext); err != nil {
		return nil, err
	}
	r := &run{Bench: b, Options: o, work: workOf(b.m)}
	warm, err := r.trial(ctx)
	if err != nil {
		return nil, err
	}
	r.memory = Memory{Arrays: warm.peak, Resident: limits.PeakResident()}
	if err := r.openProbe(); err != nil {
		return nil, err
	}
	defer r.closeProbe()
	for i := range o.Trials {
		if err := pause(ctx, o.Delay); err != nil {
			return nil, err
		}
		if err := r.limits(); err != nil {
			return nil, err
		}
		t, err := r.trial(ctx)
		if err != nil {
			return nil, err
		}
		r.trials = append(r.trials, t)
		if o.Trial != nil {
			o.Trial(i+1, t.Trial)
		}
	}
	if err := r.together(ctx); err != nil {
		return nil, err
	}
	return r.report(), nil
}

// pause sleeps for d unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openProbe makes what the limits are measured with.
func (r *run) openProbe() error {
	if !r.Limits {
		return nil
	}
	size, window := r.LimitBytes, r.LimitTime
	if size == 0 {
		size = limits.BufferSize(limits.Host())
	}
	if window == 0 {
		window = 100 * time.Millisecond
	}
	var err error
	r.probe, err = limits.New(size, window)
	r.buffer = size
	return err
}

func (r *run) closeProbe() {
	if r.probe != nil {
		_ = r.probe.Close() // the process ends soon
	}
}

// limits measures the machine once more, by one thread and by all.
func (r *run) limits() error {
	if r.probe == nil {
		return nil
	}
	var errs []error
	take := func(to *[]float64, f func(threads int) (float64, error), threads int) {
		rate, err := f(threads)
		*to = append(*to, rate/1e9)
		errs = append(errs, err)
	}
	n := cpu.Workers()
	take(&r.read1, r.probe.Read, 1)
	take(&r.multiply1, r.probe.MultiplyAdd, 1)
	take(&r.read, r.probe.Read, n)
	take(&r.multiply, r.probe.MultiplyAdd, n)
	return errors.Join(errs...)
}
