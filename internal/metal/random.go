package metal

import (
	"math"

	"github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/internal/threefry"
)

// bitsOp makes the words of Threefry, a block of two a thread.
func bitsOp(e *encoder, p random.Bits, in, out []View) error {
	bytes := out[0].Spec.Bytes()
	words := (bytes + 3) / 4
	if words > math.MaxInt32 {
		return noKernel("%d random words", words)
	}
	grid, group := linear(threefry.NumBlocks(words))
	name, args := "bits_words", []arg{e.in(&in[0]), e.out(&out[0])}
	if (bytes|out[0].Offset)%4 != 0 {
		name, args = "bits", append(args, i64(bytes))
	}
	k, err := e.kernel("random", name, nil)
	if err != nil {
		return err
	}
	e.run(k, grid, group, append(args, i32(words))...)
	return nil
}

// cdfParts is the constant of kernels/random.metal.
const cdfParts = 256

// inverseCDF samples rows: sums of the weights in parts of a row, then the draws.
func inverseCDF(e *encoder, in, out []View) error {
	x, n := &in[0], out[0].Shape.Size()
	size := x.Shape[len(x.Shape)-1]
	if classOf(x.DType) != floats || n > math.MaxInt32 || x.Shape.Size() > math.MaxInt32 || x.Shape.Size()/size > math.MaxInt32/cdfParts {
		return noKernel("%d draws from %v", n, x.Spec)
	}
	rows := x.Shape.Size() / size
	if rows == 0 || n == 0 {
		return nil
	}
	sumsOf, err := e.kernel("random", "cdf_sums", []string{storageType(x.DType)})
	if err != nil {
		return err
	}
	sample, err := e.kernel("random", "cdf_sample", []string{storageType(x.DType)})
	if err != nil {
		return err
	}
	sums, tops := e.scratch(8*rows*(cdfParts+1)), e.scratch(4*rows)
	shape, steps, ndim := ints(x.Shape...), longs(x.Strides...), i32(len(x.Shape))
	e.run(sumsOf, [3]int{rows * cdfParts, 1, 1}, [3]int{cdfParts, 1, 1}, e.in(x), sums, tops, shape, steps, ndim)
	grid, group := linear(n)
	e.run(sample, grid, group, e.in(x), e.in(&in[1]), e.out(&out[0]), sums.reading(), tops.reading(), shape, steps, ndim, i32(n/rows))
	return nil
}
