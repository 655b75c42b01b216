package distributed_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/local"
)

// A rule is a collective, the derivative that it has, and how tangents of all go
// through it. Values of x come from given, of cotangents from weights.
type rule struct {
	name    string
	apply   func(c *distributed.Comm, x *mlx.Array) *mlx.Array
	pull    func(rank, n int, x, w []float32) []float32 // x has 2n elements
	push    func(rank, n int) []float32                 // of the tangents given
	outputs func(n int) int
}

const width = 2 // elements of each process's part

func weights(rank, n int) []float32 { return mlx.ToSlice[float32](given(rank+50, n)) }
func inputs(rank, n int) []float32  { return mlx.ToSlice[float32](tied(rank, n)) }

// tied are few different numbers, so that extrema are shared.
func tied(rank, n int) *mlx.Array {
	v := make([]float32, width*n)
	for i := range v {
		v[i] = float32((i*i + rank*(i%3)) % 3)
	}
	return array(v)
}

// part is where a process's part is.
func part(rank int) (low, high int) { return rank * width, (rank + 1) * width }

// shared is what a process has of each extremum.
func shared(op distributed.ReduceOp, rank, n int) []float32 {
	out := make([]float32, width*n)
	for i := range out {
		best, count := inputs(0, n)[i], 0
		for r := range n {
			if v := inputs(r, n)[i]; op == greatest && v > best || op == least && v < best {
				best = v
			}
		}
		for r := range n {
			if inputs(r, n)[i] == best {
				count++
			}
		}
		if inputs(rank, n)[i] == best {
			out[i] = 1 / float32(count)
		}
	}
	return out
}

func times(a, b []float32) []float32 {
	out := slices.Clone(a)
	for i := range out {
		out[i] *= b[i]
	}
	return out
}

// totalOf adds f over all processes.
func totalOf(n int, f func(rank int) []float32) []float32 {
	out := make([]float32, width*n)
	for r := range n {
		for i, v := range f(r) {
			out[i] += v
		}
	}
	return out
}

func placed(rank, n int, v []float32) []float32 {
	out := make([]float32, width*n)
	low, _ := part(rank)
	copy(out[low:], v)
	return out
}

func reduction(op distributed.ReduceOp) rule {
	return rule{
		name:  "all_" + op.String(),
		apply: func(c *distributed.Comm, x *mlx.Array) *mlx.Array { return c.AllReduceOf(op, x, none) },
		pull: func(rank, n int, x, w []float32) []float32 {
			if op == sum {
				return w
			}
			return times(w, shared(op, rank, n))
		},
		push: func(_, n int) []float32 {
			return totalOf(n, func(r int) []float32 {
				if op == sum {
					return weights(r, width*n)
				}
				return times(weights(r, width*n), shared(op, r, n))
			})
		},
		outputs: func(n int) int { return width * n },
	}
}

func scatter(op distributed.ReduceOp) rule {
	all := reduction(op)
	return rule{
		name:  op.String() + "_scatter",
		apply: func(c *distributed.Comm, x *mlx.Array) *mlx.Array { return c.ReduceScatterOf(op, x, none) },
		pull: func(rank, n int, x, w []float32) []float32 {
			return all.pull(rank, n, x, placed(rank, n, w))
		},
		push: func(rank, n int) []float32 {
			low, high := part(rank)
			return all.push(rank, n)[low:high]
		},
		outputs: func(int) int { return width },
	}
}

var rules = []rule{
	reduction(sum), reduction(greatest), reduction(least), scatter(sum), scatter(greatest), scatter(least),
	{
		name:  "all_gather",
		apply: func(c *distributed.Comm, x *mlx.Array) *mlx.Array { return c.AllGatherOf(x, none) },
		pull: func(rank, n int, _, w []float32) []float32 {
			return w[rank*width*n:][:width*n]
		},
		push: func(_, n int) []float32 {
			var all []float32
			for r := range n {
				all = append(all, weights(r, width*n)...)
			}
			return all
		},
		outputs: func(n int) int { return width * n * n },
	},
}

// TestVJP: the gradient of this process's result by this process's input.
func TestVJP(t *testing.T) {
	for _, r := range rules {
		for n := 2; n <= 4; n++ {
			ranks(t, n, func(c *distributed.Comm) {
				x := tied(c.Rank(), n)
				w := weights(c.Rank(), r.outputs(n))
				_, grads := mlx.VJP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{r.apply(c, in[0])} }, mlx.Arrays{x}, mlx.Arrays{array(w)})
				near(r.name, grads[0], r.pull(c.Rank(), n, inputs(c.Rank(), n), w))
			})
		}
	}
}

