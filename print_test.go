package mlx_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fft"
	"github.com/mlxgo/mlx/internal/tensor"
)

var (
	nan, inf = math.NaN(), math.Inf(1)
	negZero  = math.Copysign(0, -1)
)

func arr(v any, d ...mlx.CreateOption) *mlx.Array { return mlx.NewArray(v, d...) }

// sliced is x[start:stop:step] of a vector; the stop of a negative step may be -1.
func sliced(x *mlx.Array, start, stop, step int) *mlx.Array {
	p := tensor.Slice{Start: tensor.MakeInts(start), Stop: tensor.MakeInts(stop), Step: tensor.MakeInts(step)}
	return tensor.Apply1(p, mlx.Stream{}, x)
}

// withPrecision prints a under these options.
func withPrecision(n int, a *mlx.Array) string {
	defer mlx.SetPrintOptions(mlx.SetPrintOptions(mlx.PrintOptions{Precision: n}))
	return a.String()
}

type floats = []float64

var manyHalf = floats{3.14159265, 2.71828, 123.456, 0.00012345, -9.87}

// printCases are the Python expressions of print.json in Go.
var printCases = map[string]func() any{
	"0-d bool_":                 func() any { return arr(1, mlx.Bool) },
	"0-d uint8":                 func() any { return arr(1, mlx.Uint8) },
	"0-d uint16":                func() any { return arr(1, mlx.Uint16) },
	"0-d uint32":                func() any { return arr(1, mlx.Uint32) },
	"0-d uint64":                func() any { return arr(1, mlx.Uint64) },
	"0-d int8":                  func() any { return arr(1, mlx.Int8) },
	"0-d int16":                 func() any { return arr(1, mlx.Int16) },
	"0-d int32":                 func() any { return arr(1, mlx.Int32) },
	"0-d int64":                 func() any { return arr(1, mlx.Int64) },
	"0-d float16":               func() any { return arr(1, mlx.Float16) },
	"0-d bfloat16":              func() any { return arr(1, mlx.BFloat16) },
	"0-d float32":               func() any { return arr(1, mlx.Float32) },
	"0-d python int":            func() any { return arr(3) },
	"0-d python float":          func() any { return arr(2.5) },
	"0-d python bool":           func() any { return arr(true) },
	"0-d python complex":        func() any { return arr(1 + 2i) },
	"0-d negative int":          func() any { return arr(-7) },
	"0-d bool false":            func() any { return arr(false) },
	"int8 limits":               func() any { return arr([]int{-128, 127, 0}, mlx.Int8) },
	"uint8 limits":              func() any { return arr([]int{0, 255, 7}, mlx.Uint8) },
	"int16 limits":              func() any { return arr([]int{-32768, 32767, 0}, mlx.Int16) },
	"uint16 limits":             func() any { return arr([]int{0, 65535}, mlx.Uint16) },
	"int32 limits":              func() any { return arr([]int{math.MinInt32, math.MaxInt32, 0}, mlx.Int32) },
	"uint32 limits":             func() any { return arr([]int{0, math.MaxUint32}, mlx.Uint32) },
	"int64 limits":              func() any { return arr([]int{math.MinInt64, math.MaxInt64, 0}, mlx.Int64) },
	"uint64 limits":             func() any { return arr([]int{0, math.MaxInt64}, mlx.Uint64) },
	"uint64 max":                func() any { return arr([]int{0, 1}, mlx.Uint64).Sub(arr([]int{1, 1}, mlx.Uint64)) },
	"bool 1-d":                  func() any { return arr([]bool{true, false, true}) },
	"bool 2-d":                  func() any { return arr([][]bool{{true, false}, {false, true}}) },
	"ints mixed sign and width": func() any { return arr([]int{1, -20, 300, -4000}) },
	"int 2-d mixed sign":        func() any { return arr([][]int{{1, -2}, {-30, 400}}) },
	"one element":               func() any { return arr([]int{5}) },
	"one element float":         func() any { return arr(floats{5}) },
	"1x1":                       func() any { return arr([]floats{{5}}) },
	"column":                    func() any { return arr([][]int{{1}, {2}, {3}}) },
	"float32 many digits": func() any {
		return arr(floats{0.123456789, 1.23456789, 12.3456789, 123456.789, 1234567.89, 12345678.9})
	},
	"float32 thirds":            func() any { return arr(floats{1. / 3, 2. / 3, 1e-8, 1e20, 0.1}) },
	"float32 specials":          func() any { return arr(floats{nan, inf, -inf, negZero, 0}) },
	"float32 0-d nan":           func() any { return arr(nan) },
	"float32 0-d negative nan":  func() any { return arr(nan).Neg() },
	"float32 0-d inf":           func() any { return arr(inf) },
	"float32 0-d -inf":          func() any { return arr(-inf) },
	"float32 -0.0":              func() any { return arr(negZero) },
	"integers as floats":        func() any { return arr(floats{1, 2, 100, -3}) },
	"float powers of ten":       func() any { return arr(floats{1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7}) },
	"float large powers of ten": func() any { return arr(floats{1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}) },
	"switch to exponent":        func() any { return arr(floats{99999, 999999, 999999.5, 1000000, 1234567}) },
	"small exponent switch":     func() any { return arr(floats{0.001, 0.0001, 0.00012345678, 0.00001, 0.000099999999}) },
	"float extremes":            func() any { return arr(floats{3.4028235e38, 1.1754944e-38, 1e-45, -3.4028235e38}) },
	"trailing zeros":            func() any { return arr(floats{0.5, 0.25, 0.125, 1.5, 10.50, 100.125}) },
	"rounding to six digits":    func() any { return arr(floats{1.0000005, 1.0000015, 2.9999995, 0.99999949, 0.9999996}) },
	"half way digits":           func() any { return arr(floats{0.5000005, 1234565.0, 1234575.0, 0.0000012345645}) },
	"negative floats mixed":     func() any { return arr(floats{-1.5, 2.25, -300.125, 4e-5}) },
	"pi e":                      func() any { return arr(floats{math.Pi, math.E}) },
	"float 0-d pi":              func() any { return arr(math.Pi) },
	"2-d floats":                func() any { return arr([]floats{{1, -2.5}, {1e-8, 3e10}}) },
	"16777217 as float32":       func() any { return arr(16777217.0) },
	"int sum 0-d":               func() any { return mlx.Sum(arr([]int{1, 2, 3})) },
	"mean 0-d":                  func() any { return mlx.Mean(arr(floats{1, 2, 4})) },
	"exp":                       func() any { return mlx.Exp(arr(floats{0, 1, 2})) },
	"arange float":              func() any { return mlx.Arange(0, 1, 0.25) },
	"sqrt of -1":                func() any { return mlx.Sqrt(arr(-1.0)) },
	"1/0":                       func() any { return arr(floats{1, -1, 0}).Div(0) },
	"float16 thirds":            func() any { return arr(floats{1. / 3, 2. / 3, 0.1, 1e-3, 1e-5}, mlx.Float16) },
	"float16 specials":          func() any { return arr(floats{nan, inf, -inf, negZero}, mlx.Float16) },
	"float16 ints":              func() any { return arr([]int{1, 2, 255, 257, 2049, 65504}, mlx.Float16) },
	"float16 many digits":       func() any { return arr(manyHalf, mlx.Float16) },
	"float16 big":               func() any { return arr(floats{65504, 70000, 1e10, 3e38}, mlx.Float16) },
	"float16 small":             func() any { return arr(floats{6e-8, 1e-7, 6.1e-5, 1e-20}, mlx.Float16) },
	"float16 2-d":               func() any { return arr([]floats{{0.1, 0.2}, {0.3, 0.4}}, mlx.Float16) },
	"bfloat16 thirds":           func() any { return arr(floats{1. / 3, 2. / 3, 0.1, 1e-3, 1e-5}, mlx.BFloat16) },
	"bfloat16 specials":         func() any { return arr(floats{nan, inf, -inf, negZero}, mlx.BFloat16) },
	"bfloat16 ints":             func() any { return arr([]int{1, 2, 255, 257, 2049, 65504}, mlx.BFloat16) },
	"bfloat16 many digits":      func() any { return arr(manyHalf, mlx.BFloat16) },
	"bfloat16 big":              func() any { return arr(floats{65504, 70000, 1e10, 3e38}, mlx.BFloat16) },
	"bfloat16 small":            func() any { return arr(floats{6e-8, 1e-7, 6.1e-5, 1e-20}, mlx.BFloat16) },
	"bfloat16 2-d":              func() any { return arr([]floats{{0.1, 0.2}, {0.3, 0.4}}, mlx.BFloat16) },
	"float64 0-d third":         func() any { return mlx.FromSlice(floats{1. / 3}).Reshape() },
	"float64 many":              func() any { return mlx.FromSlice(floats{0.1, 1. / 3, 1e-300, 1e300, 123456789.123}) },
	"float64 specials":          func() any { return mlx.FromSlice(floats{nan, inf, negZero}) },
	"float64 add":               func() any { return mlx.Add(mlx.FromSlice(floats{0.1}), mlx.FromSlice(floats{0.2}), mlx.CPU) },
	"float64 2-d":               func() any { return mlx.FromSlice(floats{1, 2, 0.001, -5.5}, 2, 2) },
	"complex 1-d":               func() any { return arr([]complex128{1 + 2i, 3 - 4i, complex(negZero, -1), 0}) },
	"fft result":                func() any { return fft.FFT(arr([]float64{1, 2, 3, 4})) },
	"complex fractions":         func() any { return arr([]complex128{0.1 + 0.333333333i, 1e-8 - 1e20i}) },
	"complex nan/inf": func() any {
		return arr([]complex128{complex(nan, 1), complex(1, nan), complex(inf, -inf), complex(-inf, inf)})
	},
	"complex negative zero imag":  func() any { return arr([]complex128{complex(1, negZero), complex(negZero, 0), complex(0, -1)}) },
	"complex 2-d":                 func() any { return arr([][]complex128{{1 + 1i, 2}, {3, 4 - 0.5i}}) },
	"complex 0-d negative imag":   func() any { return arr(1.5 - 2.5i) },
	"complex negative nan imag":   func() any { return arr(complex(1, nan)).Neg() },
	"2-d int":                     func() any { return mlx.Arange(6).Reshape(2, 3) },
	"3-d int":                     func() any { return mlx.Arange(8).Reshape(2, 2, 2) },
	"3-d float":                   func() any { return mlx.Arange(12).Reshape(2, 3, 2).Div(8) },
	"4-d int":                     func() any { return mlx.Arange(16).Reshape(2, 2, 2, 2) },
	"5-d int":                     func() any { return mlx.Arange(4).Reshape(1, 2, 1, 2, 1) },
	"3-d 1s":                      func() any { return arr([][]floats{{{1}}}) },
	"zeros":                       func() any { return mlx.Zeros(mlx.Shape{2, 3}) },
	"ones int8":                   func() any { return mlx.Ones(mlx.Shape{2, 2}, mlx.Int8) },
	"transpose view":              func() any { return mlx.Arange(6).Reshape(2, 3).T() },
	"strided slice view":          func() any { return sliced(mlx.Arange(20), 0, 20, 3) },
	"negative stride view":        func() any { return sliced(mlx.Arange(5), 4, -1, -1) },
	"broadcast view":              func() any { return mlx.BroadcastTo(arr([]int{1, 2}), mlx.Shape{3, 2}) },
	"comparison":                  func() any { return arr([]int{1, 2, 3}).Gt(2) },
	"empty (0,)":                  func() any { return mlx.Zeros(mlx.Shape{0}) },
	"empty (0, 3)":                func() any { return mlx.Zeros(mlx.Shape{0, 3}) },
	"empty (3, 0)":                func() any { return mlx.Zeros(mlx.Shape{3, 0}) },
	"empty (2, 0, 2)":             func() any { return mlx.Zeros(mlx.Shape{2, 0, 2}) },
	"empty (1, 2, 0)":             func() any { return mlx.Zeros(mlx.Shape{1, 2, 0}) },
	"empty (0, 0)":                func() any { return mlx.Zeros(mlx.Shape{0, 0}) },
	"empty list":                  func() any { return arr(floats{}) },
	"empty int":                   func() any { return mlx.Zeros(mlx.Shape{0}, mlx.Int32) },
	"empty list of lists":         func() any { return arr([]floats{{}, {}}) },
	"1-d of 5":                    func() any { return mlx.Arange(5) },
	"1-d of 6":                    func() any { return mlx.Arange(6) },
	"1-d of 7":                    func() any { return mlx.Arange(7) },
	"1-d of 8":                    func() any { return mlx.Arange(8) },
	"1-d of 10":                   func() any { return mlx.Arange(10) },
	"1-d of 1000":                 func() any { return mlx.Arange(1000) },
	"1-d of 1001":                 func() any { return mlx.Arange(1001) },
	"1-d float of 2000":           func() any { return mlx.Arange(2000).Mul(0.5) },
	"2-d 7x7":                     func() any { return mlx.Arange(49).Reshape(7, 7) },
	"2-d 6x7":                     func() any { return mlx.Arange(42).Reshape(6, 7) },
	"2-d 7x6":                     func() any { return mlx.Arange(42).Reshape(7, 6) },
	"2-d 2x1000":                  func() any { return mlx.Arange(2000).Reshape(2, 1000) },
	"2-d 1000x2":                  func() any { return mlx.Arange(2000).Reshape(1000, 2) },
	"2-d 100x100":                 func() any { return mlx.Arange(10000).Reshape(100, 100) },
	"3-d 10x10x20":                func() any { return mlx.Arange(2000).Reshape(10, 10, 20) },
	"3-d 2x3x500":                 func() any { return mlx.Arange(3000).Reshape(2, 3, 500) },
	"3-d 8x2x2":                   func() any { return mlx.Arange(32).Reshape(8, 2, 2) },
	"4-d 8x1x8x2":                 func() any { return mlx.Arange(128).Reshape(8, 1, 8, 2) },
	"bool long":                   func() any { return mlx.Arange(10).Gt(4) },
	"complex long":                func() any { return mlx.Arange(9).Add(1i) },
	"bfloat16 long row":           func() any { return mlx.Arange(40).Mul(0.1).AsType(mlx.BFloat16).Reshape(2, 20) },
	"transposed long view":        func() any { return mlx.Arange(80).Reshape(8, 10).T() },
	"strided long view":           func() any { return sliced(mlx.Arange(100), 3, 100, 7) },
	"broadcast long view":         func() any { return arr([][]int{{1}, {2}}).BroadcastTo(2, 9) },
	"printoptions 3":              func() any { return withPrecision(3, arr(floats{1. / 3, 2, 1e-8, 1e20})) },
	"printoptions 0":              func() any { return withPrecision(0, arr(floats{1. / 3, 2.5, 3.5})) },
	"printoptions 2 complex":      func() any { return withPrecision(2, arr([]complex128{1./3 - 2i})) },
	"printoptions 2 int":          func() any { return withPrecision(2, arr([]int{1, 2})) },
	"printoptions 4 bfloat16 nan": func() any { return withPrecision(4, arr(floats{1. / 3, nan, inf}, mlx.BFloat16)) },
	"get_printoptions precision": func() any {
		now := mlx.SetPrintOptions(mlx.PrintOptions{Precision: -1})
		mlx.SetPrintOptions(now)
		return now.Precision
	},
	"shape":                              func() any { return mlx.Zeros(mlx.Shape{2, 3}).Shape() },
	"shape 0-d":                          func() any { return arr(1).Shape() },
	"shape 1-d":                          func() any { return mlx.Zeros(mlx.Shape{4}).Shape() },
	"shape empty":                        func() any { return mlx.Zeros(mlx.Shape{0, 3}).Shape() },
	"dtype bool_":                        func() any { return mlx.Bool },
	"dtype uint8":                        func() any { return mlx.Uint8 },
	"dtype uint16":                       func() any { return mlx.Uint16 },
	"dtype uint32":                       func() any { return mlx.Uint32 },
	"dtype uint64":                       func() any { return mlx.Uint64 },
	"dtype int8":                         func() any { return mlx.Int8 },
	"dtype int16":                        func() any { return mlx.Int16 },
	"dtype int32":                        func() any { return mlx.Int32 },
	"dtype int64":                        func() any { return mlx.Int64 },
	"dtype float16":                      func() any { return mlx.Float16 },
	"dtype bfloat16":                     func() any { return mlx.BFloat16 },
	"dtype float32":                      func() any { return mlx.Float32 },
	"dtype float64":                      func() any { return mlx.Float64 },
	"dtype complex64":                    func() any { return mlx.Complex64 },
	"dtype attribute":                    func() any { return arr(floats{1}).DType() },
	"dtype size":                         func() any { return mlx.BFloat16.Size() },
	"category floating":                  func() any { return mlx.Floating },
	"category integer":                   func() any { return mlx.Integer },
	"category inexact":                   func() any { return mlx.Inexact },
	"category number":                    func() any { return mlx.Number },
	"category generic":                   func() any { return mlx.Generic },
	"category signedinteger":             func() any { return mlx.SignedInteger },
	"category unsignedinteger":           func() any { return mlx.UnsignedInteger },
	"category complexfloating":           func() any { return mlx.ComplexFloating },
	"cpu":                                func() any { return mlx.CPU.Kind },
	"gpu":                                func() any { return mlx.GPU.Kind },
	"Device(cpu)":                        func() any { return mlx.CPU },
	"Device(gpu, 0)":                     func() any { return mlx.GPU },
	"default_device":                     func() any { return mlx.DefaultDevice() },
	"default_stream(cpu)":                func() any { return mlx.DefaultStream(mlx.CPU) },
	"default_stream(device)":             func() any { return mlx.DefaultStream(mlx.DefaultDevice()) },
	"device type":                        func() any { return mlx.DefaultDevice().Kind },
	"new_stream":                         func() any { return mlx.Stream{Device: mlx.CPU, ID: 1} },
	"linspace":                           func() any { return mlx.Linspace(0, 1, 5) },
	"eye":                                func() any { return mlx.Eye(3, 3, 0) },
	"finfo float32":                      func() any { return mlx.Float32.FInfo() },
	"finfo float16":                      func() any { return mlx.Float16.FInfo() },
	"finfo bfloat16":                     func() any { return mlx.BFloat16.FInfo() },
	"iinfo int8":                         func() any { return mlx.Int8.IInfo() },
	"iinfo int32":                        func() any { return mlx.Int32.IInfo() },
	"iinfo uint64":                       func() any { return mlx.Uint64.IInfo() },
	"finfo eps":                          func() any { return mlx.Float32.FInfo().Eps },
	"tolist 0-d":                         func() any { return mlx.Item[float32](arr(2.5)) },
	"tolist 0-d int":                     func() any { return mlx.Item[int32](arr(2)) },
	"tolist uint64":                      func() any { return mlx.ToSlice[uint64](arr([]int{0}, mlx.Uint64).Sub(arr([]int{1}, mlx.Uint64))) },
	"tolist float64":                     func() any { return mlx.ToSlice[float64](mlx.FromSlice(floats{0.1})) },
	"item float":                         func() any { return mlx.Item[float64](arr(0.1)) },
	"item int":                           func() any { return mlx.Item[int32](arr(3)) },
	"item bf16":                          func() any { return mlx.Item[float64](arr(0.1, mlx.BFloat16)) },
	"f-string":                           func() any { return fmt.Sprintf("%g", arr(0.5)) },
	"f-string with format spec on item":  func() any { return fmt.Sprintf("%.3f", mlx.Item[float32](arr(0.123456))) },
	"f-string with format spec on array": func() any { return fmt.Sprintf("%.3f", arr(0.123456)) },
}

