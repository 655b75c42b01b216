//go:build linux && metalemu

package metal

import (
	"fmt"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A convCase has one value for all axes of each keyword but the paddings.
type convCase struct {
	x, w                            []int
	stride, dilation, inputDilation int
	low, high                       []int
	flip                            bool
}

func (c convCase) conv() tensor.Conv {
	n := len(c.x) - 2
	every := func(v int) tensor.Ints {
		l := make([]int, n)
		for i := range l {
			l[i] = max(v, 1)
		}
		return tensor.MakeInts(l...)
	}
	pad := func(l []int) tensor.Ints {
		if l == nil {
			l = make([]int, n)
		}
		return tensor.MakeInts(l...)
	}
	return tensor.Conv{Stride: every(c.stride), Dilation: every(c.dilation), InputDilation: every(c.inputDilation),
		Low: pad(c.low), High: pad(c.high), Groups: c.x[n+1] / c.w[n+1], Flip: c.flip}
}

var convCases = map[string]convCase{
	"pointwise":           {x: []int{2, 35, 9}, w: []int{33, 1, 9}},
	"a line":              {x: []int{2, 35, 4}, w: []int{10, 3, 4}, stride: 2, low: []int{1}, high: []int{3}},
	"one channel":         {x: []int{1, 50, 1}, w: []int{1, 7, 1}, flip: true, low: []int{6}, high: []int{6}},
	"depthwise":           {x: []int{2, 17, 33}, w: []int{33, 4, 1}, low: []int{3}, high: []int{0}},
	"depthwise, doubled":  {x: []int{2, 9, 5, 6}, w: []int{12, 3, 2, 1}, dilation: 2},
	"an image":            {x: []int{2, 13, 11, 5}, w: []int{34, 3, 3, 5}, low: []int{1, 1}, high: []int{1, 1}},
	"strides":             {x: []int{1, 14, 15, 3}, w: []int{16, 4, 2, 3}, stride: 3, low: []int{2, 0}, high: []int{0, 1}, dilation: 2},
	"groups":              {x: []int{2, 9, 8, 12}, w: []int{30, 2, 3, 4}, low: []int{1, 2}, high: []int{0, 1}},
	"groups of few":       {x: []int{2, 9, 8, 12}, w: []int{6, 2, 3, 4}},
	"transposed":          {x: []int{2, 6, 7, 8}, w: []int{9, 3, 3, 8}, inputDilation: 2, low: []int{2, 1}, high: []int{2, 3}, flip: true},
	"transposed, few":     {x: []int{2, 6, 7, 8}, w: []int{3, 3, 2, 8}, inputDilation: 3, low: []int{2, 1}, high: []int{2, 3}, flip: true},
	"cut":                 {x: []int{1, 12, 6}, w: []int{8, 3, 6}, low: []int{-2}, high: []int{-1}},
	"a volume":            {x: []int{1, 5, 6, 7, 3}, w: []int{17, 2, 3, 2, 3}, low: []int{1, 0, 1}, high: []int{0, 1, 1}, stride: 2},
	"a volume turned":     {x: []int{1, 3, 4, 3, 8}, w: []int{8, 2, 2, 3, 4}, inputDilation: 2, flip: true, low: []int{1, 1, 1}, high: []int{1, 1, 1}},
	"large tiles":         {x: []int{1, 65, 66, 2}, w: []int{130, 2, 2, 2}},
	"one place, long row": {x: []int{3, 4, 4, 65}, w: []int{40, 4, 4, 65}},
}

func TestConv(t *testing.T) {
	for name, c := range convCases {
		for _, d := range floating {
			if d != dtype.Float32 && name == "large tiles" && !full {
				continue
			}
			sameAsCPU(t, fmt.Sprint(name, " ", d), c.conv(), closeness{2e-6, 1e-6}, someOf(d, 1, -1, 1, c.x...), someOf(d, 2, -1, 1, c.w...))
		}
	}
	c := convCases["an image"]
	ws := stridedForms(someOf(dtype.Float32, 2, -1, 1, c.w...))
	for name, x := range stridedForms(someOf(dtype.Float32, 1, -1, 1, c.x...)) {
		sameAsCPU(t, name, c.conv(), closeness{2e-6, 1e-6}, x, ws[name])
	}
	none := convCase{x: []int{0, 5, 4}, w: []int{8, 3, 4}}
	sameAsCPU(t, "no images", none.conv(), closeness{}, someOf(dtype.Float32, 1, -1, 1, none.x...), someOf(dtype.Float32, 2, -1, 1, none.w...))
	fallsBack(t, c.conv(), someOf(dtype.Float64, 1, -1, 1, c.x...), someOf(dtype.Float64, 2, -1, 1, c.w...))
	four := convCase{x: []int{1, 2, 2, 2, 2, 3}, w: []int{4, 2, 2, 2, 2, 3}}
	fallsBack(t, four.conv(), someOf(dtype.Float32, 1, -1, 1, four.x...), someOf(dtype.Float32, 2, -1, 1, four.w...))
	far := convCase{x: []int{1, 4, 3}, w: []int{4, 1, 3}, stride: 1 << 40}
	fallsBack(t, far.conv(), someOf(dtype.Float32, 1, -1, 1, far.x...), someOf(dtype.Float32, 2, -1, 1, far.w...))
}

func TestDialectOfConv(t *testing.T) {
	for _, i := range []instance{{"conv", "conv_direct", []string{"half"}}, {"conv", "conv_tiles", []string{"bfloat", "64"}}} {
		checkSource(t, i.hostName(), i.source)
	}
}

func TestConvSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, name := range []string{"strides", "transposed", "depthwise"} {
			c := convCases[name]
			sanitized(t, mode, name, c.conv(), closeness{2e-6, 1e-6}, someOf(dtype.Float32, 1, -1, 1, c.x...), someOf(dtype.Float32, 2, -1, 1, c.w...))
		}
	}
}
