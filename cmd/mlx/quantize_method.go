package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/calibrate"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/ruler"
)

// methodOptions are the options of mlx quantize: those of mlx convert, and how text helps.
type methodOptions struct {
	convertOptions `mapstructure:",squash"`

	Method         string  `mapstructure:"method"`
	Calibration    string  `mapstructure:"calibration"`
	Separator      string  `mapstructure:"separator"`
	NumSamples     int     `mapstructure:"num-samples"`
	SequenceLength int     `mapstructure:"sequence-length"`
	BatchSize      int     `mapstructure:"batch-size"`
	Seed           uint64  `mapstructure:"seed"`
	EmbedBits      int     `mapstructure:"embed-bits"`
	EmbedGroup     int     `mapstructure:"embed-group-size"`
	Grid           int     `mapstructure:"n-grid"`
	Target         float64 `mapstructure:"target-bpw"`
	LowBits        int     `mapstructure:"low-bits"`
	LowGroup       int     `mapstructure:"low-group-size"`
	HighBits       int     `mapstructure:"high-bits"`
	HighGroup      int     `mapstructure:"high-group-size"`
	Sensitivities  string  `mapstructure:"sensitivities"`
}

// Flags by the methods that have them; the others are of all methods.
var methodFlags = map[string][]string{
	calibrate.AWQ: {"embed-bits", "embed-group-size", "n-grid"}, calibrate.GPTQ: {"embed-bits", "embed-group-size"},
	calibrate.Dynamic: {"target-bpw", "low-bits", "low-group-size", "high-bits", "high-group-size", "sensitivities"},
}

// methodSamples are rows that a method takes without --num-samples.
var methodSamples = map[string]int{calibrate.AWQ: 32, calibrate.GPTQ: 64, calibrate.Dynamic: 32}

func (o *methodOptions) addMethod(f *pflag.FlagSet) {
	f.String("method", "", "`METHOD` that rounds with the help of text: "+strings.Join(calibrate.Methods(), ", "))
	f.String("calibration", "", "text `FILE` for --method: plain, or .jsonl with a \"text\" in each line")
	f.String("separator", "", "`TEXT` between the documents of a plain text, such as <|endoftext|>")
	f.Int("num-samples", 0, "rows of text that --method sees; -1 is all (default awq 32, gptq 64, dynamic 32)")
	f.Int("sequence-length", 512, "tokens of a row")
	f.Int("batch-size", 8, "rows that run together")
	f.Uint64("seed", 123, "chooses the rows")
	f.Int("embed-bits", 0, "awq, gptq: bits of embeddings and the head (default awq 4, gptq 6)")
	f.Int("embed-group-size", 0, "awq, gptq: their group size (default awq 32, gptq 64)")
	f.Int("n-grid", 20, "awq: scales that are tried")
	f.Float64("target-bpw", 5, "dynamic: bits per weight of the whole model")
	f.Int("low-bits", 4, "dynamic: bits of most layers")
	f.Int("low-group-size", 64, "dynamic: their group size")
	f.Int("high-bits", 5, "dynamic: bits of sensitive layers")
	f.Int("high-group-size", 64, "dynamic: their group size")
	f.String("sensitivities", "", "dynamic: `FILE` of an earlier run instead of measuring them")
}

// checkMethod refuses what does not go with --method, or without it.
func (o *methodOptions) checkMethod(from sources) error {
	if o.Method != "" && !slices.Contains(calibrate.Methods(), o.Method) {
		return usagef("--method: %q is not one of %s", o.Method, strings.Join(calibrate.Methods(), ", "))
	}
	for _, name := range []string{"calibration", "separator", "num-samples", "sequence-length", "batch-size", "seed"} {
		if o.Method == "" && from.set(name) {
			return usagef("--%s is for --method %s", name, strings.Join(calibrate.Methods(), ", "))
		}
	}
	for _, method := range calibrate.Methods() {
		for _, name := range methodFlags[method] {
			if from.set(name) && !slices.Contains(methodFlags[o.Method], name) {
				return usagef("--%s is for --method %s", name, method)
			}
		}
	}
	if o.Method == "" {
		return nil
	}
	refused := []string{"quant-predicate", "q-config", "q-rounding", "remove-source-shards"}
	if o.Method == calibrate.Dynamic {
		refused = append(refused, "q-bits", "q-group-size")
	}
	for _, name := range refused {
		if from.set(name) {
			return usagef("--%s does not go with --method %s", name, o.Method)
		}
	}
	if o.Mode != "affine" {
		return usagef("--method %s quantizes in mode affine only, not %s", o.Method, o.Mode)
	}
	return o.checkNumbers(from)
}

func (o *methodOptions) checkNumbers(from sources) error {
	switch {
	case o.Calibration == "":
		return usagef("--calibration is missing: --method %s needs a text file", o.Method)
	case o.SequenceLength < 2:
		return usagef("--sequence-length is %d: it must be at least 2", o.SequenceLength)
	case from.set("num-samples") && o.NumSamples < 1 && o.NumSamples != -1:
		return usagef("--num-samples is %d: it must be above 0, or -1 for all", o.NumSamples)
	case o.BatchSize < 1 || o.Grid < 1:
		return usagef("--batch-size is %d and --n-grid is %d: they must be above 0", o.BatchSize, o.Grid)
	case o.Method == calibrate.Dynamic && !(o.Target > 0):
		return usagef("--target-bpw is %g: it must be above 0", o.Target)
	}
	for _, s := range []mlx.Scheme{o.low(), o.embed(), o.high()} {
		if _, err := s.Resolve(); err != nil {
			return usagef("--method %s: %w", o.Method, err)
		}
	}
	return nil
}

