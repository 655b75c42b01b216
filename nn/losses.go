package nn

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// LossOption is [Reduction], [Weights], [LabelSmoothing], [FromLogits], [Beta],
// [Delta], [Margin], [Full] or [LossAxis]. A loss panics at one it does not know.
type LossOption interface{ loss(*lossOptions) }

// lossOptions are the keywords of one loss; given names those that were given.
type lossOptions struct {
	given     []string
	reduction string
	weights   *mlx.Array
	smoothing float64
	logits    bool
	x         float64 // beta, delta or margin
	full      bool
	axis      int
}

// Reduction is reduction=: "none", "mean" or "sum". Each loss has MLX's default.
type Reduction string

type (
	// LabelSmoothing is label_smoothing= of CrossEntropy, from 0 to below 1.
	LabelSmoothing float64
	// FromLogits is with_logits= of BinaryCrossEntropy, true by default.
	FromLogits bool
	// Beta is beta= of SmoothL1Loss, 1 by default.
	Beta float64
	// Delta is delta= of HuberLoss, 1 by default.
	Delta float64
	// Margin is margin=: 1 for TripletLoss, 0 for MarginRankingLoss.
	Margin float64
	// Full is full= of GaussianNLLLoss: with the constant.
	Full bool
	// LossAxis is axis=.
	LossAxis int
)

type lossWeights struct{ w *mlx.Array }

// Weights is weights=: a factor for each loss.
func Weights(w *mlx.Array) LossOption { return lossWeights{w} }

func (r Reduction) loss(o *lossOptions)      { o.note("Reduction"); o.reduction = string(r) }
func (w lossWeights) loss(o *lossOptions)    { o.note("Weights"); o.weights = w.w }
func (s LabelSmoothing) loss(o *lossOptions) { o.note("LabelSmoothing"); o.smoothing = float64(s) }
func (f FromLogits) loss(o *lossOptions)     { o.note("FromLogits"); o.logits = bool(f) }
func (b Beta) loss(o *lossOptions)           { o.note("Beta"); o.x = float64(b) }
func (d Delta) loss(o *lossOptions)          { o.note("Delta"); o.x = float64(d) }
func (m Margin) loss(o *lossOptions)         { o.note("Margin"); o.x = float64(m) }
func (f Full) loss(o *lossOptions)           { o.note("Full"); o.full = bool(f) }
func (a LossAxis) loss(o *lossOptions)       { o.note("LossAxis"); o.axis = int(a) }

func (o *lossOptions) note(name string) { o.given = append(o.given, name) }

// read fills o by the options of a loss that takes Reduction and those in takes.
func (o lossOptions) read(loss string, opts []LossOption, takes ...string) lossOptions {
	for _, f := range opts {
		f.loss(&o)
	}
	for _, name := range o.given {
		if name != "Reduction" && !slices.Contains(takes, name) {
			tensor.Throw(loss, nil, "there is no option %s", name)
		}
	}
	if !slices.Contains([]string{"none", "mean", "sum"}, o.reduction) {
		tensor.Throw(loss, nil, "reduction %q is none of none, mean and sum", o.reduction)
	}
	return o
}

// reduce is the loss as the options want it.
func (o lossOptions) reduce(loss string, l *mlx.Array) *mlx.Array {
	if o.weights != nil {
		if w, s := o.weights.Shape(), l.Shape(); len(w) > len(s) {
			tensor.Throw(loss, []mlx.Spec{tensor.SpecOf(o.weights), tensor.SpecOf(l)}, "weights of shape %v do not fit losses of shape %v", w, s)
		}
		l = l.Mul(o.weights)
	}
	switch o.reduction {
	case "mean":
		return mlx.Mean(l)
	case "sum":
		return mlx.Sum(l)
	}
	return l
}

// same panics unless the shapes are equal.
func same(loss string, x, t *mlx.Array) {
	if !slices.Equal(x.Shape(), t.Shape()) {
		tensor.Throw(loss, []mlx.Spec{tensor.SpecOf(x), tensor.SpecOf(t)}, "predictions and targets have other shapes")
	}
}

