// Data parallel training: each process computes the gradients of its part of the batch,
// and all take the same step. The losses are those of one process with the whole batch:
//
//	mlx launch -n 2 -- go run ./examples/data_parallel
package main

import (
	"fmt"
	"log"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/distributed"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
	"github.com/mlxgo/mlx/random"
)

// MLP is a small regression model.
type MLP struct{ Linear1, Linear2 nn.Layer }

// Forward is [..., 4] to [..., 1].
func (m *MLP) Forward(x *mlx.Array) *mlx.Array {
	return m.Linear2.Forward(nn.Tanh(m.Linear1.Forward(x)))
}

const batch = 240 // examples, of all processes together

func main() {
	group, err := distributed.Init()
	if err != nil {
		log.Fatal(err)
	}
	if batch%group.Size() != 0 {
		log.Fatalf("%d processes do not divide the batch of %d", group.Size(), batch)
	}

	random.Seed(0) // the same data and weights on all processes
	x := random.Normal(mlx.Shape{batch, 4})
	y := mlx.Sin(mlx.Sum(x, mlx.Axis(1), mlx.KeepDims(true)))
	model := &MLP{nn.NewLinear(4, 32), nn.NewLinear(32, 1)}
	opt := optim.SGD(0.2)

	x = mlx.Split(x, group.Size())[group.Rank()]
	y = mlx.Split(y, group.Size())[group.Rank()]

	for step := range 101 {
		loss, grads := nn.ValueAndGrad(model, func(m *MLP) *mlx.Array {
			return nn.MSELoss(m.Forward(x), y)
		})
		opt.Update(model, nn.AverageGradients(grads, group))
		loss = distributed.AllSum(loss, group).Div(group.Size())
		if err := mlx.Eval(model, opt, loss); err != nil {
			log.Fatalf("rank %d: %v", group.Rank(), err)
		}
		if step%20 == 0 {
			fmt.Printf("step %3d  loss %.4f\n", step, mlx.Item[float32](loss))
		}
	}
	if err := group.Close(); err != nil {
		log.Fatal(err)
	}
}
