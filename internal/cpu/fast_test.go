package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

var floating = []dtype.DType{dtype.Float16, dtype.BFloat16, dtype.Float32, dtype.Float64}

func plain(rng interface{ NormFloat64() float64 }) func() value {
	return func() value { return value{z: complex(float64(float32(rng.NormFloat64())), 0)} }
}

func TestRMSNorm(t *testing.T) {
	for _, d := range floating {
		for _, dw := range floating {
			rng := newRand(uint64(d)<<8 | uint64(dw) | 12<<20)
			for _, l := range layouts {
				s := []int{3, 2, 70}
				x, v := place(rng, l, d, s, plain(rng))
				w, wv := place(rng, layouts[0], dw, s[2:], plain(rng))
				bare, scaled := make([]float64, len(v)), make([]float64, len(v))
				for r := 0; r < len(v); r += 70 {
					sum := 0.0
					for _, e := range v[r : r+70] {
						sum += real(e.z) * real(e.z)
					}
					n := 1 / math.Sqrt(sum/70+1e-5)
					for i, e := range v[r : r+70] {
						bare[r+i] = real(e.z) * n
						scaled[r+i] = roundTo(d, bare[r+i]) * real(wv[i].z)
					}
				}
				what := fmt.Sprintf("rms_norm %v %v %s", d, dw, l.name)
				compareValues(t, what, d, values(t, fast.RMSNormOf(x, nil, 1e-5, none)), fromFloats(bare), 0)
				got := fast.RMSNormOf(x, w, 1e-5, none)
				tol := got.DType()
				if tol.Size() > d.Size() { // the normalized value has one rounding to d
					tol = d
				}
				compareValues(t, what+" weighted", tol, values(t, got), fromFloats(scaled), .01)
			}
		}
	}
}

func TestRoPE(t *testing.T) {
	for _, d := range floating {
		rng := newRand(uint64(d) | 13<<20)
		for _, l := range layouts {
			for _, s := range [][]int{{2, 3, 8}, {2, 3, 4, 8}, {2, 2, 2, 3, 8}} {
				for _, p := range []fast.RoPE{{Dims: 8}, {Dims: 6, Traditional: true}, {Dims: 4}} {
					for _, perRow := range []bool{false, true} {
						checkRoPE(t, d, l, s, p, perRow)
					}
				}
			}
		}
		_ = rng
	}
}

func checkRoPE(t *testing.T, d dtype.DType, l layout, s []int, p fast.RoPE, perRow bool) {
	t.Helper()
	rng := newRand(uint64(len(s)))
	x, v := place(rng, l, d, s, plain(rng))
	offsets := []int32{5, 2}
	at := tensor.FromSlice(offsets[:1], 1)
	if perRow {
		at = tensor.FromSlice(offsets)
	}
	p.Scale = tensor.MakeF64(.5)
	k, T := s[len(s)-1], s[len(s)-2]
	for _, given := range []bool{false, true} {
		var freqs *tensor.Array
		periods := make([]float32, p.Dims/2)
		for i := range periods {
			periods[i] = float32(math.Pow(10000, 2*float64(i)/float64(p.Dims)))
		}
		p.Base = tensor.MakeF64(10000)
		if given {
			p.Base, freqs = 0, tensor.FromSlice(periods)
		}
		want := floatsOf(v)
		for r := 0; r < len(want); r += k {
			row := want[r : r+k]
			b := r / k * s[0] / (len(want) / k)
			pos := float64(offsets[0])
			if perRow {
				pos = float64(offsets[b])
			}
			pos = (pos + float64(r/k%T)) * .5
			for i, period := range periods {
				u, w := i, i+p.Dims/2
				if p.Traditional {
					u, w = 2*i, 2*i+1
				}
				sin, cos := math.Sincos(pos / float64(period))
				row[u], row[w] = row[u]*cos-row[w]*sin, row[u]*sin+row[w]*cos
			}
		}
		tol := d
		if d == dtype.Float64 { // angles are float32
			tol = dtype.Float32
		}
		got := values(t, fast.RoPEOf(p, x, at, freqs, none))
		compareValues(t, fmt.Sprintf("rope %v%v %s %+v freqs %v", d, s, l.name, p, given), tol, got, fromFloats(want), 2)
	}
}

