package cpu

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/internal/threefry"
)

func TestBits(t *testing.T) {
	key := threefry.NewKey(42)
	k := tensor.FromSlice(key[:])
	for _, width := range []int{1, 2, 4} {
		for _, n := range []int{1, 2, 3, 4, 5, 7, 64, 1001, 60_001} {
			want := make([]byte, n*width)
			threefry.FillBytes(key, want)
			if got := random.BitsOf(k, tensor.Shape{n}, width, none).Bytes(); !bytes.Equal(got, want) {
				t.Errorf("%d elements of %d bytes differ", n, width)
			}
		}
	}
}

func TestInverseCDF(t *testing.T) {
	for _, d := range floating {
		for _, l := range layouts {
			rng := newRand(uint64(d) | 16<<20)
			x, v := place(rng, l, d, []int{3, 50}, plain(rng))
			u, uv := place(rng, layouts[0], dtype.Float32, []int{3, 9}, func() value { return value{z: complex(rng.Float64(), 0)} })
			var want []value
			for i, q := range uv {
				row := floatsOf(v[i/9*50 : i/9*50+50])
				var total, sum float64
				for _, f := range row {
					total += math.Exp(f)
				}
				at := 0
				for j, f := range row {
					if sum <= real(q.z)*total {
						at = j
					}
					sum += math.Exp(f)
				}
				want = append(want, value{u: uint64(at)})
			}
			got := values(t, tensor.Apply1(random.InverseCDF{}, none, x, u))
			compareValues(t, fmt.Sprintf("inverse_cdf %v %s", d, l.name), dtype.Uint32, got, want, 0)
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := tensor.FromSlice([]float32{0, nan, 0, -inf, -inf, -inf, 0, inf, inf, -inf, 1, -inf}, 4, 3)
	u := tensor.FromSlice([]float32{.5, .99, .6, .9}, 4)
	if got := tensor.ToSlice[uint32](tensor.Apply1(random.InverseCDF{}, none, x, u)); fmt.Sprint(got) != "[2 2 2 1]" {
		t.Errorf("odd logits give %v, want [2 2 2 1]", got)
	}
}

func TestRecordedRandom(t *testing.T) {
	g := golden(t, "random")
	for _, seed := range []int{0, 1, 42} {
		k := g(fmt.Sprintf("%d.key", seed))
		for name, got := range map[string]*tensor.Array{
			"split":       random.Split(k, 3, none),
			"normal":      random.Normal(k, tensor.Shape{8, 3}, dtype.Float32, nil, nil, none),
			"permutation": random.Permutation(k, 17, none),
			"gumbel":      random.Gumbel(k, tensor.Shape{20}, dtype.Float32, none),
		} {
			key := fmt.Sprintf("%d.%s", seed, name)
			agree(t, key, got, g(key))
		}
	}
}
