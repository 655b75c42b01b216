package metal

import (
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
)

// segmentedMM multiplies parts of row-major matrices. A segment that leaves the axis is no
// fault here: it is cut.
func segmentedMM(e *encoder, in, out []View) error {
	const tile = 32
	a, b, g, y := &in[0], &in[1], &in[2], &out[0]
	m, k, n := a.Shape[0], a.Shape[1], b.Shape[1]
	if t := y.DType; !t.Is(dtype.Floating) || productTypes[t] == "" {
		return noKernel("a product of %v", t)
	}
	if k == 0 || max(m, n) > math.MaxInt32/128 {
		return noKernel("a product of [%d, %d] and [%d, %d]", m, k, k, n)
	}
	if y.Shape.Size() == 0 {
		return nil
	}
	kernel, err := e.kernel("segments", "segmented_mm", []string{productTypes[y.DType]})
	if err != nil {
		return err
	}
	grid := [3]int{(n + tile - 1) / tile * 128, (m + tile - 1) / tile, g.Shape.Size() / 2}
	e.run(kernel, grid, [3]int{128, 1, 1}, e.in(a), e.in(b), e.in(g), e.out(y), ints(m, n, k, integerKinds[g.DType]))
	return nil
}
