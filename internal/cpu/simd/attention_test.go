package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// attend64 is the definition in float64 over the visible keys of each row.
func attend64(a *Attention, q, k, v []float32, rows int) []float64 {
	out := make([]float64, rows*a.DV)
	for r := range rows {
		var p []float64
		var js []int
		g := max(a.Group, 1)
		pos, head := r/g, r%g
		m := math.Inf(-1)
		if a.Sinks != nil {
			m = float64(a.Sinks[head])
		}
		at := a.Offset + pos
		for j := range a.Keys {
			if a.Causal && (j > at || a.Window > 0 && j <= at-a.Window) || a.Mask != nil && a.Mask[pos*a.MaskStride+head*a.MaskHead+j] == 0 {
				continue
			}
			var s float64
			for d := range a.D {
				s += float64(q[r*a.QStride+d]) * float64(k[j*a.KStride+d])
			}
			s *= float64(a.Scale)
			if c := float64(a.SoftCap); c > 0 {
				s = c * math.Tanh(s/c)
			}
			if a.Bias != nil {
				s += float64(a.Bias[pos*a.BiasStride+head*a.BiasHead+j])
			}
			if math.IsInf(s, -1) {
				continue
			}
			p, js, m = append(p, s), append(js, j), max(m, s)
		}
		var l float64
		if a.Sinks != nil {
			l = math.Exp(float64(a.Sinks[head]) - m)
		}
		for i := range p {
			p[i] = math.Exp(p[i] - m)
			l += p[i]
		}
		for i, j := range js {
			for d := range a.DV {
				out[r*a.DV+d] += p[i] / l * float64(v[j*a.VStride+d])
			}
		}
	}
	return out
}

func runAttend(a *Attention) []float32 {
	out := make([]float32, a.Rows*a.DV)
	scratch := make([]float32, AttendScratchLen(a))
	for i := range scratch {
		scratch[i] = nan32 // must not matter
	}
	Attend(out, a.DV, a, scratch)
	return out
}

// runParts computes the segments apart, the last one first.
func runParts(a *Attention) []float32 {
	var parts []AttentionPart
	n := AttendPartLen(a.Rows, a.DV)
	for range (a.Keys + AttendSegment - 1) / AttendSegment {
		parts = append(parts, a.Part(make([]float32, n)))
	}
	for i := len(parts) - 1; i >= 0; i-- {
		K.AttendPart(parts[i], a, i*AttendSegment, (i+1)*AttendSegment, make([]float32, K.AttendPartScratchLen(a)))
	}
	t := a.Part(make([]float32, n))
	a.Start(t)
	for i := range parts {
		a.Merge(t, parts[i])
	}
	a.Finish(t)
	return t.O
}

// randomAttention has shapes, masks and sinks of all kinds.
func randomAttention(r *rand.Rand, e Elem, trial int) (a *Attention, q, k, v []float32) {
	a = &Attention{Group: r.IntN(6), D: 1 + r.IntN(70), DV: 1 + r.IntN(70), Keys: r.IntN(300)}
	a.Rows = (1 + r.IntN(9)) * max(a.Group, 1)
	switch trial % 7 {
	case 0:
		a.D, a.DV = 64, 128
	case 1:
		a.D, a.DV, a.Keys = 96, 80, r.IntN(1800)
	case 2:
		a.Group, a.Rows = 0, 1
	}
	a.QStride, a.KStride, a.VStride = a.D+r.IntN(3), a.D+r.IntN(3), a.DV+r.IntN(3)
	q = normals(r, a.Rows*a.QStride)
	if r.IntN(2) == 0 {
		a.QElem, q = BF16, rounded(BF16, q)
	}
	a.Scale = []float32{1, .125, .0883883, -.5, 0}[r.IntN(5)]
	k, v = rounded(e, normals(r, a.Keys*a.KStride+1)), rounded(e, normals(r, a.Keys*a.VStride+1))
	a.Q, a.K, a.V = q, rawOf(e, k), rawOf(e, v)
	if r.IntN(2) == 0 {
		a.Causal, a.Offset = true, r.IntN(a.Keys+1)-r.IntN(5)
		if r.IntN(2) == 0 {
			a.Window = 1 + r.IntN(100)
		}
	}
	strides := func() (pos, head int) {
		switch r.IntN(3) {
		case 0:
			return 0, 0
		case 1:
			return a.Keys, 0
		}
		return a.Keys * max(a.Group, 1), a.Keys
	}
	if r.IntN(2) == 0 {
		a.MaskStride, a.MaskHead = strides()
		a.Mask = make([]byte, a.Rows*a.Keys+1)
		dense := r.IntN(2) * 30
		for i := range a.Mask {
			a.Mask[i] = byte(min(r.IntN(2+dense), 1))
		}
	}
	if r.IntN(2) == 0 {
		a.BiasStride, a.BiasHead = strides()
		a.Bias = normals(r, a.Rows*a.Keys+1)
		for i := range a.Bias {
			if r.IntN(3) == 0 {
				a.Bias[i] = -inf32
			}
		}
	}
	if r.IntN(3) == 0 {
		a.SoftCap = []float32{0.5, 5, 50}[r.IntN(3)]
	}
	if r.IntN(2) == 0 {
		a.Sinks = normals(r, max(a.Group, 1))
	}
	return a, q, k, v
}

