package simd

import "fmt"

// Precision says what a product may do to its activations.
type Precision uint8

// Precisions.
const (
	// Exact keeps the error of float32 sums, a few 1e-7 of Σ|x·w|.
	Exact Precision = iota
	// Rounded may round activations to integers with a scale for each group, or
	// to bfloat16, for speed: what half precision leaves of them hardly changes.
	Rounded
	// Halved may round weights to bfloat16, the dtype of the activations: what MLX
	// multiplies on a GPU. Where that pays not, it is Exact.
	Halved
)

// QPlan is how a tier multiplies M rows of x by the transpose of a packed
// matrix. It follows from the tier, M, the shape and scheme of the matrix and
// the precision alone, never from how the work is cut, so that any cut gives the
// same bits.
type QPlan struct {
	M       int
	Prep    int  // bytes of x as QGemmNT reads it
	Passes  int  // of QPrep; a pass starts when all ranges of the one before are done
	Rows    int  // ranges of rows begin at multiples of it
	Cols    int  // ranges of columns should begin at multiples of it, across they must
	Scratch int  // bytes that one call of QPrep or QGemmNT needs, not shared
	kind    int  // the tier's own
	across  bool // x·q in place of x·qᵀ
}

// SameSums reports whether rows of a product by p have the bits that they have by o, a
// plan for another number of rows of the same product.
func (p *QPlan) SameSums(o *QPlan) bool { return p.kind == o.kind && p.across == o.across }

// Tiles of products in float32: rows of x that stay in cache, and rows of w.
const (
	tileRows = 64
	tileCols = 64
)

// A floatTile is a product of rows [i, i+rows) and columns [n0, n1) in float32.
type floatTile func(y []float32, ldy int, prep []byte, m int, q *QMatrix, i, rows, n0, n1 int, scratch []float32)

// floatTiles computes a result tile by tile; those of other types than float32
// pass through scratch.
func floatTiles(f floatTile, m int, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	buf := Float32s(scratch)
	tile, rest := buf[:tileRows*tileCols], buf[tileRows*tileCols:]
	for i := i0; i < i1; i += tileRows {
		rows := min(tileRows, i1-i)
		for j := n0; j < n1; j += tileCols {
			n := min(tileCols, n1-j)
			at := (i-i0)*ldy + j - n0
			if y.Elem == F32 {
				f(Float32s(y.Slice(at, at+(rows-1)*ldy+n).Data), ldy, prep, m, q, i, rows, j, j+n, rest)
				continue
			}
			f(tile, n, prep, m, q, i, rows, j, j+n, rest)
			for r := range rows {
				K.Store(y.Slice(at+r*ldy, at+r*ldy+n), tile[r*n:(r+1)*n])
			}
		}
	}
}

func (p Precision) String() string {
	switch p {
	case Exact:
		return "exact"
	case Rounded:
		return "rounded"
	case Halved:
		return "halved"
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}
