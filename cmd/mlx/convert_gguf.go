package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// toGGUF and toMLX are the values of --to.
const (
	toMLX  = "mlx"
	toGGUF = "gguf"
)

// checkGGUF refuses what a GGUF file cannot be: its types are --dtype's and, quantized,
// those of 4 and 8 bits with groups of 32.
func (o *convertOptions) checkGGUF(from sources) error {
	if !from.set("mlx-path") {
		o.MLXPath += ".gguf"
	}
	if !strings.EqualFold(filepath.Ext(o.MLXPath), ".gguf") {
		return usagef("--mlx-path: with --to gguf it is a file whose name ends in .gguf, not %s", o.MLXPath)
	}
	for _, name := range []string{"quant-predicate", "q-config", "q-rounding", "remove-source-shards", "dequantize"} {
		if from.set(name) {
			return usagef("--%s does not go with --to gguf", name)
		}
	}
	switch {
	case !o.Quantize:
	case o.Mode != "affine" || o.Bits != 0 && o.Bits != 4 && o.Bits != 8 || o.GroupSize != 0 && o.GroupSize != 32:
		return usagef("--to gguf has q4_0 and q8_0: --q-bits 4 or 8 with --q-group-size 32, mode affine")
	case o.DType != "":
		return usagef("--dtype does not go with --to gguf and --quantize: scales of GGUF are float16")
	}
	return nil
}

// ggufType is the type of the file's matrices: what is asked for, else the source's own,
// float16 where that is packed.
func (o *convertOptions) ggufType(source llm.Source) string {
	if o.Quantize {
		if o.Bits == 8 {
			return "q8_0"
		}
		return "q4_0"
	}
	types := map[mlx.DType]string{mlx.Float32: "f32", mlx.Float16: "f16", mlx.BFloat16: "bf16"}
	if d, err := parseDType(o.DType); err == nil && d != nil {
		return types[*d]
	}
	kind, largest := "f16", int64(0)
	for _, t := range source.Tensors {
		if name, ok := types[t.DType]; ok && t.Size() > largest {
			kind, largest = name, t.Size()
		} else if t.DType == mlx.Uint32 {
			return "f16"
		}
	}
	return kind
}

// writeGGUF is the conversion to a GGUF file.
func (o *convertOptions) writeGGUF(ctx context.Context, s *streams, source llm.Source) error {
	var total int64
	source, _, err := foreign.Translate(source, foreign.Options{})
	if err != nil {
		return err
	}
	kind := o.ggufType(source)
	view := &convertView{s: s, name: filepath.Base(o.MLXPath)}
	err = convert.WriteGGUF(ctx, source, o.MLXPath, convert.GGUFOptions{Type: kind, Release: source.Release, Progress: func(done, all int64) {
		total = all
		view.progress(done, all)
	}})
	view.end()
	if err != nil {
		return err
	}
	s.note("wrote %s: %s of type %s", o.MLXPath, hub.Bytes(total), kind)
	return nil
}
