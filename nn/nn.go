// Package nn is mlx.nn: layers, activations, losses and initializers.
//
// A module is a plain struct with arrays and modules in exported fields, and a tree (see
// package tree). There is no base type: what MLX does with methods of nn.Module,
// functions of this package do. Declare a field [Layer] if it may be replaced, by
// quantization for example:
//
//	type MLP struct {
//		Linear1, Linear2 nn.Layer
//	}
//
//	func (m *MLP) Forward(x *mlx.Array) *mlx.Array {
//		return m.Linear2.Forward(nn.ReLU(m.Linear1.Forward(x)))
//	}
//
// Paths of parameters are made of field names in snake case (linear1.weight), or of the
// field's mlx tag; the tag "-" leaves a field out, ",frozen" keeps it from training.
//
// # Training
//
// [ValueAndGrad] gives the loss and a gradient of the model's own type, which an optimizer
// of package optim takes. The loss is a function of the model that it is given:
//
//	loss, grads := nn.ValueAndGrad(model, func(m *MLP) *mlx.Array {
//		return nn.CrossEntropy(m.Forward(x), y, nn.Reduction("mean"))
//	})
//	opt.Update(model, grads)
//	err := mlx.Eval(model, opt)
//
// What is trained is chosen by filters on paths ([Under], [Named]) instead of a frozen
// state in the model. [SetTraining] switches dropout and batch norms.
//
// # Models as trees
//
// [Parameters] and [Modules] walk a model, [Update], [Apply] and [SetDType] change its
// arrays, [Replace] and [Quantize] its layers, [Sprint] prints it as MLX does.
//
// # Names
//
// nn.Linear(in, out) is [NewLinear]; activations are functions, as layers they are
// nn.Func(nn.ReLU). Losses are nn.losses.NAME without the package, initializers
// nn.init.name with the prefix Init: a Go package cannot be called init.
package nn

import (
	"fmt"
	"iter"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/nn"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tree"
)

// Layer is a module of one array to one array: an nn.Module with __call__(x).
type Layer interface {
	Forward(x *mlx.Array) *mlx.Array
}

// Func makes a layer of a function: nn.Func(nn.SiLU).
type Func func(x *mlx.Array) *mlx.Array

// Forward calls f.
func (f Func) Forward(x *mlx.Array) *mlx.Array { return f(x) }

// Parameters is model.parameters(), with paths, in field order. A flat dict is
// maps.Collect(nn.Parameters(model)).
func Parameters(model any) iter.Seq2[string, *mlx.Array] { return tree.Leaves(model) }

// NumParameters is the number of elements of all parameters, sum(p.size) over
// tree_flatten(model.parameters()) in Python; packed words count as they are.
func NumParameters(model any) int {
	n := 0
	for _, a := range tree.Leaves(model) {
		n += a.Size()
	}
	return n
}

// Modules is model.named_modules(), parents first, in field order.
func Modules(model any) iter.Seq2[string, any] { return nn.Modules(model) }

// Replace is model.update_modules(): every [Layer] in a field or slice that is
// declared as Layer, or as an interface that includes it, becomes what f returns.
func Replace(model any, f func(path string, l Layer) Layer) { nn.Replace(model, f) }

// Apply is model.apply(f): replace each parameter.
func Apply(model any, f func(path string, p *mlx.Array) *mlx.Array) { nn.Apply(model, f) }

// SetDType is model.set_dtype(d): cast the floating parameters.
func SetDType(model any, d mlx.DType) {
	nn.Apply(model, func(_ string, p *mlx.Array) *mlx.Array {
		if p.DType().Is(mlx.Floating) {
			return p.AsType(d)
		}
		return p
	})
}

// Update is model.update(params): set arrays by path. Unknown paths and other
// shapes are errors, and then nothing is set.
func Update(model any, params iter.Seq2[string, *mlx.Array]) error {
	known := map[string]*mlx.Array{}
	for path, a := range tree.Leaves(model) {
		known[path] = a
	}
	for path, a := range params {
		known[path] = a
	}
	return nn.Assign(model, known, true)
}

// Quantizable is a layer with l.to_quantized(): Linear, Embedding, and yours.
type Quantizable interface {
	Layer
	ToQuantized(s mlx.Scheme) Layer
}

// QuantizeOption is mlx.GroupSize, mlx.Bits, mlx.Mode, mlx.Scheme, [Predicate] or
// [QuantizeInput].
type QuantizeOption = opt.Quantize

// Predicate is class_predicate=: whether a layer is quantized, and how; the zero
// Scheme is the one of the call.
type Predicate func(path string, l Quantizable) (s mlx.Scheme, ok bool)

// ForQuantize makes a predicate the argument class_predicate=.
func (p Predicate) ForQuantize(s *opt.Set) { s.Predicate = p }

// Quantize is nn.quantize(model, ...): replace each [Quantizable] layer whose
// place is declared as an interface, in place. It panics, naming the path, where
// the group size does not divide a layer's input, and with [QuantizeInput] where a layer
// is no Linear without bias.
func Quantize(model any, opts ...QuantizeOption) {
	var set opt.Set
	for _, o := range opts {
		o.ForQuantize(&set)
	}
	whole := mlx.Scheme{GroupSize: set.GroupSize, Bits: set.Bits, Mode: mlx.Mode(set.Mode), Rounding: mlx.Rounding(set.Rounding)}
	pred, _ := set.Predicate.(Predicate)
	Replace(model, func(path string, l Layer) Layer {
		q, ok := l.(Quantizable)
		if !ok {
			return l
		}
		s := whole
		if pred != nil {
			own, ok := pred(path, q)
			if !ok {
				return l
			}
			if own != (mlx.Scheme{}) {
				s = own
			}
		}
		var packed Layer
		if err := mlx.Try(func() {
			if set.QuantizeInput {
				packed = quantizedInput(q, s)
			} else {
				packed = q.ToQuantized(s)
			}
		}); err != nil {
			panic(&mlx.Error{Op: "nn.quantize", Err: fmt.Errorf("%s: %w", path, err)})
		}
		return packed
	})
}
