package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A convolution is a product: the elements of x under each place of the kernel are
// the rows of a matrix, its patches, of which a block is laid out at a time. A
// block's size depends on the shapes alone.
const (
	patchRows = 64      // most rows of a block
	patchSize = 1 << 18 // elements of a block, if a row is not larger
)

// conv is the geometry of a convolution.
type conv struct {
	tensor.Conv
	x, w, y *View
	n       int   // spatial axes
	size    []int // of x in each
	step    []int // elements of x from one place to the next
	kernel  []int
	result  []int
	c, o    int // channels of a group
	taps    int // places of the kernel
	k       int // elements of a patch
	rows    int // patches: places of the result
	block   int // rows of a block
	stride  []int
	low     []int
	dil     []int
	indil   []int
	whole   bool // taps of the last axis lie side by side, with all channels
}

func newConv(p tensor.Conv, in, out []View) *conv {
	v := &conv{Conv: p, x: &in[0], w: &in[1], y: &out[0]}
	v.n = len(v.x.Shape) - 2
	v.size, v.kernel, v.result = v.x.Shape[1:v.n+1], v.w.Shape[1:v.n+1], v.y.Shape[1:v.n+1]
	v.c, v.o = v.w.Shape[v.n+1], v.w.Shape[0]/p.Groups
	v.stride, v.low, v.dil, v.indil = p.Stride.List(), p.Low.List(), p.Dilation.List(), p.InputDilation.List()
	v.step = make([]int, v.n)
	for i, n := v.n-1, v.x.Shape[v.n+1]; i >= 0; i-- {
		v.step[i] = n
		n *= v.size[i]
	}
	v.taps = tensor.Shape(v.kernel).Size()
	v.k = v.taps * v.c
	v.rows = v.y.Shape[0] * tensor.Shape(v.result).Size()
	v.block = min(max(patchSize/max(v.k, 1), 1), patchRows, max(v.rows, 1))
	v.whole = !p.Flip && p.Groups == 1 && v.dil[v.n-1] == 1 && v.indil[v.n-1] == 1
	return v
}

func convTask(p tensor.Conv, in, out []View) (task, error) {
	v := newConv(p, in, out)
	ops := v.rows * p.Groups * v.o * v.k
	if v.x.DType == dtype.Float64 {
		return newTask(v.rows, max(2*ops, v.rows), v.runWide), nil
	}
	if v.c == 1 && v.o == 1 {
		return newTask(v.rows, max(ops, v.rows), v.runDepthwise), nil
	}
	units := p.Groups * ((v.rows + v.block - 1) / v.block)
	return newTask(units, max(ops/2, v.rows*p.Groups*(v.k+v.o)), v.run), nil
}

// place is where the patch of row r begins: the index of the batch, and for each
// axis the place in x with its zeros.
func (v *conv) place(r int, at []int) (batch int) {
	for i := v.n - 1; i >= 0; i-- {
		at[i] = r%v.result[i]*v.stride[i] - v.low[i]
		r /= v.result[i]
	}
	return r
}

// source is the index in x of place j of axis i; ok is false for a zero.
func (v *conv) source(i, j int) (at int, ok bool) {
	if j < 0 {
		return 0, false
	}
	d := v.indil[i]
	if d > 1 {
		if j%d != 0 {
			return 0, false
		}
		j /= d
	}
	return j, j < v.size[i]
}

// walk calls f for each run of taps that lie side by side in x: count of them from
// tap on, the first one's elements at offset off of x. Other taps see zeros.
func (v *conv) walk(at []int, axis, off, tap int, f func(tap, off, count int)) {
	if axis == v.n-1 && v.whole {
		lo, hi := max(0, -at[axis]), min(v.kernel[axis], v.size[axis]-at[axis])
		if lo < hi {
			f(tap*v.kernel[axis]+lo, off+(at[axis]+lo)*v.step[axis], hi-lo)
		}
		return
	}
	for k := range v.kernel[axis] {
		j, ok := v.source(axis, at[axis]+k*v.dil[axis])
		if !ok {
			continue
		}
		t, o := tap*v.kernel[axis]+k, off+j*v.step[axis]
		if axis < v.n-1 {
			v.walk(at, axis+1, o, t, f)
			continue
		}
		if v.Flip {
			t = v.taps - 1 - t
		}
		f(t, o, 1)
	}
}

