package calibrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// watched is a linear layer that remembers what it took.
type watched struct {
	*nn.Linear
	path string
	x    *mlx.Array // the last input
}

// Forward is the layer's.
func (w *watched) Forward(x *mlx.Array) *mlx.Array {
	w.x = x
	return w.Linear.Forward(x)
}

// layer is one of the model at work.
type layer struct {
	llm.Layer
	j       *job
	xs      []*mlx.Array // its inputs, a batch each
	watched []*watched   // its linear layers that are not quantized yet, in the order of use
	stages  [][]*watched // those with the same input, in the order of use
}

// layerwise quantizes layer after layer by f: each sees what the quantized ones before it
// give. What is no layer's is rounded at the end.
func (j *job) layerwise(f func(*job, *layer) error) error {
	m, ok := j.m.Model.(llm.Layered)
	if !ok {
		return fmt.Errorf("%s is not supported for model type %s, whose layers cannot run one by one", j.o.Method, j.m.Model.Info().ModelType)
	}
	layers, err := m.Layers()
	if err != nil {
		return fmt.Errorf("%s: %w", j.o.Method, err)
	}
	xs, err := j.enter(m)
	if err != nil {
		return err
	}
	for i, l := range layers {
		if err := j.ctx.Err(); err != nil {
			return err
		}
		j.o.Progress(j.o.Method, i, len(layers))
		one := &layer{Layer: l, j: j, xs: xs}
		one.watch()
		if err := f(j, one); err != nil {
			return fmt.Errorf("%s: %w", l.Path, err)
		}
		one.unwatch()
		if xs, err = one.outputs(); err != nil {
			return err
		}
	}
	j.o.Progress(j.o.Method, len(layers), len(layers))
	return j.rest(m, xs)
}

// caches are fresh ones for a batch [B, L, ...].
func (j *job) caches(x *mlx.Array) []cache.KV {
	return cache.Fresh(j.m.Model.Layout(), x.Dim(0), x.Dim(1))
}

// enter is what the first layer takes.
func (j *job) enter(m llm.Layered) (xs []*mlx.Array, err error) {
	for batch := range slices.Chunk(j.o.Rows, j.o.Batch) {
		var ids []int32
		for _, row := range batch {
			for _, id := range row {
				ids = append(ids, int32(id))
			}
		}
		tokens := mlx.FromSlice(ids, len(batch), len(batch[0]))
		x := m.Enter(tokens, j.caches(tokens))
		if err := mlx.Eval(x); err != nil {
			return nil, err
		}
		xs = append(xs, x)
	}
	return xs, nil
}

// forward is what the layer gives for one batch, not computed.
func (l *layer) forward(x *mlx.Array) *mlx.Array { return l.Forward(x, l.j.caches(x)) }

// outputs are what the layer gives, which the next takes.
func (l *layer) outputs() (ys []*mlx.Array, err error) {
	for _, x := range l.xs {
		if err := l.j.ctx.Err(); err != nil {
			return nil, err
		}
		y := l.forward(x)
		if err := mlx.Eval(y); err != nil {
			return nil, err
		}
		ys = append(ys, y)
	}
	return ys, nil
}

// replace calls f for the layer's own parts.
func (l *layer) replace(f func(path string, part nn.Layer) nn.Layer) {
	nn.Replace(l.j.m.Model, func(path string, part nn.Layer) nn.Layer {
		if strings.HasPrefix(path, l.Path+".") {
			return f(path, part)
		}
		return part
	})
}

// watch puts watched layers in the place of those that can be quantized, and finds the
// stages.
func (l *layer) watch() {
	all := map[string]*watched{}
	l.replace(func(path string, part nn.Layer) nn.Layer {
		linear, ok := part.(*nn.Linear)
		if !ok {
			return part
		}
		if w := linear.Weight.Dim(1); w%l.j.o.Scheme.GroupSize != 0 {
			l.j.o.Note(fmt.Sprintf("%s stays as it is: its width %d is no multiple of the group size %d", path, w, l.j.o.Scheme.GroupSize))
			return part
		}
		w := &watched{Linear: linear, path: path}
		all[path] = w
		return w
	})
	l.forward(l.xs[0])
	for _, path := range slices.Sorted(maps.Keys(all)) {
		l.watched = append(l.watched, all[path])
	}
	for _, w := range l.watched {
		at := slices.IndexFunc(l.stages, func(s []*watched) bool { return s[0].x == w.x })
		if at < 0 {
			at = len(l.stages)
			l.stages = append(l.stages, nil)
		}
		l.stages[at] = append(l.stages[at], w)
	}
	slices.SortStableFunc(l.stages, func(a, b []*watched) int { return l.order(a[0]) - l.order(b[0]) })
}

// order is the place of a part in the flow: what other parts need comes first.
func (l *layer) order(w *watched) int {
	for i, last := range []string{"q_proj", "qkv", "o_proj", "out", "gate", "up", "down"} {
		if strings.Contains(w.path[len(l.Path):], last) {
			return i
		}
	}
	return 0
}

// unwatch puts the layers that are still watched back as they were.
func (l *layer) unwatch() {
	l.replace(func(_ string, part nn.Layer) nn.Layer {
		if w, ok := part.(*watched); ok {
			return w.Linear
		}
		return part
	})
}

// put replaces the linear layer at path by one with a packed weight.
func (l *layer) put(path string, q mlx.Quantized, bias *mlx.Array) error {
	err := mlx.Eval(q.Weight, q.Scales, q.Biases)
	l.replace(func(at string, part nn.Layer) nn.Layer {
		if at != path {
			return part
		}
		return &nn.QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: bias, Scheme: q.Scheme}
	})
	l.j.bits[path] = q.Scheme
	return err
}

