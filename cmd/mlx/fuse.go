package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// fuseOptions are the options of mlx fuse, by the flags' names.
type fuseOptions struct {
	Model    string `mapstructure:"model"`
	Revision string `mapstructure:"revision"`
	SavePath string `mapstructure:"save-path"`

	AdapterPath string   `mapstructure:"adapter-path"`
	Adapter     []string `mapstructure:"adapter"`
	Dequantize  bool     `mapstructure:"dequantize"`

	ExportGGUF bool   `mapstructure:"export-gguf"`
	GGUFPath   string `mapstructure:"gguf-path"`

	Verbose         bool   `mapstructure:"verbose"`
	UploadRepo      string `mapstructure:"upload-repo"`
	TrustRemoteCode bool   `mapstructure:"trust-remote-code"`

	adapters []adapterChoice
}

const fuseLong = `Put adapters into the weights of a model, and write it as a model of its own: LoRA, DoRA
or whole weights, as mlx lora and mlx-lm write them, several of LoRA with strengths.

Packed layers are packed again as they were, and what was left of each change is told;
--dequantize writes the whole model unpacked instead, which keeps changes that few bits
lose. Layers are fused one at a time, all else stays in its files: memory does not depend
on the model's size. The result appears when it is complete, with its GGUF file; after a
Ctrl-C or a crash the same command goes on.

--export-gguf writes a file for llama.cpp too, of type f16, for the models that
mlx convert --to gguf takes; packed layers are unpacked in it.`

