package cpu

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestLongRows sorts rows that are long enough to be sorted digit by digit, against
// a stable sort by value, NaN last, zeros of both signs equal.
func TestLongRows(t *testing.T) {
	rng := newRand(7)
	for _, k := range []int{radixMin - 1, radixMin, radixMin + 1, 4099} {
		for _, kind := range []string{"any", "few", "one", "bits"} {
			x := make([]float32, 2*k)
			for i := range x {
				switch kind {
				case "any":
					x[i] = float32(rng.NormFloat64())
				case "few":
					x[i] = []float32{0, float32(math.Copysign(0, -1)), 1, -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[rng.IntN(7)]
				case "one":
					x[i] = 3
				case "bits":
					x[i] = math.Float32frombits(rng.Uint32())
				}
			}
			a := tensor.FromSlice(x, 2, k)
			order := tensor.ToSlice[uint32](tensor.Apply1(tensor.ArgSort{}, none, a))
			sorted := tensor.ToSlice[float32](tensor.Apply1(tensor.Sort{}, none, a))
			for r := range 2 {
				row := x[r*k:][:k]
				want := make([]uint32, k)
				for i := range want {
					want[i] = uint32(i)
				}
				slices.SortStableFunc(want, func(i, j uint32) int {
					switch a, b := row[i], row[j]; {
					case a != a || b != b:
						return cmp.Compare(boolInt(a != a), boolInt(b != b))
					default:
						return cmp.Compare(a, b)
					}
				})
				if !slices.Equal(order[r*k:][:k], want) {
					t.Fatalf("%s, %d: the order of row %d is another", kind, k, r)
				}
				for i, j := range want {
					if math.Float32bits(sorted[r*k+i]) != math.Float32bits(row[j]) {
						t.Fatalf("%s, %d: element %d of row %d is %v, want %v", kind, k, i, r, sorted[r*k+i], row[j])
					}
				}
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestRunningSums: rows that are summed together are those summed alone.
func TestRunningSums(t *testing.T) {
	rng := newRand(8)
	const n, k = 11, 37
	l := layouts[0]
	a, vals := place(rng, l, dtype.Float32, []int{n, k}, random64(rng, dtype.Float32, false))
	got := tensor.ToSlice[float32](tensor.Apply1(tensor.Scan{Op: tensor.ScanSum}, none, a))
	for r := range n {
		acc := 0.0
		for i := range k {
			acc += real(vals[r*k+i].z)
			if got[r*k+i] != float32(acc) {
				t.Fatalf("row %d, element %d is %v, want %v", r, i, got[r*k+i], float32(acc))
			}
		}
	}
}
