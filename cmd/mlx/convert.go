package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// convertOptions are the options of mlx convert and mlx quantize.
type convertOptions struct {
	Model    string `mapstructure:"model"`
	HFPath   string `mapstructure:"hf-path"`
	Revision string `mapstructure:"revision"`
	MLXPath  string `mapstructure:"mlx-path"`

	Quantize   bool   `mapstructure:"quantize"`
	Dequantize bool   `mapstructure:"dequantize"`
	Bits       int    `mapstructure:"q-bits"`
	GroupSize  int    `mapstructure:"q-group-size"`
	Mode       string `mapstructure:"q-mode"`
	Rounding   string `mapstructure:"q-rounding"`
	Predicate  string `mapstructure:"quant-predicate"`
	QConfig    string `mapstructure:"q-config"`
	DType      string `mapstructure:"dtype"`

	Adapter         string `mapstructure:"adapter"`
	To              string `mapstructure:"to"`
	Remove          bool   `mapstructure:"remove-source-shards"`
	UploadRepo      string `mapstructure:"upload-repo"`
	TrustRemoteCode bool   `mapstructure:"trust-remote-code"`
	machineOptions  `mapstructure:",squash"`
}

const (
	convertLong = `The result is a directory as mlx-lm writes it: safetensors of at most 5 GB, their
index, config.json, the tokenizer's files and a model card. It appears when it is
complete. Memory stays below 1 GB plus the largest tensor, whatever the model's size. With --to gguf it is a file that llama.cpp runs, of the type
that --dtype says or, quantized, q4_0 or q8_0.

What is finished is kept in a directory beside the result, its name with .partial: the
same command goes on with it after a Ctrl-C, a crash or a full disk.

docs/quantization.md tells the formats, the roundings and the file of --q-config.`
	defaultOut = "mlx_model"
)

func newConvert(s *streams, runF func(context.Context, *streams, *convertOptions) error) *cobra.Command {
	o := &convertOptions{}
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write a model as an MLX directory: quantized, dequantized or in another dtype",
		Long: "Write a model as an MLX directory: quantized, dequantized or in another dtype.\n\n" + convertLong + `

With --adapter it converts an adapter instead: one of PEFT to mlx-lm's files, with
--to peft one of mlx-lm to PEFT's. With --model each tensor must fit that base.`,
		Example: `  mlx convert --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-f16 --dtype float16
  mlx convert --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-4bit --quantize
  mlx convert --model builtin --mlx-path story --dequantize
  mlx convert --adapter adapters --to peft --mlx-path peft-adapter
  mlx convert --adapter peft-adapter --mlx-path mlx-adapter`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, s, runF) },
	}
	f := cmd.Flags()
	o.addSource(f)
	f.String("adapter", "", "`DIR` of an adapter to convert instead of a model")
	f.BoolP("quantize", "q", false, "quantize the model")
	o.addQuantize(f)
	f.BoolP("dequantize", "d", false, "dequantize the model")
	o.addTarget(f)
	f.Lookup("to").Usage += "; of an adapter mlx or peft"
	addConfig(cmd)
	return cmd
}

func (o *convertOptions) addSource(f *pflag.FlagSet) {
	f.SortFlags = false
	f.String("model", "", modelUsage)
	f.String("hf-path", "", "the same as --model")
	addRevision(f)
	f.String("mlx-path", defaultOut, "`DIR`ectory to write, which must not be there")
}

func (o *convertOptions) addQuantize(f *pflag.FlagSet) {
	f.Int("q-bits", 0, "bits of a weight: 2, 3, 4, 5, 6 or 8 (default the mode's: affine 4)")
	f.Int("q-group-size", 0, "weights with one scale: 32, 64 or 128 (default the mode's: affine 64)")
	f.String("q-mode", "affine", "`MODE`: affine, mxfp4, nvfp4 or mxfp8")
	f.String("quant-predicate", "", "mixed bits by a `RECIPE`: "+strings.Join(convert.Recipes(), ", "))
	f.String("q-config", "", "YAML `FILE` of patterns of layers' paths and their bits, group_size, mode or skip")
	f.String("q-rounding", "mlx-metal", "round as MLX does on a `DEVICE`: mlx-metal, which made the files that people have, or mlx-cpu")
}

