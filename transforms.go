package mlx

import (
	"fmt"
	"reflect"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
)

// ArrayFunc is a function that mx.grad takes: of arrays to one array, the ops of this
// package among them.
type ArrayFunc interface {
	~func(*Array) *Array |
		~func(*Array, *Array) *Array |
		~func(*Array, *Array, *Array) *Array |
		~func(*Array, *Array, *Array, *Array) *Array |
		~func(*Array, ...StreamOrDevice) *Array
}

// Func is a function that mx.vjp and mx.jvp take: a list of arrays to a list of arrays.
type Func = func(Arrays) Arrays

// ArgNum is argnums=: the argument to differentiate, 0 by default; negative counts
// from the end.
type ArgNum int

// Grad is mx.grad(f): the gradient of a scalar function with respect to one
// argument, zeros where f does not depend on it. It has the type of f, so it
// composes: Grad(Grad(Sin)). The gradient function panics with *[Error] where f
// gives no scalar.
func Grad[F ArrayFunc](f F, arg ...ArgNum) F {
	fn := reflect.ValueOf(f)
	n := fn.Type().NumIn()
	if fn.Type().IsVariadic() {
		n--
	}
	k := 0
	if len(arg) > 0 {
		k = int(arg[0])
	}
	if k < 0 {
		k += n
	}
	if len(arg) > 1 || k < 0 || k >= n {
		tensor.Throw("grad", nil, "no argument %v in a function of %d arrays; the first is 0", arg, n)
	}
	g := reflect.MakeFunc(fn.Type(), func(args []reflect.Value) []reflect.Value {
		x, _ := args[k].Interface().(*Array)
		loss := func(in Arrays) *Array {
			with := append([]reflect.Value(nil), args...)
			with[k] = reflect.ValueOf(in[0])
			out, _ := tree.Call(fn, with)[0].Interface().(*Array)
			return out
		}
		_, grads := valueAndGrad("grad", loss, Arrays{x})
		return []reflect.Value{reflect.ValueOf(grads[0])}
	})
	return g.Interface().(F)
}

// valueAndGrad is the loss at x and its gradients, zeros where there are none.
func valueAndGrad(op string, loss func(Arrays) *Array, x Arrays) (*Array, Arrays) {
	for i, a := range x {
		if a == nil {
			tensor.Throw(op, nil, "array %d is nil", i)
		}
	}
	outs, grads := autodiff.VJPWith(func(in Arrays) Arrays {
		out := loss(in)
		checkScalar(op, out)
		return Arrays{out}
	}, x, func(outs Arrays) Arrays { return Arrays{tensor.OnesLike(outs[0], Stream{})} })
	return outs[0], zerosFor(grads, x)
}

func checkScalar(op string, out *Array) {
	if out == nil {
		tensor.Throw(op, nil, "the function gave nil, not a scalar array")
	}
	if s := tensor.SpecOf(out); len(s.Shape) != 0 {
		tensor.Throw(op, []Spec{s}, "the function must give a scalar, shape (); sum or average what it gives")
	}
}

// zerosFor fills in the gradients that no derivative reaches.
func zerosFor(grads, x Arrays) Arrays {
	for i, g := range grads {
		if g == nil {
			grads[i] = tensor.ZerosLike(x[i], Stream{})
		}
	}
	return grads
}

// ValueAndGrad is mx.value_and_grad(f) for a function of a tree: the gradient is a
// tree of the same type. To differentiate several arguments make them one tree
// ([2]*Array or a struct); what is not to be differentiated, capture. In the
// gradient of a struct, fields that are no trees are copied. It panics with *[Error]
// where f gives no scalar.
func ValueAndGrad[T any](f func(T) *Array) func(T) (value *Array, grad T) {
	g := ValueAndGradAux(func(t T) (*Array, struct{}) { return f(t), struct{}{} })
	return func(t T) (*Array, T) {
		value, _, grad := g(t)
		return value, grad
	}
}

// ValueAndGradAux is mx.value_and_grad ([ValueAndGrad]) for an f that returns more: (loss, aux...). What
// it returns more may hold arrays.
func ValueAndGradAux[T, A any](f func(T) (*Array, A)) func(T) (value *Array, aux A, grad T) {
	return func(t T) (value *Array, aux A, grad T) {
		at := reflect.ValueOf(&t).Elem()
		x := tree.Arrays(at)
		if len(x) == 0 {
			tensor.Throw("value_and_grad", nil, "%T holds no arrays", t)
		}
		value, grads := valueAndGrad("value_and_grad", func(in Arrays) *Array {
			var out *Array
			out, aux = f(tree.With(at, in).Interface().(T))
			return out
		}, x)
		return value, aux, tree.With(at, grads).Interface().(T)
	}
}

// VJP is mx.vjp(f, primals, cotangents): the results of f, and the cotangents
// pulled back to primals, zeros where no derivative reaches. It panics with *[Error]
// where cotangents do not have the shapes of the results.
func VJP(f Func, primals, cotangents Arrays) (outs, grads Arrays) {
	outs, grads = autodiff.VJPWith(f, primals, func(outs Arrays) Arrays {
		checkLike("vjp", "cotangents", cotangents, "results", outs)
		return cotangents
	})
	return outs, zerosFor(grads, primals)
}

