package tune

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/optim"
)

// OptimizerNames are the values of --optimizer.
var OptimizerNames = []string{"adam", "adamw", "muon", "sgd", "adafactor"}

// NewOptimizer is the optimizer of a name with a learning rate and the keywords of
// MLX's class, as they stand in a YAML or JSON file. Errors name the keyword.
func NewOptimizer(name string, rate optim.Schedule, keywords map[string]any) (*optim.Optimizer, error) {
	k := &keywordReader{left: maps.Clone(keywords)}
	make, ok := map[string]func(optim.Schedule, *keywordReader) *optim.Optimizer{
		"adam": newAdam, "adamw": newAdamW, "muon": newMuon, "sgd": newSGD, "adafactor": newAdafactor,
	}[name]
	if !ok {
		return nil, fmt.Errorf("optimizer %q is not one of %s", name, strings.Join(OptimizerNames, ", "))
	}
	o := make(rate, k)
	if k.err == nil && len(k.left) > 0 {
		k.err = fmt.Errorf("unknown keyword %s", strings.Join(slices.Sorted(maps.Keys(k.left)), ", "))
	}
	if k.err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", name, k.err)
	}
	return o, nil
}

func newAdam(rate optim.Schedule, k *keywordReader) *optim.Optimizer {
	return optim.Adam(rate, k.adam()...)
}

func newAdamW(rate optim.Schedule, k *keywordReader) *optim.Optimizer {
	return optim.AdamW(rate, append(k.adam(), optim.WeightDecay(k.number("weight_decay", 0.01)))...)
}

func (k *keywordReader) adam() []optim.AdamOption {
	return []optim.AdamOption{
		optim.Betas(k.pair("betas", [2]float64{0.9, 0.999})), optim.Eps(k.number("eps", 1e-8)), optim.BiasCorrection(k.flag("bias_correction", false)),
	}
}

func newMuon(rate optim.Schedule, k *keywordReader) *optim.Optimizer {
	return optim.Muon(rate, optim.Momentum(k.number("momentum", 0.95)), optim.WeightDecay(k.number("weight_decay", 0.01)),
		optim.Nesterov(k.flag("nesterov", true)), optim.NSSteps(int(k.number("ns_steps", 5))))
}

func newSGD(rate optim.Schedule, k *keywordReader) *optim.Optimizer {
	return optim.SGD(rate, optim.Momentum(k.number("momentum", 0)), optim.WeightDecay(k.number("weight_decay", 0)),
		optim.Dampening(k.number("dampening", 0)), optim.Nesterov(k.flag("nesterov", false)))
}

func newAdafactor(rate optim.Schedule, k *keywordReader) *optim.Optimizer {
	return optim.Adafactor(optim.AdafactorConfig{
		LearningRate: rate, Eps: k.pair("eps", [2]float64{1e-30, 1e-3}), ClipThreshold: k.number("clip_threshold", 1),
		DecayRate: k.number("decay_rate", -0.8), Beta1: k.number("beta_1", 0), WeightDecay: k.number("weight_decay", 0),
		NoScaleParameter: !k.flag("scale_parameter", true), NoRelativeStep: !k.flag("relative_step", true), WarmupInit: k.flag("warmup_init", false),
	})
}

// keywordReader takes keywords out of a map, and keeps the first error.
type keywordReader struct {
	left map[string]any
	err  error
}

func (k *keywordReader) take(name string) (v any, ok bool) {
	v, ok = k.left[name]
	delete(k.left, name)
	return v, ok && v != nil
}

func (k *keywordReader) wrong(name string, v any, want string) {
	if k.err == nil {
		k.err = fmt.Errorf("%s is %v: it must be %s", name, v, want)
	}
}

func (k *keywordReader) number(name string, fallback float64) float64 {
	v, ok := k.take(name)
	if !ok {
		return fallback
	}
	x, ok := numberOf(v)
	if !ok {
		k.wrong(name, v, "a number")
	}
	return x
}

func (k *keywordReader) flag(name string, fallback bool) bool {
	v, ok := k.take(name)
	if !ok {
		return fallback
	}
	b, ok := v.(bool)
	if !ok {
		k.wrong(name, v, "true or false")
	}
	return b
}

func (k *keywordReader) pair(name string, fallback [2]float64) [2]float64 {
	v, ok := k.take(name)
	if !ok {
		return fallback
	}
	list, ok := v.([]any)
	if ok && len(list) == 2 {
		a, first := numberOf(list[0])
		b, second := numberOf(list[1])
		if first && second {
			return [2]float64{a, b}
		}
	}
	k.wrong(name, v, "a list of two numbers")
	return fallback
}

// numberOf is a number of a YAML or JSON file.
func numberOf(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case int:
		return float64(x), true
	}
	return 0, false
}

// ScheduleConfig is lr_schedule of a configuration file.
type ScheduleConfig struct {
	Name       string // cosine_decay, exponential_decay, step_decay or linear_schedule
	Arguments  []float64
	Warmup     int     // updates
	WarmupInit float64 // the rate at the first of them
}

// Schedule is the learning rate by the number of updates: with a warm-up first a line
// from WarmupInit to the first argument, and the schedule from Warmup+1 on, as mlx-lm
// joins them.
func (c ScheduleConfig) Schedule() (optim.Schedule, error) {
	want, ok := map[string][2]int{"cosine_decay": {2, 3}, "exponential_decay": {2, 2}, "step_decay": {3, 3}, "linear_schedule": {3, 3}}[c.Name]
	a := c.Arguments
	switch {
	case !ok:
		return nil, fmt.Errorf("lr_schedule: name %q is not cosine_decay, exponential_decay, step_decay or linear_schedule", c.Name)
	case len(a) < want[0] || len(a) > want[1]:
		return nil, fmt.Errorf("lr_schedule: %s takes %d to %d arguments, not %d", c.Name, want[0], want[1], len(a))
	case c.Warmup < 0:
		return nil, fmt.Errorf("lr_schedule: warmup is %d: it must not be negative", c.Warmup)
	}
	if steps := map[string]int{"cosine_decay": 1, "step_decay": 2, "linear_schedule": 2}[c.Name]; steps > 0 && (a[steps] < 1 || a[steps] != float64(int(a[steps]))) {
		return nil, fmt.Errorf("lr_schedule: argument %d of %s is %v: it must be a whole number of updates above 0", steps+1, c.Name, a[steps])
	}
	var s optim.Schedule
	switch c.Name {
	case "cosine_decay":
		end := 0.0
		if len(a) > 2 {
			end = a[2]
		}
		s = optim.CosineDecay(a[0], int(a[1]), end)
	case "exponential_decay":
		s = optim.ExponentialDecay(a[0], a[1])
	case "step_decay":
		s = optim.StepDecay(a[0], a[1], int(a[2]))
	case "linear_schedule":
		s = optim.LinearSchedule(a[0], a[1], int(a[2]))
	}
	if c.Warmup == 0 {
		return s, nil
	}
	up := optim.LinearSchedule(c.WarmupInit, a[0], c.Warmup)
	return optim.JoinSchedules([]optim.Schedule{up, s}, []int{c.Warmup + 1}), nil
}