// rowOf is the attention of row i alone.
func rowOf(a *Attention, i int) *Attention {
	one, g := *a, max(a.Group, 1)
	one.Rows, one.Group, one.Q, one.Offset = 1, 1, a.Q[i*a.QStride:], a.Offset+i/g
	if a.Mask != nil {
		one.Mask = a.Mask[i/g*a.MaskStride+i%g*a.MaskHead:]
	}
	if a.Bias != nil {
		one.Bias = a.Bias[i/g*a.BiasStride+i%g*a.BiasHead:]
	}
	if a.Sinks != nil {
		one.Sinks = a.Sinks[i%g:]
	}
	return &one
}

func TestAttend(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(15)
		for trial := range 600 {
			e := elems[trial%3]
			a, q, k, v := randomAttention(r, e, trial)
			got, want := runAttend(a), attend64(a, q, k, v, a.Rows)
			if d, _ := maxDiff(got, want); !(d <= 1e-5) {
				t.Fatalf("trial %d %v %d keys: differs by %g", trial, e, a.Keys, d)
			}
			if !sameBits(runParts(a), got) {
				t.Fatalf("trial %d: segments apart differ", trial)
			}
			for i := range a.Rows { // each row alone has the same bits
				if !sameBits(runAttend(rowOf(a, i)), got[i*a.DV:(i+1)*a.DV]) {
					t.Fatalf("trial %d: row %d alone differs from the block", trial, i)
				}
			}
		}
	})
}

// Rows that see no key are 0 on every path, and what hidden keys hold, or how
// many follow, does not matter (B001).
func TestAttendEmptyRows(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(16)
		for _, keys := range []int{3, 300} {
			for _, e := range elems {
				const d = 8
				k := rounded(e, normals(r, keys*d))
				for i := range 2 * d {
					k[i] = nan32
				}
				raw := rawOf(e, k)
				base := Attention{Scale: 1, Q: normals(r, 4*d), QStride: d, Rows: 4, D: d, K: raw, V: raw, KStride: d, VStride: d, Keys: keys, DV: d}
				pad := make([]byte, keys) // the first two keys are padding
				bias := make([]float32, keys)
				for i := range keys {
					pad[i] = 1
					if i < 2 {
						pad[i], bias[i] = 0, -inf32
					}
				}
				byMask, byBias, none := base, base, base
				byMask.Causal, byMask.Mask = true, pad
				byBias.Causal, byBias.Bias = true, bias
				none.Mask = make([]byte, keys)
				for name, a := range map[string]*Attention{"mask": &byMask, "bias": &byBias, "nothing": &none} {
					out := runAttend(a)
					if K.FirstNaN(out) >= 0 {
						t.Fatalf("%s %v %d keys: NaN in %v", name, e, keys, out)
					}
					empty := 2 * d
					if a == &none {
						empty = 4 * d
					}
					if !sameBits(out[:empty], make([]float32, empty)) {
						t.Errorf("%s: rows without keys are %v", name, out[:empty])
					}
				}
				if !sameBits(runAttend(&byMask), runAttend(&byBias)) {
					t.Errorf("bool and -Inf masks differ")
				}
				sink := none
				sink.Sinks = []float32{1}
				if out := runAttend(&sink); !sameBits(out, make([]float32, 4*d)) {
					t.Errorf("sink alone gives %v", out)
				}
			}
		}
	})
}