func newFuse(s *streams, runF func(context.Context, *streams, *fuseOptions) error) *cobra.Command {
	o := &fuseOptions{}
	cmd := &cobra.Command{
		Use:   "fuse",
		Short: "Write a model with its adapters fused into the weights",
		Long:  fuseLong,
		Example: `  mlx fuse --model builtin --save-path fused
  mlx fuse --model builtin --save-path fused-wide --dequantize --export-gguf
  mlx fuse --model builtin --save-path fused-half --adapter adapters:0.5 --verbose`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := bind(cmd, o)
			if err != nil {
				return err
			}
			if err := o.check(from); err != nil {
				return err
			}
			return runF(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	addModelFlags(f)
	f.String("save-path", "fused_model", "`DIR`ectory to write, which must not be there")
	f.String("adapter-path", "adapters", "`DIR` of the adapter; not used by default if --adapter is given")
	addAdapter(f)
	f.Bool("dequantize", false, "write the model unpacked")
	f.Bool("export-gguf", false, "write a GGUF file too")
	f.String("gguf-path", "ggml-model-f16.gguf", "`FILE` of --export-gguf, seen from --save-path")
	f.Bool("verbose", false, "tell what became of the change of each layer")
	f.String("upload-repo", "", "refused: hf upload does it")
	addTrust(f)
	addConfig(cmd)
	return cmd
}

// check refuses what cannot be meant.
func (o *fuseOptions) check(from sources) error {
	if o.SavePath == "" {
		return usagef("--save-path is empty")
	}
	if o.UploadRepo != "" {
		return usagef("--upload-repo: this program does not upload; leave it out and then run: hf upload %s %s", o.UploadRepo, o.SavePath)
	}
	if from.set("gguf-path") && !o.ExportGGUF {
		return usagef("--gguf-path is for --export-gguf")
	}
	if o.ExportGGUF && !strings.EqualFold(filepath.Ext(o.GGUFPath), ".gguf") {
		return usagef("--gguf-path: it is a file whose name ends in .gguf, not %q", o.GGUFPath)
	}
	path := o.AdapterPath
	if len(o.Adapter) > 0 && !from.set("adapter-path") {
		path = ""
	}
	var err error
	if o.adapters, err = adapterChoices(path, o.Adapter); err != nil {
		return err
	}
	if len(o.adapters) == 0 {
		return usagef("--adapter-path is empty: there is no adapter to fuse")
	}
	return nil
}

// ggufFile is where --export-gguf writes, for a model that is in dir for now.
func (o *fuseOptions) ggufFile(dir string) string {
	switch {
	case filepath.IsAbs(o.GGUFPath):
		return o.GGUFPath
	case !filepath.IsLocal(o.GGUFPath): // beside the model
		return filepath.Join(o.SavePath, o.GGUFPath)
	}
	return filepath.Join(dir, o.GGUFPath)
}

func runFuse(ctx context.Context, s *streams, o *fuseOptions) error {
	s.defaultModel(&o.Model)
	if o.TrustRemoteCode {
		s.noteTrust()
	}
	if err := convert.CheckOut(o.SavePath); err != nil {
		return err
	}
	adapters, err := o.open(s)
	if err != nil {
		return err
	}
	from := &convertOptions{Model: o.Model, Revision: o.Revision, MLXPath: o.SavePath}
	c, err := from.options()
	if err != nil {
		return err
	}
	view := &convertView{s: s, name: filepath.Base(o.SavePath)}
	view.line("Loading pretrained model")
	source, files, err := from.source(ctx, s, c)
	if err != nil {
		return err
	}
	defer files.Close()
	f, err := tune.NewFusion(source, tune.FuseOptions{New: models.New, Adapters: adapters, Dequantize: o.Dequantize})
	if err != nil {
		return err
	}
	for _, a := range adapters {
		s.noteAdapter(a.Adapter)
	}
	if err := o.begin(view, f); err != nil {
		return err
	}
	c.KeepDTypes, c.Identity, c.Note, c.Progress = true, f.Identity(), view.note, view.progress
	if o.ExportGGUF {
		c.Complete = func(dir string) error { return o.writeGGUF(ctx, view, dir) }
	}
	r, err := convert.Run(ctx, f.Source(), o.SavePath, *c)
	view.end()
	if err != nil {
		return err
	}
	s.note("wrote %s: %s in %s", o.SavePath, hub.Bytes(r.Bytes), plural(r.Shards, "file"))
	if err := o.report(s, f); err != nil {
		return err
	}
	if o.ExportGGUF {
		view.line("Converted GGUF model saved as: " + o.ggufFile(o.SavePath))
	}
	return view.err
}

// open reads the adapters, and tells of those that another model was trained with.
func (o *fuseOptions) open(s *streams) ([]tune.Strong, error) {
	var all []tune.Strong
	for _, choice := range o.adapters {
		a, err := tune.OpenAdapter(choice.dir)
		if err != nil {
			return nil, err
		}
		if a.Model != "" && filepath.Base(a.Model) != filepath.Base(o.Model) {
			s.note("the adapter %s was trained on %s, and goes into %s", a.Dir, a.Model, o.Model)
		}
		all = append(all, tune.Strong{Adapter: a, Strength: choice.strength})
	}
	return all, nil
}

// begin says what is done, and refuses a GGUF file that cannot be.
func (o *fuseOptions) begin(view *convertView, f *tune.Fusion) error {
	if o.Dequantize {
		view.line("Dequantizing model")
		if f.Unpacked() == 0 {
			view.note("the model is not quantized: there is nothing to dequantize")
		}
	}
	if !o.ExportGGUF {
		return nil
	}
	if err := convert.CheckGGUF(f.Source(), o.gguf()); err != nil {
		return fmt.Errorf("--export-gguf: %w", err)
	}
	if f.Packed() > 0 {
		view.note("the GGUF file has the weights of the fused model, unpacked after they were rounded: with --dequantize they are not")
	}
	if filepath.IsAbs(o.GGUFPath) {
		if info, err := os.Stat(filepath.Dir(o.GGUFPath)); err != nil || !info.IsDir() {
			return fmt.Errorf("--gguf-path: there is no directory %s", filepath.Dir(o.GGUFPath))
		}
	}
	return nil
}

func (o *fuseOptions) gguf() convert.GGUFOptions { return convert.GGUFOptions{Type: "f16"} }

// writeGGUF writes the model in dir, which gets its name afterwards, once more.
func (o *fuseOptions) writeGGUF(ctx context.Context, view *convertView, dir string) error {
	view.end()
	view.line("Converting to GGUF format")
	source, files, err := llm.OpenDir(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	source.Name = o.SavePath
	path, options := o.ggufFile(dir), o.gguf()
	options.Release = source.Release
	options.Progress = func(done, total int64) { view.phase(filepath.Base(path), done, total) }
	if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
		err = convert.WriteGGUF(ctx, source, path, options)
	}
	view.end()
	return err
}

// report tells what is left of the changes.
func (o *fuseOptions) report(s *streams, f *tune.Fusion) error {
	all, err := f.Report()
	if err != nil {
		return err
	}
	if o.Verbose {
		w := newTable(s.err)
		fmt.Fprintln(w, "LAYER\tCHANGE\tKEPT\tNOISE")
		for _, r := range all {
			fmt.Fprintf(w, "%s\t%.3g%%\t%.2f%%\t%.3g\n", visible(r.Path), 100*r.Change, 100*r.Kept, r.Noise)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	least, noisy := all[0], 0
	var change, kept, noise float64
	for _, r := range all {
		if r.Kept < least.Kept {
			least = r
		}
		if r.Noise > 1 || r.Kept < 0.5 {
			noisy++
		}
		n := float64(len(all))
		change, kept, noise = change+r.Change/n, kept+r.Kept/n, noise+r.Noise/n
	}
	s.note("fused %s: the change is %.3g%% of a weight in the mean, and %.2f%% of it is kept, at least %.2f%% (%s), beside a noise of rounding of %.3g times the change",
		plural(len(all), "layer"), 100*change, 100*kept, 100*least.Kept, least.Path, noise)
	if noisy == 0 {
		return nil
	}
	advice := "mlx convert --dtype float32 makes a model that keeps it"
	if f.Packed() > 0 {
		advice = "--dequantize keeps it"
	}
	s.note("in %s of %d rounding loses half of the change or adds more than it: %s", plural(noisy, "layer"), len(all), advice)
	return nil
}
