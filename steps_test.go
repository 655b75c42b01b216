package mlx_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
)

// TestStepsStayFlat runs the loop of a training, eagerly: a linear map is fitted by
// its gradient written out by hand. Neither Go's heap nor the memory of arrays may
// grow with the steps, though nobody frees anything.
func TestStepsStayFlat(t *testing.T) {
	steps := 10000
	if testing.Short() {
		steps = 2000
	}
	const batch, in, out = 8, 64, 288 // the weight has 72 KiB: it lives off the heap
	x := mlx.Arange(batch*in).AsType(mlx.Float32).Reshape(batch, in).Div(batch * in)
	target := mlx.Ones(mlx.Shape{batch, out})
	w := mlx.Zeros(mlx.Shape{in, out})
	var loss float32
	step := func() {
		diff := x.MatMul(w).Sub(target)
		grad := x.T().MatMul(diff).Div(batch)
		w = w.Sub(grad.Mul(0.05))
		l := mlx.Mean(mlx.Square(diff))
		if err := mlx.Eval(w, l); err != nil {
			t.Fatal(err)
		}
		loss = mlx.Item[float32](l)
	}
	for range steps / 10 {
		step()
	}
	first := loss
	objects, active := inUse()
	for range steps {
		step()
	}
	objects2, active2 := inUse()
	if objects2 > objects+500 {
		t.Errorf("%d heap objects, then %d after %d steps", objects, objects2, steps)
	}
	if active2 > active {
		t.Errorf("%d bytes of arrays, then %d after %d steps", active, active2, steps)
	}
	if loss >= first || loss > 0.01 {
		t.Errorf("the loss went from %v to %v", first, loss)
	}
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
