//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// rowDTypes are those that reductions, scans and sorting have kernels for.
var rowDTypes = []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Float16, dtype.Int64, dtype.Bool, dtype.Int8, dtype.Complex64,
	dtype.Uint8, dtype.Uint16, dtype.Uint32, dtype.Uint64, dtype.Int16, dtype.Int32}

// someDTypes leaves those out of short tests that are like others.
func someDTypes() []dtype.DType {
	if full {
		return rowDTypes
	}
	return rowDTypes[:7]
}

// reduceCase is a shape and axes: for each of the kernels, and sizes around those of
// simdgroups and threadgroups.
type reduceCase struct {
	shape []int
	axes  []int
}

var reduceCases = []reduceCase{
	{[]int{1}, []int{0}},
	{[]int{5, 7}, []int{1}},
	{[]int{31, 33}, []int{1}},
	{[]int{3, 1000}, []int{1}},
	{[]int{2, 3001}, []int{1}},
	{[]int{33, 31}, []int{0}},
	{[]int{1000, 40}, []int{0}},
	{[]int{2, 70, 9}, []int{1}},
	{[]int{3, 5, 4, 33}, []int{0, 2}},
	{[]int{3, 5, 4, 33}, []int{1, 3}},
	{[]int{40, 3, 33}, []int{0, 1, 2}},
	{[]int{20001}, []int{0}},
	{[]int{}, nil},
}

func TestReduceShapes(t *testing.T) {
	for _, c := range reduceCases {
		a := someOf(dtype.Float32, 1, -2, 3, c.shape...)
		for _, op := range []tensor.ReduceOp{tensor.OpSum, tensor.OpMax} {
			p := tensor.Reduce{Op: op, Axes: tensor.MakeAxes(c.axes...)}
			for name, x := range stridedForms(a) {
				sameAsCPU(t, name, p, closeness{1e-5, 1e-5}, x)
			}
		}
	}
	wide := evaluated(tensor.BroadcastTo(someOf(dtype.Float32, 2, 0, 1, 1, 33), tensor.Shape{50, 33}, onCPU()))
	for axis := range 2 {
		sameAsCPU(t, "broadcast", tensor.Reduce{Op: tensor.OpSum, Axes: tensor.MakeAxes(axis)}, closeness{1e-5, 1e-5}, wide)
	}
}

// Every op and dtype, in a row, in columns and in two passes.
func TestReduceDTypes(t *testing.T) {
	shapes := []reduceCase{{[]int{3, 100}, []int{1}}}
	if full {
		shapes = append(shapes, reduceCase{[]int{100, 33}, []int{0}}, reduceCase{[]int{17000}, []int{0}}, reduceCase{[]int{4, 3}, []int{1}}, reduceCase{[]int{2, 2000}, []int{1}})
	}
	for op := range tensor.NumReduce {
		for i, d := range rowDTypes {
			if foldTypes[op][d] == "" || !full && op != tensor.OpSum && i%int(tensor.NumReduce) != int(op) && d != dtype.Bool {
				continue
			}
			for _, c := range shapes {
				lo, hi := -3.0, 4.0
				if op == tensor.OpProd {
					lo, hi = 0.9, 1.12
					if !d.Is(dtype.Inexact) {
						lo, hi = 1, 4
					}
				}
				if op == tensor.OpAll {
					lo, hi = 1, 2
				}
				sameAsCPU(t, d.String(), tensor.Reduce{Op: op, Axes: tensor.MakeAxes(c.axes...)}, closeness{1e-4, 1e-5}, someOf(d, 3, lo, hi, c.shape...))
			}
		}
	}
	for _, op := range []tensor.ReduceOp{tensor.OpAll, tensor.OpAny} {
		x := make([]bool, 70)
		x[69] = op == tensor.OpAny
		sameAsCPU(t, "the last", tensor.Reduce{Op: op, Axes: 1}, closeness{}, evaluated(tensor.FromSlice(x)))
	}
}

func TestReduceTwoPasses(t *testing.T) {
	for i, d := range []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Int64} {
		for j, op := range []tensor.ReduceOp{tensor.OpSum, tensor.OpMean, tensor.OpMin} {
			if foldTypes[op][d] == "" || !full && i != j {
				continue
			}
			p := tensor.Reduce{Op: op, Axes: 1}
			sameAsCPU(t, "row", p, closeness{1e-5, 1e-5}, someOf(d, 4, -3, 100, 17001))
			sameAsCPU(t, "columns", p, closeness{1e-5, 1e-5}, someOf(d, 5, -3, 100, 600, 9))
		}
	}
}

func TestReduceSpecialValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, n := range []int{5, 40, 2500} { // by a thread, a simdgroup, a threadgroup
		for _, v := range []float32{nan, inf, -inf} {
			for _, at := range []int{0, n / 2, n - 1} {
				x := make([]float32, n)
				x[at] = v
				a := evaluated(tensor.FromSlice(x))
				for _, op := range []tensor.ReduceOp{tensor.OpMax, tensor.OpMin, tensor.OpSum} {
					sameAsCPU(t, fmt.Sprintf("%v at %d of %d", v, at, n), tensor.Reduce{Op: op, Axes: 1}, closeness{}, a)
				}
				sameAsCPU(t, fmt.Sprintf("%v at %d of %d", v, at, n), tensor.ArgReduce{}, closeness{}, a)
				sameAsCPU(t, fmt.Sprintf("%v at %d of %d", v, at, n), tensor.ArgReduce{Min: true}, closeness{}, a)
			}
		}
	}
}

// Sums of nothing are 0, products 1, means NaN.
func TestReduceEmpty(t *testing.T) {
	none := someOf(dtype.Float32, 6, 0, 1, 3, 0)
	for _, op := range []tensor.ReduceOp{tensor.OpSum, tensor.OpProd, tensor.OpMean} {
		sameAsCPU(t, "no elements", tensor.Reduce{Op: op, Axes: tensor.MakeAxes(1)}, closeness{}, none)
		sameAsCPU(t, "no results", tensor.Reduce{Op: op, Axes: tensor.MakeAxes(0)}, closeness{}, none)
	}
	for _, op := range []tensor.ReduceOp{tensor.OpAll, tensor.OpAny} {
		sameAsCPU(t, "no elements", tensor.Reduce{Op: op, Axes: tensor.MakeAxes(1)}, closeness{}, someOf(dtype.Bool, 6, 0, 1, 3, 0))
	}
}

// Ties go to the first.
func TestArgReduce(t *testing.T) {
	for _, d := range someDTypes() {
		for _, n := range []int{1, 31, 1000, 5003} {
			a := someOf(d, uint64(n), -20, 20, 3, n)
			for _, min := range []bool{false, true} {
				for name, x := range stridedForms(a) {
					if d == dtype.Float32 || name == "row-major" {
						sameAsCPU(t, d.String()+" "+name, tensor.ArgReduce{Min: min}, closeness{}, x)
					}
				}
			}
		}
	}
	zeros := evaluated(tensor.FromSlice([]float32{-1, float32(math.Copysign(0, -1)), 0, -2}))
	sameAsCPU(t, "zeros", tensor.ArgReduce{}, closeness{}, zeros)
}

func TestReduceFallsBack(t *testing.T) {
	fallsBack(t, tensor.Reduce{Op: tensor.OpSum, Axes: 1}, evaluated(tensor.AsType(someOf(dtype.Float32, 1, 0, 1, 5), dtype.Float64, onCPU())))
}

// Sums of many elements are as exact as parts added in float32 allow: to a millionth of
// the sum of magnitudes, that of float64 being the judge.
func TestReduceAccuracy(t *testing.T) {
	for _, s := range [][]int{{1, 1 << 20}, {100_000, 12}, {3000, 33, 5}} {
		x := someOf(dtype.Float32, 9, 0, 1, s...)
		values := tensor.ToSlice[float32](x)
		for axis := range len(s) {
			inner := tensor.Shape(s[axis+1:]).Size()
			want := make([]float64, len(values)/s[axis])
			for i, v := range values {
				want[i/(inner*s[axis])*inner+i%inner] += float64(v)
			}
			got := tensor.ToSlice[float32](tensor.Apply1(tensor.Reduce{Op: tensor.OpSum, Axes: tensor.MakeAxes(axis)}, onGPU(), x))
			for i, w := range want {
				if d := math.Abs(float64(got[i]) - w); d > 1e-6*w {
					t.Fatalf("%v axis %d: sum %d is %v, want %v", s, axis, i, got[i], w)
				}
			}
		}
	}
	x := someOf(dtype.Float32, 10, 0, 1, 100_000)
	sum := 0.0
	sums := tensor.ToSlice[float32](tensor.Apply1(tensor.Scan{Op: tensor.ScanSum}, onGPU(), x))
	for i, v := range tensor.ToSlice[float32](x) {
		if sum += float64(v); math.Abs(float64(sums[i])-sum) > 2e-6*sum {
			t.Fatalf("sum of the first %d is %v, want %v", i+1, sums[i], sum)
		}
	}
}