// near panics unless a is want to a rounding.
func near(what string, a *mlx.Array, want []float32) {
	if err := mlx.Eval(a); err != nil {
		panic(fmt.Errorf("%s: %w", what, err))
	}
	got := mlx.ToSlice[float32](a)
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = max(got[i]-want[i], want[i]-got[i]) <= 1e-5*max(1, want[i], -want[i])
	}
	if !ok {
		panic(fmt.Errorf("%s gives %v, want %v", what, got, want))
	}
}

// TestJVP: tangents of all processes move the results.
func TestJVP(t *testing.T) {
	for _, r := range rules {
		for n := 2; n <= 4; n++ {
			ranks(t, n, func(c *distributed.Comm) {
				_, tangents := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{r.apply(c, in[0])} },
					mlx.Arrays{tied(c.Rank(), n)}, mlx.Arrays{array(weights(c.Rank(), width*n))})
				near(r.name, tangents[0], r.push(c.Rank(), n))
			})
		}
	}
}

// TestVMap: over each axis, against a loop over it.
func TestVMap(t *testing.T) {
	for _, r := range rules {
		for axis := range 3 {
			ranks(t, 3, func(c *distributed.Comm) {
				own := mlx.NewStream(mlx.CPU)
				x := given(c.Rank(), 6, 6, 6)
				slice := func(i int) *mlx.Array { return mlx.Take(x, i, mlx.Axis(axis)) }
				var each mlx.Arrays
				for i := range 6 {
					each = append(each, r.apply(c, slice(i)))
				}
				for out := range 3 {
					got := mlx.VMap(func(x *mlx.Array) *mlx.Array { return r.apply(c, x) }, mlx.InAxes{axis}, mlx.OutAxes{out})(x)
					same(fmt.Sprintf("%s over axis %d to %d", r.name, axis, out), got, mlx.Stack(each, mlx.Axis(out), own))
				}
			})
		}
	}
	ranks(t, 3, func(c *distributed.Comm) { // of scalars and of what is not mapped
		x := array([]float32{1, 2, float32(c.Rank())})
		got := mlx.VMap(func(x *mlx.Array) *mlx.Array { return c.AllGatherOf(x, none) })(x)
		want("all_gather of scalars", got, mlx.Shape{3, 3}, 1, 1, 1, 2, 2, 2, 0, 1, 2)
		y := mlx.VMap(func(_ *mlx.Array) *mlx.Array { return c.AllReduceOf(sum, x, none) })(x)
		want("all_sum of a constant", y, mlx.Shape{3, 3}, 3, 6, 3, 3, 6, 3, 3, 6, 3)
	})
}

// TestVMapLetters: slices are sent and received at once.
func TestVMapLetters(t *testing.T) {
	for axis := range 3 {
		ranks(t, 3, func(c *distributed.Comm) {
			next, before := (c.Rank()+1)%3, (c.Rank()+2)%3
			swap := func(x *mlx.Array) (*mlx.Array, *mlx.Array) {
				return c.SendOf(x, next, none), c.RecvLikeOf(x, before, none)
			}
			sent, got := mlx.VMap(swap, mlx.InAxes{axis}, mlx.OutAxes{axis, axis})(given(c.Rank(), 2, 3, 4))
			same("send", sent, given(c.Rank(), 2, 3, 4))
			same("recv_like", got, given(before, 2, 3, 4))
		})
	}
}

// TestLetterGradients: what is sent is a constant to the process that receives it.
func TestLetterGradients(t *testing.T) {
	ranks(t, 2, func(c *distributed.Comm) {
		own := mlx.NewStream(mlx.CPU)
		grad := mlx.Grad(func(x *mlx.Array) *mlx.Array {
			sent := c.SendOf(mlx.Multiply(x, 3, own), 1-c.Rank(), none)
			got := c.RecvLikeOf(x, 1-c.Rank(), none)
			return mlx.Sum(mlx.Multiply(sent, mlx.Add(x, got, own), own), own)
		})
		x, other := given(c.Rank(), 5), given(1-c.Rank(), 5)
		near("gradient", grad(x), mlx.ToSlice[float32](x.Mul(6).Add(other.Mul(9))))
	})
}

// TestGradOfGrad: loss = w y^2 with y = all_sum(x^2) has the gradient 4 w y x, and its
// sum 4 w (y + 2 x^2).
func TestGradOfGrad(t *testing.T) {
	ranks(t, 3, func(c *distributed.Comm) {
		s := mlx.NewStream(mlx.CPU)
		loss := func(x *mlx.Array) *mlx.Array {
			y := c.AllReduceOf(sum, mlx.Square(x, s), none)
			return mlx.Sum(mlx.Multiply(mlx.Square(y, s), float64(c.Rank()+1), s), s)
		}
		first := mlx.Grad(loss)
		second := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(first(x), s) })
		x := given(c.Rank(), 4)
		y := mlx.Square(given(0, 4)).Add(mlx.Square(given(1, 4))).Add(mlx.Square(given(2, 4)))
		w := 4 * float64(c.Rank()+1)
		near("first", first(x), mlx.ToSlice[float32](y.Mul(x).Mul(w)))
		near("second", second(x), mlx.ToSlice[float32](y.Add(mlx.Square(x).Mul(2)).Mul(w)))
	})
}

