package nn

import (
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
)

// Filter chooses parameters by path. It stands for model.freeze(keys) and unfreeze.
type Filter func(path string) bool

// Under is the parameters below these paths: Under("head", "layers.3"), as for
// model.head.unfreeze().
func Under(paths ...string) Filter {
	return func(path string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") })
	}
}

// Named is the parameters with these last names, keys= of model.freeze():
// Named("lora_a", "lora_b").
func Named(names ...string) Filter {
	return func(path string) bool { return slices.Contains(names, path[strings.LastIndexByte(path, '.')+1:]) }
}

// Not is the others.
func (f Filter) Not() Filter { return func(path string) bool { return !f(path) } }

// trainable says whether an array of a module is to be trained.
func trainable(only []Filter) func(path string, frozen bool, a *mlx.Array) bool {
	return func(path string, frozen bool, a *mlx.Array) bool {
		if frozen || !a.DType().Is(mlx.Floating) {
			return false
		}
		return !slices.ContainsFunc(only, func(f Filter) bool { return !f(path) })
	}
}

// TrainableParameters is model.trainable_parameters(): floating, not tagged frozen,
// and chosen by all filters. model.freeze() and unfreeze() are a Filter that is given
// here and to [ValueAndGrad].
func TrainableParameters(model any, only ...Filter) iter.Seq2[string, *mlx.Array] {
	train := trainable(only)
	return func(yield func(string, *mlx.Array) bool) {
		for _, p := range tree.Places(model, false) {
			if a, _ := p.Array(); train(p.Path, p.Frozen, a) && !yield(p.Path, a) {
				return
			}
		}
	}
}

// ValueAndGrad is nn.value_and_grad(model, loss) and calls it: the loss of model, and
// its gradient as a module of the same type, where what is not trained is nil. Capture
// the batch; use the argument m, not model.
//
//	loss, grads := nn.ValueAndGrad(model, func(m *MLP) *mlx.Array {
//		return nn.MSELoss(m.Forward(x), y)
//	})
//	opt.Update(model, grads)
//
// It panics with *mlx.Error if the loss is no scalar or depends on no trainable
// parameter of m. m is a copy; what Forward sets in its frozen fields (running
// statistics) is carried back to model at return, and nothing else of model changes.
func ValueAndGrad[M any](model M, loss func(m M) *mlx.Array, only ...Filter) (*mlx.Array, M) {
	value, _, grads := ValueAndGradAux(model, func(m M) (*mlx.Array, struct{}) { return loss(m), struct{}{} }, only...)
	return value, grads
}

// ValueAndGradAux is nn.value_and_grad ([ValueAndGrad]) for a loss that returns more.
func ValueAndGradAux[M, A any](model M, loss func(m M) (*mlx.Array, A), only ...Filter) (*mlx.Array, A, M) {
	const op = "nn.value_and_grad"
	at := reflect.ValueOf(&model).Elem()
	train := trainable(only)
	var x mlx.Arrays
	tree.MapValue(at, func(path string, frozen bool, a *mlx.Array) *mlx.Array {
		if train(path, frozen, a) {
			x = append(x, a)
		}
		return a
	})
	if len(x) == 0 {
		tensor.Throw(op, nil, "%T has no trainable parameter", model)
	}
	var aux A
	var traced M
	outs, grads := autodiff.VJPWith(func(in mlx.Arrays) mlx.Arrays {
		traced = tree.MapValue(at, func(path string, frozen bool, a *mlx.Array) *mlx.Array {
			if !train(path, frozen, a) {
				return a
			}
			a, in = in[0], in[1:]
			return a
		}).Interface().(M)
		var out *mlx.Array
		out, aux = loss(traced)
		if out == nil || out.NDim() != 0 {
			tensor.Throw(op, nil, "the loss must be a scalar, shape (); sum or average it")
		}
		return mlx.Arrays{out}
	}, x, func(outs mlx.Arrays) mlx.Arrays { return mlx.Arrays{tensor.OnesLike(outs[0], mlx.Stream{})} })
	if !slices.ContainsFunc(grads, func(g *mlx.Array) bool { return g != nil }) {
		tensor.Throw(op, nil, "the loss depends on no parameter of its argument: compute it with the argument, not with the captured model")
	}
	carryBack(model, traced)
	i := -1
	gradient := tree.MapValue(at, func(path string, frozen bool, a *mlx.Array) *mlx.Array {
		if !train(path, frozen, a) {
			return nil
		}
		if i++; grads[i] == nil {
			return tensor.ZerosLike(a, mlx.Stream{})
		}
		return grads[i]
	})
	return outs[0], aux, gradient.Interface().(M)
}