func (o *methodOptions) low() mlx.Scheme {
	if o.Method == calibrate.Dynamic {
		return mlx.Scheme{Bits: o.LowBits, GroupSize: o.LowGroup}
	}
	return mlx.Scheme{Bits: o.Bits, GroupSize: o.GroupSize}
}

func (o *methodOptions) high() mlx.Scheme {
	return mlx.Scheme{Bits: o.HighBits, GroupSize: o.HighGroup}
}

// embed has mlx-lm's defaults.
func (o *methodOptions) embed() mlx.Scheme {
	s := mlx.Scheme{Bits: 4, GroupSize: 32}
	if o.Method == calibrate.GPTQ {
		s = mlx.Scheme{Bits: 6, GroupSize: 64}
	}
	if o.EmbedBits != 0 {
		s.Bits = o.EmbedBits
	}
	if o.EmbedGroup != 0 {
		s.GroupSize = o.EmbedGroup
	}
	return s
}

func runQuantizeMethod(ctx context.Context, s *streams, o *methodOptions) error {
	if err := o.machineOptions.apply(); err != nil {
		return err
	}
	if err := convert.CheckOut(o.MLXPath); err != nil {
		return err
	}
	docs, err := ruler.ReadText(o.Calibration, o.Separator)
	if err != nil {
		return fmt.Errorf("--calibration: %w", err)
	}
	view := &convertView{s: s}
	c := calibrate.Options{Method: o.Method, Scheme: o.low(), Embed: o.embed(), High: o.high(), Target: o.Target, Batch: o.BatchSize, Grid: o.Grid,
		Line: view.line, Note: view.note, Progress: func(name string, done, total int) { view.phase(name, int64(done), int64(total)) }}
	if o.Sensitivities != "" {
		if c.Sensitivities, err = calibrate.ReadSensitivities(o.Sensitivities); err != nil {
			return fmt.Errorf("--sensitivities: %w", err)
		}
	}
	base, err := o.options()
	if err != nil {
		return err
	}
	c.Convert = *base
	source, closer, err := o.source(ctx, s, &c.Convert)
	if err != nil {
		return err
	}
	defer closer.Close()
	if c.Rows, c.HeldOut, err = o.rows(source, docs); err != nil {
		return err
	}
	r, err := calibrate.Run(ctx, source, o.MLXPath, c)
	view.end()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return errors.New("interrupted; nothing is written to " + o.MLXPath)
		}
		return err
	}
	return errors.Join(view.err, o.report(s, r))
}

// rows are those that the method sees, and those that are kept to measure it.
func (o *methodOptions) rows(source llm.Source, docs []string) (rows, heldOut [][]int, err error) {
	t, err := llm.SourceTokenizer(source)
	if err != nil {
		return nil, nil, err
	}
	n := o.NumSamples
	if n == 0 {
		n = methodSamples[o.Method]
	}
	want := n
	if n > 0 {
		want += keptRows(n)
	}
	all, err := ruler.Cut(t, docs, ruler.RowsOptions{Length: o.SequenceLength, Samples: want, Seed: o.Seed})
	if err != nil {
		return nil, nil, fmt.Errorf("--calibration: %w", err)
	}
	if len(all) < 2 {
		return nil, nil, fmt.Errorf("--calibration: the text is one row of %d tokens: it needs two, one of them to measure; a smaller --sequence-length makes more", o.SequenceLength)
	}
	kept := keptRows(len(all) * 2 / 3)
	if n > 0 && len(all) == want {
		kept = keptRows(n)
	}
	return all[kept:], all[:kept], nil
}

// keptRows is how many rows are measured beside n.
func keptRows(n int) int { return max(1, min(n/2, 32)) }

// report says what is there now.
func (o *methodOptions) report(s *streams, r *calibrate.Result) error {
	_, err := fmt.Fprintf(s.out, "[INFO] Quantized model with %.3f bits per weight.\n", r.BitsPerWeight)
	s.note("wrote %s: %s in %s; %s took %.1f s", o.MLXPath, hub.Bytes(r.Written.Bytes), plural(r.Written.Shards, "file"), o.Method, r.Seconds)
	if r.Method.Value >= r.Plain.Value {
		s.note("%s loses no less than plain rounding here: %.3f and %.3f; more text, or text that is more like what the model is for, may help", o.Method, r.Method.Value, r.Plain.Value)
	}
	if o.Method != calibrate.Dynamic || o.Sensitivities != "" || err != nil {
		return err
	}
	path := strings.ReplaceAll(o.Model, "/", "_") + "_sensitivities.json"
	if err := calibrate.WriteSensitivities(path, r.Sensitivities); err != nil {
		return err
	}
	s.note("wrote %s, for --sensitivities", path)
	return nil
}
