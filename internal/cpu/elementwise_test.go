package cpu

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var shapes = [][]int{{}, {1}, {5}, {3, 4}, {2, 3, 5}, {0, 3}, {1, 2051}, {37, 41}}

func boolValue(b bool) value { return value{u: uint64(bit(b))} }

func isNaNRef(z complex128) bool { return math.IsNaN(real(z)) || math.IsNaN(imag(z)) }

// unaryRef computes in complex128 or 64-bit integers.
func unaryRef(op tensor.UnaryOp, d dtype.DType, v value) value {
	if isInt(d) {
		neg := isSigned(d) && int64(v.u) < 0
		switch op {
		case tensor.OpNegative:
			return value{u: wrap(d, -v.u)}
		case tensor.OpAbs:
			if neg {
				return value{u: wrap(d, -v.u)}
			}
			return v
		case tensor.OpSign:
			if neg {
				return value{u: wrap(d, math.MaxUint64)}
			}
			return value{u: min(v.u, 1)}
		case tensor.OpSquare:
			return value{u: wrap(d, v.u*v.u)}
		case tensor.OpLogicalNot:
			return boolValue(v.u == 0)
		case tensor.OpIsNaN:
			return value{}
		}
		return v
	}
	switch op {
	case tensor.OpIsNaN:
		return boolValue(isNaNRef(v.z))
	case tensor.OpLogicalNot:
		return boolValue(v.z == 0)
	}
	if d == dtype.Complex64 {
		return value{z: unaryComplex(op, v.z)}
	}
	return value{z: complex(unaryFloat(op, real(v.z)), 0)}
}

func unaryFloat(op tensor.UnaryOp, x float64) float64 {
	switch op {
	case tensor.OpNegative:
		return -x
	case tensor.OpAbs:
		return math.Abs(x)
	case tensor.OpSign:
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		}
		return 0
	case tensor.OpSquare:
		return x * x
	case tensor.OpFloor:
		return math.Floor(x)
	case tensor.OpSqrt:
		return math.Sqrt(x)
	case tensor.OpRsqrt:
		return 1 / math.Sqrt(x)
	case tensor.OpExp:
		return math.Exp(x)
	case tensor.OpLog:
		return math.Log(x)
	case tensor.OpLog1p:
		return math.Log1p(x)
	case tensor.OpSin:
		return math.Sin(x)
	case tensor.OpCos:
		return math.Cos(x)
	case tensor.OpTanh:
		return math.Tanh(x)
	case tensor.OpSigmoid:
		return 1 / (1 + math.Exp(-x))
	case tensor.OpErf:
		return math.Erf(x)
	}
	return math.Erfinv(x)
}

func unaryComplex(op tensor.UnaryOp, z complex128) complex128 {
	switch op {
	case tensor.OpNegative:
		return -z
	case tensor.OpAbs:
		return complex(math.Hypot(real(z), imag(z)), 0)
	case tensor.OpSign:
		if z == 0 {
			return 0
		}
		return z / complex(math.Hypot(real(z), imag(z)), 0)
	case tensor.OpSquare:
		return z * z
	case tensor.OpSqrt:
		return cmplx.Sqrt(z)
	case tensor.OpRsqrt:
		return 1 / cmplx.Sqrt(z)
	case tensor.OpExp:
		return cmplx.Exp(z)
	case tensor.OpLog:
		return cmplx.Log(z)
	case tensor.OpLog1p:
		return cmplx.Log(1 + z)
	case tensor.OpSin:
		return cmplx.Sin(z)
	case tensor.OpCos:
		return cmplx.Cos(z)
	case tensor.OpTanh:
		return cmplx.Tanh(z)
	}
	return 1 / (1 + cmplx.Exp(-z))
}

func TestUnary(t *testing.T) {
	for op := range tensor.NumUnary {
		for _, d := range allTypes {
			p := tensor.Unary{Op: op}
			out, err := p.Infer([]tensor.Spec{{DType: d}})
			if err != nil {
				continue
			}
			rng := newRand(uint64(op)<<8 | uint64(d))
			for _, l := range layouts {
				for _, s := range shapes {
					a, vals := place(rng, l, d, s, random64(rng, d, d != dtype.Complex64))
					want := make([]value, len(vals))
					for i, v := range vals {
						want[i] = unaryRef(op, d, v)
					}
					what := fmt.Sprintf("%v of %v%v %s", op, d, s, l.name)
					compareValues(t, what, out[0].DType, values(t, tensor.Apply1(p, none, a)), want, 1e-3)
				}
			}
		}
	}
}

