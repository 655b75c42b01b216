//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

var floating = []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16}

// rowSizes are around those of a thread's elements, a simdgroup's, and a threadgroup's.
var rowSizes = []int{1, 3, 31, 33, 128, 129, 1000, 4096, 4099}

func TestSoftmax(t *testing.T) {
	for _, d := range floating {
		for _, n := range rowSizes {
			a := someOf(d, uint64(n), -8, 8, 2, 3, n)
			for name, x := range stridedForms(a) {
				if n > 200 && name != "row-major" {
					continue
				}
				sameAsCPU(t, name, tensor.Softmax{}, closeness{1e-6, 1e-7}, x)
				sameAsCPU(t, name, tensor.LogSumExp{}, closeness{1e-6, 1e-6}, x)
			}
		}
	}
	sameAsCPU(t, "empty", tensor.Softmax{}, closeness{}, someOf(dtype.Float32, 1, 0, 1, 0, 5))
	sameAsCPU(t, "a broadcast row", tensor.Softmax{}, closeness{1e-6, 1e-7}, evaluated(tensor.BroadcastTo(someOf(dtype.Float32, 1, 0, 1, 1, 40), tensor.Shape{3, 40}, onCPU())))
}

// Masked elements count nothing, also when a thread has no others; NaN and infinities
// are as on the CPU.
func TestSoftmaxSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, n := range []int{7, 300, 5000} {
		rows := map[string]func(x []float32){
			"the first half masked": func(x []float32) {
				for i := range n / 2 {
					x[i] = -inf
				}
			},
			"all but the last masked": func(x []float32) {
				for i := range n - 1 {
					x[i] = -inf
				}
			},
			"all masked": func(x []float32) {
				for i := range x {
					x[i] = -inf
				}
			},
			"large":            func(x []float32) { x[n/2] = 3e38 },
			"infinite":         func(x []float32) { x[n/2] = inf },
			"NaN":              func(x []float32) { x[n-1] = nan },
			"NaN and infinite": func(x []float32) { x[0], x[n-1] = nan, inf },
		}
		for name, change := range rows {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(i%13) - 6
			}
			change(x)
			a := evaluated(tensor.FromSlice(x))
			name = fmt.Sprintf("%s of %d", name, n)
			sameAsCPU(t, name, tensor.Softmax{}, closeness{1e-6, 1e-7}, a)
			sameAsCPU(t, name, tensor.LogSumExp{}, closeness{1e-6, 1e-6}, a)
		}
	}
}

func TestNorms(t *testing.T) {
	eps, one := tensor.MakeF64(1e-5), tensor.MakeF64(1)
	tol := closeness{2e-6, 1e-6}
	for _, d := range floating {
		rounded := tol // what is rounded before weight and bias: its last bit may stand out of the result
		rounded.rel += map[dtype.DType]float64{dtype.Float16: 1.0 / 1024, dtype.BFloat16: 1.0 / 128}[d]
		for _, n := range rowSizes {
			if d != dtype.Float32 && n > 1000 && !full {
				continue
			}
			x, w, b := someOf(d, 1, -2, 5, 2, 3, n), someOf(d, 2, -1, 1, n), someOf(d, 3, -1, 1, n)
			sameAsCPU(t, "rms", fast.RMSNorm{Eps: eps}, tol, x)
			sameAsCPU(t, "rms, weight", fast.RMSNorm{Eps: eps}, rounded, x, w)
			sameAsCPU(t, "rms, weight + 1", fast.RMSNorm{Eps: eps, Offset: one}, rounded, x, w)
			sameAsCPU(t, "layer", fast.LayerNorm{Eps: eps}, tol, x)
			sameAsCPU(t, "layer, weight", fast.LayerNorm{Eps: eps, Offset: one, Weight: true}, rounded, x, w)
			sameAsCPU(t, "layer, bias", fast.LayerNorm{Eps: eps, Bias: true}, rounded, x, b)
			sameAsCPU(t, "layer, weight, bias", fast.LayerNorm{Eps: eps, Weight: true, Bias: true}, rounded, x, w, b)
		}
	}
	x, w := someOf(dtype.Float32, 1, -2, 5, 4, 3, 70), someOf(dtype.Float32, 2, -1, 1, 70)
	for name, v := range stridedForms(x) {
		sameAsCPU(t, name, fast.RMSNorm{Eps: eps}, tol, v, w)
		sameAsCPU(t, name, fast.LayerNorm{Eps: eps, Weight: true}, tol, v, w)
	}
	sameAsCPU(t, "a wider weight", fast.RMSNorm{Eps: eps}, tol, someOf(dtype.BFloat16, 1, -2, 5, 3, 70), w)
	sameAsCPU(t, "empty", fast.RMSNorm{Eps: eps}, tol, someOf(dtype.Float32, 1, 0, 1, 0, 70), w)
	wide := evaluated(tensor.AsType(x, dtype.Float64, onCPU()))
	fallsBack(t, fast.RMSNorm{Eps: eps}, wide, w)
}

