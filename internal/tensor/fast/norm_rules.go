package fast

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// NormVJP is the derivative of RMSNorm or, with Layer, of LayerNorm: inputs are x, the
// weight if there is one, and the cotangent of the result; results are the cotangents of
// x, the weight and the bias, as announced. The rounding of the normalized value is not
// seen, as in MLX.
type NormVJP struct {
	Eps, Offset         tensor.F64
	Layer, Weight, Bias bool
}

// Name is the op's name.
func (p NormVJP) Name() string {
	if p.Layer {
		return "layer_norm_vjp"
	}
	return "rms_norm_vjp"
}

// Infer gives the specs of what is differentiated. The bias has the cotangent's dtype.
func (p NormVJP) Infer(in []Spec) ([]Spec, error) {
	if x, c := in[0].DType, in[len(in)-1].DType; !x.Is(dtype.Floating) || !c.Is(dtype.Floating) {
		return nil, fmt.Errorf("is defined for floating arrays and cotangents, not for %v and %v", x, c)
	}
	out := []Spec{in[0]}
	if p.Weight {
		out = append(out, in[1])
	}
	if p.Bias {
		n := len(in[0].Shape) - 1
		out = append(out, Spec{Shape: in[0].Shape[n:], DType: in[len(in)-1].DType})
	}
	return out, nil
}

// Fallback is the formula: with n = rsqrt(var + Eps), u the normalized x and g the
// cotangent times the weight, that of x is n*(g - mean(g) - u*mean(g*u)).
func (p NormVJP) Fallback(s Stream, in []*Array) []*Array {
	o := ops{s}
	x, c := o.wide(in[0]), o.wide(in[len(in)-1])
	if p.Layer {
		x = o.sub(x, o.mean(x))
	}
	n := o.do(tensor.OpRsqrt, o.add(o.mean(o.do(tensor.OpSquare, x)), p.Eps.Value()))
	u, g := o.mul(x, n), c
	if p.Weight {
		g = o.mul(g, shifted(o, in[1], p.Offset))
	}
	dx := o.sub(g, o.mul(u, o.mean(o.mul(g, u))))
	if p.Layer {
		dx = o.sub(dx, o.mean(g))
	}
	out := []*Array{o.as(o.mul(n, dx), in[0].DType())}
	if p.Weight {
		out = append(out, o.as(o.rows(o.mul(c, u)), in[1].DType()))
	}
	if p.Bias {
		out = append(out, o.as(o.rows(c), in[len(in)-1].DType()))
	}
	return out
}

// shifted is the weight plus the offset.
func shifted(o ops, w *Array, offset tensor.F64) *Array {
	w = o.wide(w)
	if offset.Value() != 0 {
		w = o.add(w, offset.Value())
	}
	return w
}

// VJP is one pass over x and the cotangent.
func (p RMSNorm) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	d := NormVJP{Eps: p.Eps, Offset: p.Offset, Weight: len(in) == 2}
	return normGrads(d, s, in, cotan[0], need)
}

// VJP is one pass over x and the cotangent.
func (p LayerNorm) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	d := NormVJP{Eps: p.Eps, Offset: p.Offset, Layer: true, Weight: p.Weight, Bias: p.Bias}
	return normGrads(d, s, in, cotan[0], need)
}

// normGrads leaves out what nobody needs, but never the weight's place.
func normGrads(p NormVJP, s Stream, in []*Array, c *Array, need []bool) []*Array {
	o := ops{s}
	p.Bias = p.Bias && need[len(in)-1]
	if !need[0] && !(p.Weight && need[1]) { // the bias alone
		return append(make([]*Array, len(in)-1), o.rows(o.wide(c)))
	}
	x := []*Array{in[0]}
	if p.Weight {
		x = append(x, in[1])
	}
	g := tensor.Apply(p, s, append(x, c)...)
	for len(g) < len(in) { // a bias that needs none
		g = append(g, nil)
	}
	return g
}

// Vmap normalizes behind the mapped axis; a mapped weight multiplies afterwards.
func (p RMSNorm) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if !anyMapped(axes[1:]) {
		return vmapRows(p, s, in, axes)
	}
	o := ops{s}
	x := tensor.InFront(in[0], axes[0], tensor.MappedSize(in, axes), s)
	y := tensor.Apply1(RMSNorm{Eps: p.Eps, Offset: tensor.MakeF64(0)}, s, x)
	d := dtype.Promote(in[0].DType(), in[1].DType())
	return front(o.as(o.mul(o.wide(y), shifted(o, o.besideRows(in[1], axes[1], x.NDim()), p.Offset)), d))
}

// Vmap normalizes behind the mapped axis; with a mapped weight or bias both come
// afterwards. The product has x's precision before the sum.
func (p LayerNorm) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if !anyMapped(axes[1:]) {
		return vmapRows(p, s, in, axes)
	}
	o, d := ops{s}, in[0].DType()
	x := tensor.InFront(in[0], axes[0], tensor.MappedSize(in, axes), s)
	y := tensor.Apply1(LayerNorm{Eps: p.Eps, Offset: tensor.MakeF64(0)}, s, x)
	rest, at := in[1:], axes[1:]
	if p.Weight {
		y = o.as(o.mul(o.wide(y), shifted(o, o.besideRows(rest[0], at[0], x.NDim()), p.Offset)), d)
		d = dtype.Promote(d, rest[0].DType())
		rest, at = rest[1:], at[1:]
	}
	if p.Bias {
		d = dtype.Promote(d, rest[0].DType())
		y = o.add(o.wide(y), o.wide(o.besideRows(rest[0], at[0], x.NDim())))
	}
	return front(o.as(y, d))
}

// vmapRows maps x alone.
func vmapRows(p tensor.Primitive, s Stream, in []*Array, axes []int) ([]*Array, []int) {
	x := tensor.MoveAxis(in[0], axes[0], 0, s)
	return front(tensor.Apply1(p, s, append([]*Array{x}, in[1:]...)...))
}

// besideRows is a vector, or the vectors of a mapped one, for rows of rank axes.
func (o ops) besideRows(v *Array, axis, rank int) *Array {
	if axis == tensor.Unmapped {
		return v
	}
	v = tensor.MoveAxis(v, axis, 0, o.s)
	dims := []int{v.Dim(0)}
	for range rank - 2 {
		dims = append(dims, 1)
	}
	return o.shaped(v, append(dims, v.Dim(1))...)
}
