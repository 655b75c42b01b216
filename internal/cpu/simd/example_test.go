package simd_test

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// Quantize two rows to 4 bits and multiply a vector with them as they are packed.
func Example() {
	const rows, cols = 2, 64
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(i%16) - 8
	}
	p := simd.QParams{Mode: simd.Affine, Bits: 4, Group: 64, Elem: simd.BF16}
	nw, ns := p.RowWords(cols), p.RowScaleBytes(cols)
	q := &simd.QMatrix{Mode: p.Mode, Bits: p.Bits, Group: p.Group, Elem: p.Elem, Rows: rows, Cols: cols,
		Words: make([]uint32, rows*nw), Scales: make([]byte, rows*ns), Biases: make([]byte, rows*ns)}
	for r := range rows {
		simd.K.QuantizeRow(q.Words[r*nw:(r+1)*nw], q.Scales[r*ns:(r+1)*ns], q.Biases[r*ns:(r+1)*ns], w[r*cols:(r+1)*cols], p)
	}
	x, y := make([]float32, cols), make([]float32, rows)
	x[3], x[40] = 1, 2
	pl := simd.K.QPlan(q, 1, simd.Exact)
	prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
	for pass := range pl.Passes {
		simd.K.QPrep(&pl, pass, prep, simd.RawF32(x), q, 0, 1, scratch)
	}
	simd.K.QGemmNT(&pl, simd.RawF32(y), rows, prep, q, 0, 1, 0, rows, scratch)
	fmt.Println(w[3]+2*w[40], y)
	// Output: -5 [-5 -5]
}