func TestNormVJP(t *testing.T) {
	eps, one := tensor.MakeF64(1e-5), tensor.MakeF64(1)
	for _, d := range floating {
		for _, n := range []int{1, 33, 300, 1500} {
			if d != dtype.Float32 && n != 33 {
				continue
			}
			for _, rows := range []int{1, 5, 400} {
				if n > 33 && rows > 5 {
					continue
				}
				x, w, c := someOf(d, 1, -2, 3, rows, n), someOf(d, 2, -1, 1, n), someOf(d, 3, -1, 1, rows, n)
				tol := closeness{2e-5, 2e-6}
				sameAsCPU(t, "rms", fast.NormVJP{Eps: eps}, tol, x, c)
				sameAsCPU(t, "rms, weight", fast.NormVJP{Eps: eps, Offset: one, Weight: true}, tol, x, w, c)
				if n > 1 { // of one element all is rounding
					sameAsCPU(t, "layer", fast.NormVJP{Eps: eps, Layer: true}, tol, x, c)
					sameAsCPU(t, "layer, weight, bias", fast.NormVJP{Eps: eps, Layer: true, Weight: true, Bias: true}, tol, x, w, c)
					sameAsCPU(t, "layer, bias", fast.NormVJP{Eps: eps, Layer: true, Bias: true}, tol, x, c)
				}
			}
		}
	}
	x, w, c := someOf(dtype.Float32, 1, -2, 3, 6, 40), someOf(dtype.Float32, 2, -1, 1, 40), someOf(dtype.Float32, 3, -1, 1, 6, 40)
	for name, v := range stridedForms(x) {
		sameAsCPU(t, name, fast.NormVJP{Eps: eps, Layer: true, Weight: true, Bias: true}, closeness{2e-5, 2e-6}, v, w, c)
		sameAsCPU(t, name+" cotangent", fast.NormVJP{Eps: eps, Weight: true}, closeness{2e-5, 2e-6}, x, w, stridedForms(c)[name])
	}
}

func TestRoPE(t *testing.T) {
	base, zero := tensor.MakeF64(10000), tensor.MakeF64(0)
	offset := evaluated(tensor.FromSlice([]int32{7}))
	offsets := evaluated(tensor.FromSlice([]int32{0, 11, 100000}))
	periods := someOf(dtype.Float32, 5, 1, 900, 8)
	tol := closeness{3e-6, 1e-6}
	for _, d := range floating {
		x := someOf(d, 1, -2, 2, 3, 6, 5, 20)
		for _, traditional := range []bool{false, true} {
			for _, inverse := range []bool{false, true} {
				p := fast.RoPE{Dims: 16, Traditional: traditional, Inverse: inverse, Base: base, Scale: tensor.MakeF64(0.5)}
				sameAsCPU(t, fmt.Sprint("base ", traditional, inverse), p, tol, x, offset)
				sameAsCPU(t, fmt.Sprint("offsets ", traditional, inverse), p, closeness{2e-2, 1e-6}, x, offsets) // angles of 50000 have an error of 0.004
				p.Base = zero
				sameAsCPU(t, fmt.Sprint("periods ", traditional, inverse), p, tol, x, offset, periods)
			}
		}
	}
	p := fast.RoPE{Dims: 20, Base: base, Scale: tensor.MakeF64(1)}
	for name, v := range stridedForms(someOf(dtype.Float32, 1, -2, 2, 2, 3, 5, 20)) {
		sameAsCPU(t, name, p, tol, v, offset)
	}
	turned := evaluated(tensor.SwapAxes(someOf(dtype.Float32, 1, -2, 2, 2, 5, 3, 20), 1, 2, onCPU()))
	sameAsCPU(t, "heads after positions", p, tol, turned, offset)
	sameAsCPU(t, "no heads", p, tol, someOf(dtype.Float32, 1, -2, 2, 2, 5, 20), offset)
	sameAsCPU(t, "two axes of heads", p, tol, evaluated(tensor.SwapAxes(someOf(dtype.Float32, 1, -2, 2, 2, 3, 5, 4, 20), 1, 2, onCPU())), offset)
}
