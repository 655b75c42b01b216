// Package optim is mlx.optimizers: update rules, schedules and gradient clipping.
//
//	opt := optim.AdamW(1e-3)
//	loss, grads := nn.ValueAndGrad(model, lossOf)
//	opt.Update(model, grads)
//	err := mlx.Eval(model, opt)
//
// A learning rate is a number or a [Schedule] of the step: [CosineDecay],
// [LinearSchedule], several one after the other with [JoinSchedules]. Keywords are named
// types, as in package mlx: betas=[0.9, 0.95] is optim.Betas{0.9, 0.95}. [Multi] gives
// parameters to several optimizers, [ClipGradNorm] bounds gradients.
//
// An [Optimizer] is a tree: mlx.Eval and mlx.State see its state, so a whole step can be
// compiled:
//
//	step := mlx.Compile(trainStep, mlx.State(model, opt))
//
// A rule of your own is a [Rule] given to [New].
package optim

import (
	"maps"
	"reflect"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
	"github.com/mlxgo/mlx/nn"
)

// Optimizer is optim.Optimizer: it changes parameters by gradients. It is a tree of its state: the number of
// updates, the learning rate, and what the rule remembers of each parameter.
type Optimizer struct {
	Updates *mlx.Array                       `mlx:"step"`          // uint64 scalar
	Rate    *mlx.Array                       `mlx:"learning_rate"` // float32 scalar
	State   map[string]map[string]*mlx.Array `mlx:"state"`         // by path and name
	Parts   []*Optimizer                     `mlx:"states"`        // of Multi

	schedule Schedule
	rule     Rule
	choices  []Choice
}

// Rule is a subclass of optim.Optimizer (init_single and apply_single): an optimizer of
// your own, for one parameter at a time. lr has the dtype of
// grad; step counts from 1. Apply gives the new parameter and sets the new state.
type Rule interface {
	Init(p *mlx.Array) map[string]*mlx.Array
	Apply(grad, p, lr, step *mlx.Array, state map[string]*mlx.Array) *mlx.Array
}

// Rate is learning_rate=: a number or a [Schedule].
type Rate interface{ int | float64 | Schedule }

// New is a subclass of optim.Optimizer, with the learning rate or schedule lr.
func New[R Rate](lr R, r Rule) *Optimizer {
	o := &Optimizer{Updates: mlx.Zeros(mlx.Shape{}, mlx.Uint64), rule: r, State: map[string]map[string]*mlx.Array{}}
	switch v := any(lr).(type) {
	case int:
		o.SetLearningRate(float64(v))
	case float64:
		o.SetLearningRate(v)
	case Schedule:
		o.schedule = v
		o.Rate = v(o.Updates).AsType(mlx.Float32)
	}
	return o
}

// LearningRate is opt.learning_rate, a float32 scalar; that of [Multi] is its first
// part's.
func (o *Optimizer) LearningRate() *mlx.Array {
	if len(o.Parts) > 0 {
		return o.Parts[0].LearningRate()
	}
	return o.Rate
}

// SetLearningRate is opt.learning_rate = lr; it ends a schedule.
func (o *Optimizer) SetLearningRate(lr float64) {
	for _, p := range o.Parts {
		p.SetLearningRate(lr)
	}
	o.schedule, o.Rate = nil, mlx.NewArray(float32(lr))
}

// Step is opt.step: the number of updates, a uint64 scalar.
func (o *Optimizer) Step() *mlx.Array {
	if len(o.Parts) > 0 {
		return o.Parts[0].Step()
	}
	return o.Updates
}

// Init is opt.init(params): make the state of a model or tree, or of the parameters that
// all filters choose, now rather than at the first Update.
func (o *Optimizer) Init(model any, only ...nn.Filter) {
	once := tree.Once(model)
	for path, p := range nn.TrainableParameters(model, only...) {
		if once[path] != nil {
			o.of(path, p).stateOf(path, p)
		}
	}
}

