package mlx_test

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx"
)

// python is a Go value in Python's words, so that what Go reads can be compared with
// what Python read.
func python(x any) string {
	if s, ok := x.(fmt.Stringer); ok {
		return s.String()
	}
	switch v := reflect.ValueOf(x); v.Kind() {
	case reflect.Bool:
		return map[bool]string{true: "True", false: "False"}[v.Bool()]
	case reflect.Float32, reflect.Float64:
		return pythonFloat(v.Float())
	case reflect.Complex64, reflect.Complex128:
		im := strings.TrimSuffix(pythonFloat(imag(v.Complex())), ".0")
		if !strings.HasPrefix(im, "-") {
			im = "+" + im
		}
		return "(" + strings.TrimSuffix(pythonFloat(real(v.Complex())), ".0") + im + "j)"
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, python(v.Index(i).Interface()))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map: // of one key
		for it := v.MapRange(); it.Next(); {
			return fmt.Sprintf("{'%v': %s}", it.Key(), python(it.Value().Interface()))
		}
	}
	return fmt.Sprint(x)
}

func pythonFloat(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return strings.TrimPrefix(strings.ToLower(fmt.Sprint(x)), "+")
	case a != 0 && (a < 1e-4 || a >= 1e16):
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// floatsOf reads any floating array as Python does: by way of a double.
func floatsOf(a *mlx.Array) string { return python(mlx.ToSlice[float64](a)) }

// counts is nbytes, size, itemsize and ndim as a tuple.
func counts(a *mlx.Array) mlx.Shape {
	return mlx.Shape{a.NBytes(), a.Size(), a.DType().Size(), a.NDim()}
}

// planes is tolist of an array with three axes.
func planes(a *mlx.Array) (out [][][]int32) {
	for _, m := range a.All() {
		out = append(out, mlx.ToRows[int32](m))
	}
	return out
}

func init() {
	for name, f := range map[string]func() any{
		"tolist int 2-d":        func() any { return python(mlx.ToRows[int32](arr([][]int{{1, 2}, {3, -4}}))) },
		"tolist float32 thirds": func() any { return floatsOf(arr(floats{1. / 3, 0.1, 1e-8, 1e20, 2})) },
		"tolist bool":           func() any { return python(mlx.ToSlice[bool](arr([]bool{true, false}))) },
		"tolist float16":        func() any { return floatsOf(arr(floats{0.1, 1. / 3}, mlx.Float16)) },
		"tolist bfloat16":       func() any { return floatsOf(arr(floats{0.1, 1. / 3}, mlx.BFloat16)) },
		"tolist complex":        func() any { return python(mlx.ToSlice[complex64](arr([]complex128{1 + 2i, 0.1 - 3i}))) },
		"tolist nan inf":        func() any { return floatsOf(arr(floats{nan, inf, negZero})) },
		"tolist empty":          func() any { return python(mlx.ToRows[float32](mlx.Zeros(mlx.Shape{0, 2}))) },
		"tolist empty inner":    func() any { return python(mlx.ToRows[float32](mlx.Zeros(mlx.Shape{2, 0}))) },
		"tolist 3-d":            func() any { return python(planes(mlx.Arange(8).Reshape(2, 2, 2))) },
		"item bool":             func() any { return python(mlx.Item[bool](arr(true))) },
		"int()":                 func() any { return int(mlx.Item[float32](arr(3.7))) },
		"float()":               func() any { return python(mlx.Item[float64](arr(3).AsType(mlx.Float32))) },
		"list of arrays":        func() any { return python(mlx.Arrays{arr(1), arr(floats{1.5, 2})}) },
		"dict of arrays":        func() any { return python(map[string]*mlx.Array{"w": arr(floats{1})}) },
		"cpu == default_device": func() any { return python(mlx.DefaultDevice() == mlx.CPU) },
		"is_available(gpu)":     func() any { return python(mlx.IsAvailable(mlx.GPU)) },

		"nbytes size itemsize ndim": func() any { return counts(mlx.Zeros(mlx.Shape{2, 3}, mlx.Float16)) },
	} {
		printCases[name] = f
	}
}
