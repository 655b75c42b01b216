// Package random declares mx.random's primitives and distributions: every
// function takes a key (uint32 [2]) and gives MLX's bits. The public package
// mlx/random adds keywords and the generator of the process.
package random

import (
	"errors"
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/linalg"
)

type (
	// Array, Spec, Shape and Stream are the graph's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Shape  = tensor.Shape
	Stream = tensor.Stream
)

// Bits is Threefry-2x32 on a key: elements of Width bytes (1, 2 or 4), unsigned.
type Bits struct {
	Shape tensor.Ints
	Width int
}

// Name is the op's name.
func (Bits) Name() string { return "random_bits" }

// Infer checks the key.
func (p Bits) Infer(in []Spec) ([]Spec, error) {
	if err := checkKey(in[0]); err != nil {
		return nil, err
	}
	d, ok := map[int]tensor.DType{1: dtype.Uint8, 2: dtype.Uint16, 4: dtype.Uint32}[p.Width]
	if !ok {
		return nil, fmt.Errorf("width %d is not 1, 2 or 4", p.Width)
	}
	return []Spec{{Shape: p.Shape.List(), DType: d}}, nil
}

// InverseCDF samples each row of the last axis of input 0 (floating logits) by
// its uniform in input 1 (float32, the same leading axes): the first index whose
// running sum of probabilities passes it.
type InverseCDF struct{}

// Name is the op's name.
func (InverseCDF) Name() string { return "inverse_cdf" }

// Infer drops the last axis.
func (InverseCDF) Infer(in []Spec) ([]Spec, error) {
	l := in[0].Shape
	if len(l) == 0 || l[len(l)-1] == 0 || !in[0].DType.Is(dtype.Floating) {
		return nil, errors.New("needs floating logits with a non-empty axis")
	}
	if in[1].DType != dtype.Float32 || in[1].Shape.Size()%max(1, l[:len(l)-1].Size()) != 0 {
		return nil, errors.New("uniforms do not fit the logits")
	}
	return []Spec{{Shape: in[1].Shape, DType: dtype.Uint32}}, nil
}

func checkKey(s Spec) error {
	if s.DType != dtype.Uint32 || len(s.Shape) != 1 || s.Shape[0] != 2 {
		return fmt.Errorf("key %v is not uint32(2,)", s)
	}
	return nil
}

// BitsOf is mx.random.bits.
func BitsOf(key *Array, shape Shape, width int, s Stream) *Array {
	return tensor.Apply1(Bits{tensor.MakeInts(shape...), width}, s, key)
}

// Split is mx.random.split: n keys as [n, 2].
func Split(key *Array, n int, s Stream) *Array { return BitsOf(key, Shape{n, 2}, 4, s) }

// unit is uniform in [0, 1) in dtype d: min(bits / UINT32_MAX, largest d below 1),
// the division in float32.
func unit(key *Array, shape Shape, d tensor.DType, s Stream) *Array {
	f := tensor.AsType(BitsOf(key, shape, 4, s), dtype.Float32, s)
	u := tensor.BinaryOf(tensor.OpDivide, f, tensor.FloatScalar(math.MaxUint32, dtype.Float32, s), s)
	below := map[tensor.DType]float64{
		dtype.Float32:  float64(math.Nextafter32(1, 0)),
		dtype.Float16:  1 - 0x1p-11,
		dtype.BFloat16: 1 - 0x1p-8,
	}[d]
	u = tensor.BinaryOf(tensor.OpMinimum, u, tensor.FloatScalar(below, dtype.Float32, s), s)
	return tensor.AsType(u, d, s)
}

func checkFloat(op string, d tensor.DType) {
	if d != dtype.Float32 && d != dtype.Float16 && d != dtype.BFloat16 {
		tensor.Throw(op, nil, "dtype %v is not float32, float16 or bfloat16", d)
	}
}

