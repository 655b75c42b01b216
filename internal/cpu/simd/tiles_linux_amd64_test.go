//go:build !purego && !race

package simd

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/amxemu"
	"golang.org/x/sys/cpu"
)

// Under the emulator, tiles are there.
var _ = func() (none struct{}) {
	if amxemu.Active() {
		hasAMX = hasAVX512
	}
	return
}()

// onTiles says whether the test can go on here: where the CPU has no tiles, it
// runs the test in the emulator instead.
func onTiles(t *testing.T) bool {
	if !hasAVX512() {
		t.Skip("tests of tiles use the packing of the avx512 tier")
	}
	if hasAMX() {
		return true
	}
	if n := amxemu.Rerun(t, "^"+t.Name()+"$").Count[amxemu.TDPBF16PS]; n == 0 {
		t.Error("no TDPBF16PS was performed")
	}
	return false
}

// amxProduct is a product for tiles: x [rows][k] and w [32][k], bfloat16 values.
type amxProduct struct {
	rows, steps int
	x, w        []float32
	xp, wp      []byte // packed, at odd addresses
	xs          int
}

// newAMXProduct makes a product of values of f; xs is more than the least stride.
func newAMXProduct(rows, steps, more int, f func() float32) *amxProduct {
	k := 2 * steps
	p := &amxProduct{rows: rows, steps: steps, xs: 4*steps + more}
	for range rows * k {
		p.x = append(p.x, RoundTo(f(), BF16))
	}
	for range panelCols * k {
		p.w = append(p.w, RoundTo(f(), BF16))
	}
	xp, wp := make([]byte, (rows-1)*p.xs+4*steps), make([]byte, panelCols*4*steps)
	for i := range xp {
		xp[i] = 0xff // NaN, where nothing may be read
	}
	packTiles(xp, p.xs, rawOf(F32, p.x), k, rows, k, steps, kOrders[0])
	for i, v := range p.w {
		col, step, half := i/k, i%k/2, i%2
		binary.LittleEndian.PutUint16(wp[(step*panelCols+col)*4+2*half:], ToBF16(v))
	}
	p.xp, p.wp = odd(xp), odd(wp)
	return p
}

func (p *amxProduct) run(c []float32, acc bool) { gemmTiles(c, p.xp, p.xs, p.wp, p.rows, p.steps, acc) }

// check compares c with sums in float64 onto old: |error| <= tol·Σ|x·w|.
func (p *amxProduct) check(t *testing.T, c, old []float32, tol float64) {
	t.Helper()
	k := 2 * p.steps
	for i := range p.rows {
		for j := range panelCols {
			s := float64(old[i*panelCols+j])
			a := math.Abs(s)
			for l := range k {
				v := float64(p.x[i*k+l]) * float64(p.w[j*k+l])
				s, a = s+v, a+math.Abs(v)
			}
			if d := math.Abs(float64(c[i*panelCols+j]) - s); !(d <= tol*a) {
				t.Fatalf("%d rows, %d steps: c[%d,%d] = %g, want %g", p.rows, p.steps, i, j, c[i*panelCols+j], s)
			}
		}
	}
}

// integers have exact sums.
func integers(r *rand.Rand) func() float32 { return func() float32 { return float32(r.IntN(33) - 16) } }

func normal(r *rand.Rand) func() float32 { return func() float32 { return float32(r.NormFloat64()) } }

func TestTileProducts(t *testing.T) {
	if !onTiles(t) {
		return
	}
	r := newRand(70)
	for _, rows := range []int{1, 2, 7, 15, 16, 17, 25, 31, 32, 33, 47, 48, 49, 64, 79, 97} {
		for i, steps := range []int{16, 48, 128} {
			for _, c := range []struct {
				f   func() float32
				tol float64
			}{{integers(r), 0}, {normal(r), 3e-7}} {
				p := newAMXProduct(rows, steps, []int{0, 64, 6}[i], c.f)
				end := rows * panelCols
				y := make([]float32, end+panelCols) // what lies behind c stays
				for i := range y {
					y[i] = float32(math.NaN())
				}
				p.run(y[:end], false)
				p.check(t, y, make([]float32, end), c.tol)
				sum := Float32s(odd(Raw{F32, make([]byte, 4*end)}.Data))
				for i := range sum {
					sum[i] = c.f()
				}
				old := append([]float32(nil), sum...)
				p.run(sum, true)
				p.check(t, sum, old, c.tol)
				for _, v := range y[end:] {
					if v == v {
						t.Fatalf("%d rows: written behind c", rows)
					}
				}
			}
		}
	}
}

