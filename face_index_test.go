package mlx_test

import (
	"testing"

	"github.com/mlxgo/mlx"
)

func TestFaceIndexing(t *testing.T) {
	a := mlx.Arange(12).Reshape(3, 4)
	idx, mask := mlx.NewArray([]int{2, 0}), mlx.NewArray([]bool{true, false, true})
	b := mlx.Arange(24).Reshape(3, 2, 4)
	check(t, []row{
		{"a[0]", a.Index(0), "int32(4,)[0 1 2 3]"},
		{"a[-1, 2]", a.Index(-1, 2), "int32()[10]"},
		{"a[:, 1]", a.Index(mlx.Colon, 1), "int32(3,)[1 5 9]"},
		{"a[1:3]", a.Index(mlx.Range(1, 3)).Shape(), "(2, 4)"},
		{"a[1:, :3]", a.Index(mlx.From(1), mlx.To(3)), "int32(2, 3)[4 5 6 8 9 10]"},
		{"a[::2]", a.Index(mlx.Step(2)), "int32(2, 4)[0 1 2 3 8 9 10 11]"},
		{"a[::-1, 0]", a.Index(mlx.Step(-1), 0), "int32(3,)[8 4 0]"},
		{"a[1::2, 3]", a.Index(mlx.From(1).By(2), 3), "int32(1,)[7]"},
		{"b[1:3, None, ..., ::2].shape", b.Index(mlx.Range(1, 3), mlx.NewAxis, mlx.Ellipsis, mlx.Step(2)).Shape(), "(2, 1, 2, 2)"},
		{"a[idx]", a.Index(idx), "int32(2, 4)[8 9 10 11 0 1 2 3]"},
		{"a[:, idx]", a.Index(mlx.Colon, idx), "int32(3, 2)[2 0 6 4 10 8]"},
		{"a[mask]", a.Index(mask), "int32(2, 4)[0 1 2 3 8 9 10 11]"},
		{"b[0, :, idx].shape (the arrays are apart)", b.Index(0, mlx.Colon, idx).Shape(), "(2, 2)"},
		{"b[:, 1, idx].shape", b.Index(mlx.Colon, 1, idx).Shape(), "(3, 2)"},
		{"a[0, 2:] = 7", a.At(0, mlx.From(2)).Set(7).Index(0), "int32(4,)[0 1 7 7]"},
		{"a[mask] = 0", a.At(mask).Set(0), "int32(3, 4)[0 0 0 0 4 5 6 7 0 0 0 0]"},
		{"a.at[idx].add(v)", a.At(idx).Add(mlx.NewArray([]int{1, 2, 3, 4})).Index(2), "int32(4,)[9 11 13 15]"},
		{"mx.take(a, idx, axis=0)", mlx.Take(a, idx, mlx.Axis(0)), "int32(2, 4)[8 9 10 11 0 1 2 3]"},
		{"mx.take_along_axis(a, idx, axis=-1)", mlx.TakeAlongAxis(a, idx.Reshape(1, 2), -1), "int32(3, 2)[2 0 6 4 10 8]"},
		{"str(slice)", []any{mlx.Colon, mlx.Range(1, -1), mlx.From(2).By(3), mlx.To(4), mlx.Step(-1)}, "[: 1:-1 2::3 :4 ::-1]"},
	})
	for want, f := range map[string]func(){
		"at.set[int32(3, 4)]: index 3 is out of range for axis 0 of size 3":                               func() { a.At(3).Set(1) },
		"index[int32(3, 4)]: slice step 0 on axis 1":                                                      func() { a.Index(0, mlx.Step(0)) },
		"index[int32(3, 4)]: float64 is no index: an int, a Span, NewAxis, Ellipsis, a bool or an *Array": func() { a.Index(1.5) },
		"at.add[int32(3, 4) int32(3,)]: values of shape (3,) cannot be broadcast to (4,)":                 func() { a.At(0).Add(mlx.Arange(3)) },
		"index[int32(3, 4)]: an index of float32: only integers and bools are":                            func() { a.Index(mlx.Zeros(mlx.Shape{2})) },
		"slice[int32(3, 4) int32(2,)]: the start must be 1 integers, one for each of axes [0]":            func() { mlx.Slice(a, idx, []int{0}, mlx.Shape{1, 4}) },
		"index[int32(3, 4)]: a mask of shape (3,) for axes from 1 on":                                     func() { a.Index(0, mask) },
		"take_along_axis[int32(3, 4) int32(2,)]: indices with 1 axes for an array with 2":                 func() { mlx.TakeAlongAxis(a, idx, 0) },
		"at.set[int32(3, 4)]: string is neither an array nor a number":                                    func() { a.At(0).Set("x") },
	} {
		if err := mlx.Try(f); err == nil || err.Error() != want {
			t.Errorf("error\n%v, want\n%v", err, want)
		}
	}
}
