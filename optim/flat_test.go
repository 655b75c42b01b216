package optim_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

// mlp is small, but for a first weight above 64 KiB: that one lives off Go's heap and
// has a weak handle.
type mlp struct {
	First, Second nn.Layer
	Norm          *centered
}

// centered subtracts the mean of the batch, and keeps a running one as a batch norm does.
type centered struct {
	Mean *mlx.Array `mlx:"running_mean,frozen"`
}

func (c *centered) Forward(x *mlx.Array) *mlx.Array {
	m := mlx.Mean(x, mlx.Axis(0))
	c.Mean = c.Mean.Mul(0.9).Add(m.Mul(0.1))
	return x.Sub(m)
}

const mlpIn, mlpHidden = 60, 280

func newMLP() *mlp {
	return &mlp{
		First:  nn.NewLinear(mlpIn, mlpHidden),
		Norm:   &centered{mlx.Zeros(mlx.Shape{mlpHidden})},
		Second: nn.NewLinear(mlpHidden, 1),
	}
}

func (m *mlp) Forward(x *mlx.Array) *mlx.Array {
	return m.Second.Forward(mlx.Tanh(m.Norm.Forward(m.First.Forward(x))))
}

// inUse is the objects on Go's heap, weak handles among them, and the bytes of arrays
// off it, when all that is dead has gone.
func inUse() (objects, active int64) {
	for same, last := 0, int64(-1); same < 4; { // cleanups run in a goroutine of their own
		runtime.GC()
		time.Sleep(2 * time.Millisecond)
		now := mlx.ActiveMemory()
		if same++; now != last {
			same, last = 0, now
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects), mlx.ActiveMemory()
}

// TestTrainingStaysFlat trains and keeps every loss. A loss is a scalar: it must not
// hold the step that it came from.
func TestTrainingStaysFlat(t *testing.T) {
	steps := 10_000
	if testing.Short() || raceEnabled {
		steps = 600
	}
	x := mlx.Sin(mlx.Arange(4*mlpIn).AsType(mlx.Float32)).Reshape(4, mlpIn)
	y := mlx.NewArray([][]float64{{0.5}, {-1}, {0.25}, {1}})
	for _, compiled := range []bool{false, true} {
		m, opt := newMLP(), optim.AdamW(optim.CosineDecay(1e-3, 1000, 1e-4))
		step := func() *mlx.Array {
			loss, grads := nn.ValueAndGrad(m, func(m *mlp) *mlx.Array { return nn.MSELoss(m.Forward(x), y) })
			opt.Update(m, grads)
			return loss
		}
		if compiled {
			step = mlx.Compile(step, mlx.State(m, opt))
		}
		losses := make(mlx.Arrays, 0, steps)
		run := func(n int) {
			for range n {
				loss := step()
				losses = append(losses, loss)
				if err := mlx.Eval(loss, m, opt); err != nil {
					t.Fatal(err)
				}
			}
		}
		run(steps / 10)
		objects, active := inUse()
		run(steps - steps/10)
		kept, active2 := inUse()
		if each := float64(kept-objects) / float64(steps-steps/10); each > 12 {
			t.Errorf("compiled %t: %.1f objects are kept for each loss", compiled, each)
		}
		first, last := mlx.Item[float32](losses[0]), mlx.Item[float32](losses[steps-1])
		if !(last < first/10) {
			t.Errorf("compiled %t: the loss went from %v to %v", compiled, first, last)
		}
		runtime.KeepAlive(losses)
		clear(losses)
		objects2, _ := inUse()
		t.Logf("compiled %t: %d objects, %d with the losses, %d without; %d bytes, then %d", compiled, objects, kept, objects2, active, active2)
		if objects2 > objects+300 {
			t.Errorf("compiled %t: %d heap objects, then %d after %d steps", compiled, objects, objects2, steps)
		}
		if active2 > active {
			t.Errorf("compiled %t: %d bytes of arrays, then %d after %d steps", compiled, active, active2, steps)
		}
	}
}