// Uniform is mx.random.uniform: (high - low) * u + low in dtype d.
func Uniform(key, low, high *Array, shape Shape, d tensor.DType, s Stream) *Array {
	checkFloat("uniform", d)
	low, high = tensor.AsType(low, d, s), tensor.AsType(high, d, s)
	width := tensor.BinaryOf(tensor.OpSubtract, high, low, s)
	if w := tensor.SpecOf(width).Shape; !fits(w, shape) {
		tensor.Throw("uniform", nil, "bounds of shape %v do not broadcast to %v, the shape that is drawn", w, shape)
	}
	u := unit(key, shape, d, s)
	return tensor.BinaryOf(tensor.OpAdd, tensor.BinaryOf(tensor.OpMultiply, width, u, s), low, s)
}

// f32 is a float32 scalar.
func f32(v float64, s Stream) *Array { return tensor.FloatScalar(v, dtype.Float32, s) }

// Normal is mx.random.normal: sqrt(2) * scale * erfinv(u) + loc with u uniform in
// (-1, 1). loc and scale broadcast to shape; nil stands for 0 and 1.
func Normal(key *Array, shape Shape, d tensor.DType, loc, scale *Array, s Stream) *Array {
	checkParameters("normal", shape, loc, scale)
	if d == dtype.Complex64 {
		return complexNormal(key, shape, loc, scale, s)
	}
	checkFloat("normal", d)
	u := Uniform(key, f32(float64(math.Nextafter32(-1, 0)), s), f32(1, s), shape, dtype.Float32, s)
	x := tensor.AsType(tensor.UnaryOf(tensor.OpErfInv, u, s), d, s)
	k := tensor.FloatScalar(math.Sqrt2, d, s)
	if scale != nil {
		k = tensor.BinaryOf(tensor.OpMultiply, k, tensor.AsType(scale, d, s), s)
	}
	return plus(tensor.BinaryOf(tensor.OpMultiply, k, x, s), loc, s)
}

// fits reports whether an array of shape a broadcasts to shape b.
func fits(a, b Shape) bool {
	if len(a) > len(b) {
		return false
	}
	for i, n := range a {
		if n != 1 && n != b[len(b)-len(a)+i] {
			return false
		}
	}
	return true
}

// plus is x + loc in x's dtype; loc may be nil.
func plus(x, loc *Array, s Stream) *Array {
	if loc == nil {
		return x
	}
	return tensor.BinaryOf(tensor.OpAdd, x, tensor.AsType(loc, x.DType(), s), s)
}

// checkParameters panics if loc or scale does not broadcast to shape.
func checkParameters(op string, shape Shape, loc, scale *Array) {
	for name, a := range map[string]*Array{"loc": loc, "scale": scale} {
		if a != nil && !fits(tensor.SpecOf(a).Shape, shape) {
			tensor.Throw(op, nil, "%s of shape %v does not broadcast to %v, the shape that is drawn", name, tensor.SpecOf(a).Shape, shape)
		}
	}
}

// complexNormal has pairs of float32 draws as its parts, whose variances add up to
// scale's square: the sqrt(2) is left out.
func complexNormal(key *Array, shape Shape, loc, scale *Array, s Stream) *Array {
	n := len(shape)
	pairs := append(append(Shape(nil), shape...), 2)
	u := Uniform(key, f32(float64(math.Nextafter32(-1, 0)), s), f32(1, s), pairs, dtype.Float32, s)
	x := tensor.UnaryOf(tensor.OpErfInv, u, s)
	part := func(i int) *Array {
		p := tensor.Squeeze(tensor.SliceAxis(x, n, i, i+1, s), []int{n}, s)
		return tensor.AsType(p, dtype.Complex64, s)
	}
	z := tensor.BinaryOf(tensor.OpAdd, part(0), tensor.BinaryOf(tensor.OpMultiply, part(1), tensor.ComplexScalar(1i, s), s), s)
	if scale != nil {
		z = tensor.BinaryOf(tensor.OpMultiply, z, tensor.AsType(scale, dtype.Complex64, s), s)
	}
	return plus(z, loc, s)
}