func (o *convertOptions) addTarget(f *pflag.FlagSet) {
	f.String("dtype", "", "`TYPE` of the parameters: float32, bfloat16 or float16 (default what config.json says, else theirs)")
	f.Bool("remove-source-shards", false, "remove each file of a model of the Hub when all of it is converted and checked")
	f.String("to", toMLX, "`FORMAT` of the result: mlx, or gguf for llama.cpp (a file; q4_0 or q8_0 when quantized)")
	f.String("upload-repo", "", "refused: hf upload does it")
	addTrust(f)
	addMachine(f)
}

// run binds the options and checks what can be checked before anything is read.
func (o *convertOptions) run(cmd *cobra.Command, s *streams, runF func(context.Context, *streams, *convertOptions) error) error {
	from, err := bind(cmd, o)
	if err != nil {
		return err
	}
	if err := o.check(from, cmd.Name()); err != nil {
		return err
	}
	if o.TrustRemoteCode {
		s.noteTrust()
	}
	return runF(cmd.Context(), s, o)
}

func (o *convertOptions) check(from sources, command string) error {
	switch {
	case o.Model == "":
		o.Model = o.HFPath
	case o.HFPath != "" && o.HFPath != o.Model:
		return usagef("--model is %s and --hf-path is %s: give one of them", o.Model, o.HFPath)
	}
	if o.Adapter != "" {
		return o.checkAdapter(from)
	}
	if o.Model == "" {
		return usagef("--model is missing")
	}
	if o.MLXPath == "" {
		return usagef("--mlx-path is empty")
	}
	if o.UploadRepo != "" {
		return usagef("--upload-repo: this program does not upload; leave it out and then run: hf upload %s %s", o.UploadRepo, o.MLXPath)
	}
	if o.Quantize && o.Dequantize {
		return usagef("choose either --quantize or --dequantize, not both")
	}
	if !o.Quantize {
		for _, name := range []string{"q-bits", "q-group-size", "q-mode", "quant-predicate", "q-config", "q-rounding"} {
			if from.set(name) {
				return usagef("--%s is for quantizing: mlx %s needs --quantize", name, command)
			}
		}
	}
	if err := o.checkQuantize(from); err != nil {
		return err
	}
	switch o.To {
	case toMLX:
		return nil
	case toGGUF:
		return o.checkGGUF(from)
	}
	if o.To == toPEFT && command == "convert" {
		return usagef("--to peft is for adapters: it needs --adapter")
	}
	return usagef("--to: %q is not mlx or gguf", o.To)
}

func (o *convertOptions) checkQuantize(from sources) error {
	if _, err := parseDType(o.DType); err != nil {
		return err
	}
	if o.Rounding != mlx.RoundCPU.String() && o.Rounding != mlx.RoundMetal.String() {
		return usagef("--q-rounding: %q is not mlx-metal or mlx-cpu", o.Rounding)
	}
	for name, n := range map[string]int{"q-bits": o.Bits, "q-group-size": o.GroupSize} {
		if from.set(name) && n <= 0 {
			return usagef("--%s is %d: it must be above 0", name, n)
		}
	}
	if _, err := o.scheme().Resolve(); err != nil {
		return usagef("--q-bits, --q-group-size, --q-mode: %w", err)
	}
	if o.Predicate == "" {
		return nil
	}
	if !slices.Contains(convert.Recipes(), o.Predicate) {
		return usagef("--quant-predicate: %q is not one of %s", o.Predicate, strings.Join(convert.Recipes(), ", "))
	}
	if o.Mode != "affine" {
		return usagef("--quant-predicate: quant predicates only support 'affine' quantization, not %s", o.Mode)
	}
	return nil
}

func (o *convertOptions) scheme() mlx.Scheme {
	s := mlx.Scheme{Bits: o.Bits, GroupSize: o.GroupSize, Mode: mlx.Mode(o.Mode)}
	if o.Rounding == mlx.RoundCPU.String() {
		s.Rounding = mlx.RoundCPU
	}
	return s
}

func runConvert(ctx context.Context, s *streams, o *convertOptions) error {
	if err := o.machineOptions.apply(); err != nil {
		return err
	}
	if err := convert.CheckOut(o.MLXPath); err != nil {
		return err
	}
	if o.Adapter != "" {
		return o.convertAdapter(ctx, s)
	}
	c, err := o.options()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.out, "[INFO] Loading"); err != nil {
		return err
	}
	source, closer, err := o.source(ctx, s, c)
	if err != nil {
		return err
	}
	defer closer.Close()
	if o.To == toGGUF {
		return o.writeGGUF(ctx, s, source)
	}
	view := &convertView{s: s, name: filepath.Base(o.MLXPath)}
	c.Line, c.Note, c.Progress = view.line, view.note, view.progress
	r, err := convert.Run(ctx, source, o.MLXPath, *c)
	view.end()
	if err != nil {
		return err
	}
	if view.err != nil { // of standard output
		return view.err
	}
	s.note("wrote %s: %s in %s", o.MLXPath, hub.Bytes(r.Bytes), plural(r.Shards, "file"))
	return nil
}