func TestCacheWrite(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 14<<20)
		for _, l := range layouts {
			state, sv := place(rng, layouts[0], d, []int{2, 3, 5, 2}, random64(rng, d, true))
			rows, rv := place(rng, l, d, []int{2, 3, 2, 2}, random64(rng, d, true))
			for _, pos := range [][]int32{{0, 3}, {4, -1}} { // the second drops rows
				want := append([]value(nil), sv...)
				for i, v := range rv {
					at := index([]int{2, 3, 2, 2}, i)
					at[2] += int(pos[at[0]])
					if at[2] >= 0 && at[2] < 5 {
						want[flatIndex([]int{2, 3, 5, 2}, at)] = v
					}
				}
				got := fast.CacheWriteOf(state, rows, tensor.FromSlice(pos), none)
				compareValues(t, fmt.Sprintf("cache_write %v %s at %v", d, l.name, pos), d, values(t, got), want, 0)
			}
		}
	}
}

// attentionRef computes in float64 with the whole score matrix.
type attentionRef struct {
	b, hq, hk, l, c, d, dv int
	causal                 bool
	window                 int
	scale                  float64
	q, k, v, mask, sinks   []float64 // mask over [b, hq, l, c], NaN hides
	pos                    []int32
}

func (a *attentionRef) run() []float64 {
	out := make([]float64, a.b*a.hq*a.l*a.dv)
	for r := range a.b * a.hq * a.l {
		i, h, b := r%a.l, r/a.l%a.hq, r/a.l/a.hq
		g := b*a.hk + h/(a.hq/a.hk)
		offset, last := a.c-a.l, a.c
		if a.pos != nil {
			offset = int(a.pos[b])
			last = min(a.c, offset+a.l)
		}
		var sum float64
		if a.sinks != nil {
			sum = math.Exp(a.sinks[h])
		}
		for j := range last {
			if (a.causal || a.window > 0) && j > offset+i || a.window > 0 && j <= offset+i-a.window {
				continue
			}
			s := 0.0
			for t := range a.d {
				s += a.q[r*a.d+t] * a.k[(g*a.c+j)*a.d+t]
			}
			s *= a.scale
			if a.mask != nil {
				m := a.mask[r*a.c+j]
				if math.IsNaN(m) || math.IsInf(m, -1) {
					continue
				}
				s += m
			}
			w := math.Exp(s)
			sum += w
			for t := range a.dv {
				out[r*a.dv+t] += w * a.v[(g*a.c+j)*a.dv+t]
			}
		}
		for t := range a.dv {
			if sum > 0 {
				out[r*a.dv+t] /= sum
			}
		}
	}
	return out
}

func TestAttention(t *testing.T) {
	for _, d := range floating {
		for _, kd := range floating {
			if testing.Short() && d != kd && d != dtype.Float32 {
				continue
			}
			for i, c := range []attentionRef{
				{b: 2, hq: 4, hk: 2, l: 1, c: 70, d: 8, dv: 6, causal: true, pos: []int32{40, 69}},
				{b: 2, hq: 4, hk: 2, l: 3, c: 70, d: 8, dv: 8, causal: true, pos: []int32{10, 67}},
				{b: 1, hq: 2, hk: 2, l: 40, c: 130, d: 16, dv: 16, causal: true, window: 5},
				{b: 2, hq: 6, hk: 2, l: 5, c: 9, d: 8, dv: 8},
				{b: 2, hq: 4, hk: 4, l: 1, c: 9, d: 8, dv: 8},
				{b: 1, hq: 4, hk: 1, l: 1, c: 9, d: 8, dv: 8, sinks: []float64{1, 0, -1, 2}},
				// Segments of keys apart, then merged.
				{b: 1, hq: 6, hk: 2, l: 2, c: 1200, d: 8, dv: 6, causal: true, pos: []int32{1100}, sinks: []float64{1, 0, -1, 2, 3, 0}},
				{b: 2, hq: 2, hk: 1, l: 1, c: 1100, d: 8, dv: 8, causal: true, pos: []int32{600, 90}},
				{b: 1, hq: 2, hk: 1, l: 2, c: 0, d: 8, dv: 8},               // no keys at all
				{b: 1, hq: 2, hk: 1, l: 9, c: 4, d: 8, dv: 8, causal: true}, // first rows see nothing
			} {
				if c.c > 1000 && (d != dtype.Float32 || kd != dtype.BFloat16) {
					continue
				}
				for m := range maskKinds {
					for _, l := range layouts[:3] {
						checkAttention(t, d, kd, c, m, l, uint64(i))
					}
				}
			}
		}
	}
}

// maskKinds are shapes of masks as functions of the case.
var maskKinds = []func(c *attentionRef) []int{
	func(*attentionRef) []int { return nil },
	func(c *attentionRef) []int { return []int{c.l, c.c} },
	func(c *attentionRef) []int { return []int{c.b, 1, 1, c.c} },
	func(c *attentionRef) []int { return []int{c.hq, c.l, c.c} },
	func(c *attentionRef) []int { return []int{c.l, 1} },
}

