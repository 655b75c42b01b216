//go:build linux && metalemu

package metal_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal/emu"
)

// What the GPU has still to read is not given to others, though nobody has its arrays any
// more and the collector ran.
func TestCollectedInFlight(t *testing.T) {
	const n = 40000
	fill := func(v float32) *mlx.Array {
		l := make([]float32, n)
		for i := range l {
			l[i] = v
		}
		return mlx.NewArray(l)
	}
	ones := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		return mlx.Multiply(x, mlx.NewArray([]float32{1, 1, 1, 1}).Reshape(4, 1))
	})
	q := onMutant(t, emu.Options{})
	for name, graph := range map[string]func() *mlx.Array{
		"an op":     func() *mlx.Array { return mlx.Sum(fill(1)) },
		"a program": func() *mlx.Array { return mlx.Sum(ones(fill(0.25).Reshape(4, n/4))) },
	} {
		want := mlx.Item[float32](graph()) // what is compiled waits
		q.shut = true
		got := graph()
		if err := mlx.AsyncEval(got); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			runtime.GC()
			time.Sleep(time.Millisecond) // cleanups run in a goroutine
		}
		var others []*mlx.Array
		for range 10 {
			others = append(others, fill(7))
		}
		q.open()
		if got := mlx.Item[float32](got); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		runtime.KeepAlive(others)
	}
}
