// Package random is mx.random, bit for bit. Functions draw from the process's
// generator, or from a [Key] when one is given: then the result depends on the key
// alone.
//
//	random.Seed(0)
//	x := random.Normal(mlx.Shape{2, 3})
//	k1, k2 := random.NewKey(0).Split()
//	y := random.Uniform(-1, 1, mlx.Shape{4}, k1, mlx.BFloat16)
//
// Draws of several goroutines from the generator are safe, in no fixed order: give each a
// key. [State] makes the generator a captured state of a compiled function.
package random

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/internal/threefry"
)

// Option is a [Key], [Loc], [Scale] (or [LocOf], [ScaleOf]), [NumSamples], [SampleShape],
// mlx.Axis, a dtype or a stream.
type Option = opt.Random

// Key is a state of the generator; as an argument it is key=. Use it once, then
// Split.
type Key struct {
	A *mlx.Array // uint32[2]
}

// Loc is loc=, 0 by default.
type Loc float64

// Scale is scale=, 1 by default.
type Scale float64

// An arrayOption is loc= or scale= with an array.
type arrayOption struct {
	a     *mlx.Array
	scale bool
}

// LocOf is loc= with an array, which broadcasts to the shape that is drawn.
func LocOf(a *mlx.Array) Option { return arrayOption{a, false} }

// ScaleOf is scale= with an array, which broadcasts to the shape that is drawn.
func ScaleOf(a *mlx.Array) Option { return arrayOption{a, true} }

// NumSamples is num_samples= of Categorical.
type NumSamples int

// SampleShape is shape= of Categorical: that of the result, to which the shape of the
// logits without their axis must broadcast. It excludes NumSamples.
type SampleShape mlx.Shape

// ForRandom makes a key the argument key=.
func (k Key) ForRandom(s *opt.Set) { s.SetKey(k.A) }

// ForRandom makes it the argument loc=.
func (l Loc) ForRandom(s *opt.Set) { s.SetLoc(float64(l)) }

// ForRandom makes it the argument scale=.
func (k Scale) ForRandom(s *opt.Set) { s.SetScale(float64(k)) }

// ForRandom makes it the argument loc= or scale=.
func (o arrayOption) ForRandom(s *opt.Set) {
	switch {
	case o.scale:
		s.SetScale(o.a)
	default:
		s.SetLoc(o.a)
	}
}

// ForRandom makes it the argument shape=.
func (n SampleShape) ForRandom(s *opt.Set) { s.SampleShape = append([]int{}, n...) }

// ForRandom makes it the argument num_samples=.
func (n NumSamples) ForRandom(s *opt.Set) { s.NumSamples = int(n) }

func keyArray(k threefry.Key) *mlx.Array { return mlx.FromSlice([]uint32{k[0], k[1]}) }

// NewKey is mx.random.key(seed).
func NewKey(seed uint64) Key { return Key{keyArray(threefry.NewKey(seed))} }

// Split is k1, k2 = mx.random.split(k).
func (k Key) Split() (Key, Key) {
	ks := k.SplitN(2)
	return ks[0], ks[1]
}

// SplitN is mx.random.split(k, n).
func (k Key) SplitN(n int) []Key {
	all := random.Split(k.A, n, mlx.Stream{})
	out := make([]Key, 0, n)
	for _, row := range all.All() {
		out = append(out, Key{row})
	}
	return out
}

// generator is the process's. Its state is a Go key until State is asked for, then an
// array, which compiled functions may read and write.
var generator struct {
	sync.Mutex
	state  threefry.Key
	seeded bool
	shared *Key
}

// Seed is mx.random.seed(seed): restart the process's generator.
func Seed(seed uint64) {
	generator.Lock()
	defer generator.Unlock()
	generator.state, generator.seeded = threefry.NewKey(seed), true
	if generator.shared != nil {
		generator.shared.A = keyArray(generator.state)
	}
}

// State is mx.random.state: the state of the process's generator as a tree, to list
// in mlx.State, mlx.Inputs or mlx.Outputs of a compiled function that draws from it.
func State() *Key {
	generator.Lock()
	defer generator.Unlock()
	seedByTime()
	if generator.shared == nil {
		generator.shared = &Key{keyArray(generator.state)}
	}
	return generator.shared
}

