package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// GGUFOptions say how a GGUF file is written.
type GGUFOptions struct {
	// Type is that of the matrices: one of GGUFTypes. Vectors are float32, and matrices
	// whose rows are no whole blocks of a packed type float16, as llama.cpp has it.
	Type string
	// Progress gets how many bytes of the file's tensors are written; nil: nobody looks.
	Progress func(done, total int64)
	// Release lets go of the source's pages that were read; it is called after each
	// tensor. Nil: there are none.
	Release func()
}

// ggufTypes are the types by their names, with llama.cpp's numbers of files of these
// (general.file_type).
var ggufTypes = map[string]struct {
	kind gguf.Type
	file float64
}{"f32": {gguf.F32, 0}, "f16": {gguf.F16, 1}, "bf16": {gguf.BF16, 32}, "q8_0": {gguf.Q8_0, 7}, "q4_0": {gguf.Q4_0, 2}}

// GGUFTypes are the values of GGUFOptions.Type.
func GGUFTypes() []string { return []string{"f32", "f16", "bf16", "q8_0", "q4_0"} }

// WriteGGUF writes the model in src as a GGUF file that llama.cpp runs: configuration,
// tokenizer and chat template as its convert_hf_to_gguf.py writes them, rows of q and k
// of Llama in its order, matrices as o.Type. Models of the types llama, mistral, qwen2
// and qwen3 can be written; MLX's packed layers are unpacked first.
//
// One tensor is in memory at a time. The file appears at path when it is complete; on an
// error, or when ctx is done, what was there stays. Errors name the key, the tensor or
// what the tokenizer has that llama.cpp has not.
func WriteGGUF(ctx context.Context, src weights.Source, path string, o GGUFOptions) error {
	w, err := newGGUF(ctx, src, o)
	if err != nil {
		return err
	}
	if err := gguf.Write(path, w.entries, w.outs); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// CheckGGUF is the error with which WriteGGUF would end before it reads a tensor.
func CheckGGUF(src weights.Source, o GGUFOptions) error {
	_, err := newGGUF(context.Background(), src, o)
	return err
}

func newGGUF(ctx context.Context, src weights.Source, o GGUFOptions) (*ggufWriter, error) {
	kind, ok := ggufTypes[o.Type]
	if !ok {
		return nil, fmt.Errorf("GGUF type %q is not one of %s", o.Type, strings.Join(GGUFTypes(), ", "))
	}
	w := &ggufWriter{ctx: ctx, src: src, options: o, kind: kind.kind}
	if err := w.plan(kind.file); err != nil {
		return nil, fmt.Errorf("%s: %w", src.Name, err)
	}
	return w, nil
}

// ggufWriter is one WriteGGUF at work.
type ggufWriter struct {
	ctx     context.Context
	src     weights.Source
	options GGUFOptions
	kind    gguf.Type

	config  ggufConfig
	tensors map[string]weights.Tensor
	entries []gguf.Entry
	outs    []gguf.Out

	done, total int64
}

// plan is all before the first byte is written.
func (w *ggufWriter) plan(fileType float64) error {
	raw, err := w.read("config.json")
	if err != nil {
		return err
	}
	if raw == nil {
		return errors.New("there is no config.json")
	}
	if err := w.config.parse(raw); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	w.tensors = make(map[string]weights.Tensor, len(w.src.Tensors))
	for _, t := range w.src.Tensors {
		w.tensors[t.Name] = t
	}
	w.add("general.architecture", gguf.Text(w.config.arch))
	w.add("general.type", gguf.Text("model"))
	w.add("general.name", gguf.Text(filepath.Base(filepath.Clean(w.src.Name))))
	w.entries = append(w.entries, w.config.entries()...)
	w.add("general.file_type", gguf.Number(gguf.Uint32, fileType))
	w.add("general.quantization_version", gguf.Number(gguf.Uint32, 2))
	if err := w.tokenizer(); err != nil {
		return err
	}
	return w.planTensors()
}

func (w *ggufWriter) add(key string, v gguf.Value) {
	w.entries = append(w.entries, gguf.Entry{Key: key, Value: v})
}

// read is a small file, nil if there is none.
func (w *ggufWriter) read(name string) ([]byte, error) {
	data, err := w.src.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// planTensors lists the tensors: those of no block first, then block by block.
func (w *ggufWriter) planTensors() error {
	if f := w.config.factors(); f != nil {
		w.outs = append(w.outs, w.count(gguf.Out{Name: "rope_freqs.weight", Type: gguf.F32, Shape: []int{len(f)}, Fill: fillFloats(f)}))
	}
	shapes := w.config.shapes()
	names := make([]string, 0, len(w.tensors))
	for name := range w.tensors {
		if stem, suffix, ok := cutLast(name); ok && (suffix == "scales" || suffix == "biases") && w.packed(stem) {
			continue
		}
		if name == "lm_head.weight" && w.config.Tied || strings.HasSuffix(name, ".rotary_emb.inv_freq") {
			continue
		}
		if strings.HasPrefix(name, "lm_head.") && w.config.Tied {
			continue
		}
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	seen := map[string]bool{}
	for _, name := range names {
		out, err := w.out(name, shapes)
		if err != nil {
			return err
		}
		seen[name] = true
		w.outs = append(w.outs, w.count(out))
	}
	for name, shape := range shapes {
		if !seen[name] && !shape.optional {
			return fmt.Errorf("there is no tensor %s", name)
		}
	}
	return nil
}

// count makes the writing of a tensor end when the context does, and tells of progress.
func (w *ggufWriter) count(o gguf.Out) gguf.Out {
	fill, size := o.Fill, o.Size()
	w.total += size
	o.Fill = func(to io.Writer) error {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := fill(to); err != nil {
			return err
		}
		w.done += size
		if w.options.Release != nil {
			w.options.Release()
		}
		if w.options.Progress != nil {
			w.options.Progress(w.done, w.total)
		}
		return nil
	}
	return o
}

// out is a tensor of the model as one of the file.
func (w *ggufWriter) out(name string, shapes map[string]ggufShape) (gguf.Out, error) {
	want, known := shapes[name]
	to, ok := foreign.GGUFName(w.config.arch, name)
	if !ok || !known {
		return gguf.Out{}, fmt.Errorf("tensor %s has no place in a GGUF file of a %s model", name, w.config.arch)
	}
	t, err := w.float(name)
	if err != nil {
		return gguf.Out{}, err
	}
	if !slices.Equal(t.Shape, want.shape) {
		return gguf.Out{}, fmt.Errorf("tensor %s has shape %v, and config.json makes it %v", name, t.Shape, want.shape)
	}
	kind := w.kind
	switch last := t.Shape[len(t.Shape)-1]; {
	case len(t.Shape) == 1:
		kind = gguf.F32
	case last%kind.Block() != 0:
		kind = gguf.F16
	}
	return gguf.Out{Name: to, Type: kind, Shape: t.Shape, Fill: w.fill(t, kind, w.config.row(name))}, nil
}

// cutLast cuts a name at its last dot.
func cutLast(name string) (stem, suffix string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// compareNames orders tensors: outside of the blocks first, then by the block's number.
func compareNames(a, b string) int {
	if x, y := blockOf(a), blockOf(b); x != y {
		return x - y
	}
	return strings.Compare(a, b)
}

// blockOf is the number of a tensor's block, -1 for none.
func blockOf(name string) int {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		return -1
	}
	text, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// ggufNull reports whether a JSON value says nothing.
func ggufNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
