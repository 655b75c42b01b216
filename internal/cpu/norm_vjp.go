package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A normVJP is fast.NormVJP. A unit is a block of rows, which sums the cotangents of
// weight and bias on its own; a second phase adds the blocks, the first one first.
type normVJP struct {
	p            fast.NormVJP
	in, out      []View
	x, c         rowsOf
	blocks       int
	weight, bias []float32 // [blocks, K]
	wide         []float64 // weight and bias of float64: [blocks, 2, K]
}

// normBlock is the least rows of a block.
const normBlock = 16

func normVJPTask(p fast.NormVJP, in, out []View) task {
	n := &normVJP{p: p, in: in, out: out, x: rowsOfView(&in[0]), c: rowsOfView(&in[len(in)-1])}
	rows, k := n.x.n, n.x.k
	n.blocks = max(min(rows/normBlock, maxChunks), 1)
	run, sum := n.run, n.sum
	for i := range in {
		if in[i].DType == dtype.Float64 {
			run, sum = n.runWide, n.sumWide
		}
	}
	t := newTask(n.blocks, 12*rows*k, run)
	if !p.Weight && !p.Bias {
		return t
	}
	then := newTask(k, n.blocks*k, sum)
	t.then = &then
	if in[0].DType == dtype.Float64 || in[len(in)-1].DType == dtype.Float64 || p.Weight && in[1].DType == dtype.Float64 {
		n.wide = make([]float64, n.blocks*2*k)
		return t
	}
	if p.Weight {
		n.weight = make([]float32, n.blocks*k)
	}
	if p.Bias {
		n.bias = make([]float32, n.blocks*k)
	}
	return t
}

// part is the sums of block b, cleared; nil if there are none.
func (n *normVJP) part(all []float32, b int) []float32 {
	if all == nil {
		return nil
	}
	v := all[b*n.x.k : (b+1)*n.x.k]
	clear(v)
	return v
}

// normRow is the memory of a row.
type normRow struct{ g, t, w []float32 }

func (n *normVJP) run(s *scratch, c, nc int) {
	lo, hi := span(n.blocks, c, nc)
	k := n.x.k
	gx, bx := n.x.buffer(s), n.x.buffer32(s)
	gc, bc := n.c.buffer(s), n.c.buffer32(s)
	var y []float32
	if isHalf(n.out[0].DType) {
		y = piece[float32](s, k)
	}
	m := normRow{g: piece[float32](s, k), t: piece[float32](s, k)}
	if n.p.Weight {
		m.w = piece[float32](s, k)
		simd.K.Load(m.w, rawAt(&n.in[1], 0, k))
		for i := range m.w {
			m.w[i] += float32(n.p.Offset.Value())
		}
	}
	for b := lo; b < hi; b++ {
		dw, db := n.part(n.weight, b), n.part(n.bias, b)
		from, to := span(n.x.n, b, n.blocks)
		for i := from; i < to; i++ {
			dst := y
			if y == nil {
				dst = at[float32](&n.out[0], i*k, k)
			}
			n.row(dst, n.x.f32(gx, bx, i), n.c.f32(gc, bc, i), dw, db, &m)
			if y != nil {
				narrow(unsafe.Add(n.out[0].Ptr(), i*k*2), y, n.out[0].DType)
			}
		}
	}
}

// layerRow is row of a layer norm, in float64: what is left when both means are taken
// out may be small beside them.
func (n *normVJP) layerRow(y, x, c, dw, db, w []float32) {
	k, sum, square := float64(n.x.k), 0.0, 0.0
	for _, v := range x {
		sum += float64(v)
	}
	mid := sum / k
	for _, v := range x {
		d := float64(v) - mid
		square += d * d
	}
	r := 1 / math.Sqrt(square/k+n.p.Eps.Value())
	total, along := 0.0, 0.0
	for i, v := range x {
		g := float64(c[i])
		if dw != nil {
			dw[i] += float32(g * (float64(v) - mid) * r)
		}
		if w != nil {
			g *= float64(w[i])
		}
		total += g
		along += g * (float64(v) - mid)
	}
	if db != nil {
		simd.K.Binary[simd.Add](db, db, c)
	}
	total, along = total/k, r*r*along/k
	for i, v := range x {
		g := float64(c[i])
		if w != nil {
			g *= float64(w[i])
		}
		y[i] = float32(r * (g - total - (float64(v)-mid)*along))
	}
}

