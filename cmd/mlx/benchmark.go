package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/bench"
)

// benchmarkOptions are the options of mlx benchmark, by the flags' names.
type benchmarkOptions struct {
	modelOptions `mapstructure:",squash"`

	PromptTokens     int     `mapstructure:"prompt-tokens"`
	PromptIDs        []int   `mapstructure:"prompt-ids"`
	GenerationTokens int     `mapstructure:"generation-tokens"`
	Context          int     `mapstructure:"context"`
	BatchSize        int     `mapstructure:"batch-size"`
	NumTrials        int     `mapstructure:"num-trials"`
	Limits           bool    `mapstructure:"limits"`
	JSON             bool    `mapstructure:"json"`
	Delay            float64 `mapstructure:"delay"`

	from sources
}

const benchmarkLong = `Measure how fast a model runs on this machine, and what the machine could do at
most, all in one run.

After a warm-up, each trial times the prefill of --prompt-tokens tokens and
--generation-tokens decode steps after it, as mlx-lm does; the same number of steps
after a single token; and after --context tokens. Then --batch-size sequences decode
together from an empty context, one pass of the model for a token of each, and a
decode step runs without its kernels: that is the cost of dispatch. Every token is
sampled (the likeliest is taken), EOS tokens do not end anything. The figures are
medians, with the least and the greatest of the trials; the times are of the wall
clock, so other work on the machine shows.

The limits are measured in each trial: bytes read from a buffer well beyond the
caches, and float32 multiply-adds, by one thread and by all that the model runs on.
Decode is compared with the former by the bytes of weights and cache that a step
reads, prefill with the latter by the operations of its matrix products.

Load and memory are of this process: the time to the first token of a short prompt,
and the peak with one sequence at a time. A model that was not read before comes
from the disk.

The defaults are shorter than mlx-lm's 1024 generated tokens, and its --batch-size 1
leaves out the batch. Without --model it is the built-in model, a small teller of
children's stories, whose context is too short for the default lengths: they are cut.`

