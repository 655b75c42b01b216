// Package foreign turns models in the formats of other tools into MLX's: tensors that
// are views or are made on demand, and a config.json whose quantization block says how
// they are packed. [Translate] is for the quantized formats of the Hugging Face Hub.
//
// Integers with a scale for each group map onto MLX's affine layout, and 4-bit and 8-bit
// floats onto its mxfp4, nvfp4 and mxfp8 where these hold the same numbers; everything
// else is dequantized. Nothing here knows a model's layers or makes arrays.
package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Options say how to translate.
type Options struct {
	// DType is the dtype of matrices that must be dequantized: float32, float16 or
	// bfloat16. Nil means that of the model's largest unpacked matrix, else what
	// config.json declares.
	DType *dtype.DType
}

// Report is what Translate has done.
type Report struct {
	// Format is the format's name: "awq", "gptq 4 bits act-order".
	Format string
	// Packed are the paths of the layers that stay packed, Dequantized those that do
	// not, each sorted.
	Packed, Dequantized []string
	// Why says why layers are dequantized, by path.
	Why map[string]string
	// Used are the names of the tensors that others were made from, or that only mean
	// something to the tool that wrote them.
	Used map[string]bool
}

// Translate is the model with MLX's tensors and configuration, and what was done; the
// model as it is and nil, if it is in no foreign format. Tensors need no Data: then the
// result has none either, and where contents decide what config.json says is believed.
//
// Errors name the tensor and its shape, or the key of config.json.
func Translate(src weights.Source, o Options) (weights.Source, *Report, error) {
	c, err := readConfig(src)
	if err != nil {
		return src, nil, err
	}
	t := &translation{config: c, tensors: map[string]weights.Tensor{}, made: map[string]weights.Tensor{},
		schemes: map[string]scheme{}, report: Report{Why: map[string]string{}, Used: map[string]bool{}}}
	for _, x := range src.Tensors {
		t.tensors[x.Name] = x
	}
	read, err := t.method()
	if err != nil || read == nil {
		return src, nil, err
	}
	t.wide = t.wideType(o.DType)
	if err := fmap.Guard(read); err != nil { // it looks into mapped files
		return src, nil, err
	}
	if len(t.report.Used) == 0 {
		if !c.foreign() {
			return src, nil, nil
		}
		t.report.Format += ", no layer of which is packed"
	}
	return t.finish(src)
}

// scheme is MLX's packing of a layer.
type scheme struct {
	group, bits int
	mode        string
}

// translation is one Translate at work.
type translation struct {
	config  *config
	tensors map[string]weights.Tensor // the source's
	made    map[string]weights.Tensor // in their place
	schemes map[string]scheme         // of the packed layers
	wide    dtype.DType
	report  Report
}

// method is how the tensors are read, nil for no foreign format.
func (t *translation) method() (func() error, error) {
	t.report.Format = t.config.Method
	switch t.config.Method {
	case "":
		if t.hasFP8() {
			t.report.Format = "fp8"
			return t.fp8, nil
		}
		return nil, nil
	case "bitnet": // the model's affair
		return nil, nil
	case "awq":
		return t.awq, t.config.checkAWQ()
	case "gptq":
		return t.gptq, t.config.checkGPTQ()
	case "fp8", "fbgemm_fp8":
		return t.fp8, nil
	case "compressed-tensors":
		return t.compressed, t.config.checkCompressed()
	case "mxfp4":
		return t.mxfp4, nil
	}
	return nil, t.config.refuse()
}

// has is the tensor of a name, marked as used.
func (t *translation) take(name string) (weights.Tensor, bool) {
	x, ok := t.tensors[name]
	if ok {
		t.report.Used[name] = true
	}
	return x, ok
}

// need is take, or an error that says what the tensor is for.
func (t *translation) need(name, of string) (weights.Tensor, error) {
	x, ok := t.take(name)
	if !ok {
		return x, fmt.Errorf("%s: there is no %s beside it", of, name)
	}
	return x, nil
}

// drop forgets tensors of a layer that only the tool's own kernels read.
func (t *translation) drop(path string, names ...string) {
	for _, n := range names {
		t.take(path + n)
	}
}

// paths are the layers that have a tensor of this ending, sorted.
func (t *translation) paths(ending string) (paths []string) {
	for name := range t.tensors {
		if path, ok := strings.CutSuffix(name, ending); ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// pack puts the tensors of a packed layer in place.
func (t *translation) pack(path string, s scheme, parts ...weights.Tensor) error {
	t.schemes[path] = s
	t.report.Packed = append(t.report.Packed, path)
	return t.put(parts...)
}

// widen puts a dequantized matrix in place.
func (t *translation) widen(path, why string, w weights.Tensor) error {
	t.report.Dequantized = append(t.report.Dequantized, path)
	t.report.Why[path] = why
	return t.put(w)
}

func (t *translation) put(parts ...weights.Tensor) error {
	for _, p := range parts {
		if _, there := t.tensors[p.Name]; there && !t.report.Used[p.Name] {
			return fmt.Errorf("%s: it is there beside the packed tensors of the same layer", p.Name)
		}
		t.made[p.Name] = p
	}
	return nil
}

// wideType is the dtype of dequantized matrices.
func (t *translation) wideType(asked *dtype.DType) dtype.DType {
	if asked != nil {
		return *asked
	}
	var best weights.Tensor
	for _, name := range slices.Sorted(maps.Keys(t.tensors)) {
		x := t.tensors[name]
		switch x.RawDType {
		case "F32", "F16", "BF16":
			if len(x.Shape) == 2 && strings.HasSuffix(name, ".weight") && x.Size() > best.Size() {
				best = x
			}
		}
	}
	switch {
	case best.Name != "":
		return best.DType
	case t.config.dtype != nil:
		return *t.config.dtype
	}
	return dtype.BFloat16
}

// finish is the source of what was made.
func (t *translation) finish(src weights.Source) (weights.Source, *Report, error) {
	out := src
	out.Tensors = nil
	for _, x := range src.Tensors {
		if !t.report.Used[x.Name] {
			out.Tensors = append(out.Tensors, x)
		}
	}
	out.Tensors = slices.AppendSeq(out.Tensors, maps.Values(t.made))
	slices.SortFunc(out.Tensors, func(a, b weights.Tensor) int { return cmp.Compare(a.Name, b.Name) })
	config, err := t.config.translated(t.schemes)
	if err != nil {
		return src, nil, err
	}
	out.Read = func(name string) ([]byte, error) {
		if name == "config.json" {
			return slices.Clone(config), nil
		}
		return src.Read(name)
	}
	slices.Sort(t.report.Packed)
	slices.Sort(t.report.Dequantized)
	return out, &t.report, nil
}

// readFile is a small file, nil if there is none.
func readFile(src weights.Source, name string) ([]byte, error) {
	data, err := src.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