// CrossEntropy is nn.losses.cross_entropy: targets are classes, of the shape of logits
// without the axis of classes, or probabilities of the shape of logits; not reduced
// unless asked. A class with probability 0 contributes 0, whatever its logit.
func CrossEntropy(logits, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.cross_entropy"
	o := lossOptions{reduction: "none", axis: -1}.read(op, opts, "Weights", "LabelSmoothing", "LossAxis")
	if o.smoothing < 0 || o.smoothing >= 1 {
		tensor.Throw(op, nil, "label smoothing must be from 0 to below 1, not %v", o.smoothing)
	}
	axis := tensor.NormAxis(op, o.axis, logits.Shape())
	probabilities := targets.NDim() == logits.NDim()
	want := logits.Shape()
	if !probabilities {
		want = slices.Delete(want, axis, axis+1)
	}
	if !slices.Equal(want, targets.Shape()) {
		tensor.Throw(op, []mlx.Spec{tensor.SpecOf(logits), tensor.SpecOf(targets)}, "targets are neither classes nor probabilities of the logits over axis %d", axis)
	}
	top := mlx.StopGradient(mlx.Max(logits, mlx.Axis(axis), mlx.KeepDims(true)))
	logits = logits.Sub(top)
	lse := mlx.LogSumExp(logits, mlx.Axis(axis))
	var score *mlx.Array
	if probabilities {
		score = mlx.Sum(mlx.Where(targets.Eq(0), 0, logits.Mul(targets)), mlx.Axis(axis))
		lse = lse.Mul(mlx.Sum(targets, mlx.Axis(axis)))
	} else {
		score = mlx.TakeAlongAxis(logits, targets.ExpandDims(axis), axis).Squeeze(axis)
	}
	loss := lse.Sub(score)
	if o.smoothing > 0 {
		loss = lse.Sub(score.Mul(1 - o.smoothing)).Sub(mlx.Mean(logits, mlx.Axis(axis)).Mul(o.smoothing))
	}
	return o.reduce(op, loss)
}

// BinaryCrossEntropy is nn.losses.binary_cross_entropy of logits (FromLogits(false): of
// probabilities, whose logarithms are at least -100); the mean unless asked otherwise.
func BinaryCrossEntropy(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.binary_cross_entropy"
	o := lossOptions{reduction: "mean", logits: true}.read(op, opts, "Weights", "FromLogits")
	same(op, x, targets)
	if o.logits {
		return o.reduce(op, mlx.LogAddExp(0, x).Sub(x.Mul(targets)))
	}
	log := func(a *mlx.Array) *mlx.Array { return mlx.Maximum(mlx.Log(a), -100) }
	loss := targets.Mul(log(x)).Add(mlx.Subtract(1, targets).Mul(log(mlx.Subtract(1, x))))
	return o.reduce(op, loss.Neg())
}

// L1Loss is nn.losses.l1_loss: |x - t|, the mean.
func L1Loss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.l1_loss"
	o := lossOptions{reduction: "mean"}.read(op, opts)
	same(op, x, targets)
	return o.reduce(op, mlx.Abs(x.Sub(targets)))
}

// MSELoss is nn.losses.mse_loss: (x - t)**2, the mean.
func MSELoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.mse_loss"
	o := lossOptions{reduction: "mean"}.read(op, opts)
	same(op, x, targets)
	return o.reduce(op, mlx.Square(x.Sub(targets)))
}

// NLLLoss is nn.losses.nll_loss of log-probabilities and classes: -x[t], not reduced.
func NLLLoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.nll_loss"
	o := lossOptions{reduction: "none", axis: -1}.read(op, opts, "LossAxis")
	axis := tensor.NormAxis(op, o.axis, x.Shape())
	return o.reduce(op, mlx.TakeAlongAxis(x, targets.ExpandDims(axis), axis).Squeeze(axis).Neg())
}

// GaussianNLLLoss is nn.losses.gaussian_nll_loss: (log v + (t-x)**2 / v)/2 with v the
// variance, at least 1e-6; the mean.
func GaussianNLLLoss(x, targets, variance *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.gaussian_nll_loss"
	o := lossOptions{reduction: "mean"}.read(op, opts, "Full")
	same(op, x, targets)
	same(op, x, variance)
	v := mlx.Maximum(variance, 1e-6)
	loss := mlx.Log(v).Add(mlx.Square(targets.Sub(x)).Div(v)).Mul(0.5)
	if o.full {
		loss = loss.Add(0.5 * math.Log(2*math.Pi))
	}
	return o.reduce(op, loss)
}

