package calibrate

import (
	"fmt"
	"maps"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// AWQ of Lin et al., arXiv 2306.00978: channels with large inputs get a larger share of the
// grid, by factors that the layer before takes back; then outliers are cut where that
// lessens the error. The error of a matrix with inputs X that becomes W + D is
// tr(D X^T X D^T), which needs no pass of the model.

const (
	leastFactor = 1e-4 // of a channel, before they are made even
	lossBatches = 2    // of inputs on which a whole layer is measured
)

// awq is one layer at work.
type awq struct {
	*layer
	weights map[string]*mlx.Array // float32 [out, in]
	biases  map[string]*mlx.Array
	grams   map[string]*mlx.Array    // float32 [in, in], mean of x x^T
	sizes   map[string][]float64     // mean of |x|
	clipped map[string]mlx.Quantized // weights whose ranges are found
}

func newAWQ(l *layer) *awq {
	return &awq{layer: l, weights: map[string]*mlx.Array{}, biases: map[string]*mlx.Array{}, grams: map[string]*mlx.Array{},
		sizes: map[string][]float64{}, clipped: map[string]mlx.Quantized{}}
}

// awqLayer quantizes a layer, plainly where that loses less.
func (j *job) awqLayer(l *layer) error {
	a := newAWQ(l)
	if err := a.read(); err != nil {
		return err
	}
	want, err := a.sample()
	if err != nil {
		return err
	}
	if err := a.putAll(); err != nil { // before anything is scaled: plain rounding
		return err
	}
	before, err := a.loss(want)
	if err != nil {
		return err
	}
	least := before
	for _, f := range l.Folds {
		if least, err = a.try(want, least, func() error { return a.fold(f) }); err != nil {
			return err
		}
	}
	for _, w := range l.watched {
		if least, err = a.try(want, least, func() error { return a.clip(w.path) }); err != nil {
			return err
		}
	}
	j.o.Line(fmt.Sprintf("%s: Loss reduction: %.3f", l.Path, least/before))
	return nil
}

// try takes a step, and takes it back unless the layer as a whole loses less than least.
func (a *awq) try(want []*mlx.Array, least float64, step func() error) (float64, error) {
	restore := a.snapshot()
	if err := step(); err != nil {
		return 0, err
	}
	if err := a.putAll(); err != nil {
		return 0, err
	}
	loss, err := a.loss(want)
	if err != nil || loss < least {
		return loss, err
	}
	restore()
	return least, a.putAll()
}

// read gathers weights and inputs.
func (a *awq) read() error {
	in, err := a.gather(a.stages...)
	if err != nil {
		return err
	}
	for i, stage := range a.stages {
		n := in[i].gram.n
		gram := make([]float32, n*n)
		for k, v := range in[i].gram.v {
			gram[k] = float32(v / float64(in[i].count))
		}
		size := make([]float64, n)
		for k, v := range in[i].size {
			size[k] = v / float64(in[i].count)
		}
		shared := mlx.FromSlice(gram, n, n)
		for _, w := range stage {
			a.grams[w.path], a.sizes[w.path] = shared, size
			a.weights[w.path], a.biases[w.path] = w.Weight.AsType(mlx.Float32), w.Bias
		}
	}
	return nil
}

// sample is what the layer gives for some inputs.
func (l *layer) sample() (ys []*mlx.Array, err error) {
	for _, x := range l.xs[:min(len(l.xs), lossBatches)] {
		y := l.forward(x)
		if err := mlx.Eval(y); err != nil {
			return nil, err
		}
		ys = append(ys, y)
	}
	return ys, nil
}

// loss is the mean square of the difference to what the layer should give.
func (l *layer) loss(want []*mlx.Array) (float64, error) {
	var total, n float64
	for i, y := range want {
		d := l.forward(l.xs[i]).Sub(y)
		sum := mlx.Sum(d.Mul(d))
		if err := mlx.Eval(sum); err != nil {
			return 0, err
		}
		total += float64(mlx.ToSlice[float32](sum)[0])
		n += float64(y.Size())
	}
	return total / n, nil
}

// putAll rounds all weights as they are.
func (a *awq) putAll() error {
	for _, w := range a.watched {
		q, ok := a.clipped[w.path]
		if !ok {
			q = mlx.Quantize(a.weights[w.path].AsType(a.j.dtype), a.j.o.Scheme)
		}
		if err := a.put(w.path, q, a.biases[w.path]); err != nil {
			return err
		}
	}
	return nil
}

// snapshot remembers the layer as it is now.
func (a *awq) snapshot() (restore func()) {
	norms := map[**mlx.Array]*mlx.Array{}
	a.replace(func(_ string, part nn.Layer) nn.Layer {
		for _, place := range []**mlx.Array{normOf(part), normBiasOf(part)} {
			if place != nil {
				norms[place] = *place
			}
		}
		return part
	})
	w, b, g, c := maps.Clone(a.weights), maps.Clone(a.biases), maps.Clone(a.grams), maps.Clone(a.clipped)
	return func() {
		for place, old := range norms {
			*place = old
		}
		a.weights, a.biases, a.grams, a.clipped = w, b, g, c
	}
}

// normOf is the place of a norm's weight, nil for other layers.
func normOf(l nn.Layer) **mlx.Array {
	switch l := l.(type) {
	case *nn.RMSNorm:
		return &l.Weight
	case *nn.LayerNorm:
		return &l.Weight
	}
	return nil
}

func offsetOf(l nn.Layer) float64 {
	switch l := l.(type) {
	case *nn.RMSNorm:
		return l.Offset
	case *nn.LayerNorm:
		return l.Offset
	}
	return 0
}

// normBiasOf likewise of its bias.
func normBiasOf(l nn.Layer) **mlx.Array {
	if l, ok := l.(*nn.LayerNorm); ok {
		return &l.Bias
	}
	return nil
}

// fold finds the best factors of the channels at one place and moves them.
func (a *awq) fold(f llm.Fold) error {
	for _, path := range f.To {
		if a.weights[path] == nil { // not quantized: its width
			return nil
		}
	}
	size := a.sizes[f.To[0]]
	if f.Repeat > 1 {
		size = shareHeads(size, f)
	}
	best, least := []float32(nil), math.Inf(1)
	for step := range a.j.o.Grid {
		if err := a.j.ctx.Err(); err != nil {
			return err
		}
		s := a.factors(size, float64(step)/float64(a.j.o.Grid))
		loss, err := a.scaledLoss(f, mlx.FromSlice(spread(s, f), len(a.sizes[f.To[0]])))
		if err != nil {
			return err
		}
		if loss < least {
			best, least = s, loss
		}
	}
	if best == nil {
		return fmt.Errorf("%s: the error of every scale is NaN: the model's weights are at fault", f.To[0])
	}
	return a.apply(f, best)
}

// factors are size^ratio, even around 1.
func (a *awq) factors(size []float64, ratio float64) []float32 {
	s := make([]float64, len(size))
	lo, hi := math.Inf(1), 0.0
	for i, v := range size {
		s[i] = max(math.Pow(v, ratio), leastFactor)
		lo, hi = min(lo, s[i]), max(hi, s[i])
	}
	out := make([]float32, len(s))
	for i, v := range s {
		out[i] = float32(v / math.Sqrt(lo*hi))
	}
	return out
}

// shareHeads is the mean of sizes of heads that have the same values.
func shareHeads(size []float64, f llm.Fold) []float64 {
	out := make([]float64, len(size)/f.Repeat)
	for i, v := range size {
		head := i / f.HeadDim / f.Repeat
		out[head*f.HeadDim+i%f.HeadDim] += v / float64(f.Repeat)
	}
	return out
}

// spread is factors of From as those of To's inputs.
func spread(s []float32, f llm.Fold) []float32 {
	if f.Repeat <= 1 {
		return s
	}
	out := make([]float32, 0, len(s)*f.Repeat)
	for at := 0; at < len(s); at += f.HeadDim {
		for range f.Repeat {
			out = append(out, s[at:at+f.HeadDim]...)
		}
	}
	return out
}

// rounded is what w [out, in] becomes.
func (a *awq) rounded(w *mlx.Array) *mlx.Array {
	return roundTo(w, a.j.o.Scheme, a.j.dtype)
}

// roundTo is w after rounding to a scheme with scales of dtype d, float32.
func roundTo(w *mlx.Array, s quant.Scheme, d mlx.DType) *mlx.Array {
	return mlx.Dequantize(mlx.Quantize(w.AsType(d), s), mlx.Float32)
}

// scaledLoss is the error of a fold's matrices with factors s [in].
func (a *awq) scaledLoss(f llm.Fold, s *mlx.Array) (float64, error) {
	var total float64
	for _, path := range f.To {
		w := a.weights[path]
		d := a.rounded(w.Mul(s)).Div(s).Sub(w)
		sum := mlx.Sum(d.MatMul(a.grams[path]).Mul(d))
		if err := mlx.Eval(sum); err != nil {
			return 0, err
		}
		total += float64(mlx.ToSlice[float32](sum)[0])
	}
	return total, nil
}

// apply moves factors from what gives the channels to what takes them.
func (a *awq) apply(f llm.Fold, factors []float32) error {
	s := mlx.FromSlice(factors, len(factors))
	if w := a.weights[f.From]; w != nil {
		a.weights[f.From] = w.Div(s.ExpandDims(1))
		if b := a.biases[f.From]; b != nil {
			a.biases[f.From] = b.AsType(mlx.Float32).Div(s).AsType(b.DType())
		}
	} else {
		var err error
		if s, err = a.applyNorm(f.From, s); err != nil || s == nil {
			return err
		}
	}
	s = mlx.FromSlice(spread(mlx.ToSlice[float32](s), f), len(a.sizes[f.To[0]]))
	gram := a.grams[f.To[0]].Div(s).Div(s.ExpandDims(1))
	for _, path := range f.To {
		a.weights[path], a.grams[path] = a.weights[path].Mul(s), gram
		if err := mlx.Eval(a.weights[path], gram); err != nil {
			return err
		}
	}
	return nil
}

// applyNorm divides a norm's weight. What it gives are the factors that the rounding to
// the weight's dtype has left, nil if there is no such norm.
func (a *awq) applyNorm(path string, s *mlx.Array) (*mlx.Array, error) {
	var left *mlx.Array
	var fault error
	a.replace(func(at string, part nn.Layer) nn.Layer {
		place := normOf(part)
		if at != path || place == nil {
			return part
		}
		offset, bias := offsetOf(part), normBiasOf(part)
		old := *place
		whole := old.AsType(mlx.Float32).Add(offset)
		now := whole.Div(s).Sub(offset).AsType(old.DType())
		got := now.AsType(mlx.Float32).Add(offset)
		left = mlx.Where(got.Eq(0), 1, mlx.Where(whole.Eq(0), 1, whole.Div(got)))
		*place = now
		fault = mlx.Eval(now, left)
		if bias != nil && *bias != nil {
			b := (*bias).AsType(mlx.Float32).Div(left).AsType((*bias).DType())
			fault = mlx.Eval(b)
			*bias = b
		}
		return part
	})
	return left, fault
}

// clip finds the range of each group that has the least error by the size of its inputs.
func (a *awq) clip(path string) error {
	gram := mlx.ToSlice[float32](a.grams[path])
	rows, cols := a.weights[path].Dims2()
	h := make([]float64, cols)
	for i := range h {
		h[i] = float64(gram[i*cols+i])
	}
	a.clipped[path] = fitted(mlx.ToSlice[float32](a.weights[path]), rows, cols, h, a.j.o.Scheme, a.j.dtype).quantized()
	return nil
}