func checkAttention(t *testing.T, d, kd dtype.DType, c attentionRef, mask int, l layout, seed uint64) {
	t.Helper()
	rng := newRand(seed | 15<<20)
	array := func(l layout, d dtype.DType, s ...int) (*tensor.Array, []float64) {
		a, v := place(rng, l, d, s, plain(rng))
		return a, floatsOf(v)
	}
	var q, k, v, sinks, pos *tensor.Array
	q, c.q = array(l, d, c.b, c.hq, c.l, c.d)
	k, c.k = array(l, kd, c.b, c.hk, c.c, c.d)
	v, c.v = array(layouts[0], kd, c.b, c.hk, c.c, c.dv)
	c.scale = .25
	p := fast.Attention{Scale: tensor.MakeF64(c.scale), Causal: c.causal, Window: c.window}
	if c.sinks != nil {
		s := make([]float32, len(c.sinks))
		for i, f := range c.sinks {
			s[i] = float32(f)
		}
		sinks = tensor.FromSlice(s)
	}
	if c.pos != nil {
		pos = tensor.FromSlice(c.pos)
	}
	kinds := []dtype.DType{dtype.Bool, d}
	if maskKinds[mask](&c) == nil {
		kinds = kinds[:1]
	}
	for _, md := range kinds {
		var ma *tensor.Array
		c.mask = nil
		if s := maskKinds[mask](&c); s != nil {
			var mv []value
			ma, mv = place(rng, l, md, s, func() value {
				r := rng.IntN(4)
				if md == dtype.Bool {
					return value{u: uint64(min(r, 1))}
				}
				return value{z: complex([]float64{math.Inf(-1), 0, 1, -.5}[r], 0)}
			})
			c.mask = spread(s, mv, md, []int{c.b, c.hq, c.l, c.c})
		}
		out := dtype.Promote(d, kd)
		tol := out
		if md != dtype.Bool && md.Size() < out.Size() {
			tol = md
		}
		got := fast.AttentionOf(p, q, k, v, ma, sinks, pos, none)
		what := fmt.Sprintf("attention %v %v case %d mask %d %v %s", d, kd, seed, mask, md, l.name)
		compareValues(t, what, tol, values(t, got), fromFloats(c.run()), 1)
	}
}

// A query has the same bits alone, with its keys cut into segments, and among the
// other positions of a prompt.
func TestAttentionAloneOrInPrompt(t *testing.T) {
	const l, c, hq, hk, d = 70, 1300, 6, 2, 40
	rng := newRand(16 << 20)
	q, _ := normalArray(rng, dtype.Float32, 1, hq, l, d)
	k, _ := normalArray(rng, dtype.BFloat16, 1, hk, c, d)
	v, _ := normalArray(rng, dtype.BFloat16, 1, hk, c, d)
	at := func(q *tensor.Array, pos int32) *tensor.Array {
		p := fast.Attention{Scale: tensor.MakeF64(.125), Causal: true}
		return fast.AttentionOf(p, q, k, v, nil, nil, tensor.FromSlice([]int32{pos}), none)
	}
	const first = 1190
	all := at(q, first)
	for _, i := range []int{0, 1, 33, l - 1} {
		got := at(tensor.SliceAxis(q, 2, i, i+1, none), int32(first+i))
		want := tensor.SliceAxis(all, 2, i, i+1, none)
		if !slices.Equal(floatsOf(values(t, got)), floatsOf(values(t, want))) {
			t.Errorf("position %d alone differs", i)
		}
	}
}

// spread broadcasts a mask; what a bool mask hides is NaN.
func spread(s []int, mv []value, d dtype.DType, full []int) []float64 {
	out := make([]float64, tensor.Shape(full).Size())
	for i := range out {
		at := index(full, i)[len(full)-len(s):]
		for k := range at {
			at[k] %= s[k]
		}
		v := mv[flatIndex(s, at)]
		out[i] = real(v.z)
		if d == dtype.Bool && v.u == 0 {
			out[i] = math.NaN()
		}
	}
	return out
}