// MultivariateNormal is mx.random.multivariate_normal, float32: mean [.., n] plus normals times
// u sqrt(s) vt, the root of cov [.., n, n] by its singular values. The batches of mean and cov
// and shape broadcast.
func MultivariateNormal(key, mean, cov *Array, shape Shape, d tensor.DType, s Stream) *Array {
	op, in := "multivariate_normal", []Spec{tensor.SpecOf(mean), tensor.SpecOf(cov)}
	if d != dtype.Float32 {
		tensor.Throw(op, in, "dtype %v is not float32", d)
	}
	if mean.DType() == dtype.Complex64 || cov.DType() == dtype.Complex64 {
		tensor.Throw(op, in, "is defined for real means and covariances")
	}
	m, c := in[0].Shape, in[1].Shape
	if len(m) < 1 || len(c) < 2 || c[len(c)-1] != c[len(c)-2] || c[len(c)-1] != m[len(m)-1] {
		tensor.Throw(op, in, "needs means [.., n] and covariances [.., n, n]")
	}
	n := m[len(m)-1]
	batch := tensor.BroadcastShapes(op, tensor.BroadcastShapes(op, c[:len(c)-2], m[:len(m)-1]), shape)
	svd := tensor.Apply(linalg.SVD{Vectors: true}, s, tensor.AsType(cov, d, s))
	roots := tensor.ExpandDims(tensor.UnaryOf(tensor.OpSqrt, svd[1], s), []int{-2}, s)
	root := tensor.MatMulOf(tensor.BinaryOf(tensor.OpMultiply, svd[0], roots, s), svd[2], s)
	x := Normal(key, append(append(Shape(nil), batch...), n), d, nil, nil, s)
	x = tensor.Squeeze(tensor.MatMulOf(tensor.ExpandDims(x, []int{-2}, s), root, s), []int{-2}, s)
	return tensor.BinaryOf(tensor.OpAdd, tensor.AsType(mean, d, s), x, s)
}

// Gumbel is mx.random.gumbel: -log(-log(u)), in dtype d throughout.
func Gumbel(key *Array, shape Shape, d tensor.DType, s Stream) *Array {
	checkFloat("gumbel", d)
	u := Uniform(key, tensor.FloatScalar(0, d, s), tensor.FloatScalar(1, d, s), shape, d, s)
	for range 2 {
		u = tensor.UnaryOf(tensor.OpNegative, tensor.UnaryOf(tensor.OpLog, u, s), s)
	}
	return u
}

// Laplace is mx.random.laplace by the inverse distribution: loc - scale * sign(u)
// * log1p(-|u|), u uniform in (-1, 1). loc and scale broadcast to shape; nil stands for
// 0 and 1.
func Laplace(key *Array, shape Shape, d tensor.DType, loc, scale *Array, s Stream) *Array {
	checkFloat("laplace", d)
	checkParameters("laplace", shape, loc, scale)
	u := Uniform(key, f32(float64(math.Nextafter32(-1, 0)), s), f32(1, s), shape, dtype.Float32, s)
	neg := tensor.UnaryOf(tensor.OpNegative, tensor.UnaryOf(tensor.OpAbs, u, s), s)
	x := tensor.BinaryOf(tensor.OpMultiply, tensor.UnaryOf(tensor.OpSign, u, s), tensor.UnaryOf(tensor.OpLog1p, neg, s), s)
	x = tensor.AsType(x, d, s)
	if scale != nil {
		x = tensor.BinaryOf(tensor.OpMultiply, tensor.AsType(scale, d, s), x, s)
	}
	return plus(x, loc, s)
}

// TruncatedNormal is mx.random.truncated_normal in [low, high], in dtype d
// throughout: sqrt(2) * erfinv(u), u uniform between the erfs of the bounds.
func TruncatedNormal(key, low, high *Array, shape Shape, d tensor.DType, s Stream) *Array {
	checkFloat("truncated_normal", d)
	root := tensor.FloatScalar(math.Sqrt2, d, s)
	low, high = tensor.AsType(low, d, s), tensor.AsType(high, d, s)
	erf := func(a *Array) *Array {
		return tensor.UnaryOf(tensor.OpErf, tensor.BinaryOf(tensor.OpDivide, a, root, s), s)
	}
	u := Uniform(key, erf(low), erf(high), shape, d, s)
	x := tensor.BinaryOf(tensor.OpMultiply, root, tensor.UnaryOf(tensor.OpErfInv, u, s), s)
	return tensor.BinaryOf(tensor.OpMaximum, tensor.BinaryOf(tensor.OpMinimum, x, high, s), low, s)
}