func newBenchmark(s *streams, runF func(context.Context, *streams, *benchmarkOptions) error) *cobra.Command {
	o := &benchmarkOptions{}
	cmd := &cobra.Command{
		Use:   "benchmark",
		Short: "Measure a model's speed and the machine's limits",
		Long:  benchmarkLong,
		Example: `  mlx benchmark --prompt-tokens 64 --context 128 --num-trials 2
  mlx benchmark --model builtin --threads 1 --generation-tokens 16 --context 0 --num-trials 1 --json
  mlx benchmark --model builtin --batch-size 8 -p 16 -g 16 -n 1 --context 64 --limits=false`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	addBenchmarkFlags(cmd.Flags())
	addConfig(cmd)
	return cmd
}

func addBenchmarkFlags(f *pflag.FlagSet) {
	addModelFlags(f)
	f.IntP("prompt-tokens", "p", 512, "tokens of the prompt (default with --prompt-ids: as many as these)")
	f.IntP("generation-tokens", "g", 128, "decode steps of each measurement")
	f.IntP("batch-size", "b", 4, "sequences that decode together; 1 leaves this out")
	f.IntP("num-trials", "n", 5, "number of trials")
	f.Int("context", 2048, "tokens before the decode at a long context; 0 leaves this out")
	f.IntSlice("prompt-ids", nil, "token `IDS` with commas between them that prompts are made of, repeated as needed (default random ones, always the same)")
	f.Bool("limits", true, "measure the machine's limits too")
	f.Bool("json", false, "print a JSON object with all figures instead")
	f.Float64("delay", 0, "seconds to wait before each trial")
	addRunFlags(f)
}

// check refuses what cannot be meant, before the model is loaded.
func (o *benchmarkOptions) check() error {
	for _, c := range []struct {
		name         string
		value, least int
	}{
		{"prompt-tokens", o.PromptTokens, 1}, {"generation-tokens", o.GenerationTokens, 1}, {"batch-size", o.BatchSize, 1},
		{"num-trials", o.NumTrials, 1}, {"context", o.Context, 0},
	} {
		if c.value < c.least {
			return usagef("--%s is %d: it must be at least %d", c.name, c.value, c.least)
		}
	}
	if !(o.Delay >= 0 && o.Delay <= 3600) {
		return usagef("--delay is %g: it must be between 0 and 3600 seconds", o.Delay)
	}
	if o.from.set("prompt-ids") {
		if len(o.PromptIDs) == 0 {
			return usagef("--prompt-ids is empty")
		}
		if !o.from.set("prompt-tokens") {
			o.PromptTokens = len(o.PromptIDs)
		}
	}
	return o.checkRun()
}

// fit cuts default lengths to the model's context; lengths that were asked for and
// do not fit are an error.
func (o *benchmarkOptions) fit(s *streams, limit int) error {
	if limit == 0 {
		return nil
	}
	for _, c := range []struct {
		name   string
		length *int
	}{{"prompt-tokens", &o.PromptTokens}, {"context", &o.Context}} {
		switch most := limit - o.GenerationTokens; {
		case *c.length <= most:
		case most < 1 || o.from.set(c.name) || c.name == "prompt-tokens" && o.from.set("prompt-ids"):
			return fmt.Errorf("--%s %d and --generation-tokens %d are more than the model's context of %d", c.name, *c.length, o.GenerationTokens, limit)
		default:
			s.note("the model's context is %d tokens: --%s is %d instead of %d", limit, c.name, most, *c.length)
			*c.length = most
		}
	}
	return nil
}

func runBenchmark(ctx context.Context, s *streams, o *benchmarkOptions) error {
	if err := o.begin(s); err != nil {
		return err
	}
	dir, err := o.find(ctx, s)
	if err != nil {
		return err
	}
	b, err := bench.Start(ctx, func() (*llm.Loaded, error) {
		m, err := o.load(s, dir)
		if err == nil && len(o.PromptIDs) > 0 {
			err = checkIDs("--prompt-ids", o.PromptIDs, m.Model.Info().VocabSize)
		}
		return m, err
	}, o.PromptIDs)
	if err != nil {
		return err
	}
	if err := o.fit(s, b.Model().Model.Info().MaxContext); err != nil {
		return err
	}
	options := bench.Options{
		PromptTokens: o.PromptTokens, GenerationTokens: o.GenerationTokens, Context: o.Context, BatchSize: o.BatchSize,
		Trials: o.NumTrials, PrefillStep: o.PrefillStepSize, Limits: o.Limits, Delay: time.Duration(o.Delay * float64(time.Second)),
	}
	p := benchmarkPrinter{s: s, o: o}
	if !o.JSON {
		options.Trial = p.trial
		if err := p.start(); err != nil {
			return err
		}
	}
	r, err := b.Run(ctx, options)
	if err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(s.out).Encode(benchmarkResult{hostOf(r.Threads), o.result(), r})
	}
	return p.report(r)
}

// benchmarkResult is what --json prints.
type benchmarkResult struct {
	Machine machine       `json:"machine"`
	Options benchmarkWhat `json:"options"`
	*bench.Report
}

// machine is what the figures were measured on and by.
type machine struct {
	CPU     string `json:"cpu"` // "" when the system does not say
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"` // that the model ran on
	Cache   int64  `json:"cache"`   // bytes of the last level, 0 when unknown
	Memory  int64  `json:"memory"`  // bytes, 0 when unknown
	build
}

func hostOf(threads int) machine {
	h := limits.Host()
	return machine{CPU: h.CPU, Cores: h.Cores, Threads: threads, Cache: h.Cache, Memory: h.Memory, build: readBuild()}
}

// benchmarkWhat is what was measured, lengths as they were cut.
type benchmarkWhat struct {
	Model            string `json:"model"`
	PromptTokens     int    `json:"prompt_tokens"`
	GenerationTokens int    `json:"generation_tokens"`
	Context          int    `json:"context"`
	BatchSize        int    `json:"batch_size"`
	NumTrials        int    `json:"num_trials"`
	PrefillStepSize  int    `json:"prefill_step_size"`
}

func (o *benchmarkOptions) result() benchmarkWhat {
	return benchmarkWhat{o.Model, o.PromptTokens, o.GenerationTokens, o.Context, o.BatchSize, o.NumTrials, o.PrefillStepSize}
}
