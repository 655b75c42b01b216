package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// plainConv is the definition of a convolution: a sum over places and channels.
func plainConv(o tensor.ConvOptions) func(in []*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array {
		x, w := floats(in[0]), floats(in[1])
		xs, ws := in[0].Shape(), in[1].Shape()
		n, g := len(xs)-2, max(o.Groups, 1)
		of := func(v []int, i, otherwise int) int {
			switch len(v) {
			case 0:
				return otherwise
			case 1:
				return v[0]
			}
			return v[i]
		}
		shape := mlx.Shape{xs[0]}
		for i := range n {
			low, high := of(o.Padding, i, 0), of(o.Padding, i, 0)
			if o.PaddingHigh != nil {
				high = of(o.PaddingHigh, i, 0)
			}
			size := (xs[i+1]-1)*of(o.InputDilation, i, 1) + 1 + low + high
			shape = append(shape, (size-(ws[i+1]-1)*of(o.Dilation, i, 1)-1)/of(o.Stride, i, 1)+1)
		}
		shape = append(shape, ws[0])
		out := make([]float64, shape.Size())
		kernel := mlx.Shape(ws[1 : n+1])
		c, per := ws[n+1], ws[0]/g
		for f := range out {
			at := unravel(f, shape)
			group := at[n+1] / per
			for t := range kernel.Size() {
				tap := unravel(t, kernel)
				src, wat, ok := at[0], at[n+1], true
				for i := range n {
					k := tap[i]
					if o.Flip {
						k = kernel[i] - 1 - k
					}
					j, d := at[i+1]*of(o.Stride, i, 1)+tap[i]*of(o.Dilation, i, 1)-of(o.Padding, i, 0), of(o.InputDilation, i, 1)
					ok = ok && j >= 0 && j%d == 0 && j/d < xs[i+1]
					src, wat = src*xs[i+1]+j/d, wat*kernel[i]+k
				}
				for ch := range c {
					if ok {
						out[f] += x[src*xs[n+1]+group*c+ch] * w[wat*c+ch]
					}
				}
			}
		}
		return []*mlx.Array{mlx.FromSlice(out, shape...).AsType(in[0].DType())}
	}
}

func unravel(f int, shape mlx.Shape) []int {
	at := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		at[i], f = f%shape[i], f/shape[i]
	}
	return at
}

func convCases() []Case {
	golden := func(name string, in []string, f func(x, w *mlx.Array) *mlx.Array) Case {
		return Case{Name: name, File: "ops", In: in, Tol: F32, Halves: true, Build: two(f)}
	}
	im := []string{"im", "kr"}
	cases := []Case{
		golden("conv2d", im, func(x, w *mlx.Array) *mlx.Array { return mlx.Conv2D(x, w, mlx.Stride{2}, mlx.Padding{1}) }),
		golden("conv2d.dil_grp", im, func(x, w *mlx.Array) *mlx.Array {
			return mlx.Conv2D(x, tensor.SliceAxis(w, -1, 0, 3, none), mlx.Padding{2}, mlx.Dilation{2}, mlx.Groups(2))
		}),
		golden("conv1d.depthwise", []string{"s1", "k1"}, func(x, w *mlx.Array) *mlx.Array {
			return mlx.Conv1D(x, w, mlx.Padding{3}, mlx.Groups(6))
		}),
		golden("convT", im, func(x, w *mlx.Array) *mlx.Array { return mlx.ConvTranspose2D(x, w, mlx.Stride{2}, mlx.Padding{1}) }),
	}
	add := func(name string, x, w mlx.Shape, o tensor.ConvOptions) {
		cases = append(cases, Case{Name: name, Inputs: made(ramp(x...), ramp(w...).Mul(0.5)), Tol: F32, Halves: true, Want: plainConv(o), Empty: o.Groups < 2,
			Build: two(func(x, w *mlx.Array) *mlx.Array { return tensor.ConvOf("conv", 0, x, w, o, none) })})
	}
	add("conv of one axis", mlx.Shape{2, 7, 5}, mlx.Shape{3, 4, 5}, tensor.ConvOptions{Stride: []int{2}, Padding: []int{3}, PaddingHigh: []int{1}})
	add("conv of two axes", mlx.Shape{2, 6, 5, 3}, mlx.Shape{4, 3, 2, 3}, tensor.ConvOptions{Stride: []int{1, 2}, Padding: []int{1, 2}, Dilation: []int{2, 1}, InputDilation: []int{1, 3}, Flip: true})
	add("conv of three axes", mlx.Shape{1, 3, 4, 2, 3}, mlx.Shape{2, 2, 3, 1, 3}, tensor.ConvOptions{Padding: []int{1, 0, 2}, Stride: []int{1, 1, 3}})
	add("conv of four axes", mlx.Shape{1, 2, 3, 2, 3, 2}, mlx.Shape{3, 2, 1, 2, 2, 2}, tensor.ConvOptions{Padding: []int{1, 0, 0, 1}})
	add("conv that cuts", mlx.Shape{2, 9, 3}, mlx.Shape{4, 2, 3}, tensor.ConvOptions{Padding: []int{-2}, PaddingHigh: []int{-1}, Dilation: []int{3}})
	add("conv of groups", mlx.Shape{2, 6, 6}, mlx.Shape{9, 4, 2}, tensor.ConvOptions{Padding: []int{2}, Groups: 3, InputDilation: []int{2}, Stride: []int{3}})
	add("conv of channels", mlx.Shape{2, 5, 4, 3}, mlx.Shape{3, 3, 2, 1}, tensor.ConvOptions{Padding: []int{1}, Groups: 3, Dilation: []int{1, 2}})
	add("conv of channels doubled", mlx.Shape{2, 5, 3}, mlx.Shape{6, 3, 1}, tensor.ConvOptions{Groups: 3, Flip: true})
	for _, mode := range []string{"full", "valid", "same"} {
		cases = append(cases, Case{Name: "convolve " + mode, Inputs: made(ramp(4), ramp(7).Add(0.5)), Tol: F32, Halves: true,
			Build: two(func(a, v *mlx.Array) *mlx.Array { return mlx.Convolve(a, v, mode) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				a, v := floats(in[0]), floats(in[1])
				full := make([]float64, len(a)+len(v)-1)
				for i, x := range a {
					for j, y := range v {
						full[i+j] += x * y
					}
				}
				// NumPy's same has the size of the longer and starts at (the shorter - 1)/2.
				lo, hi := map[string]int{"valid": 3, "same": 1}[mode], map[string]int{"full": 10, "valid": 7, "same": 8}[mode]
				return []*mlx.Array{mlx.FromSlice(full[lo:hi]).AsType(in[0].DType())}
			}})
	}
	return cases
}