func TestAttendGoldens(t *testing.T) {
	everyTier(t, testAttendGoldens)
}

func testAttendGoldens(t *testing.T) {
	g := goldens(t, "fast.safetensors")
	const H, L, D, C, kvHeads = 8, 7, 32, 12, 2
	q, sinks := g["q"].floats(), g["sinks"].floats()
	for i := range q {
		q[i] *= .2
	}
	k, v := Raw{F32, g["k"].data}, Raw{F32, g["v"].data}
	for _, name := range []string{"sdpa", "sdpa.causal", "sdpa.additive", "sdpa.bool", "sdpa.sinks"} {
		out := make([]float32, H*L*D)
		for h := range H {
			kv := h * kvHeads / H
			a := &Attention{Scale: 1, Q: q[h*L*D:], QStride: D, Rows: L, D: D, K: k.Slice(kv*C*D, (kv+1)*C*D), V: v.Slice(kv*C*D, (kv+1)*C*D),
				KStride: D, VStride: D, Keys: C, DV: D}
			switch name {
			case "sdpa.sinks":
				a.Sinks = sinks[h : h+1]
				fallthrough
			case "sdpa.causal":
				a.Causal, a.Offset = true, C-L
			case "sdpa.additive":
				a.Bias, a.BiasStride = g["am"].floats(), C
			case "sdpa.bool":
				a.Mask, a.MaskStride = g["bm"].data, C
			}
			copy(out[h*L*D:], runAttend(a))
		}
		want := g[name].floats()
		if d, s := maxDiff(out, f64s(want)); !(d <= 1e-5*s) {
			t.Errorf("%s differs by %g of %g", name, d, s)
		}
	}
}

func TestRopeGoldens(t *testing.T) {
	everyTier(t, testRopeGoldens)
}

func testRopeGoldens(t *testing.T) {
	g := goldens(t, "fast.safetensors")
	const D, T = 64, 9
	x := g["x"].floats()
	run := func(name string, dims int, trad bool, pos func(t int) float32, table func(cos, sin []float32, pos float32)) {
		y, back := make([]float32, len(x)), make([]float32, len(x))
		cos, sin := make([]float32, dims/2), make([]float32, dims/2)
		for i := 0; i < len(x); i += D {
			table(cos, sin, pos(i/D%T))
			K.Rope(y[i:i+D], x[i:i+D], cos, sin, trad, false)
			K.Rope(back[i:i+D], y[i:i+D], cos, sin, trad, true)
		}
		if d, s := maxDiff(y, f64s(g[name].floats())); !(d <= 1e-5*s+1e-6) {
			t.Errorf("%s differs by %g of %g", name, d, s)
		}
		if d, _ := maxDiff(back, f64s(x)); d > 2e-6 {
			t.Errorf("%s: rotating back differs by %g", name, d)
		}
		z := append([]float32(nil), x[:D]...)
		table(cos, sin, pos(0))
		if K.Rope(z, z, cos, sin, trad, false); !sameBits(z, y[:D]) {
			t.Errorf("%s in place differs", name)
		}
	}
	byBase := func(dims int, base float32) func(cos, sin []float32, pos float32) {
		inv := make([]float32, dims/2)
		RopeInv(inv, base)
		return func(cos, sin []float32, pos float32) { K.RopeTable(cos, sin, pos, inv) }
	}
	for trad := range 2 {
		for _, dims := range []int{32, 64} {
			for _, off := range []int{0, 5} {
				run(fmt.Sprintf("rope.%d.%d.%d", trad, dims, off), dims, trad == 1, func(t int) float32 { return float32(t + off) }, byBase(dims, 10000))
			}
		}
	}
	run("rope.scale", 64, false, func(t int) float32 { return float32(t+3) * .25 }, byBase(64, 5e5))
	freqs := g["freqs"].floats()
	run("rope.freqs", 64, false, func(t int) float32 { return float32(t + 2) },
		func(cos, sin []float32, pos float32) { K.RopePeriods(cos, sin, pos, freqs) })
}
