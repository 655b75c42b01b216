//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

func TestBits(t *testing.T) {
	key := tensor.FromSlice([]uint32{0x12345678, 0x9abcdef0}, 2)
	for _, width := range []int{1, 2, 4} {
		for _, n := range []int{0, 1, 2, 3, 5, 31, 33, 1000, 10007} {
			agree(t, fmt.Sprint(n, " of width ", width), random.Bits{Shape: tensor.MakeInts(n), Width: width}, 0, key)
		}
	}
}

func TestInverseCDF(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 21))
	for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16} {
		if d == dtype.BFloat16 && !full {
			continue
		}
		for _, shape := range [][]int{{1}, {31}, {1000}, {3, 257}, {2, 3, 1025}, {40000}} {
			v := make([]float32, tensor.Shape(shape).Size())
			for i := range v {
				v[i] = float32(3 * rng.NormFloat64())
			}
			logits := tensor.AsType(tensor.FromSlice(v, shape...), d, onCPU())
			draws := append(append([]int(nil), shape[:len(shape)-1]...), 50)
			u := make([]float32, tensor.Shape(draws).Size())
			for i := range u {
				u[i] = rng.Float32()
			}
			u[0] = 0
			agree(t, fmt.Sprint(shape), random.InverseCDF{}, 0, logits, tensor.FromSlice(u, draws...))
		}
	}
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	u := tensor.FromSlice([]float32{0, 0.3, 0.6, 0.99999}, 4)
	for _, row := range [][]float32{{0, inf, 1, inf}, {-inf, -inf, -inf}, {-inf, 0, -inf, 0, -inf}, {0, nan, 3}, {0, -200, -200}} {
		agree(t, fmt.Sprint(row), random.InverseCDF{}, 0, tensor.FromSlice(row, len(row)), u)
	}
}

func TestInverseCDFOfColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 22))
	v := make([]float32, 300*4)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	logits := tensor.Apply1(tensor.Transpose{Perm: tensor.MakeInts(1, 0)}, onCPU(), tensor.FromSlice(v, 300, 4))
	u := tensor.FromSlice([]float32{0.1, 0.5, 0.7, 0.9}, 4)
	agree(t, "columns", random.InverseCDF{}, 0, logits, u)
}