// seedByTime is the first seed, if nobody gave one.
func seedByTime() {
	if !generator.seeded {
		generator.state, generator.seeded = threefry.NewKey(uint64(time.Now().UnixMilli())), true
	}
}

// next is a key of the process's generator, or the one that a function drew here when
// it ran before.
func next() *mlx.Array { return tensor.Draw(draw) }

// draw is a new key of the process's generator; its first seed is the time.
func draw() *mlx.Array {
	generator.Lock()
	defer generator.Unlock()
	seedByTime()
	if generator.shared != nil {
		listed := tensor.Traced(generator.shared.A) // it is an input of a function that is being compiled
		state, k := generator.shared.Split()
		*generator.shared = state
		if listed {
			return k.A
		}
		return tensor.Drawn(k.A)
	}
	var k threefry.Key
	generator.state, k = generator.state.Split()
	return tensor.Drawn(keyArray(k))
}

// call is the keywords of one call.
type call struct {
	key        *mlx.Array
	dtype      mlx.DType
	loc, scale *mlx.Array // nil: 0 and 1
	axis, num  int
	draws      mlx.Shape
	s          mlx.Stream
}

func keywords(op string, opts []Option, d mlx.DType) call { return keywordsAt(op, opts, d, -1) }

// keywordsAt is keywords with another axis by default. It panics for those that op
// does not take.
func keywordsAt(op string, opts []Option, d mlx.DType, axis int) call {
	var set opt.Set
	for _, o := range opts {
		o.ForRandom(&set)
	}
	refuse(op, &set)
	c := call{dtype: d, axis: axis, num: set.NumSamples, draws: set.SampleShape, s: tensor.OneStream(op, &set)}
	if set.HasDType {
		c.dtype = mlx.DType(set.DType)
	}
	c.loc, c.scale = parameter(op, "loc", set.Loc, 0, c), parameter(op, "scale", set.Scale, 1, c)
	if len(set.Axes) == 1 {
		c.axis = set.Axes[0]
	}
	if set.Key == nil {
		c.key = next()
	} else if c.key = set.Key.(*mlx.Array); c.key == nil {
		tensor.Throw(op, nil, "the key is empty; make one with NewKey or Split")
	}
	return c
}

// parameter is loc or scale as an array of the call's dtype; nil if it has no effect.
func parameter(op, name string, v any, usual float64, c call) *mlx.Array {
	switch v := v.(type) {
	case float64:
		if v != usual {
			return tensor.FloatScalar(v, c.dtype, c.s)
		}
	case *mlx.Array:
		if v == nil {
			tensor.Throw(op, nil, "%s is nil", name)
		}
		return v
	}
	return nil
}

// takes says which keywords a function takes besides key= and stream=.
var takes = map[string]string{
	"bits": "", "uniform": "dtype", "normal": "dtype loc scale", "multivariate_normal": "dtype", "randint": "dtype", "bernoulli": "",
	"truncated_normal": "dtype", "gumbel": "dtype", "laplace": "dtype loc scale", "categorical": "axis num_samples shape",
	"permutation": "", "shuffle": "axis",
}

// refuse panics for a keyword that op does not take: ignoring it would be worse.
func refuse(op string, set *opt.Set) {
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"dtype", set.HasDType}, {"loc", set.Loc != nil}, {"scale", set.Scale != nil},
		{"axis", set.HasAxes}, {"num_samples", set.NumSamples != 0}, {"shape", set.SampleShape != nil},
	} {
		if k.given && !slices.Contains(strings.Fields(takes[op]), k.name) {
			tensor.Throw(op, nil, "takes no %s", k.name)
		}
	}
}

// Bits is mx.random.bits: uint8, uint16 or uint32 by width 1, 2 or 4.
func Bits(shape mlx.Shape, width int, opts ...Option) *mlx.Array {
	c := keywords("bits", opts, mlx.Uint32)
	return random.BitsOf(c.key, shape, width, c.s)
}

