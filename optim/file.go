package optim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
)

// Save is mx.save_safetensors(path, tree_flatten(opt.state)): arrays step,
// learning_rate, and what the rule remembers, as weight.m; of [Multi] they begin with
// states.0. and so on.
func (o *Optimizer) Save(path string) error {
	all := map[string]*mlx.Array{}
	o.flatten("", all)
	return mlx.SaveSafetensors(path, all, nil)
}

func (o *Optimizer) flatten(prefix string, all map[string]*mlx.Array) {
	for i, p := range o.Parts {
		p.flatten(fmt.Sprintf("%sstates.%d.", prefix, i), all)
	}
	if o.rule == nil {
		return
	}
	all[prefix+"step"], all[prefix+"learning_rate"] = o.Updates, o.Rate
	for path, state := range o.State {
		for name, a := range state {
			all[prefix+strings.TrimPrefix(path+"."+name, ".")] = a
		}
	}
}

// Load restores what Save wrote, into an optimizer that is made as the saved one was:
// training goes on exactly. A schedule goes on from the saved step. The error names the
// file and what is missing or does not fit; then nothing changes.
func (o *Optimizer) Load(path string) error {
	all, _, err := mlx.LoadAll(path)
	if err != nil {
		return err
	}
	var set []func()
	if err := o.restore("", all, &set); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(all) > 0 {
		return fmt.Errorf("%s: %s is not of this optimizer", path, slices.Sorted(maps.Keys(all))[0])
	}
	for _, f := range set {
		f()
	}
	return nil
}

// restore takes the arrays of o out of all; set gets what sets them.
func (o *Optimizer) restore(prefix string, all map[string]*mlx.Array, set *[]func()) error {
	for i, p := range o.Parts {
		if err := p.restore(fmt.Sprintf("%sstates.%d.", prefix, i), all, set); err != nil {
			return err
		}
	}
	if o.rule == nil {
		return nil
	}
	scalar := func(name string, d mlx.DType) (*mlx.Array, error) {
		a := all[prefix+name]
		if a == nil {
			return nil, fmt.Errorf("%s%s is missing: it is no saved optimizer, or of another kind", prefix, name)
		}
		if a.Size() != 1 || a.NDim() != 0 || a.DType() != d {
			return nil, fmt.Errorf("%s%s is %v%v, not a scalar of %v", prefix, name, a.DType(), a.Shape(), d)
		}
		delete(all, prefix+name)
		return a, nil
	}
	step, err := scalar("step", mlx.Uint64)
	if err != nil {
		return err
	}
	rate, err := scalar("learning_rate", mlx.Float32)
	if err != nil {
		return err
	}
	state := map[string]map[string]*mlx.Array{}
	for key, a := range all {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		at := max(strings.LastIndexByte(rest, '.'), 0)
		path, name := rest[:at], strings.TrimPrefix(rest[at:], ".")
		if state[path] == nil {
			state[path] = map[string]*mlx.Array{}
		}
		state[path][name] = a
		delete(all, key)
	}
	if err := o.fits(prefix, state); err != nil {
		return err
	}
	*set = append(*set, func() { o.Updates, o.Rate, o.State = step, rate, state })
	return nil
}

// fits compares a state with the one that is there, if Init or an update made one.
func (o *Optimizer) fits(prefix string, state map[string]map[string]*mlx.Array) error {
	for path, have := range o.State {
		for name, a := range have {
			b := state[path][name]
			if b == nil {
				return fmt.Errorf("%s%s.%s is missing", prefix, path, name)
			}
			if !slices.Equal(a.Shape(), b.Shape()) {
				return fmt.Errorf("%s%s.%s has shape %v, not %v", prefix, path, name, b.Shape(), a.Shape())
			}
		}
		for name := range state[path] {
			if have[name] == nil {
				return fmt.Errorf("%s%s.%s is not of this optimizer", prefix, path, name)
			}
		}
	}
	return nil
}
