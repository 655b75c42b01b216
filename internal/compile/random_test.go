package compile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A randomGraph is a function that builds the same graph of random primitives
// whenever it is called, with its inputs, states and captured weights.
type randomGraph struct {
	seed    uint64
	n       int // size of the axes
	in      []tensor.Spec
	state   []tensor.Spec
	weights []*Array
}

func newRandomGraph(seed uint64) *randomGraph {
	r := rand.New(rand.NewPCG(seed, 0))
	g := &randomGraph{seed: seed, n: 2 + r.IntN(3)}
	if seed%20 == 19 {
		g.n = 129 // two axes are more than 64 KiB: off the Go heap
	}
	spec := func() tensor.Spec {
		m := g.n + 1
		shapes := []tensor.Shape{{g.n, m}, {m, g.n}, {g.n * m}, {g.n, 1}, {}, {1, 2, m, 2}, {0, 3}, {m, m}}
		return tensor.Spec{Shape: shapes[r.IntN(len(shapes))], DType: dtype.Float32}
	}
	for range 1 + r.IntN(3) {
		g.in = append(g.in, spec())
	}
	for range r.IntN(4) {
		g.state = append(g.state, spec())
	}
	if len(g.state) > 1 && r.IntN(2) == 0 { // so that states can swap
		g.state[1] = g.state[0]
	}
	for range 3 {
		g.weights = append(g.weights, fill(r, spec()))
	}
	g.weights[2] = tensor.TransposeTo(fill(r, f32(g.n, g.n+1)), []int{1, 0}, none)
	return g
}

func fill(r *rand.Rand, s tensor.Spec) *Array {
	v := make([]float32, s.Shape.Size())
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return tensor.FromSlice(v, s.Shape...)
}

func (g *randomGraph) arrays(specs []tensor.Spec, stream uint64) []*Array {
	r := rand.New(rand.NewPCG(g.seed, stream))
	as := make([]*Array, len(specs))
	for i, s := range specs {
		if len(s.Shape) == 0 { // FromSlice without a shape has one axis
			as[i] = tensor.FromBytes([]byte{0, 0, byte(r.IntN(128)), 63}, nil, dtype.Float32)
			continue
		}
		as[i] = fill(r, s)
	}
	return as
}

// build is the function: it depends on the seed and on specs alone.
func (g *randomGraph) build(in, state []*Array) (out, news []*Array) {
	r := rand.New(rand.NewPCG(g.seed, 1))
	pool := append(append(append([]*Array(nil), in...), state...), g.weights...)
	pool = append(pool, scalar(0.5))
	pick := func() *Array { // late values more often, so that chains grow
		return pool[len(pool)-1-min(r.IntN(len(pool)), r.IntN(len(pool)))]
	}
	for range 6 + r.IntN(20) {
		op := randomOps[r.IntN(len(randomOps))]
		a, b := pick(), pick()
		k := r.IntN(1 << 16)
		if tensor.Try(func() { pool = append(pool, op(a, b, k)) }) != nil {
			continue // the specs do not fit
		}
	}
	for i, s := range state {
		var fit []*Array
		for _, a := range pool {
			if tensor.SpecOf(a).Equal(tensor.SpecOf(s)) {
				fit = append(fit, a)
			}
		}
		n := fit[r.IntN(len(fit))]
		switch r.IntN(4) {
		case 0:
			n = plus(n, un(tensor.OpSin, state[i]))
		case 1: // a chain over the old value, links of which may be read again
			n = plus(s, n)
			pool = append(pool, n)
			if n = neg(n); s.NDim() == 2 && s.Dim(0) == s.Dim(1) {
				n = minus(n, tensor.SwapAxes(n, 0, 1, none))
			}
			pool = append(pool, n)
		case 2:
			if s.NDim() == 4 {
				pos := tensor.IntScalar(int64(r.IntN(2)), dtype.Int32, none)
				row := tensor.SliceAxis(n, 2, 0, 1, none)
				n = fast.CacheWriteOf(s, row, tensor.ReshapeTo(pos, []int{1}, none), none)
			}
		}
		news = append(news, n)
	}
	for range 1 + r.IntN(4) {
		out = append(out, pool[r.IntN(len(pool))])
	}
	return append(out, pool[len(pool)-1]), news
}

func asFloat(a *Array) *Array { return tensor.AsType(a, dtype.Float32, none) }

