package cpu

import (
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func TestSmoke(t *testing.T) {
	var z tensor.Stream
	a := tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	b := tensor.BinaryOf(tensor.OpAdd, a, tensor.FloatScalar(1, dtype.Float32, z), z)
	c := tensor.MatMulOf(b, tensor.SwapAxes(a, 0, 1, z), z)
	t.Log(tensor.ToSlice[float32](c))
	t.Log(tensor.ToSlice[float32](tensor.ReduceOf(tensor.OpSum, c, nil, false, z)))
	t.Log(tensor.ToSlice[float32](tensor.SoftmaxOf(c, 0, z)))
	t.Log(tensor.ToSlice[uint32](tensor.ArgSortOf(c, 0, z)))
}

func BenchmarkTiny(b *testing.B) {
	var z tensor.Stream
	x := tensor.FromSlice([]float32{1})
	b.ReportAllocs()
	for b.Loop() {
		y := x
		for range 100 {
			y = tensor.BinaryOf(tensor.OpAdd, y, x, z)
		}
		if err := tensor.Eval(y); err != nil {
			b.Fatal(err)
		}
	}
}
