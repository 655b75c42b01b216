package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/ruler"
	"github.com/mlxgo/mlx/nn"
)

// textOptions are the options of the commands that run models over a text.
type textOptions struct {
	DataPath       string `mapstructure:"data-path"`
	Separator      string `mapstructure:"separator"`
	SequenceLength int    `mapstructure:"sequence-length"`
	NumSamples     int    `mapstructure:"num-samples"`
	BatchSize      int    `mapstructure:"batch-size"`
	Seed           uint64 `mapstructure:"seed"`
	JSON           bool   `mapstructure:"json"`

	DType           string `mapstructure:"dtype"`
	Exact           bool   `mapstructure:"exact-activations"`
	Mmap            bool   `mapstructure:"mmap"`
	TrustRemoteCode bool   `mapstructure:"trust-remote-code"`

	from           sources
	machineOptions `mapstructure:",squash"`
}

const textLong = `The text is a file: plain text, or .jsonl with a "text" in each line, which are
documents; --separator cuts plain text into documents. Documents begin with the
tokenizer's special tokens, and an EOS follows each if there are several; they are
joined in an order by the seed and cut into rows that do not overlap. Of one document
rows are drawn at random.`

func addTextFlags(f *pflag.FlagSet) {
	f.String("data-path", "", "text `FILE`: plain, or .jsonl with a \"text\" in each line")
	f.String("separator", "", "`TEXT` between the documents of a plain text, such as <|endoftext|>")
	f.Int("sequence-length", 512, "tokens of a row")
	f.Int("num-samples", 256, "rows at most; -1 is all")
	f.Int("batch-size", 8, "rows that run together")
	f.Uint64("seed", 123, "chooses the rows, and the order of documents")
	f.Bool("json", false, "print a JSON object instead")
	addDType(f)
	addExact(f)
	addMmap(f)
	addMachine(f)
	addTrust(f)
}

// checkText refuses what cannot be meant.
func (o *textOptions) checkText() error {
	if o.DataPath == "" {
		return usagef("--data-path is missing: a text file, or .jsonl with a \"text\" in each line")
	}
	switch {
	case o.SequenceLength < 2:
		return usagef("--sequence-length is %d: it must be at least 2", o.SequenceLength)
	case o.NumSamples < 1 && o.NumSamples != -1:
		return usagef("--num-samples is %d: it must be above 0, or -1 for all", o.NumSamples)
	case o.BatchSize < 1:
		return usagef("--batch-size is %d: it must be above 0", o.BatchSize)
	}
	_, err := parseDType(o.DType)
	return err
}

// read is the documents of --data-path.
func (o *textOptions) read() ([]string, error) {
	docs, err := ruler.ReadText(o.DataPath, o.Separator)
	if err != nil {
		return nil, fmt.Errorf("--data-path: %w", err)
	}
	return docs, nil
}

// rows cuts documents for a model.
func (o *textOptions) rows(s *streams, m *llm.Loaded, docs []string) ([][]int, error) {
	length := o.SequenceLength
	if most := m.Model.Info().MaxContext; most > 0 && length > most {
		if o.from.set("sequence-length") {
			return nil, fmt.Errorf("--sequence-length %d is more than the model's context of %d", length, most)
		}
		s.note("the model's context is %d tokens: --sequence-length is %d instead of %d", most, most, length)
		length = most
	}
	return ruler.Cut(m.Tokenizer, docs, ruler.RowsOptions{Length: length, Samples: o.NumSamples, Seed: o.Seed})
}

// begin applies --threads.
func (o *textOptions) begin(s *streams) error {
	if o.TrustRemoteCode {
		s.noteTrust()
	}
	return o.machineOptions.apply()
}

// model finds and loads a model.
func (o *textOptions) model(ctx context.Context, s *streams, name, revision string) (*llm.Loaded, error) {
	m := modelOptions{Model: name, Revision: revision, DType: o.DType, Exact: o.Exact, Mmap: o.Mmap}
	return m.open(ctx, s)
}

// rowsBar shows how many rows are done, on a terminal; end takes it away.
func (s *streams) rowsBar(name string, rows int) (progress func(done, total int), end func()) {
	if !s.errTTY {
		return nil, func() {}
	}
	bar := s.newBar(name, int64(rows), progressbar.OptionSetItsString("row"), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))
	return func(done, _ int) { _ = bar.Set(done) }, func() { _ = bar.Clear() }
}

