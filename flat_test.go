package mlx_test

import (
	"testing"

	"github.com/mlxgo/mlx"
)

// TestEagerLoopIsFlat runs 100,000 ops, a third of them on arrays off Go's heap, in one
// chain: each step reads what the one before left.
func TestEagerLoopIsFlat(t *testing.T) {
	ops := 100_000
	if testing.Short() || raceEnabled {
		ops = 6_000
	}
	x := mlx.Ones(mlx.Shape{160, 110}) // 70 KB
	s := mlx.NewArray(0.0)
	step := func() { // six ops
		s = s.Mul(0.5).Add(1)
		x = x.Mul(0.5).Add(s)
		s = mlx.Mean(x).Mul(0.5)
		if err := mlx.Eval(x, s); err != nil {
			t.Fatal(err)
		}
	}
	run := func(n int) {
		for range n {
			step()
		}
	}
	run(ops / 60)
	objects, active := inUse()
	run(ops/6 - ops/60)
	objects2, active2 := inUse()
	if objects2 > objects+300 {
		t.Errorf("%d heap objects, then %d after %d ops", objects, objects2, ops)
	}
	if active2 > active {
		t.Errorf("%d bytes of arrays, then %d after %d ops", active, active2, ops)
	}
	wantItems(t, "s", s, 2) // where s = mean(x)/2 and x = x/2 + s/2 + 1 stay
}
