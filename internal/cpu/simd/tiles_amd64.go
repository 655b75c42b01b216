//go:build amd64 && !purego && !race

package simd

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// Products of bfloat16 on the tiles of AMX (Sapphire Rapids and later). One call takes a panel of 32 columns, as those of kindBF16 are:
// w[step][32] dwords, a step being two values of k. Rows of x are bfloat16 in that order of k, rows of c 32 float32.
//
// A block of 16 steps adds to c in one instruction: even and odd values of k are
// summed apart by fused multiply-add, in the order of steps from zero, then
// together, then added to c. Subnormal values count as zero. So the bits of an
// element depend on its row of x, on its column and on the number of steps only.

// hasAMX says whether this process may use tiles of bfloat16: the CPU has them,
// the system saves them, and lets this process have them. It asks the system
// once. Tests replace it.
var hasAMX = sync.OnceValue(func() bool {
	const saved = 3 << 17 // XCR0: tile configuration and data
	x := &cpu.X86
	return hasAVX512() && x.HasAMXTile && x.HasAMXBF16 && x.HasOSXSAVE && xgetbv0()&saved == saved && permitTiles()
})

const (
	amxRows  = 32 // rows of x that go through a panel at a time
	amxSteps = 16 // steps of one instruction: k is padded to 32 values
)

// amxWork bounds rows·steps of one call into assembly, which cannot be
// preempted: 67 MFLOP, under 70 µs at 1 TFLOP/s.
const amxWork = 1 << 19

// gemmTiles adds (acc) or sets c[i][j] = Σ x[i,k]·w[k,j] for i < rows, j < 32.
// c is [rows][32]; row i of x starts at byte i·xs and holds 4·steps bytes, see
// packTiles; w is [steps][32] dwords. steps is a multiple of 16, padded by zeros
// in x and w. Any alignment will do; fast is an xs of tileStride.
func gemmTiles(c []float32, x []byte, xs int, w []byte, rows, steps int, acc bool) {
	switch {
	case steps%amxSteps != 0:
		panic("simd: steps of tiles are not a multiple of 16")
	case rows == 0:
		return
	case steps == 0:
		if !acc {
			clear(c[:rows*panelCols])
		}
		return
	}
	c, x, w = c[:rows*panelCols], x[:(rows-1)*xs+4*steps], w[:steps*panelCols*4]
	for s := 0; s < steps; {
		n := min(steps-s, amxWork/amxRows)
		more := 0
		if acc || s > 0 {
			more = 1
		}
		for i := 0; i < rows; {
			m := min(rows-i, amxWork/n/amxRows*amxRows)
			tileBF16(&c[i*panelCols], &x[i*xs+4*s], xs, &w[s*panelCols*4], m, n, more)
			i += m
		}
		s += n
	}
}

// tileStride is a good distance in bytes of rows of x with that many steps: an
// odd number of cache lines, so that 16 rows do not fall into one set of L1.
func tileStride(steps int) int { return 4*steps/64*64 | 64 }

// kOrder is an order of values of k: element i of each 16 is k = kOrder[i].
type kOrder [16]uint32

// kOrders has the order of k in panels of weights by the bits of their codes: 4
// and 8 bits in the order that unpacking dwords of codes gives, else (0) as it is.
var kOrders = func() map[int]*kOrder {
	o := map[int]*kOrder{0: {}, 4: {}, 8: {}}
	for i := range uint32(16) {
		step, half := i/2, i%2
		o[0][i] = i
		o[4][i] = step/4*8 + step%4 + half*4
		o[8][i] = step/2*4 + step%2 + half*2
	}
	return o
}()

// packTiles writes rows of x for gemmTiles: each k values, ldx elements apart,
// rounded to bfloat16, put into the order and padded by zeros to the steps of
// one row, dst row i from byte i·xs on. k is a multiple of 8 if the order is not
// the natural one.
func packTiles(dst []byte, xs int, x Raw, ldx, rows, k, steps int, order *kOrder) {
	for i := range rows {
		src, row := x.Slice(i*ldx, i*ldx+k), dst[i*xs:i*xs+4*steps]
		s, d := unsafe.Pointer(ptr(src.Data)), Uint16s(row[:2*k])
		switch x.Elem {
		case F32:
			tileRowF32(ptr(d), (*float32)(s), k, (*[16]uint32)(order))
		case F16:
			tileRowF16(ptr(d), (*uint16)(s), k, (*[16]uint32)(order))
		case BF16:
			tileRowBF16(ptr(d), (*uint16)(s), k, (*[16]uint32)(order))
		}
		clear(row[2*k:])
	}
}
