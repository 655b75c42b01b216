package bench

import (
	"context"
	"time"

	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// run is a measurement at work.
type run struct {
	*Bench
	Options
	work   work
	memory Memory
	trials []trial

	probe                            *limits.Probe // nil without limits
	buffer                           int64
	read1, read, multiply1, multiply []float64 // of each trial, GB/s and GFLOP/s

	batch             []float64 // tokens a second of all sequences
	dispatch          []float64 // microseconds a token
	kernels, barriers int
}

// trial is all generations of one trial.
type trial struct {
	Trial
	decode  float64 // tokens a second at an empty context
	prefill float64 // tokens a second of the long context
	long    float64 // tokens a second after it
	peak    int64
}

// perSecond is n over d.
func perSecond(n int, d time.Duration) float64 { return float64(n) / max(d, 1).Seconds() }

// trial runs one sequence three times: the prompt and a generation as mlx-lm measures
// them, a generation after a single token, and one after a long context.
func (r *run) trial(ctx context.Context) (t trial, err error) {
	start := time.Now()
	steps := r.GenerationTokens
	g, err := r.generate(ctx, r.PromptTokens, steps, r.PrefillStep)
	if err != nil {
		return t, err
	}
	t.PromptTPS, t.GenerationTPS = perSecond(r.PromptTokens, g.prefill), perSecond(steps, g.decode)
	t.PeakMemory, t.TotalTime = g.peak, time.Since(start).Seconds()
	t.peak = g.peak
	if g, err = r.generate(ctx, 1, steps, r.PrefillStep); err != nil {
		return t, err
	}
	t.decode = perSecond(steps, g.decode)
	if r.Context == 0 {
		return t, nil
	}
	if g, err = r.generate(ctx, r.Context, steps, r.PrefillStep); err != nil {
		return t, err
	}
	t.prefill, t.long = perSecond(r.Context, g.prefill), perSecond(steps, g.decode)
	t.peak = max(t.peak, g.peak)
	return t, nil
}

// together measures sequences that decode in step, and a step without its kernels,
// after the trials: the memory of a batch is not part of theirs.
func (r *run) together(ctx context.Context) error {
	one, err := r.m.NewBatch(1)
	if err != nil {
		return err
	}
	var many *llm.Batch
	if r.BatchSize > 1 {
		if many, err = r.m.NewBatch(r.BatchSize); err != nil {
			return err
		}
		if _, err := r.decodeBatch(ctx, many); err != nil { // not counted: it compiles
			return err
		}
	}
	for range r.Trials {
		if err := r.dispatchOnce(one); err != nil {
			return err
		}
		if many == nil {
			continue
		}
		d, err := r.decodeBatch(ctx, many)
		if err != nil {
			return err
		}
		r.batch = append(r.batch, perSecond(r.BatchSize*r.GenerationTokens, d))
	}
	return nil
}

// decodeBatch is the time of so many steps of b from an empty context, each fed with
// the likeliest tokens of the step before.
func (r *run) decodeBatch(ctx context.Context, b *llm.Batch) (time.Duration, error) {
	sampler, err := sample.New(sample.Options{}, r.m.Model.Info().VocabSize)
	if err != nil {
		return 0, err
	}
	b.Reset()
	tokens := r.prompt(r.BatchSize)
	start := time.Now()
	for range r.GenerationTokens {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		rows, err := b.Step(tokens)
		if err != nil {
			return 0, err
		}
		if tokens, _, err = sampler.SampleRows(rows, nil); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// dispatchOnce adds one figure of steps without kernels; the first call compiles.
func (r *run) dispatchOnce(b *llm.Batch) error {
	const runs = 200
	start := time.Now()
	for i := range runs + 20 {
		if i == 20 { // threads are awake by now
			start = time.Now()
		}
		kernels, barriers, ok, err := b.Dispatch()
		if err != nil || !ok {
			return err
		}
		r.kernels, r.barriers = kernels, barriers
	}
	r.dispatch = append(r.dispatch, float64(time.Since(start).Nanoseconds())/1e3/runs)
	return nil
}