func TestRecordedFast(t *testing.T) {
	g := golden(t, "fast")
	x, w := g("x"), g("w")
	agree(t, "rms_norm", fast.RMSNormOf(x, w, 1e-5, none), g("rms_norm"))
	agree(t, "rms_norm_none", fast.RMSNormOf(x, nil, 1e-5, none), g("rms_norm_none"))
	one := tensor.MakeF64(1)
	at := func(v int32) *tensor.Array { return tensor.FromSlice([]int32{v}) }
	for _, trad := range []int{0, 1} {
		for _, dims := range []int{32, 64} {
			for _, off := range []int32{0, 5} {
				key := fmt.Sprintf("rope.%d.%d.%d", trad, dims, off)
				p := fast.RoPE{Dims: dims, Traditional: trad == 1, Base: tensor.MakeF64(10000), Scale: one}
				agree(t, key, fast.RoPEOf(p, x, at(off), nil, none), g(key))
			}
		}
	}
	agree(t, "rope.scale", fast.RoPEOf(fast.RoPE{Dims: 64, Base: tensor.MakeF64(5e5), Scale: tensor.MakeF64(.25)}, x, at(3), nil, none), g("rope.scale"))
	agree(t, "rope.freqs", fast.RoPEOf(fast.RoPE{Dims: 64, Scale: one}, x, at(2), g("freqs"), none), g("rope.freqs"))
	q, k, v := g("q"), g("k"), g("v")
	p := fast.Attention{Scale: tensor.MakeF64(.2)}
	causal := p
	causal.Causal = true
	agree(t, "sdpa", fast.AttentionOf(p, q, k, v, nil, nil, nil, none), g("sdpa"))
	agree(t, "sdpa.causal", fast.AttentionOf(causal, q, k, v, nil, nil, nil, none), g("sdpa.causal"))
	agree(t, "sdpa.additive", fast.AttentionOf(p, q, k, v, g("am"), nil, nil, none), g("sdpa.additive"))
	agree(t, "sdpa.bool", fast.AttentionOf(p, q, k, v, g("bm"), nil, nil, none), g("sdpa.bool"))
	agree(t, "sdpa.sinks", fast.AttentionOf(causal, q, k, v, nil, g("sinks"), nil, none), g("sdpa.sinks"))
}

func TestRecordedOps(t *testing.T) {
	g := golden(t, "ops")
	x, y, p := g("x"), g("y"), g("p")
	inside := tensor.UnaryOf(tensor.OpTanh, x, none)
	for op := range tensor.NumUnary {
		in := x
		switch op {
		case tensor.OpSqrt, tensor.OpRsqrt, tensor.OpReciprocal, tensor.OpLog, tensor.OpLog2, tensor.OpLog10, tensor.OpLog1p:
			in = p
		case tensor.OpErfInv, tensor.OpArcSin, tensor.OpArcCos, tensor.OpArcTanh:
			in = inside
		case tensor.OpArcCosh:
			in = tensor.BinaryAny(tensor.OpAdd, p, 1, none)
		}
		switch {
		case op >= tensor.OpLogicalNot && op <= tensor.OpIsFinite, op == tensor.OpTrunc, op >= tensor.OpBitwiseInvert && op <= tensor.OpFromFP8:
			continue // not recorded
		}
		agree(t, op.String(), tensor.UnaryOf(op, in, none), g("u."+op.String()))
	}
	for _, op := range []tensor.BinaryOp{tensor.OpAdd, tensor.OpSubtract, tensor.OpMultiply, tensor.OpDivide, tensor.OpMaximum, tensor.OpMinimum, tensor.OpEqual, tensor.OpLess, tensor.OpGreaterEqual,
		tensor.OpFloorDivide, tensor.OpRemainder, tensor.OpArcTan2, tensor.OpLogAddExp} {
		agree(t, op.String(), tensor.BinaryOf(op, x, y, none), g("b."+op.String()))
	}
	agree(t, "power", tensor.BinaryOf(tensor.OpPower, p, y, none), g("b.power"))
	for _, op := range []tensor.ReduceOp{tensor.OpSum, tensor.OpProd, tensor.OpMax, tensor.OpMin} {
		agree(t, op.String(), tensor.ReduceOf(op, x, []int{1}, false, none), g("r."+op.String()+".1"))
		agree(t, op.String(), tensor.ReduceOf(op, x, []int{0, 2}, true, none), g("r."+op.String()+".02k"))
	}
	agree(t, "argmax", tensor.ArgReduceOf(false, x, 1, false, none), g("r.argmax.1"))
	agree(t, "argmin", tensor.ArgReduceOf(true, x, 1, false, none), g("r.argmin.1"))
	agree(t, "logsumexp", tensor.LogSumExpOf(x, []int{1}, false, none), g("r.logsumexp.1"))
	agree(t, "softmax", tensor.SoftmaxOf(x, -1, none), g("softmax"))
	agree(t, "argsort", tensor.ArgSortOf(x, -1, none), g("argsort"))
	agree(t, "cumsum", tensor.ScanOf(tensor.ScanSum, x, 1, false, false, none), g("cumsum"))
	agree(t, "cumsum.rev_ex", tensor.ScanOf(tensor.ScanSum, x, 2, true, true, none), g("cumsum.rev_ex"))
	agree(t, "matmul", tensor.MatMulOf(x, tensor.SwapAxes(y, 1, 2, none), none), g("matmul"))
}
