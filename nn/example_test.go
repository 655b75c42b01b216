package nn_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
	"github.com/mlxgo/mlx/random"
)

// Net is a module: a struct with a Forward method.
type Net struct {
	Linear1, Linear2 nn.Layer
}

// Forward is [..., 4] to [..., 2].
func (n *Net) Forward(x *mlx.Array) *mlx.Array {
	return n.Linear2.Forward(nn.ReLU(n.Linear1.Forward(x)))
}

func ExampleSprint() {
	net := &Net{nn.NewLinear(4, 64), nn.NewLinear(64, 2, nn.Bias(false))}
	fmt.Println(nn.Sprint(net))
	nn.Quantize(net, mlx.Bits(8), nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) {
		return mlx.Scheme{}, path == "linear2"
	}))
	fmt.Println(nn.NewSequential(nn.Func(nn.GELU), net.Linear2))
	// Output:
	// Net(
	//   (linear1): Linear(input_dims=4, output_dims=64, bias=True)
	//   (linear2): Linear(input_dims=64, output_dims=2, bias=False)
	// )
	// Sequential(
	//   (layers.0): GELU()
	//   (layers.1): QuantizedLinear(input_dims=64, output_dims=2, bias=False, group_size=64, bits=8, mode=affine)
	// )
}

func ExampleParameters() {
	net := &Net{nn.NewLinear(4, 8), nn.NewLinear(8, 2, nn.Bias(false))}
	for path, p := range nn.Parameters(net) {
		fmt.Println(path, p.Shape())
	}
	fmt.Println(nn.NumParameters(net))
	// Output:
	// linear1.weight (8, 4)
	// linear1.bias (8,)
	// linear2.weight (2, 8)
	// 56
}

func ExampleValueAndGrad() {
	random.Seed(0)
	x := random.Normal(mlx.Shape{64, 4})
	y := mlx.Sum(x, mlx.Axis(-1), mlx.KeepDims(true)) // to be learned
	net := &Net{nn.NewLinear(4, 16), nn.NewLinear(16, 1)}
	opt := optim.Adam(1e-2)
	var loss *mlx.Array
	for range 200 {
		var grads *Net
		loss, grads = nn.ValueAndGrad(net, func(n *Net) *mlx.Array { return nn.MSELoss(n.Forward(x), y) })
		opt.Update(net, grads)
		if err := mlx.Eval(net, opt); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(mlx.Item[float32](loss) < 0.01)
	// Output: true
}

func ExampleTrainableParameters() {
	net := &Net{nn.NewLinear(4, 8), nn.NewLinear(8, 2)}
	for path := range nn.TrainableParameters(net, nn.Under("linear2"), nn.Named("bias").Not()) {
		fmt.Println(path)
	}
	// Output: linear2.weight
}

func ExampleCrossEntropy() {
	logits := mlx.NewArray([][]float64{{2, -1}, {-1, 2}})
	classes := mlx.NewArray([]int{0, 0})
	fmt.Printf("%.4f\n", nn.CrossEntropy(logits, classes))
	fmt.Printf("%.4f\n", nn.CrossEntropy(logits, classes, nn.Reduction("mean")))
	// Output:
	// array([0.0486, 3.0486], dtype=float32)
	// 1.5486
}