// TestCompiled: compiled functions with collectives give eager bits, time after time,
// also with derivatives in them.
func TestCompiled(t *testing.T) {
	ranks(t, 3, func(c *distributed.Comm) {
		s := mlx.NewStream(mlx.CPU)
		next, before := (c.Rank()+1)%3, (c.Rank()+2)%3
		f := func(x *mlx.Array) *mlx.Array {
			a := c.AllReduceOf(sum, mlx.Sin(x, s), none)
			b := c.AllReduceOf(greatest, mlx.Exp(a, s), none)
			c.SendOf(mlx.Multiply(b, x, s), next, none)
			d := c.RecvLikeOf(x, before, none)
			e := c.ReduceScatterOf(sum, mlx.Add(d, a, s), none)
			return mlx.Sum(mlx.Multiply(c.AllGatherOf(e, none), b, s), s)
		}
		g := mlx.Grad(f)
		on := func(f func(*mlx.Array) *mlx.Array) func(*mlx.Array) *mlx.Array {
			return func(x *mlx.Array) *mlx.Array { return build(s, func() *mlx.Array { return f(x) }) }
		}
		compiled, compiledGrad := on(mlx.Compile(f)), on(mlx.Compile(g))
		gradOfCompiled := on(mlx.Grad(mlx.Compile(f)))
		for i := range 5 {
			x := given(c.Rank()+i, 6, 2)
			eager, gradient := f(x), g(x)
			if err := mlx.Eval(eager, gradient); err != nil { // tracing would, under the lock of build
				panic(err)
			}
			same("compiled", compiled(x), eager)
			same("compiled gradient", compiledGrad(x), gradient)
			near("gradient of compiled", gradOfCompiled(x), mlx.ToSlice[float32](gradient))
			a, b := compiled(x), f(x) // evaluated in one go, in the other order
			same("one after the other", b, a)
		}
	})
}

// TestCompiledRecv: without an input a compiled function would keep what it received.
func TestCompiledRecv(t *testing.T) {
	for _, err := range attempt(t, 2, func(c *distributed.Comm) {
		mlx.Compile(func(x *mlx.Array) *mlx.Array {
			return c.RecvOf(distributed.Spec{Shape: mlx.Shape{2}, DType: mlx.Float32}, 1-c.Rank(), none)
		})(mlx.NewArray(1.0))
	}) {
		if err == nil || !strings.Contains(err.Error(), "use RecvLike") {
			t.Error(err)
		}
	}
}

// TestTrainingIsFlat: steps leave nothing behind.
func TestTrainingIsFlat(t *testing.T) {
	const n = 2
	type rank struct {
		comm *distributed.Comm
		s    mlx.Stream
		w    *mlx.Array
	}
	var all []*rank
	for _, g := range local.New(n) {
		all = append(all, &rank{distributed.New(g), mlx.NewStream(mlx.CPU), mlx.Zeros(mlx.Shape{300, 100})})
	}
	step := func(r *rank) {
		x := given(r.comm.Rank(), 300, 100)
		grad := mlx.Grad(func(w *mlx.Array) *mlx.Array { return mlx.Mean(mlx.Square(mlx.Subtract(w, x, r.s), r.s), r.s) })(r.w)
		mean := mlx.Multiply(r.comm.AllReduceOf(sum, grad, none), 300*100/4.0/n, r.s)
		r.w = mlx.Subtract(r.w, mean, r.s)
		if err := mlx.Eval(r.w); err != nil {
			panic(err)
		}
	}
	run := func(steps int) {
		errs := make(chan error, n)
		for _, r := range all {
			go func() {
				defer func() {
					err, _ := recover().(error)
					errs <- err
				}()
				for range steps {
					step(r)
				}
			}()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
	}
	run(100)
	objects, active := inUse()
	run(900)
	objects2, active2 := inUse()
	if objects2 > objects+300 {
		t.Errorf("%d heap objects, then %d", objects, objects2)
	}
	if active2 > active {
		t.Errorf("%d bytes of arrays, then %d", active, active2)
	}
	same("weights", all[0].w, all[1].w)
	near("weights", all[0].w, mlx.ToSlice[float32](given(0, 300, 100).Add(given(1, 300, 100)).Mul(0.5)))
}

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
