package distributed_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/local"
	"github.com/mlxgo/mlx/internal/tensor"
)

const (
	sum      = distributed.Sum
	greatest = distributed.Max
	least    = distributed.Min
)

var (
	none  mlx.Stream // the communication stream
	array = mlx.FromSlice[float32]
)

// ranks runs f for each of n processes at once. What it throws is an error of the test.
// The processes share the default stream, in which nobody may wait for a collective:
// what depends on one runs on a stream of the process's own, see build.
func ranks(t *testing.T, n int, f func(c *distributed.Comm)) {
	t.Helper()
	for rank, err := range attempt(t, n, f) {
		if err != nil {
			t.Errorf("rank %d of %d: %v", rank, n, err)
		}
	}
}

// attempt is ranks for programs that fail.
func attempt(t *testing.T, n int, f func(c *distributed.Comm)) []error {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for rank, g := range local.New(n) {
		all.Go(func() {
			defer func() {
				switch p := recover().(type) {
				case nil:
				case *mlx.Error:
					errs[rank] = p
				case error:
					errs[rank] = p
				default:
					panic(p)
				}
			}()
			f(distributed.New(g))
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		stacks := make([]byte, 1<<16)
		t.Fatalf("hangs:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	return errs
}

var building sync.Mutex

// build runs f, which makes a graph and evaluates nothing, while s is the default stream.
func build(s mlx.Stream, f func() *mlx.Array) *mlx.Array {
	building.Lock()
	defer building.Unlock()
	defer mlx.SetDefaultStream(mlx.DefaultStream(mlx.CPU))
	mlx.SetDefaultStream(s)
	return f()
}

// want panics unless a has the shape and the values.
func want(what string, a *mlx.Array, shape mlx.Shape, values ...float32) {
	if err := mlx.Eval(a); err != nil {
		panic(fmt.Errorf("%s: %w", what, err))
	}
	if got := mlx.ToSlice[float32](a); !slices.Equal(a.Shape(), shape) || !slices.Equal(got, values) {
		panic(fmt.Errorf("%s is %v %v, want %v %v", what, a.Shape(), got, shape, values))
	}
}

// same panics unless a and b have the same shape and bits.
func same(what string, a, b *mlx.Array) {
	if err := mlx.Eval(a, b); err != nil {
		panic(fmt.Errorf("%s: %w", what, err))
	}
	if x, y := mlx.ToSlice[float32](a), mlx.ToSlice[float32](b); !slices.Equal(a.Shape(), b.Shape()) || !slices.Equal(x, y) {
		panic(fmt.Errorf("%s is %v %v, want %v %v", what, a.Shape(), x, b.Shape(), y))
	}
}

// given are some numbers of a process, in steps of 1/8.
func given(rank int, shape ...int) *mlx.Array {
	r := rand.New(rand.NewPCG(uint64(rank), 1))
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = float32(r.IntN(64)-32) / 8
	}
	return array(v, shape...)
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func TestOps(t *testing.T) {
	for n := 1; n <= 4; n++ {
		ranks(t, n, func(c *distributed.Comm) {
			r, size := float32(c.Rank()), float32(n)
			x := array([]float32{r, -r, 1, 2 * r}, 2, 2)
			total := size * (size - 1) / 2
			all := c.AllReduceOf(sum, x, none)
			most := c.AllReduceOf(greatest, x, none)
			fewest := c.AllReduceOf(least, x, none)
			want("all_sum", all, mlx.Shape{2, 2}, total, -total, size, 2*total)
			want("all_max", most, mlx.Shape{2, 2}, size-1, 0, 1, 2*(size-1))
			want("all_min", fewest, mlx.Shape{2, 2}, 0, 1-size, 1, 0)
			want("x", x, mlx.Shape{2, 2}, r, -r, 1, 2*r)

			var parts []float32
			for i := range n {
				parts = append(parts, float32(i), float32(-i))
			}
			gathered := c.AllGatherOf(array([]float32{r, -r}, 1, 2), none)
			want("all_gather", gathered, mlx.Shape{n, 2}, parts...)
			back := c.ReduceScatterOf(sum, gathered, none)
			want("sum_scatter", back, mlx.Shape{1, 2}, size*r, -size*r)
			if n > 1 {
				want("all_gather of scalars", c.AllGatherOf(mlx.NewArray(1.0), none), mlx.Shape{n}, slices.Repeat([]float32{1}, n)...)
			}
			if err := c.Wait(none); err != nil {
				panic(err)
			}
		})
	}
}

// TestViews: collectives take arrays that are not row-major, broadcast or empty.
func TestViews(t *testing.T) {
	ranks(t, 3, func(c *distributed.Comm) {
		x := given(c.Rank(), 4, 6)
		for _, v := range []*mlx.Array{mlx.Transpose(x), mlx.BroadcastTo(tensor.SliceAxis(x, 0, 1, 2, none), mlx.Shape{3, 6}), tensor.SliceAxis(x, 1, 2, 5, none)} {
			dense := array(mlx.ToSlice[float32](v), v.Shape()...)
			same("all_sum of a view", c.AllReduceOf(sum, v, none), c.AllReduceOf(sum, dense, none))
			same("all_gather of a view", c.AllGatherOf(v, none), c.AllGatherOf(dense, none))
		}
		empty := mlx.Zeros(mlx.Shape{0, 3})
		want("all_sum of nothing", c.AllReduceOf(sum, empty, none), mlx.Shape{0, 3})
		want("all_gather of nothing", c.AllGatherOf(empty, none), mlx.Shape{0, 3})
		want("sum_scatter of nothing", c.ReduceScatterOf(sum, empty, none), mlx.Shape{0, 3})
	})
}

func TestSendRecv(t *testing.T) {
	ranks(t, 3, func(c *distributed.Comm) {
		next, before := (c.Rank()+1)%3, (c.Rank()+2)%3
		x := given(c.Rank(), 2, 5)
		sent := c.SendOf(x, next, none)
		got := c.RecvOf(tensor.SpecOf(x), before, none)
		same("recv", got, given(before, 2, 5)) // evaluating this sends too
		same("send", sent, x)
		c.SendOf(x.Mul(2), next, none)
		same("recv_like", c.RecvLikeOf(x, before, none), given(before, 2, 5).Mul(2))
	})
}

func TestMisuse(t *testing.T) {
	for _, v := range []struct {
		f    func(c *distributed.Comm)
		want string
	}{
		{func(c *distributed.Comm) { c.SendOf(mlx.NewArray(1.0), 2, none) }, "rank 2 is none of the group's 0 to 1"},
		{func(c *distributed.Comm) { c.SendOf(mlx.NewArray(1.0), c.Rank(), none) }, "nothing can be sent to the process itself"},
		{func(c *distributed.Comm) { c.RecvOf(tensor.Spec{}, -1, none) }, "rank -1 is none"},
		{func(c *distributed.Comm) { c.ReduceScatterOf(sum, mlx.Zeros(mlx.Shape{3, 2}), none) }, "axis 0 has size 3, which 2 processes do not divide"},
		{func(c *distributed.Comm) { c.ReduceScatterOf(sum, mlx.NewArray(1.0), none) }, "a scalar has no axis to scatter"},
	} {
		for _, err := range attempt(t, 2, v.f) {
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%v, want %q", err, v.want)
			}
		}
	}
	for _, err := range attempt(t, 1, func(c *distributed.Comm) { c.SendOf(mlx.NewArray(1.0), 0, none) }) {
		if err == nil || !strings.Contains(err.Error(), "there is nobody to talk to") {
			t.Error(err)
		}
	}
}

// TestDisagreement: different programs are an error of the evaluation on all sides, and
// so is what follows.
func TestDisagreement(t *testing.T) {
	ranks(t, 2, func(c *distributed.Comm) {
		x := mlx.Ones(mlx.Shape{10 - c.Rank()})
		for _, a := range []*mlx.Array{c.AllReduceOf(sum, x, none), c.AllReduceOf(sum, mlx.NewArray(1.0), none)} {
			err := mlx.Eval(a)
			if err == nil || !strings.Contains(err.Error(), "rank 0 is in all_sum of 10 float32, rank 1 in all_sum of 9 float32") {
				panic(fmt.Errorf("the error is %v", err))
			}
		}
		if err := c.Wait(none); err == nil {
			panic(fmt.Errorf("a failed group has a barrier"))
		}
	})
}

func TestSplit(t *testing.T) {
	ranks(t, 4, func(c *distributed.Comm) {
		r := float32(c.Rank())
		before := c.AllReduceOf(sum, mlx.NewArray(r), none) // is run by Split
		part, err := c.Split(c.Rank()%2, 4-c.Rank())
		if err != nil {
			panic(err)
		}
		both := part.AllGatherOf(array([]float32{r}), none)
		after := c.AllReduceOf(greatest, mlx.NewArray(r), none)
		want("after", after, nil, 3)
		want("part", both, mlx.Shape{2}, 2+float32(c.Rank()%2), float32(c.Rank()%2))
		want("before", before, nil, 6)
	})
}

// TestIndependentBranches: processes that evaluate collectives in different orders run
// them in the order of the program.
func TestIndependentBranches(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}}
	ranks(t, 4, func(c *distributed.Comm) {
		own := mlx.NewStream(mlx.CPU)
		for turn := range 30 {
			var sums [3]*mlx.Array
			for i := range sums {
				x := given(c.Rank()+10*i, 100*(i+1))
				for range (c.Rank() + i + turn) % 3 { // the graphs differ in depth
					x = x.Add(1).Add(-1)
				}
				sums[i] = c.AllReduceOf(sum, x, none)
			}
			var some []any
			for _, i := range orders[(c.Rank()+turn)%4] {
				some = append(some, mlx.Multiply(sums[i], 2, own))
			}
			if turn%3 == 1 {
				some = some[:1+c.Rank()%3] // the others come later
			}
			if err := mlx.Eval(some...); err != nil {
				panic(err)
			}
			for i := range sums {
				expect := given(10*i, 100*(i+1))
				for r := 1; r < 4; r++ {
					expect = expect.Add(given(r+10*i, 100*(i+1)))
				}
				same(fmt.Sprint("sum ", i), sums[i], expect)
			}
		}
	})
}

// TestStreams: a collective runs on the stream that is given, in order with the others.
func TestStreams(t *testing.T) {
	ranks(t, 3, func(c *distributed.Comm) {
		s := mlx.NewStream(mlx.CPU)
		streams := []mlx.Stream{s, none, mlx.NewStream(mlx.CPU), s}
		var all mlx.Arrays
		for i := range 40 {
			all = append(all, c.AllReduceOf(sum, mlx.Full(mlx.Shape{50}, float64(c.Rank()+i)), streams[(i+c.Rank())%4]))
		}
		for i := len(all) - 1; i >= 0; i -= 3 {
			want("sum", all[i], mlx.Shape{50}, slices.Repeat([]float32{float32(3*i + 3)}, 50)...)
		}
	})
}

// TestClose: who is done is named where others wait.
func TestClose(t *testing.T) {
	ranks(t, 2, func(c *distributed.Comm) {
		first := c.AllReduceOf(sum, mlx.NewArray(1.0), none)
		if c.Rank() == 1 {
			if err := c.Close(); err != nil {
				panic(err)
			}
			return
		}
		want("before closing", first, nil, 2)
		if err := mlx.Eval(c.AllReduceOf(sum, mlx.NewArray(1.0), none)); err == nil || !strings.Contains(err.Error(), "rank 1 has closed the group") {
			panic(fmt.Errorf("the error is %v", err))
		}
	})
}
