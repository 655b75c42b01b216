package llm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/weights"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// A Predicated model says how its own layers are quantized where the user does not: ok
// is false for a layer that stays as it is, and a zero Scheme is the one that was asked
// for (mlx-lm's quant_predicate).
type Predicated interface {
	QuantPredicate(path string) (s mlx.Scheme, ok bool)
}

// A CastPredicated model has floating parameters that keep their dtype (mlx-lm's
// cast_predicate): those for which Casts is false.
type CastPredicated interface {
	Casts(path string) bool
}

// A FileNamer is a model whose parameters have other names in the files that mlx-lm
// writes: the text part of one that also sees.
type FileNamer interface {
	FileName(path string) string
}

// Layout is a model's parameters and where a source has each of them. No element of a
// tensor has been read, and Model cannot run.
type Layout struct {
	Model  Model
	Config *Config
	// Params are in the order of the model's fields.
	Params   []Param
	Warnings []string
	// Foreign is the other tool's format that the source is in, "" for MLX's and plain
	// ones.
	Foreign string
}

// Param is a parameter of a model and the tensor that has it.
type Param struct {
	Path  string
	Shape mlx.Shape
	// Tensor has the parameter's elements, in its own dtype.
	Tensor weights.Tensor
	// Widened: the source has the layer packed in a way that MLX has not.
	Widened bool
	// Turned: they are those of the transposed matrix, which has the tensor's shape.
	Turned bool
}

// Array is the parameter's elements, without a copy where a file has them as they are.
func (p Param) Array() (*mlx.Array, error) {
	data, err := p.Tensor.Bytes()
	if err != nil {
		return nil, err
	}
	a, err := over(p.Tensor, data)
	if err != nil {
		return nil, err
	}
	if p.Turned {
		a = tensor.CopyOf(a.T(), mlx.Stream{})
	}
	return a.Reshape(p.Shape...), nil // [1] or a scalar
}

// LayoutOf finds the parameters of the model in s, which must have all that it needs and
// no more, as a load demands. The tensors need no Data.
func LayoutOf(s Source, o LoadOptions) (*Layout, error) {
	l := &loader{source: s, options: o, headers: true}
	out, err := l.layout()
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.Name, err)
	}
	return out, nil
}

func (l *loader) layout() (*Layout, error) {
	raw, err := l.configure()
	if err != nil {
		return nil, err
	}
	warnings, err := l.structure(raw)
	if err != nil {
		return nil, err
	}
	stored := maps.Clone(l.tensors)
	for path, t := range l.tensors {
		if t.RawDType == "F64" { // a load refuses it, but who reads rows can narrow them
			t.RawDType, t.DType = "F32", mlx.Float32
			l.tensors[path] = t
		}
	}
	l.dtype = l.computeType()
	if err := l.assign(); err != nil {
		return nil, err
	}
	if err := errors.Join(l.faults...); err != nil {
		return nil, err
	}
	out := &Layout{Model: l.model, Config: l.config, Warnings: warnings}
	if l.foreign != nil {
		out.Foreign = l.foreign.Format
	}
	for path, a := range nn.Parameters(l.model) {
		p := Param{Path: path, Shape: a.Shape(), Tensor: stored[path], Turned: l.turned[path] && a.NDim() == 2}
		if l.foreign != nil {
			layer, ok := strings.CutSuffix(p.Tensor.Name, ".weight")
			p.Widened = ok && slices.Contains(l.foreign.Dequantized, layer)
		}
		out.Params = append(out.Params, p)
	}
	return out, nil
}
