package optest

import "github.com/mlxgo/mlx"

// convInput is arange/10 in a shape; convWeight arange mod m less h.
func convInput(shape ...int) *mlx.Array { return fgrid(shape...).Div(10) }
func convWeight(m int, shape ...int) *mlx.Array {
	return fgrid(shape...).Mod(m).Sub(m / 2)
}

var convEdges = func() map[string]func() []*mlx.Array {
	x, w := func() *mlx.Array { return convInput(2, 7, 4) }, func() *mlx.Array { return convWeight(7, 6, 3, 4) }
	im, kr := func() *mlx.Array { return convInput(1, 5, 6, 4) }, func() *mlx.Array { return convWeight(7, 4, 3, 2, 4) }
	vol, kv := func() *mlx.Array { return convInput(1, 3, 4, 4, 2) }, func() *mlx.Array { return convWeight(5, 2, 2, 2, 2, 2) }
	one := func(o ...mlx.ConvOption) func() []*mlx.Array {
		return func() []*mlx.Array { return as(mlx.Conv1D(x(), w(), o...)) }
	}
	two := func(o ...mlx.ConvOption) func() []*mlx.Array {
		return func() []*mlx.Array { return as(mlx.Conv2D(im(), kr(), o...)) }
	}
	general := func(o ...mlx.ConvOption) func() []*mlx.Array {
		return func() []*mlx.Array { return as(mlx.ConvGeneral(x(), w(), o...)) }
	}
	with1 := func(x func() *mlx.Array, w *mlx.Array, o ...mlx.ConvOption) func() []*mlx.Array {
		return func() []*mlx.Array { return as(mlx.Conv1D(x(), w, o...)) }
	}
	return map[string]func() []*mlx.Array{
		"conv/conv1d":                 one(),
		"conv/conv1d_stride2_pad1":    one(mlx.Stride{2}, mlx.Padding{1}),
		"conv/conv1d_dilation2":       one(mlx.Dilation{2}, mlx.Padding{2}),
		"conv/conv1d_groups2":         with1(x, convWeight(7, 6, 3, 2), mlx.Groups(2)),
		"conv/conv1d_channel_error":   with1(x, convWeight(7, 6, 3, 3)),
		"conv/conv1d_groups_error":    with1(x, convWeight(7, 6, 3, 2), mlx.Groups(4)),
		"conv/conv1d_ndim_error":      with1(func() *mlx.Array { return zeros(4, 4) }, zeros(2, 3, 4)),
		"conv/conv1d_too_small_error": with1(func() *mlx.Array { return zeros(1, 2, 1) }, zeros(1, 3, 1)),
		"conv/conv1d_bf16": func() []*mlx.Array {
			return as(mlx.Conv1D(x().AsType(mlx.BFloat16), w().AsType(mlx.BFloat16), mlx.Padding{1}))
		},
		"conv/conv1d_int_error": with1(func() *mlx.Array { return mlx.Ones(mlx.Shape{1, 4, 1}, mlx.Int32) }, mlx.Ones(mlx.Shape{1, 2, 1}, mlx.Int32)),

		"conv/conv2d":                  two(),
		"conv/conv2d_stride_pad_pairs": two(mlx.Stride{2, 1}, mlx.Padding{1, 2}),
		"conv/conv2d_dilation":         two(mlx.Padding{2}, mlx.Dilation{2, 3}),
		"conv/conv2d_groups4": func() []*mlx.Array {
			return as(mlx.Conv2D(im(), convWeight(7, 4, 3, 2, 1), mlx.Groups(4), mlx.Padding{1}))
		},
		"conv/conv2d_stride_zero_error": two(mlx.Stride{0}),
		"conv/conv3d":                   func() []*mlx.Array { return as(mlx.Conv3D(vol(), kv(), mlx.Padding{1}, mlx.Stride{2})) },
		"conv/conv3d_groups_error": func() []*mlx.Array {
			return as(mlx.Conv3D(vol(), convWeight(5, 2, 2, 2, 2, 1), mlx.Groups(2)))
		},
		"conv/conv_general_flip_asymmetric":  general(mlx.Padding{2}, mlx.PaddingHigh{0}, mlx.Flipped(true)),
		"conv/conv_general_input_dilation":   general(mlx.Padding{1}, mlx.InputDilation{2}),
		"conv/conv_general_negative_padding": general(mlx.Padding{-1}),
		"conv/conv_transpose1d": func() []*mlx.Array {
			return as(mlx.ConvTranspose1D(x(), w(), mlx.Stride{2}, mlx.Padding{1}, mlx.OutputPadding{1}))
		},
		"conv/conv_transpose2d": func() []*mlx.Array { return as(mlx.ConvTranspose2D(im(), kr(), mlx.Stride{2})) },
		"conv/conv_transpose2d_groups2": func() []*mlx.Array {
			return as(mlx.ConvTranspose2D(im(), convWeight(7, 4, 3, 2, 2), mlx.Groups(2)))
		},
		"conv/conv_transpose3d": func() []*mlx.Array { return as(mlx.ConvTranspose3D(vol(), kv(), mlx.Stride{2})) },
	}
}()
