//go:build amd64 && unix && !purego && !race

package simd

import (
	"encoding/binary"
	"math"
	"testing"

	"golang.org/x/sys/cpu"
)

// A system that gives tiles must use them.
func TestRequireTiles(t *testing.T) {
	if avx512 := uint32(0xe6); hasAVX512() && xgetbv0()&avx512 != avx512 { // SSE, AVX, masks, both parts of ZMM
		t.Errorf("XCR0 is %#x with AVX-512 in use", xgetbv0())
	}
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXBF16 || xgetbv0()>>17&3 != 3 {
		t.Skip("this CPU or system has no AMX")
	}
	if !hasAMX() {
		t.Errorf("AMX is not in use: AVX-512 %v, permission %v", hasAVX512(), permitTiles())
	}
}

// The order of k in a dword of codes: two codes of a dword, 16 bits apart, are
// a step; the codes of 16 bits are steps in turn.
func TestTileOrders(t *testing.T) {
	for _, bits := range []int{4, 8} {
		per := 16 / bits // steps of one dword
		for i, k := range kOrders[bits] {
			step, half := i/2, i%2
			if want := step/per*2*per + step%per + half*per; int(k) != want {
				t.Errorf("%d bits: element %d is %d, want %d", bits, i, k, want)
			}
		}
	}
	for i, k := range kOrders[0] {
		if int(k) != i {
			t.Errorf("the natural order has %d at %d", k, i)
		}
	}
}

func TestPackTiles(t *testing.T) {
	onlyAVX512(t)
	r := newRand(76)
	for _, bits := range []int{0, 4, 8} {
		for _, k := range []int{1, 2, 15, 16, 17, 32, 33, 64, 104, 128, 200} {
			if bits != 0 && k%8 != 0 {
				continue
			}
			for _, e := range elems {
				const rows = 3
				steps := (k + 31) / 32 * 16
				xs, ldx := tileStride(steps), k+5
				x := normals(r, (rows-1)*ldx+k)
				x[0], x[ldx] = float32(math.NaN()), float32(math.Inf(-1))
				raw := guardedRaw(t, rawOf(e, x))
				dst := guarded(t, (rows-1)*xs+4*steps)
				for i := range dst {
					dst[i] = 0xaa
				}
				packTiles(dst, xs, raw, ldx, rows, k, steps, kOrders[bits])
				for i := range dst {
					row, at := i/xs, i%xs/2
					var want uint16
					switch from := at/16*16 + int(kOrders[bits][at%16]); {
					case at >= 2*steps:
						want = 0xaaaa // between the rows
					case from < k:
						want = ToBF16(RoundTo(x[row*ldx+from], e))
					}
					if i%2 == 0 && binary.LittleEndian.Uint16(dst[i:]) != want {
						t.Fatalf("%v, order %d, k %d: value %d of row %d is %04x, want %04x", e, bits, k, at, row, binary.LittleEndian.Uint16(dst[i:]), want)
					}
				}
			}
		}
	}
}

func TestTileStride(t *testing.T) {
	for steps := 16; steps < 500; steps += 16 {
		s := tileStride(steps)
		if s%128 != 64 || s < 4*steps || s > 4*steps+64 {
			t.Errorf("%d steps: %d bytes", steps, s)
		}
	}
}