// Uniform is mx.random.uniform(low, high, shape) in [low, high), float32 unless a
// dtype is given.
func Uniform[L, H mlx.Operand](low L, high H, shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("uniform", opts, mlx.Float32)
	lo, hi := tensor.Operand("uniform", low, c.s), tensor.Operand("uniform", high, c.s)
	return random.Uniform(c.key, lo, hi, shape, c.dtype, c.s)
}

// Normal is mx.random.normal(shape, loc, scale), float32 unless a floating dtype of at
// most 32 bits or complex64 is given.
func Normal(shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("normal", opts, mlx.Float32)
	return random.Normal(c.key, shape, c.dtype, c.loc, c.scale, c.s)
}

// MultivariateNormal is mx.random.multivariate_normal(mean, cov, shape), float32: mean [.., n]
// and cov [.., n, n], symmetric and positive semidefinite, whose leading axes broadcast with
// shape; a nil shape is that of the leading axes. The result has that shape and n.
func MultivariateNormal(mean, cov *mlx.Array, shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("multivariate_normal", opts, mlx.Float32)
	return random.MultivariateNormal(c.key, mean, cov, shape, c.dtype, c.s)
}

// RandInt is mx.random.randint in [low, high), int32 unless a dtype is given.
func RandInt[L, H mlx.Operand](low L, high H, shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("randint", opts, mlx.Int32)
	lo, hi := tensor.Operand("randint", low, c.s), tensor.Operand("randint", high, c.s)
	return random.RandInt(c.key, lo, hi, shape, c.dtype, c.s)
}

// Bernoulli is mx.random.bernoulli(p, shape), bool; a nil shape is that of p.
func Bernoulli[P mlx.Operand](p P, shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("bernoulli", opts, mlx.Bool)
	a := tensor.Operand("bernoulli", p, c.s)
	if shape == nil {
		shape = a.Shape()
	}
	return random.Bernoulli(c.key, a, shape, c.s)
}

// TruncatedNormal is mx.random.truncated_normal: normal within [low, high].
func TruncatedNormal[L, H mlx.Operand](low L, high H, shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("truncated_normal", opts, mlx.Float32)
	lo, hi := tensor.Operand("truncated_normal", low, c.s), tensor.Operand("truncated_normal", high, c.s)
	return random.TruncatedNormal(c.key, lo, hi, shape, c.dtype, c.s)
}

// Gumbel is mx.random.gumbel.
func Gumbel(shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("gumbel", opts, mlx.Float32)
	return random.Gumbel(c.key, shape, c.dtype, c.s)
}

// Laplace is mx.random.laplace(shape, loc, scale).
func Laplace(shape mlx.Shape, opts ...Option) *mlx.Array {
	c := keywords("laplace", opts, mlx.Float32)
	return random.Laplace(c.key, shape, c.dtype, c.loc, c.scale, c.s)
}

// Categorical is mx.random.categorical(logits, axis, shape, num_samples), uint32: one
// index for each distribution, NumSamples of them on a new last axis, or as many as
// [SampleShape] holds; along the last axis unless given.
func Categorical(logits *mlx.Array, opts ...Option) *mlx.Array {
	c := keywords("categorical", opts, mlx.Uint32)
	return random.Categorical(c.key, logits, c.axis, c.num, c.draws, c.s)
}

// Permutation is mx.random.permutation(n): the numbers below n, shuffled.
func Permutation(n int, opts ...Option) *mlx.Array {
	c := keywords("permutation", opts, mlx.Uint32)
	return random.Permutation(c.key, n, c.s)
}

// Shuffle is mx.random.permutation(x, axis): slices of x in random order, along
// axis 0 unless given.
func Shuffle(x *mlx.Array, opts ...Option) *mlx.Array {
	c := keywordsAt("shuffle", opts, mlx.Uint32, 0)
	axis := tensor.NormAxis("shuffle", c.axis, x.Shape())
	return mlx.Take(x, random.Permutation(c.key, x.Dim(axis), c.s), mlx.Axis(axis))
}