// notPrinted are the entries of print.json that printCases leaves out, and why.
var notPrinted = map[string]string{
	"uint64 from a python int above the int64 range": "Go has uint64",

	"metal.is_available": "Go asks for a device: IsAvailable",

	"item of 2 elements": "an error, see TestMisuse", "len 0-d": "Go has no len of an array",
	"bool of 2 elements": "Go has no truth value of an array",
	"version":            "MLX's own",
}

// aboutModules tells the entries about mlx.nn, which print elsewhere.
func aboutModules(python string) bool {
	return strings.Contains(python, "nn.")
}

// TestPrintIsMLX: arrays, dtypes, categories, devices, streams and scalars print as
// the real MLX prints them. Go names a dtype without its module, and NaN has no sign.
func TestPrintIsMLX(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "golden", "print.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct{ Case, Make, Str, Error, Note string }
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	var printed, left int
	for _, r := range recorded {
		expression, ok := printCases[r.Case]
		if !ok {
			if _, told := notPrinted[r.Case]; told {
				left++
			} else if !aboutModules(r.Make) {
				t.Errorf("%q (%s) is neither printed nor left out", r.Case, r.Make)
			}
			continue
		}
		printed++
		want := r.Str
		for _, module := range []string{"mlx.core.", "DtypeCategory.", "DeviceType."} {
			want = strings.TrimPrefix(want, module)
		}
		if r.Note != "" {
			want = strings.ReplaceAll(want, "-nan", "nan")
		}
		if got := fmt.Sprint(expression()); got != want {
			t.Errorf("%s: %s prints\n%s\nwant\n%s", r.Case, r.Make, got, want)
		}
	}
	if printed != len(printCases) || left != len(notPrinted) {
		t.Errorf("%d of %d cases and %d of %d reasons are recorded", printed, len(printCases), left, len(notPrinted))
	}
	t.Logf("%d printed, %d left out, %d about modules", printed, left, len(recorded)-printed-left)
}

// TestPrintJSON: the copy is the recorded file.
func TestPrintJSON(t *testing.T) {
	shared := os.Getenv("MLX_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "shared")
	}
	want, err := os.ReadFile(filepath.Join(shared, "goldens", "print.json"))
	if err != nil {
		t.Skip("no ../shared to compare with")
	}
	got, err := os.ReadFile(filepath.Join("testdata", "golden", "print.json"))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("testdata/golden/print.json is not the recorded file: %v", err)
	}
}
