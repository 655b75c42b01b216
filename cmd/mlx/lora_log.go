package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// loraLog tells how a run goes: mlx-lm's lines, and on a terminal a bar and a curve.
type loraLog struct {
	s   *streams
	o   *loraOptions
	out io.Writer
	bar *progressbar.ProgressBar // nil: none

	history *tune.History
	trained func() int // tokens so far
	began   time.Time
	before  int // tokens of the run that was stopped
}

func newLoraLog(s *streams, o *loraOptions) *loraLog { return &loraLog{s: s, o: o, out: s.out} }

// start begins a run after so many iterations; trained tells the tokens so far.
func (l *loraLog) start(iter int, history string, trained func() int) (err error) {
	if l.history, err = tune.OpenHistory(history, iter); err != nil {
		return err
	}
	fmt.Fprintf(l.out, "Starting training..., iters: %d\n", l.o.Iters)
	l.trained, l.before, l.began = trained, trained(), time.Now()
	if l.s.errTTY {
		l.bar = l.s.newBar("training", int64(l.o.Iters), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))
		_ = l.bar.Set(iter)
	}
	return nil
}

// line prints one line, with the bar out of its way.
func (l *loraLog) line(format string, args ...any) {
	if l.bar != nil {
		_ = l.bar.Clear()
	}
	fmt.Fprintf(l.out, format+"\n", args...)
	if l.bar != nil {
		_ = l.bar.RenderBlank()
	}
}

func (l *loraLog) end() {
	if l.bar != nil {
		_ = l.bar.Clear()
		l.bar = nil
	}
}

func (l *loraLog) step(iter int, loss float64) {
	l.history.Step(iter, loss)
	if l.bar == nil {
		return
	}
	text := fmt.Sprintf("loss %.3f", loss)
	if l.s.errColumns == 0 || l.s.errColumns >= barColumns {
		speed := float64(l.trained()-l.before) / time.Since(l.began).Seconds()
		text += fmt.Sprintf(" %.0f tok/s %.1f GB", speed, gb(mlx.PeakMemory()))
	}
	l.bar.Describe(text)
	_ = l.bar.Set(iter)
}

func (l *loraLog) report(r tune.Report) {
	l.history.Report(r)
	l.line("Iter %d: Train loss %.3f, Learning Rate %.3e, It/sec %.3f, Tokens/sec %.3f, Trained Tokens %d, Peak mem %.3f GB",
		r.Iter, r.Loss, r.LearningRate, r.ItersPerSecond, r.TokensPerSecond, r.TrainedTokens, gb(r.PeakBytes))
}

func (l *loraLog) validated(v tune.Validation) {
	l.history.Validated(v)
	l.line("Iter %d: Val loss %.3f, Val took %.3fs", v.Iter, v.Loss, v.Took.Seconds())
}

func (l *loraLog) saved(iter int, adapter, numbered string) {
	l.line("Iter %d: Saved adapter weights to %s and %s.", iter, adapter, numbered)
}

// tested tells the loss on the test set.
func (l *loraLog) tested(loss float64) error {
	_, err := fmt.Fprintf(l.out, "Test loss %.3f, Test ppl %.3f.\n", loss, math.Exp(loss))
	return err
}

// finish draws the curve on a terminal, and writes --report.
func (l *loraLog) finish(s tune.State) error {
	if s.BestIter > 0 {
		l.s.note("the least validation loss was %.3f, before iteration %d; its adapter is best_%s", s.Best, s.BestIter, tune.AdapterFile)
	}
	if l.s.outTTY {
		fmt.Fprint(l.out, l.history.Curve.Text(72, 14))
	}
	return l.write()
}

// write writes --report: of a run that is stopped, what there is.
func (l *loraLog) write() error {
	if l.o.Report == "" {
		return nil
	}
	return l.history.Curve.Write(l.o.Report)
}

// sortedNames are the names of tensors in order.
func sortedNames(tensors map[string]*mlx.Array) []string { return slices.Sorted(maps.Keys(tensors)) }
