package mlx

import "github.com/mlxgo/mlx/internal/tensor"

// Reading evaluates the array if that has not happened yet. A fault of that
// evaluation panics with *[Error]; call [Eval] first to get it as an error.

// Item is a.item(): the value of an array of size one. T must hold every value of
// the array's dtype (float32 or float64 for bfloat16, int or int64 for int32):
// else it panics; use AsType.
func Item[T Element](a *Array) T { return tensor.Item[T](a) }

// ToSlice is a.flatten().tolist(): the elements in row-major order, in a new slice; T as
// in [Item].
func ToSlice[T Element](a *Array) []T { return tensor.ToSlice[T](a) }

// CopyTo is [ToSlice] into dst, which must have length a.Size() (not in MLX).
func CopyTo[T Element](dst []T, a *Array) { tensor.CopyTo(dst, a) }

// ToRows is a.tolist() of a matrix: one slice per row.
func ToRows[T Element](a *Array) [][]T {
	n, d := a.Dims2()
	all := tensor.ToSlice[T](a)
	out := make([][]T, n)
	for i := range out {
		out[i] = all[i*d : (i+1)*d : (i+1)*d]
	}
	return out
}

// PrintOptions is mx.printoptions: Precision is the digits after the point of
// floats; -1, the default, is the shortest of 6 significant digits.
type PrintOptions = tensor.PrintOptions

// SetPrintOptions is mx.set_printoptions, for the whole process; it returns the
// old options. It panics if the precision is below -1 or above 1000.
func SetPrintOptions(o PrintOptions) (old PrintOptions) { return tensor.SetPrintOptions(o) }