// Bernoulli is mx.random.bernoulli: bits below p * 2^32, compared in float32.
func Bernoulli(key, p *Array, shape Shape, s Stream) *Array {
	if !p.DType().Is(dtype.Floating) {
		tensor.Throw("bernoulli", []Spec{tensor.SpecOf(p)}, "the probability must be floating")
	}
	upper := f32(float64(math.Nextafter32(math.MaxUint32, math.MaxFloat32)), s)
	limit := tensor.BinaryOf(tensor.OpMultiply, tensor.AsType(p, dtype.Float32, s), upper, s)
	bits := tensor.AsType(BitsOf(key, shape, 4, s), dtype.Float32, s)
	return tensor.BinaryOf(tensor.OpLess, bits, limit, s)
}

// RandInt is mx.random.randint in [low, high): a uniform, floored and clamped.
func RandInt(key, low, high *Array, shape Shape, d tensor.DType, s Stream) *Array {
	if !d.Is(dtype.Integer) && d != dtype.Bool {
		tensor.Throw("randint", nil, "dtype %v is not an integer dtype", d)
	}
	u := Uniform(key, low, high, shape, dtype.Float32, s)
	x := tensor.AsType(tensor.UnaryOf(tensor.OpFloor, u, s), d, s)
	low, high = tensor.AsType(low, d, s), tensor.AsType(high, d, s)
	last := tensor.BinaryOf(tensor.OpSubtract, high, tensor.IntScalar(1, d, s), s)
	return tensor.BinaryOf(tensor.OpMaximum, tensor.BinaryOf(tensor.OpMinimum, x, last, s), low, s)
}

// Permutation is mx.random.permutation(n): the order of n random words.
func Permutation(key *Array, n int, s Stream) *Array {
	return tensor.ArgSortOf(BitsOf(key, Shape{n}, 4, s), -1, s)
}

// Categorical is mx.random.categorical along axis. draws is the shape of the result, to
// which the shape of logits without that axis must broadcast; nil stands for that shape
// itself, followed by num if it is not 0. A single distribution is sampled by its inverse
// distribution function, several by the Gumbel maximum, as MLX does.
func Categorical(key, logits *Array, axis, num int, draws Shape, s Stream) *Array {
	sh := tensor.SpecOf(logits).Shape
	axis = tensor.NormAxis("categorical", axis, sh)
	if num < 0 || num > 0 && draws != nil {
		tensor.Throw("categorical", nil, "%d samples and shape %v; give one of them", num, draws)
	}
	logits = tensor.AsType(logits, dtype.AtLeastFloat(logits.DType()), s)
	v := sh[axis]
	shape := append(append(Shape(nil), sh[:axis]...), sh[axis+1:]...)
	if draws != nil {
		if !fits(shape, draws) {
			tensor.Throw("categorical", []Spec{tensor.SpecOf(logits)}, "shape %v is not one that %v, the logits without axis %d, broadcasts to", draws, shape, axis)
		}
		axis += len(draws) - len(shape)
		shape = draws
	} else if num > 0 {
		shape = append(shape, num)
	}
	if sh.Size() == v && v > 0 && len(shape) > 0 {
		u := Uniform(key, f32(0, s), f32(1, s), shape, dtype.Float32, s)
		return tensor.Apply1(InverseCDF{}, s, tensor.ReshapeTo(logits, []int{v}, s), u)
	}
	noise := append(append(append(Shape(nil), shape[:axis]...), v), shape[axis:]...)
	if num > 0 {
		logits = tensor.ExpandDims(logits, []int{-1}, s)
	}
	g := Gumbel(key, noise, dtype.Float32, s)
	return tensor.ArgReduceOf(false, tensor.BinaryOf(tensor.OpAdd, g, logits, s), axis, false, s)
}