// carryBack sets frozen arrays of model that the copy has changed.
func carryBack(model, copied any) { setFrozen(model, frozen(copied)) }

// frozen is the frozen arrays of a module by path, nil for empty fields.
func frozen(module any) map[string]*mlx.Array {
	out := map[string]*mlx.Array{}
	for _, p := range tree.Places(module, true) {
		if p.Frozen {
			out[p.Path], _ = p.Array()
		}
	}
	return out
}

// setFrozen sets the frozen arrays of a module that are others now.
func setFrozen(module any, now map[string]*mlx.Array) {
	for _, p := range tree.Places(module, true) {
		a, _ := p.Array()
		if to, ok := now[p.Path]; p.Frozen && ok && to != a {
			p.Set(reflect.ValueOf(to))
		}
	}
}

// Checkpoint is nn.checkpoint(layer): its intermediates are computed again for the
// gradient instead of kept.
func Checkpoint(l Layer) Layer { return &checkpoint{l} }

type checkpoint struct{ Layer Layer }

// Forward is the layer's.
func (c *checkpoint) Forward(x *mlx.Array) *mlx.Array {
	return checkpointed(c.Layer, Layer.Forward)(x)
}

// A checkpointCall is a module and a tree of what it reads.
type checkpointCall[M, X any] struct {
	Module M
	In     X
}

// checkpointed is forward of a module on a tree of arrays. It gives both to the
// checkpoint as arguments, so that nothing else stays on the tape. What forward sets in
// frozen fields of the module's copy (running statistics) are results, and set in module.
func checkpointed[M, X any](module M, forward func(m M, x X) *mlx.Array) func(x X) *mlx.Array {
	return func(x X) *mlx.Array {
		at := reflect.ValueOf(&checkpointCall[M, X]{module, x}).Elem()
		var changed []string
		f := autodiff.Custom(func(in mlx.Arrays) mlx.Arrays {
			c := tree.With(at, in).Interface().(checkpointCall[M, X])
			before := frozen(c.Module)
			outs := mlx.Arrays{forward(c.Module, c.In)}
			after := frozen(c.Module)
			changed = nil
			for _, path := range slices.Sorted(maps.Keys(after)) {
				if a := after[path]; a != nil && a != before[path] {
					changed, outs = append(changed, path), append(outs, a)
				}
			}
			return outs
		}, autodiff.Rules{})
		outs := f(tree.Arrays(at))
		now := map[string]*mlx.Array{}
		for i, path := range changed {
			now[path] = outs[1+i]
		}
		setFrozen(module, now)
		return outs[0]
	}
}

// SetTraining is model.train() and model.eval(): it sets the field Training of every
// module below that has one. New layers do not train.
func SetTraining(model any, training bool) {
	for _, m := range Modules(model) {
		if l, ok := m.(*QQLinear); ok {
			l.setTraining(training)
			continue
		}
		v := reflect.ValueOf(m)
		if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			continue
		}
		if f := v.Elem().FieldByName("Training"); f.IsValid() && f.Kind() == reflect.Bool {
			f.SetBool(training)
		}
	}
}
