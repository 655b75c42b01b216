package tensor_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestLimits: shapes and parameters at the edge of int give an *Error that names
// the op, or the right result.
func TestLimits(t *testing.T) {
	x := vec(1, 2, 3)
	deep := x
	for deep.NDim() < 32 {
		deep = deep.ExpandDims(0)
	}
	want(t, sum(deep), 6)
	slice := func(lo, hi, step int) *tensor.Array {
		return tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(lo), Stop: tensor.MakeInts(hi), Step: tensor.MakeInts(step)}, none, x)
	}
	want(t, slice(0, 3, math.MaxInt), 1)
	want(t, slice(2, -1, math.MinInt), 3)
	want(t, slice(2, -1, -1), 3, 2, 1)
	want(t, slice(2, -1, -2), 3, 1)
	want(t, slice(0, 3, 2), 1, 3)
	want(t, slice(1, 3, 2), 2)
	want(t, slice(3, 3, 1))
	many := make([]int, 40)
	for i := range many {
		many[i] = 1
	}
	for op, f := range map[string]func(){
		"expand_dims":  func() { deep.ExpandDims(0) },
		"reshape":      func() { tensor.ReshapeTo(vec(1), many, none) },
		"broadcast_to": func() { tensor.BroadcastTo(vec(1), many, none) },
		"transpose":    func() { tensor.TransposeTo(x, make([]int, 40), none) },
		"pad":          func() { tensor.PadWith(x, []int{math.MaxInt}, []int{math.MaxInt}, 0, none) },
		"slice":        func() { slice(0, math.MaxInt, 1) },
		"array":        func() { tensor.FromBytes(nil, tensor.Shape{1 << 62, 1 << 62, 0}, dtype.Uint8) },
	} {
		err := tensor.Try(f)
		var e *tensor.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), op) {
			t.Errorf("%s: %v", op, err)
		}
	}
}
