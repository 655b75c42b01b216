package optim

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Schedule is learning_rate= as a function: the rate by step, both scalars; the step of the first update is 0.
type Schedule func(step *mlx.Array) *mlx.Array

// Constant is a schedule of one value, for [JoinSchedules] (a lambda in Python).
func Constant(lr float64) Schedule {
	return func(*mlx.Array) *mlx.Array { return mlx.NewArray(float32(lr)) }
}

// ExponentialDecay is optim.exponential_decay: init * decay**step.
func ExponentialDecay(init, decay float64) Schedule {
	return func(step *mlx.Array) *mlx.Array { return mlx.Power(decay, step).Mul(init) }
}

// StepDecay is optim.step_decay: init * decay**(step // every).
func StepDecay(init, decay float64, every int) Schedule {
	positive("step_decay", every)
	return func(step *mlx.Array) *mlx.Array {
		return mlx.Power(decay, mlx.Floor(step.Div(every))).Mul(init)
	}
}

// CosineDecay is optim.cosine_decay(init, steps, end): half a cosine from init to end.
func CosineDecay(init float64, steps int, end float64) Schedule {
	positive("cosine_decay", steps)
	return func(step *mlx.Array) *mlx.Array {
		s := mlx.Minimum(step, steps)
		decay := mlx.Cos(s.Mul(math.Pi / float64(steps))).Add(1).Mul(0.5)
		return decay.Mul(init - end).Add(end)
	}
}

// LinearSchedule is optim.linear_schedule(init, end, steps): a line from init to end.
func LinearSchedule(init, end float64, steps int) Schedule {
	positive("linear_schedule", steps)
	return func(step *mlx.Array) *mlx.Array {
		s := mlx.Minimum(step, steps)
		return s.Mul((end - init) / float64(steps)).Add(init)
	}
}

func positive(name string, steps int) {
	if steps < 1 {
		tensor.Throw("optim."+name, nil, "the number of steps must be at least 1, not %d", steps)
	}
}

// JoinSchedules is optim.join_schedules(schedules, boundaries): from each boundary on
// the next schedule, which counts its steps from there.
func JoinSchedules(schedules []Schedule, boundaries []int) Schedule {
	if len(schedules) == 0 || len(schedules) != len(boundaries)+1 {
		tensor.Throw("optim.join_schedules", nil, "%d schedules need %d boundaries, not %d", len(schedules), len(schedules)-1, len(boundaries))
	}
	return func(step *mlx.Array) *mlx.Array {
		out := schedules[0](step)
		for i, b := range boundaries {
			later := mlx.Maximum(step, b).Sub(b) // a step is unsigned
			out = mlx.Where(step.Lt(b), out, schedules[i+1](later))
		}
		return out
	}
}
