package metal

import (
	"math"

	"github.com/mlxgo/mlx/internal/tensor/fast"
)

func rmsNorm(e *encoder, p fast.RMSNorm, in, out []View) error {
	weight := &in[len(in)-1] // x itself stands for none
	t, ok := elements(in[0], *weight, out[0])
	if !ok {
		return noKernel("a norm of %v", dtypesOf(in))
	}
	k, err := e.kernel("norm", "rms_norm", t)
	if err != nil {
		return err
	}
	x := newRows(&in[0])
	args := []arg{e.in(&in[0]), e.in(weight), e.out(&out[0]), i32(x.k), i32(len(in) - 1), f32(p.Eps.Value()), f32(p.Offset.Value())}
	return e.runGroups(k, x.n, threadsFor(x.k, 4, k.MaxThreads()), append(args, x.outer.args()...)...)
}

func layerNorm(e *encoder, p fast.LayerNorm, in, out []View) error {
	weight, bias := &in[0], &in[0] // x itself stands for none
	if p.Weight {
		weight = &in[1]
	}
	if p.Bias {
		bias = &in[len(in)-1]
	}
	t, ok := elements(in[0], *weight, *bias, out[0])
	if !ok {
		return noKernel("a norm of %v", dtypesOf(in))
	}
	k, err := e.kernel("norm", "layer_norm", t)
	if err != nil {
		return err
	}
	x := newRows(&in[0])
	args := []arg{e.in(&in[0]), e.in(weight), e.in(bias), e.out(&out[0]), i32(x.k), flag(p.Weight), flag(p.Bias),
		f32(p.Eps.Value()), f32(p.Offset.Value())}
	return e.runGroups(k, x.n, threadsFor(x.k, 4, k.MaxThreads()), append(args, x.outer.args()...)...)
}

// flag is an int argument.
func flag(b bool) arg { return i32(bit(b)) }

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// normBlocks is how many threadgroups share the rows when sums over rows are asked for.
const normBlocks = 256

// normVJP runs over blocks of rows, then adds what they summed.
func normVJP(e *encoder, p fast.NormVJP, in, out []View) error {
	cotangent := &in[len(in)-1]
	weight := &in[0] // x itself stands for none
	if p.Weight {
		weight = &in[1]
	}
	t, ok := elements(in[0], *weight, *cotangent)
	if !ok {
		return noKernel("gradients of a norm of %v", dtypesOf(in))
	}
	k, err := e.kernel("norm", "norm_vjp", t)
	if err != nil {
		return err
	}
	x, c := newRows(&in[0]), newRows(cotangent)
	if x.n == 0 || x.k == 0 { // sums of nothing
		return noKernel("sums of nothing")
	}
	blocks := x.n
	sums := [2]arg{e.out(&out[0]), e.out(&out[0])} // not written
	if p.Weight || p.Bias {
		blocks = min(x.n, normBlocks)
	}
	for i, have := range []bool{p.Weight, p.Bias} {
		if have {
			sums[i] = e.scratch(blocks * x.k * 4)
		}
	}
	params := ints(x.k, x.n, blocks, bit(p.Layer), bit(p.Weight), bit(p.Bias), floatBits(p.Eps.Value()), floatBits(p.Offset.Value()))
	args := []arg{e.in(&in[0]), e.in(weight), e.in(cotangent), e.out(&out[0]), sums[0], sums[1], params}
	args = append(append(args, x.outer.args()...), c.outer.args()...)
	if err := e.runGroups(k, blocks, threadsFor(x.k, 4, k.MaxThreads()), args...); err != nil {
		return err
	}
	if p.Weight {
		if err := sumColumns(e, sums[0], blocks, &out[1]); err != nil {
			return err
		}
	}
	if p.Bias {
		return sumColumns(e, sums[1], blocks, &out[len(out)-1])
	}
	return nil
}

// floatBits is v among the ints of a struct.
func floatBits(v float64) int { return int(int32(math.Float32bits(float32(v)))) }
