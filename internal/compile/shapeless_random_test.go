package compile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
)

// anySize is a random graph of ops that shapeless functions have: chains, rows beside
// matrices, reductions, norms, products, dims that come and go. It looks at no size.
func anySize(seed uint64, in []*Array) []*Array {
	r := rand.New(rand.NewPCG(seed, 6))
	x, row := in[0], in[1]
	pool := []*Array{x, row, scalar(0.5), plus(x, row)}
	for range 5 + r.IntN(20) {
		a, b := pool[len(pool)-1-r.IntN(min(3, len(pool)))], pool[r.IntN(len(pool))]
		axis := []int{r.IntN(max(1, a.NDim()))}
		keep := r.IntN(2) == 0
		k := r.IntN(10)
		tensor.Try(func() {
			var y *Array
			switch k {
			case 0:
				y = un([]tensor.UnaryOp{tensor.OpTanh, tensor.OpSin, tensor.OpAbs, tensor.OpSigmoid}[r.IntN(4)], a)
			case 1, 2, 3:
				y = tensor.BinaryOf([]tensor.BinaryOp{tensor.OpAdd, tensor.OpMultiply, tensor.OpMaximum, tensor.OpSubtract}[r.IntN(4)], a, b, none)
			case 4:
				y = tensor.Where(tensor.BinaryOf(tensor.OpLess, a, b, none), tensor.OnesLike(a, none), b, none)
			case 5:
				y = tensor.ReduceOf([]tensor.ReduceOp{tensor.OpSum, tensor.OpMean, tensor.OpMax}[r.IntN(3)], un(tensor.OpTanh, a), axis, keep, none)
			case 6:
				y = tensor.SoftmaxOf(a, axis[0], none)
			case 7:
				y = tensor.MatMulOf(un(tensor.OpTanh, a), tensor.SwapAxes(un(tensor.OpTanh, b), -1, -2, none), none)
			case 8:
				y = minus(a, tensor.Mean(a, axis, true, none))
			case 9:
				y = tensor.ExpandDims(a, axis, none)
			}
			if y.NDim() <= 4 {
				pool = append(pool, y)
			}
		})
	}
	var out []*Array
	for i := range 3 {
		out = append(out, un(tensor.OpSin, plus(pool[len(pool)-1-i], scalar(1))))
	}
	return out
}

// Random graphs of other sizes have the bits of the function, from one trace.
func TestShapelessRandom(t *testing.T) {
	graphs, traces, calls := uint64(300), 0, 0
	if raceDetector {
		graphs = 40
	}
	for seed := range graphs {
		f := func(in, _ []*Array) ([]*Array, []*Array) { return anySize(seed, in), nil }
		s := New(fmt.Sprint("any size ", seed), f)
		s.Shapeless = true
		r := rand.New(rand.NewPCG(seed, 8))
		for range 4 {
			n := 2 + r.IntN(6)
			m := n + 1 + r.IntN(4) // equal sizes would let other ops fit
			in := []*Array{fill(r, f32(n, m)), fill(r, f32(m))}
			var want []*Array
			if tensor.Try(func() { want = anySize(seed, in) }) != nil {
				continue
			}
			out, _, err := s.Call(in, nil)
			if err != nil {
				t.Errorf("seed %d, %d by %d: %v", seed, n, m, err)
				break
			}
			calls++
			for i := range want {
				if !tensor.SpecOf(out[i]).Equal(tensor.SpecOf(want[i])) || !bytes.Equal(out[i].Bytes(), want[i].Bytes()) {
					t.Errorf("seed %d, %d by %d: result %d is %v, want %v", seed, n, m, i, out[i], want[i])
				}
			}
		}
		traces += s.Traces()
	}
	if traces != int(graphs) || calls < 3*traces {
		t.Errorf("%d traces of %d graphs for %d calls", traces, graphs, calls)
	}
}