// patches lays out rows [r0, r0+rows) of group g in float32.
func (v *conv) patches(dst []float32, at []int, r0, rows, g int) {
	clear(dst[:rows*v.k])
	image := v.step[0] * v.size[0]
	var row []float32
	put := func(tap, off, count int) {
		to := row[tap*v.c : (tap+count)*v.c]
		if v.x.DType == dtype.Float32 {
			copy(to, at32(v.x, off, len(to)))
		} else {
			simd.K.Load(to, rawAt(v.x, off, len(to)))
		}
	}
	for r := range rows {
		row = dst[r*v.k : (r+1)*v.k]
		b := v.place(r0+r, at)
		v.walk(at, 0, b*image+g*v.c, 0, put)
	}
}

func at32(v *View, off, n int) []float32 { return at[float32](v, off, n) }

// run multiplies blocks of patches by the weights of a group.
func (v *conv) run(s *scratch, c, nc int) {
	blocks := (v.rows + v.block - 1) / v.block
	lo, hi := span(v.Groups*blocks, c, nc)
	x, at := piece[float32](s, v.block*v.k), piece[int](s, v.n)
	y := piece[float32](s, v.block*v.o)
	all := v.Groups * v.o
	for u := lo; u < hi; u++ {
		g, r0 := u/blocks, u%blocks*v.block
		rows := min(v.block, v.rows-r0)
		w := rawAt(v.w, g*v.o*v.k, v.o*v.k)
		if v.c > 0 {
			v.patches(x, at, r0, rows, g)
		}
		if v.y.DType == dtype.Float32 {
			if v.o > 0 {
				to := at32(v.y, r0*all+g*v.o, (rows-1)*all+v.o)
				simd.K.GemmNT(to, all, x, v.k, rows, w, v.k, v.o, v.k)
			}
			continue
		}
		simd.K.GemmNT(y, v.o, x, v.k, rows, w, v.k, v.o, v.k)
		for r := range rows {
			narrow(unsafe.Add(v.y.Ptr(), ((r0+r)*all+g*v.o)*2), y[r*v.o:(r+1)*v.o], v.y.DType)
		}
	}
}

// runDepthwise is for groups of one channel: rows of channels times rows of weights.
func (v *conv) runDepthwise(s *scratch, c, nc int) {
	lo, hi := span(v.rows, c, nc)
	n, image := v.Groups, v.step[0]*v.size[0]
	at, sum, row, tmp := piece[int](s, v.n), piece[float32](s, n), piece[float32](s, n), piece[float32](s, n)
	w, turned := piece[float32](s, n*v.taps), piece[float32](s, n*v.taps)
	simd.K.Load(w, rawAt(v.w, 0, n*v.taps))
	for g := range n {
		for t := range v.taps {
			turned[t*n+g] = w[g*v.taps+t]
		}
	}
	add := func(tap, off, count int) {
		for t := tap; t < tap+count; t++ {
			x := row
			if v.x.DType == dtype.Float32 {
				x = at32(v.x, off, n)
			} else {
				simd.K.Load(row, rawAt(v.x, off, n))
			}
			simd.K.Binary[simd.Mul](tmp, x, turned[t*n:(t+1)*n])
			simd.K.Axpy(sum, 1, tmp)
			off += n
		}
	}
	for r := lo; r < hi; r++ {
		clear(sum)
		b := v.place(r, at)
		v.walk(at, 0, b*image, 0, add)
		if v.y.DType == dtype.Float32 {
			copy(at32(v.y, r*n, n), sum)
		} else {
			narrow(unsafe.Add(v.y.Ptr(), r*n*2), sum, v.y.DType)
		}
	}
}

// runWide is float64's plain loop.
func (v *conv) runWide(s *scratch, c, nc int) {
	lo, hi := span(v.rows, c, nc)
	image := v.step[0] * v.size[0]
	at0 := piece[int](s, v.n)
	x, w := all[float64](v.x), all[float64](v.w)
	var y []float64
	group := 0
	add := func(tap, off, count int) {
		for j := range y {
			row := w[(group*v.o+j)*v.k+tap*v.c:][:count*v.c]
			for i, k := range row {
				y[j] += float64(x[off+i] * k)
			}
		}
	}
	for r := lo; r < hi; r++ {
		b := v.place(r, at0)
		for g := range v.Groups {
			group, y = g, at[float64](v.y, (r*v.Groups+g)*v.o, v.o)
			clear(y)
			v.walk(at0, 0, b*image+g*v.c, 0, add)
		}
	}
}
