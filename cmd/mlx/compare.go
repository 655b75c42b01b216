package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/ruler"
)

// compareOptions are the options of mlx compare.
type compareOptions struct {
	A, B        string
	Worst       int `mapstructure:"worst"`
	Context     int `mapstructure:"context"`
	textOptions `mapstructure:",squash"`
}

func newCompare(s *streams, runF func(context.Context, *streams, *compareOptions) error) *cobra.Command {
	o := &compareOptions{}
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Measure how far a model's predictions are from another's",
		Long: `Measure how far the predictions of model B are from those of model A over a text, as
those of a quantized model from its original: the Kullback-Leibler divergence of B's
distribution from A's, how often both find the same token the most probable, the
perplexity of each, and the positions where they are farthest apart.

A and B are model directories, .gguf files, names org/name of the Hub or builtin, with the same
tokenizer. Both are in memory at once.

` + textLong,
		Example: `  mlx compare story-10m builtin --data-path story.txt
  mlx compare mlx-community/Qwen3-0.6B-bf16 mlx-community/Qwen3-0.6B-4bit --data-path wiki.jsonl --num-samples 64
  mlx compare story-10m story-3bit --data-path story.txt --worst 20 --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("two models are needed, A and B: mlx compare A B --data-path FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			o.A, o.B = args[0], args[1]
			if err := o.check(); err != nil {
				return err
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Int("worst", 10, "positions to list")
	f.Int("context", 16, "tokens before each of them to show")
	addTextFlags(f)
	addConfig(cmd)
	return cmd
}

func (o *compareOptions) check() error {
	if o.A == "" || o.B == "" {
		return usagef("a model's name is empty")
	}
	if o.Worst < 0 || o.Context < 0 {
		return usagef("--worst is %d and --context is %d: they must be at least 0", o.Worst, o.Context)
	}
	return o.checkText()
}

// compareResult is what --json prints.
type compareResult struct {
	A    string `json:"model_a"`
	B    string `json:"model_b"`
	Data string `json:"data_path"`
	*ruler.Comparison
	PeakMemory int64 `json:"peak_memory"` // bytes
}

func runCompare(ctx context.Context, s *streams, o *compareOptions) error {
	if err := o.begin(s); err != nil {
		return err
	}
	docs, err := o.read()
	if err != nil {
		return err
	}
	a, err := o.model(ctx, s, o.A, "")
	if err != nil {
		return err
	}
	b, err := o.model(ctx, s, o.B, "")
	if err != nil {
		return err
	}
	if err := ruler.SameTokens(a, b, docs); err != nil {
		return err
	}
	rows, err := o.rows(s, a, docs)
	if err != nil {
		return err
	}
	mlx.ResetPeakMemory()
	progress, end := s.rowsBar("compare", len(rows))
	c, err := ruler.Compare(ctx, a, b, rows, ruler.CompareOptions{
		Options: ruler.Options{Batch: o.BatchSize, Progress: progress}, Worst: o.Worst, Context: o.Context})
	end()
	if err != nil {
		return err
	}
	if o.JSON {
		return writeJSON(s, compareResult{o.A, o.B, o.DataPath, c, mlx.PeakMemory()})
	}
	return printComparison(&linePrinter{s: s}, o, c)
}

func printComparison(p *linePrinter, o *compareOptions, c *ruler.Comparison) error {
	p.print("A: %s\nB: %s\nText: %s, %d samples of %d tokens, %d predicted\n\n", o.A, o.B, o.DataPath, c.A.Rows, c.A.Tokens/c.A.Rows, c.A.Targets)
	p.print("Mean KL divergence (A, B): %.6f ± %.6f\n", c.KL.Mean, c.KL.StandardError)
	for _, q := range c.KL.Quantiles {
		p.print("  %5.1f %%: %.6f\n", 100*q.Q, q.Value)
	}
	p.print("      max: %.6f\n", c.KL.Max)
	p.print("Top-1 agreement: %.3f %%\nPerplexity of A: %.3f ± %.3f\nPerplexity of B: %.3f ± %.3f (%+.3f %%)\nTime: %.2f seconds\n",
		100*c.Agreement, c.A.Value, c.A.StandardError, c.B.Value, c.B.StandardError, 100*(c.B.Value/c.A.Value-1), c.Seconds)
	if len(c.Worst) > 0 {
		p.print("\nWorst positions: KL, sample:token, text, then tokens with their probability in A and in B\n")
	}
	for _, w := range c.Worst {
		p.print("%.4f  %d:%d  %q\n    A says %s, B says %s, the text has %s\n", w.KL, w.Row, w.At, w.Context, choice(w.A), choice(w.B), choice(w.Next))
	}
	return p.err
}

func choice(c ruler.Choice) string { return fmt.Sprintf("%q (%.3f, %.3f)", c.Text, c.A, c.B) }
