//go:build amd64 && unix && !purego && !race

package simd

import (
	"slices"
	"testing"
)

// Panels across of 4-bit codes hold what the pure tier makes of the codes, rounded to
// bfloat16, for all groups and types of scales, any columns and rows; nothing is read
// behind the last row.
func TestPanelsAcross(t *testing.T) {
	if !hasAVX512() || !fastBF16 {
		t.Skip("this machine has no fast bfloat16 products")
	}
	r := newRand(46)
	for _, e := range elems {
		for _, group := range []int{32, 64, 128} {
			for _, s := range [][4]int{{2, 128, 0, 0}, {34, 640, 512, 0}, {32, 384, 128, 12}} { // rows, columns, from which
				rows, cols, n, k0 := s[0], s[1], s[2], s[3]
				q := quantized(rounded(e, normals(r, rows*cols)), rows, cols, QParams{Mode: Affine, Bits: 4, Group: group, Elem: e})
				g := *q
				g.Words = Uint32s(guarded(t, 4*len(q.Words)))
				copy(g.Words, q.Words)
				g.Scales, g.Biases = guardedRaw(t, Raw{F32, q.Scales}).Data, guardedRaw(t, Raw{F32, q.Biases}).Data
				width := min(cols-n, panels*panelCols) / group * group
				np, kc := width/panelCols, rows-k0
				b := blockJob{q: &g, w: guarded(t, np*kc/2*128)}
				b.unpackAcross(np, n, width, k0, kc)
				row, want := make([]float32, cols), make([]uint16, kc*width)
				for k := range kc {
					dequantRow(row, q, k0+k, F32)
					for j := range width {
						at := (j/panelCols*kc/2+k/2)*2*panelCols + j%panelCols*2 + k%2
						f32ToBF16(want[at:at+1], row[n+j:n+j+1])
					}
				}
				if !slices.Equal(Uint16s(b.w), want) {
					t.Errorf("group %d, %v: %d rows from %d, %d columns from %d are not those of the pure tier", group, e, kc, k0, width, n)
				}
			}
		}
	}
}
