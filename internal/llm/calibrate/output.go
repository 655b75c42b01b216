package calibrate

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// watchedEmbedding is an embedding that remembers what it took as the output layer.
type watchedEmbedding struct {
	*nn.Embedding
	x *mlx.Array
}

// AsLinear is the embedding's.
func (w *watchedEmbedding) AsLinear(x *mlx.Array) *mlx.Array {
	w.x = x
	return w.Embedding.AsLinear(x)
}

// output is the layer that makes logits: the head, or the embedding.
type output struct {
	path         string
	weight, bias *mlx.Array
	tied         bool
	taken        func() *mlx.Array // what it took last
}

// rest quantizes what is no layer's: the output layer by what it takes from the last layer,
// xs, and embeddings plainly.
func (j *job) rest(m llm.Layered, xs []*mlx.Array) error {
	out := j.watchOutput(m, xs[0])
	var q *mlx.Quantized
	if out != nil && out.weight.Dim(1)%j.o.Embed.GroupSize == 0 {
		n := out.weight.Dim(1)
		in := &inputs{gram: newMatrix(n), size: make([]float64, n)}
		for _, x := range xs {
			m.Outputs(x) // its logits are not computed
			if err := in.add(out.taken().Reshape(-1, n)); err != nil {
				return err
			}
		}
		rounded, err := j.roundOutput(out, in)
		if err != nil {
			return fmt.Errorf("%s: %w", out.path, err)
		}
		q = &rounded
		j.bits[out.path] = q.Scheme
	}
	nn.Replace(j.m.Model, func(path string, part nn.Layer) nn.Layer {
		this := q != nil && path == out.path
		switch w := part.(type) {
		case *watchedEmbedding:
			if this {
				return &nn.QuantizedEmbedding{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme}
			}
			return w.Embedding
		case *watched:
			if this {
				return &nn.QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: out.bias, Scheme: q.Scheme}
			}
			return w.Linear
		}
		return part
	})
	j.roundPlain(func(string) quant.Scheme { return j.o.Embed })
	return nil
}

// watchOutput watches all that may be the output layer, and finds it by what the last layer
// gives, x; nil if it is none of the usual.
func (j *job) watchOutput(m llm.Layered, x *mlx.Array) (out *output) {
	nn.Replace(j.m.Model, func(path string, part nn.Layer) nn.Layer {
		switch part := part.(type) {
		case *nn.Embedding:
			return &watchedEmbedding{Embedding: part}
		case *nn.Linear:
			return &watched{Linear: part, path: path, count: new(int)}
		}
		return part
	})
	m.Outputs(x)
	nn.Replace(j.m.Model, func(path string, part nn.Layer) nn.Layer {
		switch w := part.(type) {
		case *watchedEmbedding:
			if w.x != nil {
				out = &output{path, w.Weight, nil, true, func() *mlx.Array { return w.x }}
			}
		case *watched:
			if w.x != nil {
				out = &output{path, w.Weight, w.Bias, false, func() *mlx.Array { return w.x }}
			}
		}
		return part
	})
	return out
}

// roundOutput rounds the weight of the output layer.
func (j *job) roundOutput(out *output, in *inputs) (mlx.Quantized, error) {
	rows, cols := out.weight.Dims2()
	w := mlx.ToSlice[float32](out.weight.AsType(mlx.Float32))
	var p *packed
	if j.o.Method == GPTQ {
		damp := damping
		if out.tied {
			damp = tiedDamping
		}
		f, err := newFactor(in.gram, damp)
		if err != nil {
			return mlx.Quantized{}, err
		}
		p = gptq(w, rows, cols, f, j.o.Embed, j.dtype)
	} else {
		h := make([]float64, cols)
		for i := range h {
			h[i] = in.gram.row(i)[i]
		}
		p = fitted(w, rows, cols, h, j.o.Embed, j.dtype)
	}
	q := p.quantized()
	return q, mlx.Eval(q.Weight, q.Scales, q.Biases)
}