// row writes the cotangent of x to y and adds to dw and db.
func (n *normVJP) row(y, x, c, dw, db []float32, m *normRow) {
	k, u := float32(n.x.k), x
	if n.p.Layer {
		n.layerRow(y, x, c, dw, db, m.w)
		return
	}
	r := float32(1 / math.Sqrt(float64(simd.K.Dot(u, u)/k)+n.p.Eps.Value()))
	if dw != nil {
		simd.K.Binary[simd.Mul](m.t, c, u)
		simd.K.Axpy(dw, r, m.t)
	}
	if db != nil {
		simd.K.Axpy(db, 1, c)
	}
	g := c
	if m.w != nil {
		g = m.g
		simd.K.Binary[simd.Mul](g, c, m.w)
	}
	mean := simd.K.Dot(g, u) / k
	clear(y)
	simd.K.Axpy(y, r, g)
	simd.K.Axpy(y, -r*r*r*mean, u)
}

// sum adds the blocks.
func (n *normVJP) sum(s *scratch, c, nc int) {
	lo, hi := span(n.x.k, c, nc)
	acc := piece[float32](s, hi-lo)
	for i, part := range [][]float32{n.weight, n.bias} {
		if part == nil || hi == lo {
			continue
		}
		clear(acc)
		for b := range n.blocks {
			simd.K.Axpy(acc, 1, part[b*n.x.k+lo:b*n.x.k+hi])
		}
		y := n.vector(i)
		for j, v := range acc {
			putFloat(y, lo+j, v)
		}
	}
}

// vector is the result for the weight (0) or the bias (1).
func (n *normVJP) vector(i int) *View {
	if i == 1 {
		return &n.out[len(n.out)-1]
	}
	return &n.out[1]
}

// runWide is for float64 anywhere.
func (n *normVJP) runWide(s *scratch, c, nc int) {
	lo, hi := span(n.blocks, c, nc)
	k := n.x.k
	x, g, ct := piece[float64](s, k), piece[float64](s, k), piece[float64](s, k)
	for b := lo; b < hi; b++ {
		var dw, db []float64
		if n.wide != nil {
			dw, db = n.wide[b*2*k:b*2*k+k], n.wide[b*2*k+k:(b+1)*2*k]
			clear(dw)
			clear(db)
		}
		from, to := span(n.x.n, b, n.blocks)
		for i := from; i < to; i++ {
			xo, co := n.x.outer.offset(i), n.c.outer.offset(i)
			var mean, sq, gm, gu float64
			for j := range x {
				x[j], ct[j] = float64At(n.x.v, xo+j*n.x.st), float64At(n.c.v, co+j*n.c.st)
				g[j] = ct[j]
				if n.p.Weight {
					g[j] *= float64At(&n.in[1], j) + n.p.Offset.Value()
				}
				mean += x[j]
				gm += g[j]
			}
			mean, gm = mean/float64(k), gm/float64(k)
			if !n.p.Layer {
				mean, gm = 0, 0
			}
			for j := range x {
				x[j] -= mean
				sq += x[j] * x[j]
			}
			r := 1 / math.Sqrt(sq/float64(k)+n.p.Eps.Value())
			for j := range x {
				x[j] *= r
				gu += g[j] * x[j]
			}
			gu /= float64(k)
			for j := range x {
				putFloat64(&n.out[0], i*k+j, r*(g[j]-gm-x[j]*gu))
				if dw != nil {
					dw[j] += ct[j] * x[j]
					db[j] += ct[j]
				}
			}
		}
	}
}

func (n *normVJP) sumWide(_ *scratch, c, nc int) {
	lo, hi := span(n.x.k, c, nc)
	k := n.x.k
	for i, have := range []bool{n.p.Weight, n.p.Bias} {
		for j := lo; have && j < hi; j++ {
			var sum float64
			for b := range n.blocks {
				sum += n.wide[(2*b+i)*k+j]
			}
			putFloat64(n.vector(i), j, sum)
		}
	}
}

// putFloat64 stores f as element i of a floating view.
func putFloat64(y *View, i int, f float64) {
	if y.DType == dtype.Float64 {
		at[float64](y, i, 1)[0] = f
		return
	}
	putFloat(y, i, float32(f))
}
