package calibrate

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/quant"
)

// GPTQ of Frantar et al., arXiv 2210.17323: columns are rounded one after the other, and
// those after them take over the error, as far as the inputs seen allow. Columns go by the
// size of their inputs, largest first, while each group's scale is found before.

const (
	// damping is added to the diagonal of X^T X, as a share of its mean.
	damping = 0.01
	// tiedDamping likewise of an output layer that is the embedding too, which takes each
	// channel by itself: the more, the more that counts.
	tiedDamping = 3
)

// gptqRows is how many rows of a matrix are rounded together: they read the factor once.
const gptqRows = 16

// factor is what gptq needs of the inputs of a matrix.
type factor struct {
	order []int     // of columns
	u     *matrix   // in this order
	diag  []float64 // of X^T X with the damping, by column
}

// newFactor is the factor of h = X^T X, which is overwritten. Damp is added to the
// diagonal, as a share of its mean.
func newFactor(h *matrix, damp float64) (*factor, error) {
	n := h.n
	var mean float64
	for i := range n {
		mean += h.row(i)[i] / float64(n)
	}
	if mean == 0 {
		mean = 1
	}
	f := &factor{order: make([]int, n), diag: make([]float64, n)}
	for i := range n {
		f.order[i] = i
		h.row(i)[i] += damp * mean
		f.diag[i] = h.row(i)[i]
	}
	slices.SortStableFunc(f.order, func(a, b int) int {
		switch {
		case f.diag[a] > f.diag[b]:
			return -1
		case f.diag[a] < f.diag[b]:
			return 1
		}
		return 0
	})
	turned := newMatrix(n)
	for i, a := range f.order {
		for j, b := range f.order {
			turned.row(i)[j] = h.row(a)[b]
		}
	}
	var err error
	if f.u, err = inverseFactor(turned); err != nil {
		return nil, fmt.Errorf("gptq: %w; a greater damping is needed", err)
	}
	return f, nil
}

// gptq rounds w [rows, cols].
func gptq(w []float32, rows, cols int, f *factor, s quant.Scheme, d mlx.DType) *packed {
	p := newPacked(rows, cols, s, d)
	parallel((rows+gptqRows-1)/gptqRows, func(a, b int) {
		for i := a; i < b; i++ {
			f.round(p, w, i*gptqRows, min((i+1)*gptqRows, rows))
		}
	})
	return p
}

// round rounds rows [from, to).
func (f *factor) round(p *packed, w []float32, from, to int) {
	n, group := p.cols, p.scheme.GroupSize
	groups := n / group
	rest := make([][]float64, to-from) // what is left of each row, in the order of columns
	grids := make([][]grid, to-from)
	codes := make([][]uint8, to-from)
	buf := make([]float64, n)
	for r := range rest {
		for j, v := range w[(from+r)*n : (from+r+1)*n] {
			buf[j] = float64(v)
		}
		for g := range groups {
			at := buf[g*group : (g+1)*group]
			one := bestGrid(at, f.diag[g*group:(g+1)*group], p.scheme.Bits, p.dtype)
			grids[r] = append(grids[r], one)
			p.scales[(from+r)*groups+g], p.biases[(from+r)*groups+g] = float32(one.scale), float32(one.bias)
		}
		rest[r], codes[r] = make([]float64, n), make([]uint8, n)
		for i, j := range f.order {
			rest[r][i] = buf[j]
		}
	}
	for i, j := range f.order {
		u := f.u.row(i)[i:]
		for r, row := range rest {
			g := grids[r][j/group]
			c := g.code(row[i])
			codes[r][j] = uint8(c)
			axpy(row[i:], (g.value(c)-row[i])/u[0], u)
		}
	}
	for r := range rest {
		p.put(from+r, codes[r])
	}
}

// gptqLayer quantizes a layer in the order of its flow: what comes later sees the rounding
// of what came before.
func (j *job) gptqLayer(l *layer) error {
	for _, stage := range l.stages {
		in, err := l.gather(stage)
		if err != nil {
			return err
		}
		f, err := newFactor(in[0].gram, damping)
		if err != nil {
			return err
		}
		for _, w := range stage {
			rows, cols := w.Weight.Dims2()
			p := gptq(mlx.ToSlice[float32](w.Weight.AsType(mlx.Float32)), rows, cols, f, j.o.Scheme, j.dtype)
			if err := l.put(w.path, p.quantized(), w.Bias); err != nil {
				return err
			}
		}
	}
	return nil
}