// The bits of a row depend neither on the other rows nor on a cut of the steps.
func TestTileRowsAreIndependent(t *testing.T) {
	if !onTiles(t) {
		return
	}
	const rows, steps = 50, 96
	p := newAMXProduct(rows, steps, 64, normal(newRand(71)))
	all := make([]float32, rows*panelCols)
	p.run(all, false)
	for _, cut := range [][2]int{{0, 1}, {3, 19}, {5, 37}, {31, 50}, {49, 50}} {
		m := cut[1] - cut[0]
		y := make([]float32, m*panelCols)
		gemmTiles(y, p.xp[cut[0]*p.xs:], p.xs, p.wp, m, steps, false)
		if !sameBits(y, all[cut[0]*panelCols:cut[1]*panelCols]) {
			t.Errorf("rows %d to %d alone have other bits", cut[0], cut[1])
		}
	}
	y := make([]float32, rows*panelCols)
	for s := 0; s < steps; s += 32 {
		gemmTiles(y, p.xp[4*s:], p.xs, p.wp[s*panelCols*4:], rows, 32, s > 0)
	}
	if !sameBits(y, all) {
		t.Error("a cut of the steps gives other bits")
	}
	// NaN and infinity stay in their rows.
	binary.LittleEndian.PutUint16(p.xp[20*p.xs+8:], 0x7fc0)
	binary.LittleEndian.PutUint16(p.xp[40*p.xs+8:], 0x7f80)
	p.run(y, false)
	for i, v := range y {
		switch row := i / panelCols; {
		case row == 20 && v == v:
			t.Fatalf("row 20 is %g, want NaN", v)
		case row == 40 && !math.IsInf(float64(v), 0):
			t.Fatalf("row 40 is %g, want infinity", v)
		case row != 20 && row != 40 && v != all[i]:
			t.Fatalf("row %d is %g, want %g", row, v, all[i])
		}
	}
}

// Work that is more than one call into assembly may do.
func TestTileCalls(t *testing.T) {
	if !onTiles(t) {
		return
	}
	for _, c := range [][2]int{{33, amxWork/amxRows + 32}, {70, amxWork / 64}} {
		p := newAMXProduct(c[0], c[1], 64, integers(newRand(72)))
		y := make([]float32, c[0]*panelCols)
		p.run(y, false)
		p.check(t, y, make([]float32, len(y)), 0)
	}
	y := []float32{1, 2}
	gemmTiles(y, nil, 0, nil, 0, 16, false)
	y = normals(newRand(73), panelCols)
	gemmTiles(y, nil, 0, nil, 1, 0, true)
	if y[0] == 0 {
		t.Error("no steps added something")
	}
	gemmTiles(y, nil, 0, nil, 1, 0, false)
	if !sameBits(y, make([]float32, panelCols)) {
		t.Error("the sum of no steps is not 0")
	}
}

// The panels that products in blocks unpack fit, and the orders of k.
func TestTilePanels(t *testing.T) {
	if !cpu.X86.HasAVX512BF16 {
		t.Skip("panels of bfloat16 need AVX512_BF16")
	}
	if !onTiles(t) {
		return
	}
	r := newRand(77)
	for _, p := range modes {
		p.Elem = BF16
		const m, n, k = 21, 45, 3 * 128
		q := quantized(normals(r, n*k), n, k, p)
		x := rawOf(BF16, normals(r, m*k))
		pl := blockPlan(q, m, kindBF16, false)
		prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
		blockPrep(&pl, 0, prep, x, q, 0, m, scratch)
		want := make([]float32, m*n)
		blockGemm(&pl, Raw{F32, f32bytes(want)}, n, prep, q, 0, m, 0, n, scratch)

		b := blockJob{blockLayout: blockLayoutOf(q, m, kindBF16, false), q: q, kind: kindBF16}
		b.m, b.src = make([]float32, b.metaLen()), make([]byte, b.sourceBytes(q))
		w, c := make([]byte, k/2*4*panelCols), make([]float32, m*panelCols)
		xs := tileStride(k / 2)
		xp := make([]byte, m*xs)
		packTiles(xp, xs, x, k, m, k, k/2, kOrders[q.orderBits()])
		for j := 0; j < n; j += panelCols {
			cols := min(panelCols, n-j)
			if q.Mode == Affine {
				b.unpackMeta(b.m, j, cols)
			}
			b.unpack(w, b.m, j, cols, 0, k)
			gemmTiles(c, xp, xs, w, m, k/2, false)
			var e, norm float64
			for i := range m {
				for l := range cols {
					v := float64(want[i*n+j+l])
					d := float64(c[i*panelCols+l]) - v
					e, norm = e+d*d, norm+v*v
				}
			}
			if !(math.Sqrt(e/norm) <= 1e-6) {
				t.Errorf("%s, columns from %d: off by %.2g of the norm", p.name(), j, math.Sqrt(e/norm))
			}
		}
	}
}

// f32bytes are the bytes of x.
func f32bytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(ptr(x))), 4*len(x))
}

