package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// hasData reports whether the elements can be read: headers alone have none.
func hasData(t weights.Tensor) bool { return t.Make != nil || int64(len(t.Data)) == t.Size() }

// tensorOf is a tensor that make gives the elements of; from is what it is made of.
func tensorOf(name string, d dtype.DType, shape []int, from weights.Tensor, make func() ([]byte, error)) weights.Tensor {
	if !hasData(from) {
		make = func() ([]byte, error) { return nil, errors.New("only the headers of the files were read") }
	}
	return weights.Tensor{Tensor: safetensors.Tensor{Name: name, DType: d, RawDType: safetensors.RawDType(d), Shape: shape, File: from.File}, Make: make}
}

// viewOf is the same bytes as elements of another type and shape.
func viewOf(name string, d dtype.DType, shape []int, from weights.Tensor) weights.Tensor {
	t := from
	t.Name, t.DType, t.RawDType, t.Shape = name, d, safetensors.RawDType(d), shape
	return t
}

// floatsOf are the elements of a small tensor of floats.
func floatsOf(t weights.Tensor) ([]float32, error) {
	data, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float32, count(t.Shape))
	err = fmap.Guard(func() error {
		for i := range out {
			switch t.RawDType {
			case "F32":
				out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			case "F16":
				out[i] = dtype.F16ToF32(binary.LittleEndian.Uint16(data[2*i:]))
			case "BF16":
				out[i] = dtype.BF16ToF32(binary.LittleEndian.Uint16(data[2*i:]))
			case "F8_E4M3":
				out[i] = e4m3[data[i]]
			case "F8_E8M0":
				out[i] = e8m0(data[i])
			default:
				return checkFloats(t)
			}
		}
		return nil
	})
	return out, err
}

// checkFloats refuses what floatsOf cannot read.
func checkFloats(t weights.Tensor) error {
	switch t.RawDType {
	case "F32", "F16", "BF16", "F8_E4M3", "F8_E8M0":
		return nil
	}
	return fmt.Errorf("%s: dtype %s is not supported for scales", t.Name, t.RawDType)
}

// checkInts refuses packed tensors of another type or number of axes.
func checkInts(t weights.Tensor, axes int) error {
	if t.RawDType != "I32" && t.RawDType != "U32" {
		return fmt.Errorf("%s: dtype %s is not supported, only packed I32 is", t.Name, t.RawDType)
	}
	if len(t.Shape) != axes {
		return fmt.Errorf("%s: shape %v has %d axes, not %d", t.Name, t.Shape, len(t.Shape), axes)
	}
	return nil
}

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// putFloat stores x at index i of elements of dtype d.
func putFloat(to []byte, d dtype.DType, i int, x float32) {
	switch d {
	case dtype.BFloat16:
		binary.LittleEndian.PutUint16(to[2*i:], dtype.F32ToBF16(x))
	case dtype.Float16:
		binary.LittleEndian.PutUint16(to[2*i:], dtype.F32ToF16(x))
	default:
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(x))
	}
}

// putFloats stores x as elements of dtype d.
func putFloats(to []byte, d dtype.DType, x []float32) {
	switch d {
	case dtype.BFloat16:
		for i, v := range x {
			binary.LittleEndian.PutUint16(to[2*i:], dtype.F32ToBF16(v))
		}
	case dtype.Float16:
		for i, v := range x {
			binary.LittleEndian.PutUint16(to[2*i:], dtype.F32ToF16(v))
		}
	default:
		for i, v := range x {
			binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
		}
	}
}

// holds reports whether x is a number of dtype d.
func holds(d dtype.DType, x float32) bool {
	switch d {
	case dtype.BFloat16:
		return dtype.BF16ToF32(dtype.F32ToBF16(x)) == x
	case dtype.Float16:
		return dtype.F16ToF32(dtype.F32ToF16(x)) == x
	}
	return true
}

// inParallel runs work on bands of [0, n), multiples of step but for the last, each in a
// goroutine whose faults of mapped files are errors.
func inParallel(n, step int, work func(from, to int) error) error {
	parts := min(runtime.GOMAXPROCS(0), (n+step-1)/step)
	errs := make([]error, max(parts, 1))
	var wait sync.WaitGroup
	edge := func(part int) int { return min(n, (n+step-1)/step*part/parts*step) }
	for part := range parts {
		wait.Go(func() {
			errs[part] = fmap.Guard(func() error { return work(edge(part), edge(part+1)) })
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// e4m3 and e5m2 are the numbers of the codes of 8-bit floats: sign, exponent, mantissa.
var e4m3, e5m2 = minifloats(4, 3, false), minifloats(5, 2, true)

// minifloats are the 256 numbers of a format; ieee ones have infinities, the others one
// NaN for each sign.
func minifloats(exponentBits, mantissaBits int, ieee bool) (out [256]float32) {
	bias, top := 1<<(exponentBits-1)-1, 1<<exponentBits-1
	ones := 1<<mantissaBits - 1
	for code := range out {
		exponent, mantissa := code>>mantissaBits&top, code&ones
		x := math.Ldexp(1+float64(mantissa)/float64(ones+1), exponent-bias)
		switch {
		case exponent == 0:
			x = math.Ldexp(float64(mantissa)/float64(ones+1), 1-bias)
		case exponent == top && ieee && mantissa == 0:
			x = math.Inf(1)
		case exponent == top && (ieee || mantissa == ones):
			x = math.NaN()
		}
		if code&0x80 != 0 {
			x = -x
		}
		out[code] = float32(x)
	}
	return out
}

// e8m0 is the power of two of a code.
func e8m0(code byte) float32 {
	if code == 255 {
		return float32(math.NaN())
	}
	return float32(math.Ldexp(1, int(code)-127))
}

// e2m1 are the numbers of the codes of 4-bit floats.
var e2m1 = [16]float32{0, 0.5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -0.5, -1, -1.5, -2, -3, -4, -6}
