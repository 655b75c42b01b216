package metal

import (
	"math"
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

const (
	convAxes  = 3 // most spatial axes
	fewOutput = 8 // channels of a group from which on there are tiles
)

// A convolution is tensor.Conv's geometry: see kernels/conv.metal.
type convolution struct {
	x, w, y   *View
	places    int // of the result
	taps      int
	c, o      int // channels of a group
	groups    int
	rules, ax arg
}

func newConvolution(p tensor.Conv, in, out []View) (*convolution, error) {
	v := &convolution{x: &in[0], w: &in[1], y: &out[0], groups: p.Groups}
	n := len(v.x.Shape) - 2
	if n > convAxes {
		return nil, noKernel("%d spatial axes", n)
	}
	kernel := v.w.Shape[1 : n+1]
	v.c, v.o, v.taps = v.w.Shape[n+1], v.w.Shape[0]/p.Groups, kernel.Size()
	v.places = v.y.Shape[:n+1].Size()
	var axes []int
	for i := range n {
		size, result, stride, dilation := v.x.Shape[i+1], v.y.Shape[i+1], p.Stride.At(i), p.Dilation.At(i)
		low, between := p.Low.At(i), p.InputDilation.At(i)
		for _, wide := range [][2]int{{result, stride}, {kernel[i], dilation}, {size, between}, {1, low}, {1, -low}} {
			if wide[1] > 0 && wide[0] > math.MaxInt32/4/wide[1] {
				return nil, noKernel("spatial axis %d has more places than 32-bit indices reach", i)
			}
		}
		axes = append(axes, size, kernel[i], result, stride, dilation, low, between)
	}
	v.rules = ints(n, v.places, v.taps, v.c, v.o, p.Groups, bit(p.Flip))
	v.ax = ints(axes...)
	return v, nil
}

// convTile is as tileOf, for so many places and channels of a group.
func convTile(places, channels int, l *limits) int {
	if channels >= 64 && places*channels >= l.large {
		return 64
	}
	return 32
}

// conv convolves row-major arrays.
func conv(e *encoder, p tensor.Conv, in, out []View) error {
	t := productTypes[in[0].DType]
	if t == "" || !in[0].DType.Is(dtype.Floating) {
		return noKernel("a convolution of %v", in[0].DType)
	}
	if out[0].Shape.Size() == 0 {
		return nil
	}
	if in[0].Shape.Size() == 0 || in[1].Shape.Size() == 0 { // there may be no memory
		return noKernel("a convolution of nothing")
	}
	v, err := newConvolution(p, in, out)
	if err != nil {
		return err
	}
	args := []arg{e.in(v.x), e.in(v.w), e.out(v.y), v.rules, v.ax}
	if v.o < fewOutput || v.taps*v.c < 8 {
		k, err := e.kernel("conv", "conv_direct", []string{t})
		if err != nil {
			return err
		}
		grid, group := windowGrid(v.o*v.groups, v.places)
		e.run(k, grid, group, args...)
		return nil
	}
	tile := convTile(v.places, v.o, e.b.limits)
	k, err := e.kernel("conv", "conv_tiles", []string{t, strconv.Itoa(tile)})
	if err != nil {
		return err
	}
	grid := [3]int{(v.o + tile - 1) / tile * 128, (v.places + tile - 1) / tile, v.groups}
	e.run(k, grid, [3]int{128, 1, 1}, args...)
	return nil
}
