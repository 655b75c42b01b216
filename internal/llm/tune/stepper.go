package tune

import (
	"reflect"
	"runtime"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/compile"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// A stepper is the compiled step of a Trainer. Between hold and release it has the memory
// of what a step changes: what is trained, the optimizer's state and sums of gradients.
// Plans write it in place, so that a step takes no memory of arrays, and nothing exists
// twice. All else of the model is constant.
type stepper struct {
	t     *Trainer
	plans map[bool]*compile.Step // by whether the optimizer's update is part of it

	places []tree.Place  // of what a step changes
	specs  []tensor.Spec // the same
	bind   []tensor.View // inputs, what a step changes, results: empty while it is released
}

// Where things are in bind: tokens, lengths and the generator's key come first, the loss,
// the number of targets and the gradient's norm are last, with the new key behind them.
const (
	stepInputs  = 3
	stepNumbers = 3
	stepResults = stepNumbers + 1
)

func newStepper(t *Trainer) *stepper {
	s := &stepper{t: t, plans: map[bool]*compile.Step{}}
	for _, apply := range []bool{false, true} {
		plan := compile.New("step", func(in, state []*mlx.Array) (out, next []*mlx.Array) { return s.trace(in, state, apply) })
		plan.Lean = true
		s.plans[apply] = plan
	}
	return s
}

// changes are the places of what a step changes, in an order that is always the same. What
// shared pointers lead to twice is there once.
func (t *Trainer) changes() (all []tree.Place) {
	trained := map[string]bool{}
	for path := range nn.TrainableParameters(t.model, t.trained.Filter) {
		trained[path] = true
	}
	seen := map[uintptr]bool{}
	for _, p := range tree.Places(t.model, false) {
		if !trained[p.Path] {
			continue
		}
		if p.Value.CanAddr() {
			at := p.Value.Addr().Pointer()
			if seen[at] {
				continue
			}
			seen[at] = true
		}
		all = append(all, p)
	}
	return append(append(all, tree.Places(t.opt, false)...), tree.Places(t.sums, false)...)
}

func arraysAt(places []tree.Place) []*mlx.Array {
	all := make([]*mlx.Array, len(places))
	for i, p := range places {
		all[i], _ = p.Array()
	}
	return all
}

func setAt(places []tree.Place, arrays []*mlx.Array) {
	for i, p := range places {
		p.Set(reflect.ValueOf(arrays[i]))
	}
}

// trace is the step on placeholders, which stand in the trees meanwhile.
func (s *stepper) trace(in, state []*mlx.Array, apply bool) (out, next []*mlx.Array) {
	t, key := s.t, random.State()
	before, keyBefore := arraysAt(s.places), key.A
	defer func() {
		setAt(s.places, before)
		key.A = keyBefore
	}()
	setAt(s.places, state)
	key.A = in[2]
	rest := t.frozen()
	loss, count, norm := t.update(Batch{in[0], in[1]}, apply)
	for path, a := range t.frozen() {
		if rest[path] != a {
			tensor.Throw("step", nil, "it changes %s, which is not trained", path)
		}
	}
	out = []*mlx.Array{loss, count, norm, key.A}
	for _, a := range out[:stepNumbers] {
		if a.DType() != mlx.Float32 || a.NDim() > 0 {
			tensor.Throw("step", []mlx.Spec{tensor.SpecOf(a)}, "a float32 scalar is meant")
		}
	}
	return out, arraysAt(t.changes())
}

// frozen are the parameters of the model that no step changes, by path.
func (t *Trainer) frozen() map[string]*mlx.Array {
	all := map[string]*mlx.Array{}
	for path, a := range nn.Parameters(t.model) {
		all[path] = a
	}
	for path := range nn.TrainableParameters(t.model, t.trained.Filter) {
		delete(all, path)
	}
	return all
}

// hold takes the memory of what a step changes: their arrays are dead until release.
func (s *stepper) hold() error {
	if len(s.bind) > 0 {
		return nil
	}
	s.places = s.t.changes()
	all := arraysAt(s.places)
	if err := mlx.Eval(all); err != nil {
		return err
	}
	bind := make([]tensor.View, stepInputs, stepInputs+len(all)+stepResults)
	s.specs = s.specs[:0]
	for _, a := range all {
		v, err := tensor.Own(a, tensor.Other)
		if err != nil {
			s.giveBack(bind[stepInputs:])
			return err
		}
		bind, s.specs = append(bind, v), append(s.specs, v.Spec)
	}
	for range stepNumbers { // small ones, which need no memory of the system
		v, err := tensor.NewView(tensor.Spec{DType: mlx.Float32}, tensor.Other)
		if err != nil {
			s.giveBack(bind[stepInputs:])
			return err
		}
		bind = append(bind, v)
	}
	s.bind = append(bind, tensor.View{})
	return nil
}

// release gives the trees their arrays again.
func (s *stepper) release() {
	if len(s.bind) > 0 {
		s.giveBack(s.bind[stepInputs : len(s.bind)-stepResults])
		s.bind = nil
	}
}

// giveBack makes arrays of the first of what a step changes.
func (s *stepper) giveBack(held []tensor.View) {
	for i := range min(len(held), len(s.places)) {
		s.places[i].Set(reflect.ValueOf(tensor.FromView(held[i])))
	}
}

// run is a step on a batch. Only the generator's key is an array anew.
func (s *stepper) run(b Batch, apply bool) (loss, count, norm float64, err error) {
	if err := s.hold(); err != nil {
		return 0, 0, 0, err
	}
	in := [stepInputs]*mlx.Array{b.Tokens, b.Lengths, random.State().A}
	var specs [stepInputs]tensor.Spec
	for i, a := range in {
		row, v, err := tensor.RowMajor(a)
		if err != nil {
			return 0, 0, 0, err
		}
		in[i], specs[i], s.bind[i] = row, v.Spec, v
	}
	plan, err := s.plans[apply].For(specs[:], s.specs)
	if err != nil {
		return 0, 0, 0, err
	}
	last := len(s.bind) - 1
	if s.bind[last], err = tensor.NewView(specs[2], tensor.Other); err != nil {
		return 0, 0, 0, err
	}
	done, err := plan.Run(s.bind)
	if err == nil {
		err = done.Wait()
	}
	runtime.KeepAlive(in)
	if err != nil {
		return 0, 0, 0, err
	}
	random.State().A = tensor.FromView(s.bind[last])
	number := func(i int) float64 {
		return float64(*(*float32)(s.bind[last-stepNumbers+i].Ptr()))
	}
	return number(0), number(1), number(2), nil
}