// of is the part that is for a parameter.
func (o *Optimizer) of(path string, grad *mlx.Array) *Optimizer {
	for i, c := range o.choices {
		if c.For == nil || c.For(path, grad) {
			return o.Parts[i].of(path, grad)
		}
	}
	if o.rule == nil {
		tensor.Throw("optim", nil, "no choice of Multi is for %s; make the last one For nothing (nil)", path)
	}
	return o
}

func (o *Optimizer) stateOf(path string, p *mlx.Array) map[string]*mlx.Array {
	if o.State == nil {
		o.State = map[string]map[string]*mlx.Array{}
	}
	s := o.State[path]
	if s == nil {
		s = o.rule.Init(p)
		o.State[path] = s
	}
	return s
}

// advance begins an update: the rate of the schedule, and one step more.
func (o *Optimizer) advance() {
	for _, p := range o.Parts {
		p.advance()
	}
	if o.rule == nil {
		return
	}
	if o.schedule != nil {
		o.Rate = o.schedule(o.Updates).AsType(mlx.Float32)
	}
	o.Updates = o.Updates.Add(1)
}

// apply is the new value of one parameter.
func (o *Optimizer) apply(path string, grad, p *mlx.Array) *mlx.Array {
	part := o.of(path, grad)
	if g, w := grad.Shape(), p.Shape(); !slices.Equal(g, w) {
		tensor.Throw("optim", []mlx.Spec{tensor.SpecOf(grad), tensor.SpecOf(p)}, "the gradient of %s has shape %v, the parameter %v", path, g, w)
	}
	return part.rule.Apply(grad, p, part.Rate.AsType(grad.DType()), part.Updates, part.stateOf(path, p))
}

// Update is opt.update(model, grads): set each array of model that has a gradient.
// grads is a tree as ValueAndGrad returns it. Both are lazy: Eval them. It panics with
// *mlx.Error where grads has an array that model has not, or of another shape. A layer
// that several pointers of the model share is updated once.
func (o *Optimizer) Update(model, grads any) {
	g := tree.Once(grads)
	o.advance()
	for _, p := range tree.Places(model, false) {
		a, _ := p.Array()
		if grad, ok := g[p.Path]; ok {
			p.Set(reflect.ValueOf(o.apply(p.Path, grad, a)))
			delete(g, p.Path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(g)) {
		tensor.Throw("optim", nil, "there is a gradient of %s, and no such parameter", path)
	}
}

// Apply is opt.apply_gradients(grads, params): [Optimizer.Update] without changing
// params. Arrays without a gradient stay.
func Apply[T any](o *Optimizer, grads, params T) T {
	g := tree.Once(grads)
	o.advance()
	return tree.Map(params, func(path string, _ bool, p *mlx.Array) *mlx.Array {
		if grad, ok := g[path]; ok {
			return o.apply(path, grad, p)
		}
		return p
	})
}

// Choice is an optimizer of optim.MultiOptimizer and the parameters it is for.
type Choice struct {
	For func(path string, grad *mlx.Array) bool // nil: the rest
	Use *Optimizer
}

// Multi is optim.MultiOptimizer: the first choice that fits.
func Multi(choices ...Choice) *Optimizer {
	o := &Optimizer{choices: choices}
	for _, c := range choices {
		o.Parts = append(o.Parts, c.Use)
	}
	return o
}

// ClipGradNorm is optim.clip_grad_norm(grads, max): the gradients, scaled down if their
// norm over all arrays is larger than max, and that norm, a float32 scalar.
func ClipGradNorm[T any](grads T, max float64) (T, *mlx.Array) {
	sum := mlx.NewArray(float32(0))
	for _, g := range tree.Arrays(reflect.ValueOf(grads)) {
		sum = sum.Add(mlx.Sum(mlx.Square(g.AsType(mlx.Float32))))
	}
	norm := mlx.Sqrt(sum)
	scale := mlx.Minimum(mlx.Divide(max, norm.Add(1e-6)), 1)
	return tree.Map(grads, func(_ string, _ bool, g *mlx.Array) *mlx.Array {
		return g.Mul(scale.AsType(g.DType()))
	}), norm
}