// perplexityOptions are the options of mlx perplexity.
type perplexityOptions struct {
	Model       string `mapstructure:"model"`
	Revision    string `mapstructure:"revision"`
	textOptions `mapstructure:",squash"`
}

func newPerplexity(s *streams, runF func(context.Context, *streams, *perplexityOptions) error) *cobra.Command {
	o := &perplexityOptions{}
	cmd := &cobra.Command{
		Use:   "perplexity",
		Short: "Measure how well a model predicts a text",
		Long: `Measure how well a model predicts a text: the exponential of the mean loss of the
tokens, each given those before it in its row, and its standard error. Lower is better.

` + textLong,
		Example: `  mlx perplexity --model builtin --data-path story.txt
  mlx perplexity --model mlx-community/Qwen3-0.6B-4bit --data-path wiki.jsonl --num-samples -1
  mlx perplexity --model builtin --data-path stories.txt --separator "<|endoftext|>" --json`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			if o.Model == "" {
				return usagef("--model is missing")
			}
			if err := o.checkText(); err != nil {
				return err
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.String("model", "", modelUsage)
	addRevision(f)
	addTextFlags(f)
	addConfig(cmd)
	return cmd
}

// perplexityResult is what --json prints.
type perplexityResult struct {
	Model string `json:"model"`
	Data  string `json:"data_path"`
	*ruler.Perplexity
	TokensPerSecond float64 `json:"tokens_per_second"`
	PeakMemory      int64   `json:"peak_memory"` // bytes
}

func runPerplexity(ctx context.Context, s *streams, o *perplexityOptions) error {
	if err := o.begin(s); err != nil {
		return err
	}
	docs, err := o.read()
	if err != nil {
		return err
	}
	p := linePrinter{s: s, quiet: o.JSON}
	p.print("Loading model from %s...\n", o.Model)
	m, err := o.model(ctx, s, o.Model, o.Revision)
	if err != nil {
		return err
	}
	p.print("Model loaded: %.1fM parameters\n\nLoading dataset...\n", float64(parameterCount(m.Model))/1e6)
	rows, err := o.rows(s, m, docs)
	if err != nil {
		return err
	}
	p.print("  Sequence length: %d\n  Loaded %d samples\n\nEvaluating perplexity with batch size %d...\n", len(rows[0]), len(rows), o.BatchSize)
	mlx.ResetPeakMemory()
	progress, end := s.rowsBar("perplexity", len(rows))
	r, err := ruler.Measure(ctx, m, rows, ruler.Options{Batch: o.BatchSize, Progress: progress})
	end()
	if err != nil {
		return err
	}
	out := perplexityResult{o.Model, o.DataPath, r, float64(r.Tokens) / r.Seconds, mlx.PeakMemory()}
	if o.JSON {
		return writeJSON(s, out)
	}
	line := strings.Repeat("=", 60)
	p.print("\n%s\nEVALUATION RESULTS\n%s\nModel: %s\nPerplexity: %.3f ± %.3f\nEvaluation time: %.2f seconds\nPeak memory: %.2f GB\nTokens per second: %.0f\n",
		line, line, o.Model, r.Value, r.StandardError, r.Seconds, float64(out.PeakMemory)/1e9, out.TokensPerSecond)
	p.print("\nDataset statistics:\n  Total samples: %d\n  Total tokens: %d\n", r.Rows, r.Tokens)
	return p.err
}

// linePrinter writes text to standard output until that fails, or nothing at all.
type linePrinter struct {
	s     *streams
	quiet bool
	err   error
}

func (p *linePrinter) print(format string, args ...any) {
	if !p.quiet && p.err == nil {
		_, p.err = fmt.Fprintf(p.s.out, format, args...)
	}
}

// parameterCount is the parameters of a model, packed ones one by one.
func parameterCount(m llm.Model) (n int64) {
	packed := map[string]bool{}
	for path, l := range nn.Modules(m) {
		var bits int
		var weight *mlx.Array
		switch l := l.(type) {
		case *nn.QuantizedLinear:
			bits, weight = l.Scheme.Bits, l.Weight
		case *nn.QuantizedEmbedding:
			bits, weight = l.Scheme.Bits, l.Weight
		default:
			continue
		}
		n += int64(weight.Size()) * 32 / int64(bits)
		for _, field := range []string{"weight", "scales", "biases"} {
			packed[path+"."+field] = true
		}
	}
	for path, a := range nn.Parameters(m) {
		if !packed[path] {
			n += int64(a.Size())
		}
	}
	return n
}
