package mlx_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

// TestNewArrayOfMixedLists: numbers of several types, and arrays among them.
func TestNewArrayOfMixedLists(t *testing.T) {
	pair := mlx.NewArray([]int{3, 4})
	for want, v := range map[string]any{
		"float32 (0,) []":                 []any{},
		"int64 (2,) [1 4294967296]":       []any{1, 1 << 32},
		"uint64 (2,) [1 255]":             []any{uint64(1), uint8(255)},
		"int16 (2,) [-1 255]":             []any{int8(-1), uint8(255)},
		"float32 (2, 2) [1 2 0.5 1]":      []any{[]int{1, 2}, []any{0.5, true}},
		"int32 (2, 2) [1 2 3 4]":          []any{[]any{1, 2}, pair},
		"float32 (2, 2) [3 4 0.5 2]":      []any{pair, []any{0.5, mlx.NewArray(2)}},
		"int32 (2, 1, 2) [3 4 3 4]":       []mlx.Arrays{{pair}, {pair}},
		"int32 (2, 1) [1 0]":              [2][]any{{true}, {int32(0)}},
		"float32 (1, 1, 1) [0.25]":        []any{[]any{[]float64{0.25}}},
		"float32 (2,) [1.6777216e+07 -1]": []any{float32(1 << 24), int8(-1)},
	} {
		a := mlx.NewArray(v)
		text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(mlx.ToSlice[float64](a.AsType(mlx.Float64)))), " "), " ")
		if got := fmt.Sprint(a.DType(), " ", mlx.Shape(a.Shape()), " ", text); got != strings.Replace(want, "4294967296", "4.294967296e+09", 1) {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	if got := mlx.NewArray([]any{0.1, 1}, mlx.Float64); mlx.ToSlice[float64](got)[0] != 0.1 {
		t.Errorf("float64 was rounded: %v", got)
	}
	for text, v := range map[string]any{
		"ragged":                []any{[]any{1, 2}, []any{3}},
		"are lists, others":     []any{[]any{1}, 3},
		"nil":                   []any{1, nil},
		"is nil":                mlx.Arrays{nil},
		"array of string":       []any{1, "a"},
		"shapes differ":         []any{pair, mlx.NewArray(1)},
		"others are not":        []any{1, []any{2}},
		"make an array of func": []any{func() {}},
	} {
		if err := mlx.Try(func() { mlx.NewArray(v) }); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestClipOfOneSide: a nil array is no bound.
func TestClipOfOneSide(t *testing.T) {
	var none *mlx.Array
	x := mlx.NewArray([]int{-1, 5})
	low, high := mlx.Clip(x, 0, none), mlx.Clip(x, none, 3)
	if got := fmt.Sprint(mlx.ToSlice[int32](low), mlx.ToSlice[int32](high)); got != "[0 5] [-1 3]" {
		t.Error(got)
	}
}

// TestDiff along each axis, and until nothing is left.
func TestDiff(t *testing.T) {
	x := mlx.NewArray([][]int{{1, 4, 9}, {2, 8, 18}})
	for _, c := range []struct {
		got  *mlx.Array
		want string
	}{
		{mlx.Diff(x, 1), "(2, 2) [3 5 6 10]"}, {mlx.Diff(x, 1, mlx.Axis(0)), "(1, 3) [1 4 9]"},
		{mlx.Diff(x, 0), "(2, 3) [1 4 9 2 8 18]"}, {mlx.Diff(x, 5), "(2, 0) []"},
	} {
		if got := fmt.Sprint(mlx.Shape(c.got.Shape()), " ", mlx.ToSlice[int32](c.got)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if err := mlx.Try(func() { mlx.Diff(x, -1) }); err == nil {
		t.Error("a negative count")
	}
}