// JVP is mx.jvp(f, primals, tangents): the results of f, and how they move with
// primals. It panics with *[Error] where tangents do not have the shapes of primals.
func JVP(f Func, primals, tangents Arrays) (outs, tangentsOut Arrays) {
	checkLike("jvp", "tangents", tangents, "primals", primals)
	return autodiff.JVP(f, primals, tangents)
}

func checkLike(op, what string, as Arrays, of string, like Arrays) {
	if len(as) != len(like) {
		tensor.Throw(op, nil, "%d %s for %d %s", len(as), what, len(like), of)
	}
	for i, a := range as {
		if a == nil || like[i] == nil {
			tensor.Throw(op, nil, "array %d is nil", i)
		}
		x, y := tensor.SpecOf(a), tensor.SpecOf(like[i])
		if x.Shape.String() != y.Shape.String() {
			tensor.Throw(op, []Spec{x, y}, "number %d of the %s has shape %v, of the %s %v", i, what, x.Shape, of, y.Shape)
		}
	}
}

// VMapOption is [InAxes] or [OutAxes].
type VMapOption interface{ vmap(*vmapOptions) }

type vmapOptions struct{ in, out []int }

// InAxes is in_axes=: the axis of each argument to map over, negative from the end, or
// [Unmapped]; 0 for all by default. An argument that is a tree has one for all its arrays.
type InAxes []int

// OutAxes is out_axes=: where the mapped axis is put in each result, 0 by default.
type OutAxes []int

// Unmapped is None in in_axes= and out_axes=.
const Unmapped = tensor.Unmapped

func (a InAxes) vmap(o *vmapOptions)  { o.in = a }
func (a OutAxes) vmap(o *vmapOptions) { o.out = a }

// VMap is mx.vmap(f, in_axes, out_axes): f over each slice at once, with the type of
// f. Arguments and results are trees; other arguments are given to f as they are. f
// sees values without data, so it cannot read them. VMap panics with *[Error] if F is
// no such func, and the function it gives does for axes that do not fit.
func VMap[F any](f F, opts ...VMapOption) F {
	var o vmapOptions
	for _, x := range opts {
		x.vmap(&o)
	}
	fn := tree.FuncOf("vmap", f)
	if o.in != nil && len(o.in) != fn.NumIn() {
		tensor.Throw("vmap", nil, "%d in axes for %d arguments", len(o.in), fn.NumIn())
	}
	if o.out != nil && len(o.out) != fn.NumOut() {
		tensor.Throw("vmap", nil, "%d out axes for %d results", len(o.out), fn.NumOut())
	}
	return fn.Make(func(c *tree.Caller, in Arrays) Arrays {
		axes := spread(o.in, c.InCounts())
		return autodiff.VMap(c.Run, in, axes, func(i int) int {
			return spread(o.out, c.OutCounts())[i]
		})
	}).(F)
}

// spread gives each array the axis of its argument.
func spread(axes, counts []int) (out []int) {
	for i, n := range counts {
		a := 0
		if axes != nil {
			a = axes[i]
		}
		for range n {
			out = append(out, a)
		}
	}
	return out
}

// Checkpoint is mx.checkpoint(f): f, whose intermediates are computed again for the
// gradient instead of kept. Arguments and results are trees. What f captures from a
// function that is being differentiated stays on the tape: pass it as an argument. When
// f runs again it draws the same keys from package random's generator, if it draws on
// the goroutine that called it.
func Checkpoint[F any](f F) F { return custom("checkpoint", f, autodiff.Rules{}) }

// Rules are f.vjp, f.jvp and f.vmap of mx.custom_function: the derivatives of f; nil ones are taken from f. VJP may
// give nil for an argument without a derivative. Axes of VMap are [Unmapped] for
// what is given whole.
type Rules struct {
	VJP  func(primals, cotangents, outs Arrays) Arrays
	JVP  func(primals, tangents Arrays) Arrays
	VMap func(in Arrays, axes []int) (out Arrays, outAxes []int)
}

// CustomFunction is mx.custom_function: f with derivatives of your own. Arrays of
// arguments and results are passed to the rules in tree order.
func CustomFunction[F any](f F, r Rules) F {
	return custom("custom_function", f, autodiff.Rules{VJP: r.VJP, JVP: r.JVP, VMap: r.VMap})
}

func custom[F any](op string, f F, r autodiff.Rules) F {
	fn := tree.FuncOf(op, f)
	return fn.Make(func(c *tree.Caller, in Arrays) Arrays { return autodiff.Custom(c.Run, r)(in) }).(F)
}

// Depends is mx.depends(x, deps): x, computed after deps.
func Depends(x *Array, deps ...*Array) *Array {
	for i, d := range deps {
		if d == nil {
			panic(&Error{Op: "depends", Err: fmt.Errorf("dependency %d is nil", i)})
		}
	}
	return tensor.DependsOf(x, deps, Stream{})
}