// inputs is what is known of the inputs x [n] of a matrix.
type inputs struct {
	gram  *matrix   // sum of x x^T over the tokens
	size  []float64 // sum of |x|
	count int       // of tokens
}

// gather sums the inputs of stages over all batches.
func (l *layer) gather(stages ...[]*watched) ([]*inputs, error) {
	out := make([]*inputs, len(stages))
	for _, x := range l.xs {
		if err := l.j.ctx.Err(); err != nil {
			return nil, err
		}
		l.forward(x)
		for i, s := range stages {
			n := s[0].x.Dim(-1)
			if out[i] == nil {
				out[i] = &inputs{gram: newMatrix(n), size: make([]float64, n)}
			}
			if err := out[i].add(s[0].x.Reshape(-1, n)); err != nil {
				return nil, err
			}
		}
		for _, s := range stages { // nothing holds what is done
			for _, w := range s {
				w.x = nil
			}
		}
	}
	return out, nil
}

// add takes inputs [tokens, n].
func (in *inputs) add(x *mlx.Array) error {
	x = x.AsType(mlx.Float32)
	gram, size := x.T().MatMul(x), mlx.Sum(mlx.Abs(x), mlx.Axis(0))
	if err := mlx.Eval(gram, size); err != nil {
		return err
	}
	for i, v := range mlx.ToSlice[float32](gram) {
		in.gram.v[i] += float64(v)
	}
	for i, v := range mlx.ToSlice[float32](size) {
		in.size[i] += float64(v)
	}
	in.count += x.Dim(0)
	return nil
}

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

// rest quantizes what is no layer's: the output layer by what it takes from the last layer,
// xs, and embeddings.
func (j *job) rest(m llm.Layered, xs []*mlx.Array) error {
	var taken func() *mlx.Array
	var path string
	var weight, bias *mlx.Array
	tied := false
	watch := func(at string, part nn.Layer) nn.Layer {
		switch part := part.(type) {
		case *nn.Embedding:
			w := &watchedEmbedding{Embedding: part}
			return w
		case *nn.Linear:
			return &watched{Linear: part, path: at}
		}
		return part
	}
	nn.Replace(j.m.Model, watch)
	in, err := (*inputs)(nil), error(nil)
	m.Outputs(xs[0])
	find := func(at string, part nn.Layer) nn.Layer {
		switch w := part.(type) {
		case *watchedEmbedding:
			if w.x != nil {
				path, weight, taken, tied = at, w.Weight, func() *mlx.Array { return w.x }, true
			}
		case *watched:
			if w.x != nil {
				path, weight, bias, taken = at, w.Weight, w.Bias, func() *mlx.Array { return w.x }
			}
		}
		return part
	}
	nn.Replace(j.m.Model, find)
	if taken != nil && weight.Dim(1)%j.o.Embed.GroupSize == 0 {
		in = &inputs{gram: newMatrix(weight.Dim(1)), size: make([]float64, weight.Dim(1))}
		for _, x := range xs {
			m.Outputs(x) // its logits are not computed
			if err = in.add(taken().Reshape(-1, weight.Dim(1))); err != nil {
				return err
			}
		}
	}
	var q mlx.Quantized
	if in != nil {
		if q, err = j.roundOutput(weight, in, tied); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	nn.Replace(j.m.Model, func(at string, part nn.Layer) nn.Layer {
		switch w := part.(type) {
		case *watchedEmbedding:
			if at == path && in != nil {
				return &nn.QuantizedEmbedding{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme}
			}
			return w.Embedding
		case *watched:
			if at == path && in != nil {
				return &nn.QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: bias, Scheme: q.Scheme}
			}
			return w.Linear
		}
		return part
	})
	if in != nil {
		j.bits[path] = q.Scheme
	}
	j.roundPlain(func(path string) quant.Scheme { return j.o.Embed })
	return nil
}

// roundOutput rounds the weight of the output layer.
func (j *job) roundOutput(weight *mlx.Array, in *inputs, tied bool) (mlx.Quantized, error) {
	rows, cols := weight.Dims2()
	w := mlx.ToSlice[float32](weight.AsType(mlx.Float32))
	var p *packed
	if j.o.Method == GPTQ {
		damp := damping
		if tied {
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

// roundPlain quantizes the layers that are left, if groups divide their width.
func (j *job) roundPlain(of func(path string) quant.Scheme) {
	nn.Quantize(j.m.Model, nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) {
		w := weightOf(l)
		if w == nil {
			return mlx.Scheme{}, false
		}
		s := of(path)
		if width := (*w).Dim(-1); width%s.GroupSize != 0 {
			j.o.Note(fmt.Sprintf("%s stays as it is: its width %d is no multiple of the group size %d", path, width, s.GroupSize))
			return s, false
		}
		*w = (*w).AsType(j.dtype)
		j.bits[path] = s
		return s, true
	}))
}

// gptqLayer quantizes a layer in the order of its flow: what comes later sees the rounding
// of what came before.
func (j *job) gptqLayer(l *layer) error {
	for _, stage := range l.stages {
		in, err := l.gather(stage)
		if err != nil {
			return err
		}
		f, err := newFactor(in[0].gram, damping)
		if err != nil {
			return err
		}
		for _, w := range stage {
			rows, cols := w.Weight.Dims2()
			p := gptq(mlx.ToSlice[float32](w.Weight.AsType(mlx.Float32)), rows, cols, f, j.o.Scheme, j.dtype)
			if err := l.put(w.path, p.quantized(), w.Bias); err != nil {
				return err
			}
		}
	}
	return nil
}

// damping is added to the diagonal of X^T X, as a share of its mean.
const damping = 0.01

// tiedDamping likewise of an output layer that is the embedding too, which takes each
// channel by itself: the more, the more that counts.
const tiedDamping = 3