// Nothing is read or written behind c, x and w, and the test would see it.
func TestTileGuardPages(t *testing.T) {
	if !onTiles(t) {
		return
	}
	at := func(b []byte) []byte {
		g := guarded(t, len(b))
		copy(g, b)
		return g
	}
	for _, rows := range []int{1, 13, 16, 17, 30, 32, 45, 64} {
		for _, more := range []int{0, 64, 6} {
			p := newAMXProduct(rows, 48, more, integers(newRand(74)))
			x, w := at(p.xp), at(p.wp)
			y := guardedFloats(t, make([]float32, rows*panelCols))
			gemmTiles(y, x, p.xs, w, rows, 48, false)
			p.check(t, y, make([]float32, len(y)), 0)
			gemmTiles(y, x, p.xs, w, rows, 48, true)
		}
	}
	p := newAMXProduct(20, 16, 0, integers(newRand(75)))
	x, w, y := at(p.xp), at(p.wp), guardedFloats(t, make([]float32, 20*panelCols))
	call := func(c, x, w int) (faults bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() { faults = recover() != nil }()
		tileBF16(&y[c*panelCols], &p.xp[0], p.xs, &p.wp[0], 20-x, 16+16*w, 1)
		return false
	}
	if call(0, 0, 0) {
		t.Error("the whole product faults")
	}
	if !call(1, 0, 0) {
		t.Error("a store of a row behind c does not fault")
	}
	p.xp = x[p.xs:]
	if !call(0, 0, 0) || call(0, 1, 0) {
		t.Error("of 19 rows of x, 20 do not fault, or 19 do")
	}
	p.xp, p.wp = make([]byte, 2*len(x)), w
	if !call(0, 0, 1) || call(0, 0, 0) {
		t.Error("of 16 steps of w, 32 do not fault, or 16 do")
	}
}

// Tiles belong to a thread, while goroutines move and are preempted.
func TestTileThreads(t *testing.T) {
	if !onTiles(t) {
		return
	}
	var wg, bg sync.WaitGroup
	stop := make(chan bool)
	bg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	for i := range 4 {
		wg.Go(func() {
			r := newRand(uint64(80 + i))
			for range 10 {
				p := newAMXProduct(1+r.IntN(40), 16*(1+r.IntN(3)), 64, integers(r))
				y := make([]float32, p.rows*panelCols)
				p.run(y, false)
				p.check(t, y, make([]float32, len(y)), 0)
			}
		})
	}
	wg.Wait()
	close(stop)
	bg.Wait()
}

// The amx tier's products of all schemes: near the exact ones, and the same bits
// for any cut.
func TestProductsOnTiles(t *testing.T) {
	if !onTiles(t) {
		return
	}
	selectTiles(t)
	r := newRand(78)
	check := func(what string, q *QMatrix, w []float64, m int, tol float64) {
		n, k := q.Rows, q.Cols
		x := rounded(BF16, normals(r, m*k))
		raw := rawOf(elems[r.IntN(3)], x)
		pl := K.QPlan(q, m, Rounded)
		if pl.kind != kindTiles {
			t.Fatalf("%s: %d rows are not for tiles", what, m)
		}
		whole := product(raw, m, q, Rounded, F32, m, 0, m, 0, n)
		if got := relative(whole, rounded(raw.Elem, x), w, m, n, k); !(got <= tol) {
			t.Errorf("%s m%d n%d k%d: error %.2g", what, m, n, k, got)
		}
		i0 := r.IntN(m) / pl.Rows * pl.Rows
		i1, n0 := i0+1+r.IntN(m-i0), r.IntN(n)
		n1 := n0 + 1 + r.IntN(n-n0)
		part := product(raw, m, q, Rounded, BF16, 1+r.IntN(m), i0, i1, n0, n1)
		for i := i0; i < i1; i++ {
			if !sameBits(part[(i-i0)*(n1-n0):(i-i0+1)*(n1-n0)], rounded(BF16, whole[i*n+n0:i*n+n1])) {
				t.Fatalf("%s: row %d of [%d,%d), columns [%d,%d) differ from the whole", what, i, i0, i1, n0, n1)
			}
		}
	}
	for i, p := range modes {
		p.Elem = elems[i%3]
		m, n, k := []int{16, 17, 40}[i%3], []int{33, 70}[i%2], 3*max(p.Group, 32)
		q := quantized(rounded(p.Elem, normals(r, n*k)), n, k, p)
		check(p.name(), q, dense(q), m, 5e-3)
	}
	w := rounded(BF16, normals(r, 40*2080)) // more than a block of k
	q := &QMatrix{Mode: Dense, Bits: 16, Group: 32, Rows: 40, Cols: 2080, Elem: BF16, Words: Uint32s(rawOf(BF16, w).Data)}
	check("dense", q, f64s(w), 19, 5e-3)
}

// Products x·w on tiles, as those of the other tiers.
func TestProductsAcrossOnTiles(t *testing.T) {
	if !onTiles(t) {
		return
	}
	selectTiles(t)
	checkAcross(t, [][3]int{{17, 32, 1}, {33, 96, 3}})
}

// selectTiles makes amx the tier until the test ends.
func selectTiles(t *testing.T) {
	t.Helper()
	old := Active()
	t.Cleanup(func() { _ = Select(old) })
	if err := Select("amx"); err != nil {
		t.Fatal(err)
	}
}