// randomOps take two arrays and a random number that chooses parameters.
var randomOps = []func(a, b *Array, k int) *Array{
	func(a, _ *Array, k int) *Array {
		ops := []tensor.UnaryOp{tensor.OpNegative, tensor.OpAbs, tensor.OpSquare, tensor.OpSin, tensor.OpTanh, tensor.OpSigmoid}
		return un(ops[k%len(ops)], asFloat(a))
	},
	func(a, b *Array, k int) *Array {
		ops := []tensor.BinaryOp{tensor.OpAdd, tensor.OpSubtract, tensor.OpMultiply, tensor.OpMaximum, tensor.OpMinimum}
		return tensor.BinaryOf(ops[k%len(ops)], a, b, none)
	},
	func(a, b *Array, k int) *Array { return mul(un(tensor.OpTanh, asFloat(a)), b) },
	func(a, b *Array, _ int) *Array {
		return tensor.Where(tensor.BinaryOf(tensor.OpLess, a, b, none), a, b, none)
	},
	func(a, _ *Array, k int) *Array { return tensor.ReshapeTo(a, []int{a.Size()}, none) },
	func(a, _ *Array, k int) *Array {
		return tensor.ReshapeTo(a, []int{-1, a.Dim(k % max(1, a.NDim()))}, none)
	},
	func(a, _ *Array, k int) *Array { return tensor.SwapAxes(a, 0, -1, none) },
	func(a, _ *Array, k int) *Array {
		axis := k % max(1, a.NDim())
		return tensor.SliceAxis(a, axis, 1, a.Dim(axis), none)
	},
	func(a, _ *Array, k int) *Array {
		return tensor.BroadcastTo(a, append(tensor.Shape{1 + k%2}, tensor.SpecOf(a).Shape...), none)
	},
	func(a, b *Array, k int) *Array {
		return tensor.ConcatenateOf([]*Array{a, b, a}, k%max(1, a.NDim()), none)
	},
	func(a, _ *Array, k int) *Array {
		return tensor.ReduceOf(tensor.OpSum, asFloat(a), []int{k % max(1, a.NDim())}, k&256 != 0, none)
	},
	func(a, b *Array, _ int) *Array { return tensor.MatMulOf(asFloat(a), asFloat(b), none) },
	func(a, _ *Array, _ int) *Array { return tensor.SoftmaxOf(un(tensor.OpTanh, asFloat(a)), -1, none) },
	func(a, _ *Array, k int) *Array {
		return tensor.AsType(un(tensor.OpSin, asFloat(a)), []tensor.DType{dtype.BFloat16, dtype.Int32}[k%2], none)
	},
	func(a, _ *Array, _ int) *Array {
		n := max(1, a.Dim(0)-1)
		ids := tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0), Step: tensor.MakeF64(1), N: n, DType: dtype.Int32}, none)
		return tensor.TakeRows(a, ids, none)
	},
	func(a, _ *Array, _ int) *Array { return tensor.CopyOf(a, none) },
	func(a, _ *Array, _ int) *Array { return tensor.Apply1(tensor.Copy{}, none, a) },
	func(a, _ *Array, k int) *Array { return mul(scalar(float64(k%5)-2), a) },
}

// step compiles the graph without some of the optional passes.
func (g *randomGraph) step(t *testing.T, skip ...string) *Step {
	t.Helper()
	s := New(fmt.Sprint("random ", g.seed), g.build)
	stream := tensor.DefaultStream(tensor.DefaultDevice())
	gr, err := trace(g.build, g.in, g.state, stream.Device)
	if err == nil {
		err = gr.optimize(skip...)
	}
	if err != nil {
		t.Fatalf("seed %d: %v", g.seed, err)
	}
	p, err := gr.plan(stream)
	if err != nil {
		t.Fatalf("seed %d: %v", g.seed, err)
	}
	prog, err := tensor.BackendFor(stream).Prepare(p)
	if err != nil {
		t.Fatalf("seed %d: %v", g.seed, err)
	}
	s.keep(&Exec{Plan: p, Graph: gr, prog: prog})
	return s
}

func (g *randomGraph) check(t *testing.T, s *Step) {
	t.Helper()
	in := g.arrays(g.in, 2)
	eager, compiled := g.arrays(g.state, 3), g.arrays(g.state, 3)
	for call := range 2 {
		wantOut, wantState := g.build(in, eager)
		out, st, err := s.Call(in, compiled)
		if err != nil {
			t.Fatalf("seed %d: %v", g.seed, err)
		}
		same := func(what string, got, want []*Array) {
			t.Helper()
			for i := range want {
				if !bytes.Equal(got[i].Bytes(), want[i].Bytes()) {
					t.Fatalf("seed %d, call %d: %s %d differs\n%v%v", g.seed, call, what, i, s.execs[0].Graph, s.execs[0].Plan)
				}
			}
		}
		same("result", out, wantOut)
		same("state", st, wantState)
		eager, compiled = wantState, st
	}
	if s.Traces() != 0 {
		t.Fatalf("seed %d: traced again", g.seed)
	}
}

// Compiled graphs give the bits of eager ones, with and without each pass.
func TestRandomGraphs(t *testing.T) { onBoth(t, testRandomGraphs) }

func testRandomGraphs(t *testing.T) {
	var skips [][]string
	for _, p := range passes {
		if !p.required {
			skips = append(skips, []string{p.name})
		}
	}
	graphs := uint64(200)
	if raceDetector {
		graphs = 40
	}
	for seed := range graphs {
		g := newRandomGraph(seed)
		g.check(t, g.step(t))
		g.check(t, g.step(t, skips[seed%uint64(len(skips))]...))
		reference.setStrict(true)
		s := g.step(t)
		reference.setStrict(false)
		g.check(t, s)
	}
}
