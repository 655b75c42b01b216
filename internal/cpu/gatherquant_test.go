package cpu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Products of picked matrices against the same of unpacked ones, over several units of
// columns and tiles of rows.
func TestGatherQuant(t *testing.T) {
	rng := newRand(3)
	lhs := tensor.FromSlice([]int32{3, 0, -1})
	rhs := tensor.FromSlice([]int32{2, -3, 1})
	for i, s := range []quant.Scheme{{Bits: 4, GroupSize: 32}, {Bits: 3, GroupSize: 64}, {Mode: quant.NVFP4}} {
		d := []dtype.DType{dtype.BFloat16, dtype.Float32, dtype.Float16}[i]
		for _, m := range []int{1, 3, 70} {
			for _, transpose := range []bool{true, false} {
				k, n := 64, 320
				w, _ := normalArray(rng, d, 3, n, k)
				if !transpose {
					w, _ = normalArray(rng, d, 3, k, n)
				}
				x, vx := normalArray(rng, d, 4, m, k)
				q := quant.QuantizeOf(w, s, none)
				var biases *tensor.Array
				if len(q) > 2 {
					biases = q[2]
				}
				y := quant.GatherOf(x, q[0], q[1], biases, lhs, rhs, quant.GatherMatMul{Scheme: s, Transpose: transpose}, none)
				vw := values(t, quant.DequantizeOf(q[0], q[1], biases, s, dtype.Float32, none))
				var want []value
				for pair, a := range []int{3, 0, 3} {
					b := []int{2, 0, 1}[pair]
					for r := range m {
						for c := range n {
							var z float64
							for l := range k {
								at := (b*n+c)*k + l
								if !transpose {
									at = (b*k+l)*n + c
								}
								z += vx[(a*m+r)*k+l] * real(vw[at].z)
							}
							want = append(want, value{z: complex(z, 0)})
						}
					}
				}
				compareValues(t, fmt.Sprint(s, m, transpose), d, values(t, y), want, float64(k)*8)
			}
		}
	}
}

// An index that is out of range is an error.
func TestGatherQuantFaults(t *testing.T) {
	w, _ := normalArray(newRand(1), dtype.Float32, 3, 8, 64)
	x, _ := normalArray(newRand(2), dtype.Float32, 2, 1, 64)
	q := quant.QuantizeOf(w, quant.Scheme{}, none)
	for _, ids := range [][2]int32{{2, 0}, {0, 3}, {-3, 0}, {0, -4}} {
		y := quant.GatherOf(x, q[0], q[1], q[2], tensor.FromSlice(ids[:1]), tensor.FromSlice(ids[1:]), quant.GatherMatMul{Transpose: true}, none)
		err := tensor.Eval(y)
		if err == nil || !strings.Contains(err.Error(), "out of range") {
			t.Errorf("indices %v: %v", ids, err)
		}
	}
}
