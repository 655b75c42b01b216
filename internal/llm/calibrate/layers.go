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
	path  string
	x     *mlx.Array // the last input
	turn  int        // when it came, of all that are counted together
	count *int
}

// Forward is the layer's.
func (w *watched) Forward(x *mlx.Array) *mlx.Array {
	w.x, w.turn = x, *w.count
	*w.count++
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
	var count int
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
		w := &watched{Linear: linear, path: path, count: &count}
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
	slices.SortStableFunc(l.stages, func(a, b []*watched) int { return a[0].turn - b[0].turn })
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
