package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/mlxgo/mlx/internal/llm/bench"
)

// benchmarkPrinter writes mlx-lm's lines while trials run, and a table at the end.
type benchmarkPrinter struct {
	s *streams
	o *benchmarkOptions
}

func (p benchmarkPrinter) start() error {
	_, err := fmt.Fprintf(p.s.out, "Running warmup..\nTiming with prompt_tokens=%d, generation_tokens=%d, batch_size=%d.\n",
		p.o.PromptTokens, p.o.GenerationTokens, p.o.BatchSize)
	return err
}

// trial: that the output is gone is seen at the end.
func (p benchmarkPrinter) trial(n int, t bench.Trial) {
	fmt.Fprintf(p.s.out, "Trial %d:  prompt_tps=%.3f, generation_tps=%.3f, peak_memory=%.3f, total_time=%.3f\n",
		n, t.PromptTPS, t.GenerationTPS, float64(t.PeakMemory)/1e9, t.TotalTime)
}

// report writes the averages and all figures.
func (p benchmarkPrinter) report(r *bench.Report) error {
	var b strings.Builder
	a := r.Average
	fmt.Fprintf(&b, "Averages: prompt_tps=%.3f, generation_tps=%.3f, peak_memory=%.3f\n\n", a.PromptTPS, a.GenerationTPS, a.PeakMemory/1e9)
	h := hostOf(r.Threads)
	commit := cmp.Or(h.Commit, "unknown")
	if h.Modified {
		commit += " and changes"
	}
	row(&b, "Machine", "%s, %d cores, %d threads, simd %s", cmp.Or(h.CPU, "unknown CPU"), h.Cores, h.Threads, h.SIMD)
	row(&b, "Program", "mlx %s, commit %s, %s %s/%s", h.Version, commit, h.Go, h.OS, h.Arch)
	row(&b, "Model", "%s: %s, %s, %sM parameters, %.3f GB of weights, %.3f GB for a decode step",
		p.o.Model, r.Model.Type, r.Model.DType, figure(float64(r.Model.Parameters)/1e6), gb(r.Model.WeightBytes), gb(r.Model.StepBytes))
	row(&b, "Load", "%.3f s, %.3f s to the first token of a prompt of %d", r.Load.Seconds, r.Load.FirstTokenSeconds, r.Load.PromptTokens)
	row(&b, "Peak memory", "%.3f GB of arrays%s", gb(r.Memory.Arrays), resident(r.Memory.Resident))
	p.limits(&b, r)
	prefillRow(&b, r.Prefill)
	decodeRow(&b, "Decode, empty context", r.Decode)
	if l := r.Long; l != nil {
		prefillRow(&b, l.Prefill)
		decodeRow(&b, fmt.Sprintf("Decode after %d", l.Context), l.Decode)
	}
	if batch := r.Batch; batch != nil {
		decodeRow(&b, fmt.Sprintf("Decode, batch of %d", batch.Size), batch.Decode)
	}
	if d := r.Idle; d != nil {
		row(&b, "Dispatch", "%s us/token: %d kernels and %d barriers, without the kernels' work", series(d.Microseconds), d.Kernels, d.Barriers)
	}
	_, err := io.WriteString(p.s.out, b.String())
	return err
}

func (p benchmarkPrinter) limits(b *strings.Builder, r *bench.Report) {
	l := r.Limits
	if l == nil {
		return
	}
	what := l.Kernels + " loops"
	if l.Kernels == "go" {
		what = "plain Go loops, which may fall short of the machine"
	}
	row(b, "Read limit", "%s GB/s by 1 thread, %s by %d (%.1f GB; %s)", series(l.Read1), series(l.Read), r.Threads, gb(l.BufferBytes), what)
	row(b, "Multiply-add limit", "%s GFLOP/s by 1 thread, %s by %d (float32)", series(l.Multiply1), series(l.Multiply), r.Threads)
}

func prefillRow(b *strings.Builder, p bench.Prefill) {
	row(b, fmt.Sprintf("Prefill %d", p.Tokens), "%s tokens/s: %s GFLOP/s%s", series(p.TPS), figure(p.GFLOPS), ofLimit(p.OfLimit))
}

func decodeRow(b *strings.Builder, name string, d bench.Decode) {
	row(b, name, "%s tokens/s: %s GB/s of weights, %s of cache%s", series(d.TPS), figure(d.WeightGBps), figure(d.CacheGBps), ofLimit(d.OfLimit))
}

func row(b *strings.Builder, name, format string, args ...any) {
	fmt.Fprintf(b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
}

// series is a median and the range.
func series(s bench.Series) string {
	return fmt.Sprintf("%s (%s-%s)", figure(s.Median), figure(s.Min), figure(s.Max))
}

// figure has three digits or more.
func figure(x float64) string {
	switch {
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func ofLimit(of *float64) string {
	if of == nil {
		return ""
	}
	return fmt.Sprintf(", %.1f %% of the limit", 100**of)
}

func gb(n int64) float64 { return float64(n) / 1e9 }

// resident is empty where the system does not say.
func resident(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %.3f GB resident", gb(n))
}
