//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func TestScan(t *testing.T) {
	ops := []tensor.ScanOp{tensor.ScanSum, tensor.ScanProd, tensor.ScanMax, tensor.ScanMin, tensor.ScanLogAddExp}
	for _, op := range ops {
		for i, d := range rowDTypes {
			if scanOp(op, d) == "" || op == tensor.ScanLogAddExp && !d.Is(dtype.Inexact) {
				continue
			}
			if !full && d != dtype.Float32 && i%int(tensor.NumScan) != int(op) {
				continue
			}
			lo, hi := -9.0, 9.0
			if op == tensor.ScanProd {
				lo, hi = 0.9, 1.1
				if !d.Is(dtype.Inexact) {
					lo, hi = 1, 3
				}
			}
			for _, n := range []int{1, 31, 130, 5000} {
				if d != dtype.Float32 && n != 130 && !full {
					continue
				}
				if op == tensor.ScanProd && d == dtype.Complex64 && n > 130 { // overflows: which part does so first depends on the order
					continue
				}
				a := someOf(d, uint64(n), lo, hi, 2, n)
				for _, p := range []tensor.Scan{{Op: op}, {Op: op, Reverse: true}, {Op: op, Exclusive: true}, {Op: op, Reverse: true, Exclusive: true}} {
					for name, x := range stridedForms(a) {
						if name == "row-major" || n == 31 {
							sameAsCPU(t, fmt.Sprint(name, p), p, closeness{2e-5, 1e-5}, x)
						}
					}
				}
			}
		}
	}
	sameAsCPU(t, "empty", tensor.Scan{Op: tensor.ScanSum}, closeness{}, someOf(dtype.Float32, 1, 0, 1, 3, 0))
	fallsBack(t, tensor.Scan{Op: tensor.ScanLogAddExp}, someOf(dtype.Complex64, 1, 0, 1, 3))
}

func TestScanSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, v := range []float32{inf, -inf, nan} {
		x := make([]float32, 200)
		x[150] = v
		a := evaluated(tensor.FromSlice(x))
		for op := range tensor.NumScan {
			sameAsCPU(t, fmt.Sprint(v), tensor.Scan{Op: op}, closeness{1e-6, 1e-6}, a)
		}
	}
	none := make([]float32, 70)
	for i := range 40 {
		none[i] = -inf
	}
	sameAsCPU(t, "of nothing", tensor.Scan{Op: tensor.ScanLogAddExp}, closeness{1e-6, 1e-6}, evaluated(tensor.FromSlice(none)))
}

func TestLinearScan(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Float16, dtype.Complex64} {
		for _, s := range [][]int{{1}, {3, 31}, {33, 32}, {70, 65}, {2, 1000}} {
			a, b := someOf(d, 1, -0.9, 0.9, s...), someOf(d, 2, -1, 1, s...)
			for _, reverse := range []bool{false, true} {
				sameAsCPU(t, fmt.Sprint(s, reverse), tensor.LinearScan{Reverse: reverse}, closeness{1e-5, 1e-6}, a, b)
			}
		}
	}
	// factors whose products overflow
	big, zero := make([]float32, 100), make([]float32, 100)
	for i := range big {
		big[i] = 1e30
	}
	big[0] = float32(math.Inf(1))
	sameAsCPU(t, "large factors", tensor.LinearScan{}, closeness{}, evaluated(tensor.FromSlice(big)), evaluated(tensor.FromSlice(zero)))
}

func TestSort(t *testing.T) {
	for _, d := range someDTypes() {
		for _, n := range []int{1, 7, 33, 1000, 2048, 2049, 7001} {
			if d != dtype.Float32 && n > 1000 && !(n == 2049 && d.Size() == 8) && !full {
				continue
			}
			a := someOf(d, uint64(n), -300, 300, 2, n) // with ties
			for name, x := range stridedForms(a) {
				if name == "row-major" || n == 33 || n == 2049 && d == dtype.Float32 {
					sameAsCPU(t, d.String()+" "+name, tensor.Sort{}, closeness{}, x)
					sameAsCPU(t, d.String()+" "+name, tensor.ArgSort{}, closeness{}, x)
				}
			}
		}
	}
	sameAsCPU(t, "scalar", tensor.ArgSort{}, closeness{}, someOf(dtype.Float32, 1, 0, 1))
	sameAsCPU(t, "empty", tensor.Sort{}, closeness{}, someOf(dtype.Float32, 1, 0, 1, 0, 4))
}

// Equal elements keep their order, zeros of both signs are equal, NaN is last and less
// than nothing; the smallest numbers are no zeros.
func TestSortSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	some := []float32{nan, 0, float32(math.Copysign(0, -1)), inf, -inf, 1e-45, -1e-45, 3, 3, -nan, -7, 1e38}
	for _, n := range []int{12, 500, 5000} {
		x := make([]float32, n)
		for i := range x {
			x[i] = some[(i*i+i/7)%len(some)]
		}
		a := evaluated(tensor.FromSlice(x))
		for _, d := range floating {
			if n == 5000 && d != dtype.Float32 && !full {
				continue
			}
			v := evaluated(tensor.AsType(a, d, onCPU()))
			what := fmt.Sprint(d, " ", n)
			sameAsCPU(t, what, tensor.ArgSort{}, closeness{}, v)
			sorted, want := tensor.Apply1(tensor.Sort{}, onGPU(), v), tensor.Apply1(tensor.Sort{}, onCPU(), v)
			if err := tensor.Eval(sorted, want); err != nil {
				t.Fatal(err)
			}
			if string(sorted.Bytes()) != string(want.Bytes()) { // signs of zeros, too
				t.Errorf("%s: sorted bits differ", what)
			}
		}
	}
}

func TestPermuteAndSearch(t *testing.T) {
	for _, d := range rowDTypes {
		x := someOf(d, 1, -50, 50, 3, 40)
		order := evaluated(tensor.Apply1(tensor.ArgSort{}, onCPU(), someOf(dtype.Float32, 2, 0, 1, 3, 40)))
		for name, v := range stridedForms(x) {
			sameAsCPU(t, name, tensor.Permute{}, closeness{}, v, order)
		}
	}
	for _, d := range someDTypes() {
		row := evaluated(tensor.Apply1(tensor.Sort{}, onCPU(), someOf(d, 1, -50, 50, 3, 40)))
		values := someOf(d, 3, -60, 60, 3, 33)
		for _, right := range []bool{false, true} {
			sameAsCPU(t, d.String(), tensor.SearchSorted{Right: right}, closeness{}, row, values)
		}
	}
}