// KLDivLoss is nn.losses.kl_div_loss of two log-probabilities: sum(exp(t) * (t - x))
// over an axis, not reduced.
func KLDivLoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.kl_div_loss"
	o := lossOptions{reduction: "none", axis: -1}.read(op, opts, "LossAxis")
	return o.reduce(op, mlx.Sum(mlx.Exp(targets).Mul(targets.Sub(x)), mlx.Axis(o.axis)))
}

// SmoothL1Loss is nn.losses.smooth_l1_loss with [Beta]: quadratic below it, linear
// above; the mean.
func SmoothL1Loss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.smooth_l1_loss"
	o := lossOptions{reduction: "mean", x: 1}.read(op, opts, "Beta")
	same(op, x, targets)
	d := mlx.Abs(x.Sub(targets))
	return o.reduce(op, mlx.Where(d.Lt(o.x), mlx.Square(d).Mul(0.5).Div(o.x), d.Sub(0.5*o.x)))
}

// HuberLoss is nn.losses.huber_loss with [Delta]: d**2/2 below it, delta*(d - delta/2)
// above; not reduced.
func HuberLoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.huber_loss"
	o := lossOptions{reduction: "none", x: 1}.read(op, opts, "Delta")
	d := mlx.Abs(x.Sub(targets))
	return o.reduce(op, mlx.Where(d.Le(o.x), mlx.Square(d).Mul(0.5), d.Sub(0.5*o.x).Mul(o.x)))
}

// LogCoshLoss is nn.losses.log_cosh_loss: log(cosh(x - t)), not reduced.
func LogCoshLoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.log_cosh_loss"
	o := lossOptions{reduction: "none"}.read(op, opts)
	e := x.Sub(targets)
	return o.reduce(op, mlx.LogAddExp(e, e.Neg()).Sub(math.Ln2))
}

// HingeLoss is nn.losses.hinge_loss: max(1 - x*t, 0), not reduced.
func HingeLoss(x, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.hinge_loss"
	o := lossOptions{reduction: "none"}.read(op, opts)
	return o.reduce(op, mlx.Maximum(mlx.Subtract(1, x.Mul(targets)), 0))
}

// TripletLoss is nn.losses.triplet_loss with [Margin]: by how much the anchor is not
// closer to the positive, in Euclidean distance; not reduced.
func TripletLoss(anchors, positives, negatives *mlx.Array, opts ...LossOption) *mlx.Array {
	const op, eps = "nn.triplet_loss", 1e-6
	o := lossOptions{reduction: "none", axis: -1, x: 1}.read(op, opts, "Margin", "LossAxis")
	distance := func(a *mlx.Array) *mlx.Array {
		return mlx.Sqrt(mlx.Sum(mlx.Square(anchors.Sub(a)), mlx.Axis(o.axis)).Add(eps))
	}
	return o.reduce(op, mlx.Maximum(distance(positives).Sub(distance(negatives)).Add(o.x), 0))
}

// CosineSimilarityLoss is nn.losses.cosine_similarity_loss: the cosine of the angle
// between x1 and x2 along an axis, 1 by default; not reduced.
func CosineSimilarityLoss(x1, x2 *mlx.Array, opts ...LossOption) *mlx.Array {
	const op, eps = "nn.cosine_similarity_loss", 1e-8
	o := lossOptions{reduction: "none", axis: 1}.read(op, opts, "LossAxis")
	norm := func(a *mlx.Array) *mlx.Array { return mlx.Sqrt(mlx.Sum(mlx.Square(a), mlx.Axis(o.axis))) }
	loss := mlx.Sum(x1.Mul(x2), mlx.Axis(o.axis)).Div(mlx.Maximum(norm(x1).Mul(norm(x2)), eps))
	return o.reduce(op, loss)
}

// MarginRankingLoss is nn.losses.margin_ranking_loss with [Margin]:
// max(0, -t*(x1 - x2) + margin), not reduced.
func MarginRankingLoss(x1, x2, targets *mlx.Array, opts ...LossOption) *mlx.Array {
	const op = "nn.margin_ranking_loss"
	o := lossOptions{reduction: "none"}.read(op, opts, "Margin")
	same(op, x1, x2)
	same(op, x1, targets)
	return o.reduce(op, mlx.Maximum(targets.Neg().Mul(x1.Sub(x2)).Add(o.x), 0))
}