// options are those of the conversion that need no model.
func (o *convertOptions) options() (*convert.Options, error) {
	c := &convert.Options{New: models.New, Model: o.Model, Quantize: o.Quantize, Dequantize: o.Dequantize, Scheme: o.scheme(), Recipe: o.Predicate}
	if o.Revision != "" {
		c.Model += "@" + o.Revision
	}
	var err error
	if c.DType, err = parseDType(o.DType); err != nil {
		return nil, err
	}
	if o.QConfig != "" {
		text, err := os.ReadFile(o.QConfig)
		if err != nil {
			return nil, fmt.Errorf("--q-config: %w", err)
		}
		if c.Rules, err = convert.ParseRules(text, o.QConfig); err != nil {
			return nil, fmt.Errorf("--q-config: %w", err)
		}
	}
	return c, nil
}

// source opens the model, and says in c where it is from.
func (o *convertOptions) source(ctx context.Context, s *streams, c *convert.Options) (llm.Source, io.Closer, error) {
	if left := convert.Unfinished(o.MLXPath); left != nil && left.Removed && left.Model == c.Model {
		source, err := left.Open()
		if err != nil {
			return source, nil, err
		}
		c.Dir = left.Dir
		return source, left, o.allowRemoval(c)
	}
	dir, err := findModel(ctx, s, o.Model, o.Revision, hub.Model)
	if err != nil {
		return llm.Source{}, nil, err
	}
	if dir == builtinModel {
		if o.Remove {
			return llm.Source{}, nil, errNotOfHub(o.Model)
		}
		source, err := builtin.Source()
		return source, io.NopCloser(nil), err
	}
	if llm.IsGGUF(dir) {
		if o.Remove {
			return llm.Source{}, nil, errNotOfHub(o.Model)
		}
		c.File = dir
		source, err := llm.OpenGGUF(dir)
		return source, io.NopCloser(nil), err
	}
	c.Dir = dir
	if err := o.allowRemoval(c); err != nil {
		return llm.Source{}, nil, err
	}
	source, set, err := llm.OpenDir(dir)
	return source, set, err
}

func errNotOfHub(name string) error {
	return usagef("--remove-source-shards is for models that were fetched from the Hub, and %s is none", name)
}

// allowRemoval sets what removes a file of the source, if that is wished, and the name of
// a model of the Hub.
func (o *convertOptions) allowRemoval(c *convert.Options) error {
	if hub.CheckRepo(o.Model) == nil && c.Dir != o.Model {
		c.Repo = o.Model
	}
	if !o.Remove {
		return nil
	}
	h, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	if !hub.IsSnapshot(h.Cache, c.Dir) {
		return errNotOfHub(o.Model)
	}
	c.Remove = func(path string) error { return hub.RemoveContents(h.Cache, path) }
	return nil
}

// convertView shows a conversion: lines on standard output, the rest on standard error,
// with a bar if that is a terminal.
type convertView struct {
	s    *streams
	name string // of the bar
	err  error

	mu  sync.Mutex
	bar *progressbar.ProgressBar
}

func (v *convertView) line(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	if _, err := fmt.Fprintln(v.s.out, text); err != nil {
		v.err = errors.Join(v.err, err)
	}
}

func (v *convertView) note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	v.s.note("%s", text)
}

func (v *convertView) progress(done, total int64) {
	v.phase(v.name, done, total, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true))
}

// phase shows how much of a phase is done; each has a bar of its own.
func (v *convertView) phase(name string, done, total int64, details ...progressbar.Option) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.s.errTTY {
		return
	}
	if v.bar == nil || v.name != name {
		v.clear()
		details = append(details, progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))
		v.name, v.bar = name, v.s.newBar(name, total, details...)
	}
	_ = v.bar.Set64(done)
}

func (v *convertView) clear() {
	if v.bar != nil {
		_ = v.bar.Clear()
	}
}

// end takes the bar away.
func (v *convertView) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}
