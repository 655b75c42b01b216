package bench

import (
	"slices"

	"github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/cpu/limits"
)

// Report is what a run measured. GB are 1e9 bytes.
type Report struct {
	Model   Model    `json:"model"`
	Threads int      `json:"-"`
	Load    Load     `json:"load"`
	Memory  Memory   `json:"memory"`
	Limits  *Limits  `json:"limits"` // null if they were not measured
	Prefill Prefill  `json:"prefill"`
	Decode  Decode   `json:"decode"` // after a single token
	Long    *Long    `json:"long"`   // null if it was left out
	Batch   *Batch   `json:"batch"`  // null if it was left out
	Idle    *Idle    `json:"dispatch"`
	Trials  []Trial  `json:"trials"`
	Average Averages `json:"averages"`
}

// Model is what the model is, and what it makes a pass move.
type Model struct {
	Type        string `json:"type"`
	DType       string `json:"dtype"`
	Parameters  int64  `json:"parameters"`   // of the matrices, the embeddings counted once
	WeightBytes int64  `json:"weight_bytes"` // all of them
	StepBytes   int64  `json:"step_bytes"`   // of the weights that a decode step reads
}

// Load is the time from before the files are opened. The page cache may be warm or
// not: the second of two runs is warm.
type Load struct {
	Seconds           float64 `json:"load_s"`
	FirstTokenSeconds float64 `json:"first_token_s"`
	PromptTokens      int     `json:"prompt_tokens"` // of the first token's prompt
}

// Memory is the peak in bytes of one sequence at a time, without limits and batch.
type Memory struct {
	Arrays   int64 `json:"arrays"`   // of arrays, mapped weights among them
	Resident int64 `json:"resident"` // of the process; 0 when the system does not say
}

// Limits are rates of the machine in GB/s and GFLOP/s (float32 multiply-add), by one
// thread and by as many as the model runs on.
type Limits struct {
	Kernels     string `json:"kernels"` // what measured: avx512, avx2, or go, which may fall short
	BufferBytes int64  `json:"buffer_bytes"`
	Read1       Series `json:"read_gbps_1"`
	Read        Series `json:"read_gbps"`
	Multiply1   Series `json:"fma_gflops_1"`
	Multiply    Series `json:"fma_gflops"`
}

// Prefill is a prompt's tokens a second up to the first token, and the operations of
// its matrix products a second, attention not counted.
type Prefill struct {
	Tokens  int      `json:"tokens"`
	TPS     Series   `json:"tps"`
	GFLOPS  float64  `json:"gflops"`
	OfLimit *float64 `json:"of_limit"` // of float32 multiply-add; narrower products may pass 1
}

// Decode is tokens a second after a prompt of so many tokens, and what of the weights
// and of the cache is read for them.
type Decode struct {
	Context    int      `json:"context"`
	Tokens     int      `json:"tokens"`
	TPS        Series   `json:"tps"`
	WeightGBps float64  `json:"weight_gbps"`
	CacheGBps  float64  `json:"cache_gbps"`
	OfLimit    *float64 `json:"of_limit"` // of weights and cache
}

// Long is decode at a long context, and the prefill of this.
type Long struct {
	Prefill Prefill `json:"prefill"`
	Decode
}

// Batch is sequences that decode in step from an empty context: one pass of the model
// over int32 [size, 1] each, and greedy sampling of each row. TPS is of all of them
// together. It is not a server's batching: sequences neither join nor leave.
type Batch struct {
	Size int `json:"size"`
	Decode
}

// Idle is a decode step without its kernels: writing the inputs, entering the
// program, claiming its chunks, its barriers.
type Idle struct {
	Microseconds Series `json:"us_per_token"`
	Kernels      int    `json:"kernels"`
	Barriers     int    `json:"barriers"`
}

// Trial is one trial in mlx-lm's figures: the prompt, a generation after it, the peak
// of arrays in bytes and the seconds of both.
type Trial struct {
	PromptTPS     float64 `json:"prompt_tps"`
	GenerationTPS float64 `json:"generation_tps"`
	PeakMemory    int64   `json:"peak_memory"`
	TotalTime     float64 `json:"total_time"`
}

// Averages are means of the trials, as mlx-lm prints them.
type Averages struct {
	PromptTPS     float64 `json:"prompt_tps"`
	GenerationTPS float64 `json:"generation_tps"`
	PeakMemory    float64 `json:"peak_memory"`
}

// Series is a figure of several trials.
type Series struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
}

func seriesOf(values []float64) Series {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return Series{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], Values: values}
}

// report turns the measurements into figures.
func (r *run) report() *Report {
	out := &Report{Threads: cpu.Workers(), Load: r.load, Memory: r.memory}
	out.Model = Model{
		Type: r.m.Model.Info().ModelType, DType: r.m.DType.String(), Parameters: r.work.parameters(),
		WeightBytes: r.work.weights, StepBytes: r.work.step,
	}
	if r.probe != nil {
		out.Limits = &Limits{
			Kernels: limits.Kernels(), BufferBytes: r.buffer,
			Read1: seriesOf(r.read1), Read: seriesOf(r.read), Multiply1: seriesOf(r.multiply1), Multiply: seriesOf(r.multiply),
		}
	}
	column := func(f func(t trial) float64) []float64 {
		values := make([]float64, len(r.trials))
		for i, t := range r.trials {
			values[i] = f(t)
		}
		return values
	}
	for _, t := range r.trials {
		n := float64(len(r.trials))
		out.Trials = append(out.Trials, t.Trial)
		out.Average.PromptTPS += t.PromptTPS / n
		out.Average.GenerationTPS += t.GenerationTPS / n
		out.Average.PeakMemory += float64(t.PeakMemory) / n
	}
	out.Prefill = r.prefill(out.Limits, r.PromptTokens, column(func(t trial) float64 { return t.PromptTPS }))
	out.Decode = r.decode(out.Limits, 1, 1, column(func(t trial) float64 { return t.decode }))
	if r.Context > 0 {
		out.Long = &Long{
			Prefill: r.prefill(out.Limits, r.Context, column(func(t trial) float64 { return t.prefill })),
			Decode:  r.decode(out.Limits, r.Context, 1, column(func(t trial) float64 { return t.long })),
		}
	}
	if r.batch != nil {
		out.Batch = &Batch{Size: r.BatchSize, Decode: r.decode(out.Limits, 0, r.BatchSize, r.batch)}
	}
	if r.dispatch != nil {
		out.Idle = &Idle{Microseconds: seriesOf(r.dispatch), Kernels: r.kernels, Barriers: r.barriers}
	}
	return out
}

func (r *run) prefill(l *Limits, tokens int, tps []float64) Prefill {
	p := Prefill{Tokens: tokens, TPS: seriesOf(tps)}
	p.GFLOPS = r.work.prefill(tokens) / float64(tokens) * p.TPS.Median / 1e9
	if l != nil {
		of := p.GFLOPS / l.Multiply.Median
		p.OfLimit = &of
	}
	return p
}

// decode: a step of several sequences reads the weights once and the cache of each.
func (r *run) decode(l *Limits, context, sequences int, tps []float64) Decode {
	d := Decode{Context: context, Tokens: r.GenerationTokens, TPS: seriesOf(tps)}
	d.WeightGBps = float64(r.work.step) * d.TPS.Median / float64(sequences) / 1e9
	d.CacheGBps = float64(cacheBytes(r.m, context+(r.GenerationTokens+1)/2)) * d.TPS.Median / 1e9
	if l != nil {
		of := (d.WeightGBps + d.CacheGBps) / l.Read.Median
		d.OfLimit = &of
	}
	return d
}
