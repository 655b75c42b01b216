package main

import (
	"context"
	"fmt"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/peft"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// toPEFT is a value of --to, for adapters.
const toPEFT = "peft"

// checkAdapter refuses options that an adapter has no use for.
func (o *convertOptions) checkAdapter(from sources) error {
	for _, name := range []string{"quantize", "q-bits", "q-group-size", "q-mode", "quant-predicate", "q-config", "q-rounding", "dequantize", "dtype",
		"remove-source-shards", "upload-repo"} {
		if from.set(name) {
			return usagef("--%s does not go with --adapter", name)
		}
	}
	if o.To != toMLX && o.To != toPEFT {
		return usagef("--to: %q is not mlx or peft, which an adapter can be", o.To)
	}
	if !from.set("mlx-path") || o.MLXPath == "" {
		return usagef("--adapter needs --mlx-path, the directory to write")
	}
	if o.Revision != "" && o.Model == "" {
		return usagef("--revision is for models of the Hub: it needs --model")
	}
	return nil
}

// convertAdapter writes an adapter in the other tool's format.
func (o *convertOptions) convertAdapter(ctx context.Context, s *streams) error {
	a, err := tune.OpenAdapter(o.Adapter)
	if err != nil {
		return err
	}
	if a.PEFT() == (o.To == toPEFT) {
		if a.PEFT() {
			return usagef("--adapter %s is of PEFT already: without --to peft it becomes mlx-lm's", o.Adapter)
		}
		return usagef("--adapter %s is of mlx-lm already: --to peft makes one of PEFT", o.Adapter)
	}
	var model any // nil: names are not checked
	if o.Model != "" {
		if model, err = o.adapterBase(ctx, s); err != nil {
			return err
		}
	}
	if err := o.writeAdapter(a, model); err != nil {
		return err
	}
	for _, note := range a.Notes {
		s.note("%s", note)
	}
	if model == nil {
		s.note("no --model was given: names and shapes were not checked against the base")
	}
	s.note("wrote %s", o.MLXPath)
	return nil
}

// writeAdapter writes the directory in one step.
func (o *convertOptions) writeAdapter(a *tune.Adapter, model any) error {
	if o.To == toPEFT {
		p, turned, err := a.ToPEFT(model, o.Model)
		if err != nil {
			return err
		}
		return tune.WriteDir(o.MLXPath, func(dir string) error { return peft.Write(dir, p, turned) })
	}
	tensors, config, err := a.ToMLX(model, o.Model)
	if err != nil {
		return err
	}
	return tune.WriteDir(o.MLXPath, func(dir string) error { return tune.WriteAdapter(dir, tensors, config) })
}

// adapterBase is the base without its weights' elements: names and shapes are enough.
func (o *convertOptions) adapterBase(ctx context.Context, s *streams) (any, error) {
	if llm.IsGGUF(o.Model) {
		return nil, fmt.Errorf("--model %s: with --adapter it is a directory", o.Model)
	}
	source, files, err := o.source(ctx, s, &convert.Options{})
	if err != nil {
		return nil, err
	}
	defer files.Close()
	layout, err := llm.LayoutOf(source, llm.LoadOptions{New: models.New})
	if err != nil {
		return nil, err
	}
	return layout.Model, nil
}