func binaryRef(op tensor.BinaryOp, d dtype.DType, a, b value) value {
	if isInt(d) {
		return binaryInt(op, d, a.u, b.u)
	}
	x, y := a.z, b.z
	nan := isNaNRef(x) || isNaNRef(y)
	less := real(x) < real(y) || real(x) == real(y) && imag(x) < imag(y)
	switch op {
	case tensor.OpAdd:
		return value{z: x + y}
	case tensor.OpSubtract:
		return value{z: x - y}
	case tensor.OpMultiply:
		if d != dtype.Complex64 {
			return value{z: complex(real(x)*real(y), 0)}
		}
		return value{z: x * y}
	case tensor.OpDivide:
		if d != dtype.Complex64 {
			return value{z: complex(real(x)/real(y), 0)}
		}
		return value{z: x / y}
	case tensor.OpMaximum, tensor.OpMinimum:
		switch {
		case isNaNRef(x):
			return a
		case isNaNRef(y):
			return b
		case less == (op == tensor.OpMaximum):
			return b
		}
		return a
	case tensor.OpPower:
		if d != dtype.Complex64 {
			return value{z: complex(math.Pow(real(x), real(y)), 0)}
		}
		return value{z: cmplx.Pow(x, y)}
	case tensor.OpEqual:
		return boolValue(x == y)
	case tensor.OpNotEqual:
		return boolValue(x != y)
	case tensor.OpLess:
		return boolValue(!nan && less)
	case tensor.OpLessEqual:
		return boolValue(!nan && (less || x == y))
	case tensor.OpGreater:
		return boolValue(!nan && !less && x != y)
	case tensor.OpGreaterEqual:
		return boolValue(!nan && !less)
	case tensor.OpLogicalAnd:
		return boolValue(x != 0 && y != 0)
	}
	return boolValue(x != 0 || y != 0)
}

func binaryInt(op tensor.BinaryOp, d dtype.DType, x, y uint64) value {
	less := x < y
	if isSigned(d) {
		less = int64(x) < int64(y)
	}
	num := func(u uint64) value {
		if d == dtype.Bool {
			return boolValue(u != 0)
		}
		return value{u: wrap(d, u)}
	}
	switch op {
	case tensor.OpAdd:
		return num(x + y)
	case tensor.OpSubtract:
		return num(x - y)
	case tensor.OpMultiply:
		return num(x * y)
	case tensor.OpMaximum, tensor.OpMinimum:
		if less == (op == tensor.OpMaximum) {
			return num(y)
		}
		return num(x)
	case tensor.OpPower:
		if isSigned(d) && int64(y) < 0 {
			return value{}
		}
		r := uint64(1)
		for i := 63; i >= 0; i-- { // from the high bits, unlike the kernel
			r *= r
			if y>>i&1 == 1 {
				r *= x
			}
		}
		return num(r)
	case tensor.OpEqual:
		return boolValue(x == y)
	case tensor.OpNotEqual:
		return boolValue(x != y)
	case tensor.OpLess:
		return boolValue(less)
	case tensor.OpLessEqual:
		return boolValue(less || x == y)
	case tensor.OpGreater:
		return boolValue(!less && x != y)
	case tensor.OpGreaterEqual:
		return boolValue(!less)
	case tensor.OpLogicalAnd:
		return boolValue(x != 0 && y != 0)
	}
	return boolValue(x != 0 || y != 0)
}

func TestBinary(t *testing.T) {
	for op := range tensor.NumBinary {
		for _, d := range allTypes {
			p := tensor.Binary{Op: op}
			out, err := p.Infer([]tensor.Spec{{DType: d}, {DType: d}})
			if err != nil {
				continue
			}
			rng := newRand(uint64(op)<<8 | uint64(d) | 1<<20)
			special := d != dtype.Complex64 || op.Boolean() || op == tensor.OpMaximum || op == tensor.OpMinimum
			for i, l := range layouts {
				for j, s := range shapes {
					a, va := place(rng, l, d, s, random64(rng, d, special))
					b, vb := place(rng, layouts[(i+j)%len(layouts)], d, s, random64(rng, d, special))
					want := make([]value, len(va))
					for k := range va {
						want[k] = binaryRef(op, d, va[k], vb[k])
					}
					what := fmt.Sprintf("%v of %v%v %s", op, d, s, l.name)
					compareValues(t, what, out[0].DType, values(t, tensor.Apply1(p, none, a, b)), want, 1e-3)
				}
			}
		}
	}
}

