package nn

import (
	"reflect"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/distributed"
	"github.com/mlxgo/mlx/internal/tree"
)

// messageBytes is all_reduce_size of nn.average_gradients: small gradients go together
// in messages of about this size.
const messageBytes = 32 << 20

// AverageGradients is nn.average_gradients(gradients, group): the mean of the gradients
// over all processes, the same bits on each, a tree of the same type, shapes and dtypes.
// Small ones are joined to messages of 32 MiB, those of each dtype together; MLX joins
// none when dtypes differ. All processes call it with trees of the same arrays. A nil
// group is that of distributed.Init. In a group of one the gradients are returned as they
// are. It panics with *mlx.Error if Init fails; a lost process is an error of Eval.
func AverageGradients[M any](grads M, g *distributed.Group) M {
	if g == nil {
		var err error
		if g, err = distributed.Init(); err != nil {
			panic(&mlx.Error{Op: "nn.average_gradients", Err: err})
		}
	}
	if g.Size() == 1 {
		return grads
	}
	return averageGradients(grads, func(x *mlx.Array) *mlx.Array { return distributed.AllSum(x, g).Div(g.Size()) })
}

// averageGradients is AverageGradients with the mean of one array over all processes.
func averageGradients[M any](grads M, over func(x *mlx.Array) *mlx.Array) M {
	mean := map[*mlx.Array]*mlx.Array{}
	for _, message := range messages(tree.Arrays(reflect.ValueOf(grads))) {
		for i, a := range average(message, over) {
			mean[message[i]] = a
		}
	}
	return tree.Map(grads, func(_ string, _ bool, a *mlx.Array) *mlx.Array { return mean[a] })
}

// messages groups arrays of a dtype, in their order, until a message is large enough.
func messages(arrays mlx.Arrays) []mlx.Arrays {
	var out []mlx.Arrays
	open := map[mlx.DType]int{} // messages of out that take more
	size := map[mlx.DType]int{}
	for _, a := range arrays {
		d := a.DType()
		at, ok := open[d]
		if !ok {
			at = len(out)
			out, open[d], size[d] = append(out, nil), at, 0
		}
		out[at] = append(out[at], a)
		if size[d] += a.NBytes(); size[d] >= messageBytes {
			delete(open, d)
		}
	}
	return out
}

// average is the means of arrays of one dtype, which go in one message.
func average(arrays mlx.Arrays, over func(x *mlx.Array) *mlx.Array) mlx.Arrays {
	if len(arrays) == 1 {
		return mlx.Arrays{over(arrays[0])}
	}
	flat := make(mlx.Arrays, len(arrays))
	ends := make([]int, len(arrays))
	n := 0
	for i, a := range arrays {
		flat[i] = mlx.Reshape(a, mlx.Shape{a.Size()})
		n += a.Size()
		ends[i] = n
	}
	parts := mlx.Split(over(mlx.Concatenate(flat)), ends[:len(ends)-1])
	for i, p := range parts {
		parts[i] = mlx.Reshape(p, arrays[i].Shape())
	}
	return parts
}
