package fast

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// VJP rotates the other way. The periods get what the angles get: offsets are integers.
func (p RoPE) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if need[0] {
		q := p
		q.Inverse = !p.Inverse
		grads[0] = tensor.Apply1(q, s, append([]*Array{cotan[0]}, in[1:]...)...)
	}
	if len(in) == 3 && need[2] {
		grads[2] = p.periods(ops{s}, in[1], in[2], out[0], cotan[0])
	}
	return grads
}

// periods is the cotangent of the periods. That of an angle is c2*y1 - c1*y2 without its
// sign, and angles are positions over periods.
func (p RoPE) periods(o ops, offset, freqs, y, c *Array) *Array {
	y1, y2 := p.pair(o, o.as(y, freqs.DType()))
	c1, c2 := p.pair(o, o.as(c, freqs.DType()))
	turn := o.sub(o.mul(c2, y1), o.mul(c1, y2)) // [B, ..., T, Dims/2]
	if p.Inverse {
		turn = o.do(tensor.OpNegative, turn)
	}
	n := turn.NDim()
	var heads []int
	for i := 1; i < n-2; i++ {
		heads = append(heads, i)
	}
	if len(heads) > 0 {
		turn = o.sum(turn, false, heads...) // [B, T, Dims/2]
	}
	t := turn.Dim(1)
	at := tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0), Step: tensor.MakeF64(1), N: t, DType: dtype.Int32}, o.s)
	at = o.add(o.shaped(at, 1, t, 1), o.shaped(offset, -1, 1, 1))
	pos := o.mul(o.as(at, freqs.DType()), p.Scale.Value())
	angle := o.sum(o.mul(turn, pos), false, 0, 1)
	return o.do(tensor.OpNegative, o.div(o.div(angle, freqs), freqs))
}

// pair is the first and the second of what turns together.
func (p RoPE) pair(o ops, x *Array) (a, b *Array) {
	if !p.Traditional {
		return tensor.SliceAxis(x, -1, 0, p.Dims/2, o.s), tensor.SliceAxis(x, -1, p.Dims/2, p.Dims, o.s)
	}
	x = tensor.SliceAxis(x, -1, 0, p.Dims, o.s)
	sh := shapeOf(x)
	x = o.shaped(x, append(sh[:len(sh)-1], p.Dims/2, 2)...)
	return tensor.Squeeze(tensor.SliceAxis(x, -1, 0, 1, o.s), []int{-1}, o.s),
		tensor.Squeeze(tensor.SliceAxis(x, -1, 1, 2, o.s), []int{-1}, o.s)
}

// Vmap makes batch rows of the mapped axis, each with its offset. Mapped periods are
// taken one after the other.
func (p RoPE) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if len(in) == 3 && axes[2] != tensor.Unmapped {
		return tensor.VmapLoop(p, s, in, axes)
	}
	o, n := ops{s}, tensor.MappedSize(in, axes)
	x := tensor.InFront(in[0], axes[0], n, s)
	sh := shapeOf(x)
	folded := append(tensor.Shape{n * sh[1]}, sh[2:]...)
	offset := in[1]
	if axes[1] != tensor.Unmapped || offset.Size() != 1 {
		offset = tensor.InFront(offset, axes[1], n, s)
		offset = o.shaped(tensor.BroadcastTo(o.shaped(offset, n, -1), tensor.Shape{n, sh[1]}, s), n*sh[1])
	}
	args := append([]*Array{o.shaped(x, folded...), offset}, in[2:]...)
	return front(o.shaped(tensor.Apply1(p, s, args...), sh...))
}