func castRef(from, to dtype.DType, v value) value {
	switch {
	case isInt(from) && to == dtype.Bool:
		return boolValue(v.u != 0)
	case isInt(from) && isInt(to):
		return value{u: wrap(to, v.u)}
	case isInt(from) && isSigned(from):
		return value{z: complex(float64(int64(v.u)), 0)}
	case isInt(from):
		return value{z: complex(float64(v.u), 0)}
	case to == dtype.Bool:
		return boolValue(v.z != 0)
	case !isInt(to):
		if to != dtype.Complex64 {
			return value{z: complex(real(v.z), 0)}
		}
		return v
	}
	f := math.Trunc(real(v.z))
	info := to.IInfo()
	switch {
	case f != f:
		return value{}
	case f <= float64(info.Min):
		return value{u: uint64(info.Min)}
	case f >= float64(info.Max):
		return value{u: info.Max}
	case f < 0:
		return value{u: uint64(int64(f))}
	}
	return value{u: uint64(f)}
}

func TestCast(t *testing.T) {
	for _, from := range allTypes {
		for _, to := range allTypes {
			rng := newRand(uint64(from)<<8 | uint64(to) | 2<<20)
			gen := func() value {
				v := random64(rng, from, true)()
				if !isInt(from) && rng.IntN(3) == 0 {
					v.z *= complex(math.Pow(10, float64(rng.IntN(22))), 0)
				}
				return v
			}
			for _, l := range layouts {
				for _, s := range shapes {
					a, vals := place(rng, l, from, s, gen)
					want := make([]value, len(vals))
					for i, v := range vals {
						want[i] = castRef(from, to, v)
					}
					what := fmt.Sprintf("%v%v %s to %v", from, s, l.name, to)
					compareValues(t, what, to, values(t, tensor.Apply1(tensor.Cast{To: to}, none, a)), want, 0)
				}
			}
		}
	}
}

func TestSelectAndSwiGLU(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 3<<20)
		for i, l := range layouts {
			for j, s := range shapes {
				c, vc := place(rng, layouts[(i+j)%len(layouts)], dtype.Bool, s, random64(rng, dtype.Bool, false))
				a, va := place(rng, l, d, s, random64(rng, d, true))
				b, vb := place(rng, layouts[(i+2*j)%len(layouts)], d, s, random64(rng, d, true))
				want := make([]value, len(va))
				glu := make([]value, len(va))
				for k := range va {
					want[k] = vb[k]
					if vc[k].u != 0 {
						want[k] = va[k]
					}
					g := real(va[k].z)
					glu[k] = value{z: complex(g/(1+math.Exp(-g))*real(vb[k].z), 0)}
					if math.IsInf(g, -1) {
						glu[k].z = complex(math.NaN(), 0) // -Inf·0
					}
				}
				what := fmt.Sprintf("%v%v %s", d, s, l.name)
				compareValues(t, "where "+what, d, values(t, tensor.Apply1(tensor.Select{}, none, c, a, b)), want, 0)
				if d.Is(dtype.Floating) {
					got := values(t, tensor.Apply1(tensor.SwiGLU{}, none, a, b))
					for k := range got { // infinite gates are the loops' own affair
						if math.IsInf(real(va[k].z), 0) {
							got[k], glu[k] = value{}, value{}
						}
					}
					compareValues(t, "swiglu "+what, d, got, glu, 1e-3)
				}
			}
		}
	}
}

func TestArangeAndConst(t *testing.T) {
	for _, d := range allTypes {
		p := tensor.Arange{Start: tensor.MakeF64(-3), Step: tensor.MakeF64(0.5), N: 2100, DType: d}
		want := make([]value, p.N)
		for i := range want {
			want[i] = castRef(dtype.Float64, d, value{z: complex(-3+float64(i)*.5, 0)})
		}
		compareValues(t, "arange "+d.String(), d, values(t, tensor.Apply1(p, none)), want, 0)
		c := values(t, tensor.FullOf(tensor.FloatScalar(2, d, none), tensor.Shape{3, 700}, none))
		want = make([]value, 2100)
		for i := range want {
			want[i] = castRef(dtype.Float64, d, value{z: 2})
		}
		compareValues(t, "full "+d.String(), d, c, want, 0)
	}
}
