package metal

import (
	"math"
	"slices"
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// acceptsAttention: q, k and v are read by rows, a mask element by element.
func acceptsAttention(p fast.Attention, i int, v *View) bool {
	if p.Bits > 0 {
		return v.Contiguous()
	}
	return i < 3 && rowsPacked(v) || i == 3 && p.Mask || v.Contiguous()
}

// An attention is fast.Attention on its views.
type attention struct {
	p                fast.Attention
	q, k, v, y       *View
	pk, pv           packed   // keys and values that are packed
	mask, sinks, pos *View    // q if there are none
	types            []string // of q, k, v, y, mask and sinks
	b, hq, hk, l     int
	keys, d, dv      int
}

// attend picks kernels for Attention: for few queries one that reads keys and values at
// the speed of memory, else tiles.
func attend(e *encoder, p fast.Attention, in, out []View) error {
	a := newAttention(p, in, &out[0])
	if slices.Contains(a.types, "") {
		return noKernel("attention of %v", dtypesOf(in))
	}
	if most := attentionWidths[len(attentionWidths)-1] * simdWidth; a.d == 0 || max(a.d, a.dv) > most {
		return noKernel("heads of %d and %d elements: from 1 to %d are possible", a.d, a.dv, most)
	}
	if max(a.l*a.hq, a.keys, p.Window) > math.MaxInt32/64 {
		return noKernel("%d queries and %d keys", a.l, a.keys)
	}
	if a.keys == 0 || a.dv == 0 {
		return (&product{y: a.y, ty: a.types[3]}).zero(e)
	}
	if sizes, ok := a.tiles(); ok && a.l > fewQueries {
		return a.inTiles(e, sizes)
	}
	return a.byRows(e)
}

func newAttention(p fast.Attention, in []View, y *View) *attention {
	q, k, v, rest := &in[0], &in[1], &in[2], in[3:]
	a := &attention{p: p, q: q, y: y, mask: q, sinks: q, pos: q}
	if p.Bits > 0 {
		rest = in[7:]
		a.pk, k = unpackedLater(p, in[1:4])
		a.pv, v = unpackedLater(p, in[4:7])
	}
	a.k, a.v, a.b, a.hq, a.hk, a.l, a.keys = k, v, q.Shape[0], q.Shape[1], k.Shape[1], q.Shape[2], k.Shape[2]
	a.d, a.dv = q.Shape[3], v.Shape[3]
	next := func() (v *View) { v, rest = &rest[0], rest[1:]; return v }
	a.types = []string{floatType(q.DType), floatType(k.DType), floatType(v.DType), floatType(y.DType), "uchar", "float"}
	if p.Mask {
		a.mask = next()
		if a.mask.DType != dtype.Bool {
			a.types[4] = floatType(a.mask.DType)
		}
	}
	if p.Sinks {
		a.sinks = next()
		a.types[5] = floatType(a.sinks.DType)
	}
	if p.Pos {
		a.pos = next()
	}
	return a
}

// affine is how caches are packed.
func affine(bits, group int) quant.Scheme {
	return quant.Scheme{Mode: quant.Affine, Bits: bits, GroupSize: group}
}

// unpackedLater is words, scales and biases, and a row-major view, without memory, of the
// float32 that they hold.
func unpackedLater(p fast.Attention, in []View) (packed, *View) {
	w, _ := packedOf(affine(p.Bits, p.Group), in)
	s := slices.Clone(in[0].Shape)
	s[3] = w.cols
	return w, &View{Spec: tensor.Spec{Shape: s, DType: dtype.Float32}, Strides: tensor.ContiguousStrides(s)}
}

// keysAndValues are arguments; what is packed is unpacked first.
func (a *attention) keysAndValues(e *encoder) (k, v arg, err error) {
	if a.p.Bits == 0 {
		return e.in(a.k), e.in(a.v), nil
	}
	if k, err = a.pk.unpack(e); err == nil {
		v, err = a.pv.unpack(e)
	}
	return k, v, err
}

// unpack gives scratch memory with the float32 values.
func (w *packed) unpack(e *encoder) (arg, error) {
	n := w.rows * w.cols
	y := e.scratch(4 * n)
	return y.reading(), w.dequantize(e, y, "float", n)
}

// constants are those of kernels/attention.metal.
func (a *attention) constants(partial bool) []gpu.Const {
	return []gpu.Const{{Index: 0, Value: a.p.Mask}, {Index: 1, Value: a.p.Sinks}, {Index: 2, Value: a.p.Ring}, {Index: 3, Value: partial}}
}

// params are struct attention of kernels/attention.metal.
func (a *attention) params(parts int) arg {
	causal := a.p.Causal || a.p.Window > 0
	p := ints(a.hq, a.hq/a.hk, a.l, a.keys, a.d, a.dv, bit(causal), max(a.p.Window, 0), bit(a.p.Pos), parts)
	p.bytes = append(append(p.bytes, f32(a.p.Scale.Value()).bytes...), f32(a.p.SoftCap.Value()).bytes...)
	var strides []int
	for _, v := range []*View{a.q, a.k, a.v} {
		strides = append(strides, v.Strides[:3]...)
	}
	strides = append(strides, make([]int, 4)...)
	if a.p.Mask {
		n := len(a.mask.Shape)
		for i, d := range a.mask.Shape {
			if d != 1 {
				strides[len(strides)-n+i] = a.mask.Strides[i]
			}
		}
	}
	p.bytes = append(p.bytes, longs(strides...).bytes...)
	return p
}

// args bind a kernel of kernels/attention.metal.
func (a *attention) args(e *encoder, y, stats arg, parts int) ([]arg, error) {
	k, v, err := a.keysAndValues(e)
	return []arg{e.in(a.q), k, v, y, stats, a.params(parts), e.in(a.mask), e.in(a.sinks), e.in(a.pos)}, err
}

const (
	fewQueries = 8
	blockRows  = 32 // queries of a threadgroup with tiles
)

// attentionTiles are the sizes of rows that tiles are made for.
var attentionTiles = []int{32, 64, 80, 96, 128, 192, 256}

// atLeast is the first of sizes that n fits in.
func atLeast(sizes []int, n int) (int, bool) {
	i, _ := slices.BinarySearch(sizes, n)
	if i == len(sizes) {
		return 0, false
	}
	return sizes[i], true
}

// tiles are the template arguments for the sizes of tiles; ok is false if rows are too long.
func (a *attention) tiles() (sizes []string, ok bool) {
	d, okD := atLeast(attentionTiles, a.d)
	dv, okV := atLeast(attentionTiles, a.dv)
	if !okD || !okV {
		return nil, false
	}
	const memory = 18 << 10 // of 32 KiB: more keys at a time would leave no room for another threadgroup
	keys := 32
	for keys > 8 && keys*(d*a.k.DType.Size()+dv*a.v.DType.Size()) > memory {
		keys /= 2
	}
	return []string{strconv.Itoa(d), strconv.Itoa(dv), strconv.Itoa(keys)}, true
}

func (a *attention) inTiles(e *encoder, sizes []string) error {
	k, err := e.kernel("attention", "attend_tiles", append(slices.Clone(a.types), sizes...), a.constants(false)...)
	if err != nil {
		return err
	}
	y := e.out(a.y)
	args, err := a.args(e, y, y, 1)
	if err != nil {
		return err
	}
	grid := [3]int{(a.l + blockRows - 1) / blockRows * 128, a.hq, a.b}
	e.run(k, grid, [3]int{128, 1, 1}, args...)
	return nil
}

// attentionWidths are how many elements of a row a lane may have.
var attentionWidths = []int{1, 2, 3, 4, 6, 8, 16, 32}

// partKeys is keys_of_part of kernels/attention.metal.
const partKeys = 1024

// parts is how many threadgroups may share the keys that one query sees.
func (a *attention) parts() int {
	n := (a.keys + partKeys - 1) / partKeys
	if a.p.Ring {
		n++ // the keys may begin anywhere
	}
	if a.p.Window > 0 {
		n = min(n, (a.p.Window+partKeys-2)/partKeys+1)
	}
	return n
}

// byRows gives each query threadgroups of its own, whose parts are merged if there are
// several.
func (a *attention) byRows(e *encoder) error {
	dl, _ := atLeast(attentionWidths, (a.d+simdWidth-1)/simdWidth)
	vl, _ := atLeast(attentionWidths, (a.dv+simdWidth-1)/simdWidth)
	rows := a.b * a.hq * a.l
	parts := a.parts()
	types, y := slices.Clone(a.types), e.out(a.y)
	stats := y
	if parts > 1 {
		types[3] = "float"
		y, stats = e.scratch(4*rows*parts*a.dv), e.scratch(8*rows*parts)
	}
	k, err := e.kernel("attention", "attend_row", append(types, strconv.Itoa(dl), strconv.Itoa(vl)), a.constants(parts > 1)...)
	if err != nil {
		return err
	}
	simds := min(32, k.MaxThreads()/simdWidth)
	if !a.p.Ring {
		simds = min(simds, a.keys)
	}
	threads := simds * simdWidth
	args, err := a.args(e, y, stats, parts)
	if err != nil {
		return err
	}
	e.run(k, [3]int{parts * threads, a.l * a.hq, a.b}, [3]int{threads, 1, 1}, args...)
	if parts == 1 {
		return nil
	}
	merge, err := e.kernel("attention", "attend_merge", []string{a.types[3]})
	if err != nil {
		return err
	}
	e.run(merge, [3]int{a.dv, rows, 1}, [3]int{min(a.dv, 256), 1, 1}, y.reading(), stats.reading(), e.out(a.y), i32(a.dv), i32(parts))
	return nil
}
