package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// A checkpoint is one file, so that it is there whole or not at all: what is trained,
// the optimizer's state, sums of gradients, the generator, and the State. The names of its
// tensors begin with these.
const (
	weightPrefix    = "model."
	optimizerPrefix = "optimizer."
	sumPrefix       = "sums."
	randomName      = "random"
)

// Keys of a checkpoint's metadata.
const (
	stateKey    = "state"
	settingsKey = "settings"
)

// SaveCheckpoint writes all that the run needs to go on exactly, with settings that a run
// must share to do so. It replaces the file at path in one step; weights that are no
// numbers are ErrNotFinite, and the file stays as it is.
func (t *Trainer) SaveCheckpoint(path string, settings map[string]string) error {
	if err := t.sound(); err != nil {
		return err
	}
	t.state.Iters = t.o.Iters
	state, err := json.Marshal(t.state)
	if err != nil {
		return err
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	return mlx.SaveSafetensors(path, t.arrays(), map[string]string{stateKey: string(state), settingsKey: string(text)})
}

// Unfinished tells whether the checkpoint at path is of a run that was stopped before its
// last iteration, and where.
func Unfinished(path string) (iter, iters int, ok bool) {
	f, err := safetensors.Open(path)
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	var s State
	if json.Unmarshal([]byte(f.Metadata[stateKey]), &s) != nil {
		return 0, 0, false
	}
	return s.Iter, s.Iters, s.Iter < s.Iters
}

// arrays are those of a checkpoint.
func (t *Trainer) arrays() map[string]*mlx.Array {
	t.step.release()
	all := map[string]*mlx.Array{randomName: random.State().A}
	for path, a := range nn.TrainableParameters(t.model, t.trained.Filter) {
		all[weightPrefix+path] = a
	}
	for path, a := range nn.Parameters(t.opt) {
		all[optimizerPrefix+path] = a
	}
	for path, a := range t.sums.Grads {
		all[sumPrefix+path] = a
	}
	return all
}

// Resume goes on where the checkpoint at path was written. The trainer must be made as
// the one that wrote it, and fresh. Errors say what differs; then nothing has changed.
func (t *Trainer) Resume(path string, settings map[string]string) error {
	all, info, err := mlx.LoadAll(path) // its errors name path
	if err != nil {
		return err
	}
	if err := t.resumeFrom(all, info, settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (t *Trainer) resumeFrom(all map[string]*mlx.Array, info map[string]any, settings map[string]string) error {
	var state State
	var before map[string]string
	for key, to := range map[string]any{stateKey: &state, settingsKey: &before} {
		text, ok := info[key].(string)
		if !ok {
			return errors.New("it is no checkpoint of a training run")
		}
		if err := json.Unmarshal([]byte(text), to); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if err := sameSettings(before, settings); err != nil {
		return err
	}
	have := t.arrays()
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if a := all[name]; a == nil || !slices.Equal(a.Shape(), have[name].Shape()) || a.DType() != have[name].DType() {
			return fmt.Errorf("%s is missing or has another shape: the model or the layers are others", name)
		}
	}
	if len(all) != len(have) {
		return errors.New("it has more tensors than this run: the model or the layers are others")
	}
	if err := mlx.Eval(slices.Collect(maps.Values(all))); err != nil { // before the file is replaced
		return err
	}
	if err := t.resume(state); err != nil {
		return err
	}
	return t.set(all)
}

// sameSettings names the first setting that differs.
func sameSettings(before, now map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if before[key] != now[key] {
			return fmt.Errorf("%s was %s and is %s: a run goes on with the settings that it began with", key, before[key], now[key])
		}
	}
	return nil
}

// set puts the arrays of a checkpoint where they belong.
func (t *Trainer) set(all map[string]*mlx.Array) error {
	t.step.release()
	under := func(prefix string) map[string]*mlx.Array {
		out := map[string]*mlx.Array{}
		for name, a := range all {
			if path, ok := strings.CutPrefix(name, prefix); ok {
				out[path] = a
			}
		}
		return out
	}
	if err := nn.Update(t.model, maps.All(under(weightPrefix))); err != nil {
		return err
	}
	if err := nn.Update(t.opt, maps.All(under(optimizerPrefix))); err != nil {
		return err
	}
	t.sums.Grads = under(sumPrefix)
	random.State().A = all[randomName]
	return nil
}
