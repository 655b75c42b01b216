package nn

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/local"
	"github.com/mlxgo/mlx/random"
	"github.com/mlxgo/mlx/tree"
)

type perceptron struct{ In, Out Layer }

func (m *perceptron) Forward(x *mlx.Array) *mlx.Array { return m.Out.Forward(Tanh(m.In.Forward(x))) }

func newPerceptron() *perceptron {
	random.Seed(7)
	m := &perceptron{NewLinear(4, 16), NewLinear(16, 3)}
	if err := mlx.Eval(m); err != nil {
		panic(err)
	}
	return m
}

var building sync.Mutex // of graphs by processes that share the default stream

// train is 20 steps of gradient descent on process rank's part of the batch, and the
// losses of the whole batch.
func train(m *perceptron, x, y *mlx.Array, over func(*mlx.Array) *mlx.Array) ([]float64, error) {
	own := mlx.NewStream(mlx.CPU)
	var losses []float64
	for range 20 {
		building.Lock()
		old := mlx.DefaultStream(mlx.CPU)
		mlx.SetDefaultStream(own)
		loss, grads := ValueAndGrad(m, func(m *perceptron) *mlx.Array { return MSELoss(m.Forward(x), y) })
		grads = averageGradients(grads, over)
		loss = over(loss)
		next := tree.Map(func(a ...*mlx.Array) *mlx.Array { return a[0].Sub(a[1].Mul(0.5)) }, m, grads)
		mlx.SetDefaultStream(old)
		building.Unlock()
		m = next
		if err := mlx.Eval(m, loss); err != nil {
			return nil, err
		}
		losses = append(losses, float64(mlx.Item[float32](loss)))
	}
	return losses, nil
}

// TestAverageGradients: training on parts of the batch has the losses of training on all
// of it.
func TestAverageGradients(t *testing.T) {
	x, y := random.Normal(mlx.Shape{24, 4}, random.NewKey(1)), random.Normal(mlx.Shape{24, 3}, random.NewKey(2))
	if err := mlx.Eval(x, y); err != nil {
		t.Fatal(err)
	}
	want, err := train(newPerceptron(), x, y, func(a *mlx.Array) *mlx.Array { return a })
	if err != nil {
		t.Fatal(err)
	}
	if want[19] > want[0]*0.9 {
		t.Fatalf("one process learns nothing: %v", want)
	}
	for _, n := range []int{2, 3, 4} {
		losses, errs := make([][]float64, n), make([]error, n)
		xs, ys := mlx.Split(x, n), mlx.Split(y, n)
		var all sync.WaitGroup
		for rank, g := range local.New(n) {
			m := newPerceptron()
			all.Go(func() {
				c := distributed.New(g)
				losses[rank], errs[rank] = train(m, xs[rank], ys[rank], func(a *mlx.Array) *mlx.Array {
					return c.AllReduceOf(distributed.Sum, a, mlx.Stream{}).Div(n)
				})
			})
		}
		all.Wait()
		for rank := range n {
			if errs[rank] != nil {
				t.Fatal(errs[rank])
			}
			if !slices.Equal(losses[rank], losses[0]) {
				t.Errorf("ranks 0 and %d of %d have other losses", rank, n)
			}
			for i, v := range losses[rank] {
				if math.Abs(v-want[i]) > 1e-6*want[i] {
					t.Errorf("loss %d of %d processes is %v, want %v", i, n, v, want[i])
				}
			}
		}
	}
}

// TestAverageGradientsMessages: small arrays go together, by dtype, large ones alone.
func TestAverageGradientsMessages(t *testing.T) {
	type params struct {
		A, B, Empty, Half, Scalar, Large, Last, None *mlx.Array
	}
	p := params{
		A: mlx.Ones(mlx.Shape{2, 3}), B: mlx.Full(mlx.Shape{4}, 2.0), Empty: mlx.Zeros(mlx.Shape{0, 2}),
		Half: mlx.Ones(mlx.Shape{3}, mlx.Float16), Scalar: mlx.NewArray(3.0),
		Large: mlx.Ones(mlx.Shape{messageBytes / 4}), Last: mlx.Full(mlx.Shape{1, 1}, 5.0),
	}
	var sent []string
	got := averageGradients(p, func(x *mlx.Array) *mlx.Array {
		sent = append(sent, fmt.Sprint(x.DType(), x.Shape()))
		return x.Mul(10)
	})
	want := []string{fmt.Sprint(mlx.Float32, mlx.Shape{6 + 4 + 1 + messageBytes/4}), fmt.Sprint(mlx.Float16, mlx.Shape{3}), fmt.Sprint(mlx.Float32, mlx.Shape{1, 1})}
	if !slices.Equal(sent, want) {
		t.Errorf("messages %v, want %v", sent, want)
	}
	if got.None != nil {
		t.Error("a gradient that there is not became one")
	}
	for path, a := range tree.Leaves(p) {
		b := tree.Get(got, path)
		if b.DType() != a.DType() || !slices.Equal(b.Shape(), a.Shape()) || !mlx.Item[bool](mlx.ArrayEqual(b, a.Mul(10))) {
			t.Errorf("%s is %v %v", path, b.DType(), b.Shape())
		}
	}
}
