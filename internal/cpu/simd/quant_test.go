package simd

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

var modes = func() (p []QParams) {
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, g := range []int{32, 64, 128} {
			p = append(p, QParams{Mode: Affine, Bits: bits, Group: g})
		}
	}
	return append(p, QParams{Mode: MXFP4, Bits: 4, Group: 32}, QParams{Mode: MXFP8, Bits: 8, Group: 32}, QParams{Mode: NVFP4, Bits: 4, Group: 16})
}()

func (p QParams) name() string {
	if p.Mode == Affine {
		return fmt.Sprintf("b%d.g%d", p.Bits, p.Group)
	}
	return p.Mode.String()
}

// quantized packs w [rows,cols] into unaligned memory.
func quantized(w []float32, rows, cols int, p QParams) *QMatrix {
	size := 1
	if p.Mode == Affine {
		size = p.Elem.Size()
	}
	g := cols / p.Group * size
	nw := cols * p.Bits / 32
	words := odd(make([]byte, rows*nw*4))
	q := &QMatrix{Mode: p.Mode, Bits: p.Bits, Group: p.Group, Rows: rows, Cols: cols, Elem: p.Elem, Global: p.Global,
		Words: Uint32s(words), Scales: odd(make([]byte, rows*g)), Biases: odd(make([]byte, rows*g))}
	for r := range rows {
		K.QuantizeRow(q.Words[r*nw:(r+1)*nw], q.Scales[r*g:(r+1)*g], q.Biases[r*g:(r+1)*g], w[r*cols:(r+1)*cols], p)
	}
	if p.Mode != Affine {
		q.Biases = nil
	}
	return q
}

func TestQuantizeGolden(t *testing.T) {
	everyTier(t, testQuantizeGolden)
}

func testQuantizeGolden(t *testing.T) {
	aff, fp := goldens(t, "quantize_affine.safetensors"), goldens(t, "quantize_fp.safetensors")
	done := 0
	for _, dt := range []string{"float32", "float16", "bfloat16"} {
		for _, p := range modes {
			g, key := aff, dt+"."+p.name()
			if p.Mode != Affine {
				g = fp
			}
			if _, ok := g[key+".q"]; !ok {
				continue
			}
			done++
			w := g["w."+dt]
			p.Elem = w.elem()
			rows, cols := w.Shape[0], w.Shape[1]
			q := quantized(w.floats(), rows, cols, p)
			if err := q.Check(); err != nil {
				t.Fatal(err)
			}
			if want := Uint32s(g[key+".q"].data); !equalWords(q.Words, want) {
				t.Errorf("%s: codes differ from the recorded ones", key)
			}
			if !bytes.Equal(q.Scales, g[key+".scales"].data) {
				t.Errorf("%s: scales differ", key)
			}
			if p.Mode == Affine && !bytes.Equal(q.Biases, g[key+".biases"].data) {
				t.Errorf("%s: biases differ", key)
			}
			testDeqGolden(t, key, q, g)
		}
	}
	if done != 18*3+6 {
		t.Errorf("compared %d cases, want 60", done)
	}
}

// testDeqGolden compares the recorded weights bit for bit and the product with
// x within what sums in the element type allow.
func testDeqGolden(t *testing.T, key string, q *QMatrix, g map[string]golden) {
	deq := g[key+".deq"]
	e := deq.elem()
	got := make([]float32, q.Rows*q.Cols)
	for r := range q.Rows {
		K.DequantRow(got[r*q.Cols:], q, r, e)
	}
	want := deq.floats()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] != 0 || want[i] != 0) {
			t.Errorf("%s: value %d is %v, recorded %v", key, i, got[i], want[i])
			break
		}
	}
	dt := map[Elem]string{F32: "float32", F16: "float16", BF16: "bfloat16"}[e]
	x, xwT := g["x."+dt].floats(), g[key+".xwT"].floats()
	m := len(x) / q.Cols
	y := qmm(x, m, q)
	tol := map[Elem]float64{F32: 1e-5, F16: 2e-2, BF16: 1e-1}[e] // MLX sums in the element type
	if d, s := maxDiff(y, f64s(xwT)); !(d <= tol*s) {
		t.Errorf("%s: x·wT differs by %g of %g", key, d, s)
	}
}

// qmm is the exact product over all of x and q, in one chunk.
func qmm(x []float32, m int, q *QMatrix) []float32 { return qmmPart(x, m, q, Exact, 0, m, 0, q.Rows) }

// qmmPart is rows [i0, i1) by columns [n0, n1) of a product of m rows.
func qmmPart(x []float32, m int, q *QMatrix, p Precision, i0, i1, n0, n1 int) []float32 {
	pl := K.QPlan(q, m, p)
	y, prep, scratch := make([]float32, (i1-i0)*(n1-n0)), make([]byte, pl.Prep), make([]byte, pl.Scratch)
	for pass := range pl.Passes {
		K.QPrep(&pl, pass, prep, RawF32(x[:m*q.Cols]), q, 0, m, scratch)
	}
	K.QGemmNT(&pl, RawF32(y), n1-n0, prep, q, i0, i1, n0, n1, scratch)
	return y
}

func equalWords(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
