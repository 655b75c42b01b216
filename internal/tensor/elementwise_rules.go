package tensor

import (
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Short forms for rules: x op y with a number on either side.
func (s Stream) add(a, b any) *Array { return BinaryAny(OpAdd, a, b, s) }
func (s Stream) sub(a, b any) *Array { return BinaryAny(OpSubtract, a, b, s) }
func (s Stream) mul(a, b any) *Array { return BinaryAny(OpMultiply, a, b, s) }
func (s Stream) div(a, b any) *Array { return BinaryAny(OpDivide, a, b, s) }
func (s Stream) pow(a, b any) *Array { return BinaryAny(OpPower, a, b, s) }

func (s Stream) is(op BinaryOp, a, b any) *Array { return BinaryAny(op, a, b, s) }
func (s Stream) do(op UnaryOp, a *Array) *Array  { return UnaryOf(op, a, s) }

// pick is x where the condition holds, else 0.
func (s Stream) pick(cond, x *Array) *Array {
	return Where(cond, x, FloatScalar(0, x.DType(), s), s)
}

// unaryRules are the derivatives: the cotangent c of y = op(x) becomes that of x.
// A nil rule is a step function: its derivative is 0.
var unaryRules = [NumUnary]func(s Stream, x, y, c *Array) *Array{
	OpNegative: func(s Stream, x, y, c *Array) *Array { return s.do(OpNegative, c) },
	OpAbs: func(s Stream, x, y, c *Array) *Array {
		if x.DType() == dtype.Complex64 { // |x + dx| is |x| + the real part of dx conj(x)/|x|
			r := Where(s.is(OpEqual, y, 0), FloatScalar(1, y.DType(), s), y, s)
			return s.mul(c, s.div(s.do(OpConjugate, x), r))
		}
		return s.mul(c, s.do(OpSign, x))
	},
	OpSquare: func(s Stream, x, y, c *Array) *Array { return s.mul(s.mul(x, 2), c) },
	OpSqrt:   func(s Stream, x, y, c *Array) *Array { return s.div(s.mul(c, 0.5), y) },
	OpRsqrt: func(s Stream, x, y, c *Array) *Array {
		return s.mul(c, s.mul(s.div(y, x), -0.5))
	},
	OpReciprocal: func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpNegative, s.do(OpSquare, y))) },
	OpConjugate:  func(s Stream, x, y, c *Array) *Array { return s.do(OpConjugate, c) },
	OpReal:       func(s Stream, x, y, c *Array) *Array { return AsType(c, dtype.Complex64, s) },
	OpImag:       func(s Stream, x, y, c *Array) *Array { return s.mul(c, -1i) },
	OpExp:        func(s Stream, x, y, c *Array) *Array { return s.mul(c, y) },
	OpExpm1:      func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpExp, x)) },
	OpLog:        func(s Stream, x, y, c *Array) *Array { return s.div(c, x) },
	OpLog2:       func(s Stream, x, y, c *Array) *Array { return s.div(c, s.mul(x, math.Ln2)) },
	OpLog10:      func(s Stream, x, y, c *Array) *Array { return s.div(c, s.mul(x, math.Ln10)) },
	OpLog1p:      func(s Stream, x, y, c *Array) *Array { return s.div(c, s.add(x, 1)) },
	OpSin:        func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpCos, x)) },
	OpCos:        func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpNegative, s.do(OpSin, x))) },
	OpTan:        func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.add(s.do(OpSquare, y), 1)) },
	OpArcSin:     func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.rootOf1Minus(x)) },
	OpArcCos:     func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpNegative, s.rootOf1Minus(x))) },
	OpArcTan:     func(s Stream, x, y, c *Array) *Array { return s.div(c, s.add(s.do(OpSquare, x), 1)) },
	OpSinh:       func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpCosh, x)) },
	OpCosh:       func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpSinh, x)) },
	OpTanh:       func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.sub(1, s.do(OpSquare, y))) },
	OpArcSinh:    func(s Stream, x, y, c *Array) *Array { return s.mul(c, s.do(OpRsqrt, s.add(s.do(OpSquare, x), 1))) },
	OpArcCosh: func(s Stream, x, y, c *Array) *Array { // two roots: the cut of sqrt(x^2-1) is elsewhere
		return s.mul(s.mul(c, s.do(OpRsqrt, s.sub(x, 1))), s.do(OpRsqrt, s.add(x, 1)))
	},
	OpArcTanh: func(s Stream, x, y, c *Array) *Array { return s.div(c, s.sub(1, s.do(OpSquare, x))) },
	OpSigmoid: func(s Stream, x, y, c *Array) *Array {
		return s.mul(c, s.mul(y, s.sub(1, y)))
	},
	OpErf: func(s Stream, x, y, c *Array) *Array { // 2/sqrt(pi) exp(-x^2)
		e := s.do(OpExp, s.do(OpNegative, s.do(OpSquare, x)))
		return s.mul(c, s.mul(e, 2/math.Sqrt(math.Pi)))
	},
	OpErfInv: func(s Stream, x, y, c *Array) *Array { // sqrt(pi)/2 exp(y^2)
		return s.mul(c, s.mul(s.do(OpExp, s.do(OpSquare, y)), math.Sqrt(math.Pi)/2))
	},
}

// rootOf1Minus is 1/sqrt(1-x^2).
func (s Stream) rootOf1Minus(x *Array) *Array { return s.do(OpRsqrt, s.sub(1, s.do(OpSquare, x))) }

// VJP is the derivative times the cotangent. Complex ops follow MLX: a cotangent
// is multiplied by the derivative, not by its conjugate.
func (p Unary) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	rule := unaryRules[p.Op]
	if rule == nil {
		return []*Array{ZerosLike(in[0], s)}
	}
	return []*Array{rule(s, in[0], out[0], cotan[0])}
}

// A binaryRule gives the cotangent of input i of y = op(a, b).
type binaryRule func(s Stream, i int, a, b, y, c *Array) *Array

// binaryRules are the derivatives; those of comparisons and floors are 0.
var binaryRules = [NumBinary]binaryRule{
	OpAdd: func(s Stream, i int, a, b, y, c *Array) *Array { return c },
	OpSubtract: func(s Stream, i int, a, b, y, c *Array) *Array {
		if i == 0 {
			return c
		}
		return s.do(OpNegative, c)
	},
	OpMultiply: func(s Stream, i int, a, b, y, c *Array) *Array {
		if i == 0 {
			return s.mul(c, b)
		}
		return s.mul(c, a)
	},
	OpDivide: func(s Stream, i int, a, b, y, c *Array) *Array {
		if i == 0 {
			return s.div(c, b)
		}
		return s.do(OpNegative, s.div(s.mul(c, y), b))
	},
	// Ties go to one input, as in MLX: the second.
	OpMaximum: func(s Stream, i int, a, b, y, c *Array) *Array {
		return s.pick(s.is([]BinaryOp{OpGreater, OpLessEqual}[i], a, b), c)
	},
	OpMinimum: func(s Stream, i int, a, b, y, c *Array) *Array {
		return s.pick(s.is([]BinaryOp{OpLess, OpGreaterEqual}[i], a, b), c)
	},
	OpPower: powerRule,
	OpRemainder: func(s Stream, i int, a, b, y, c *Array) *Array { // a - b*floor(a/b)
		if i == 0 {
			return c
		}
		return s.mul(c, s.do(OpNegative, s.is(OpFloorDivide, a, b)))
	},
	OpArcTan2: func(s Stream, i int, a, b, y, c *Array) *Array {
		r2 := s.add(s.do(OpSquare, a), s.do(OpSquare, b))
		if i == 0 {
			return s.div(s.mul(c, b), r2)
		}
		return s.div(s.mul(c, s.do(OpNegative, a)), r2)
	},
	OpLogAddExp: func(s Stream, i int, a, b, y, c *Array) *Array {
		of, other := a, b
		if i == 1 {
			of, other = b, a
		}
		if a.DType() == dtype.Complex64 {
			return s.mul(c, s.do(OpExp, s.sub(of, y)))
		}
		return s.mul(c, s.do(OpSigmoid, s.sub(of, other)))
	},
}

// powerRule keeps to the limits where the base is 0: b a^(b-1) is 0 for b = 0, and
// a^b log(a) is 0 at a = 0.
func powerRule(s Stream, i int, a, b, y, c *Array) *Array {
	zero := FloatScalar(0, a.DType(), s)
	one := FloatScalar(1, a.DType(), s)
	if i == 0 {
		still := s.is(OpEqual, b, 0)
		e := Where(still, one, s.sub(b, 1), s)
		return s.mul(c, s.mul(b, s.pow(a, e)))
	}
	none := s.is(OpEqual, a, 0)
	l := Where(none, zero, s.do(OpLog, Where(none, one, a, s)), s)
	return s.mul(c, s.mul(AsType(l, y.DType(), s), y))
}

// VJP is the derivative times the cotangent.
func (p Binary) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return grads(need, func(i int) *Array {
		rule := binaryRules[p.Op]
		if rule == nil {
			return ZerosLike(in[i], s)
		}
		return rule(s, i, in[0], in[1], out[0], cotan[0])
	})
}

// VJP gives the cotangent to the branch that was taken.
func (Select) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	zero := FloatScalar(0, cotan[0].DType(), s)
	return grads(need, func(i int) *Array {
		switch i {
		case 1:
			return Where(in[0], cotan[0], zero, s)
		case 2:
			return Where(in[0], zero, cotan[0], s)
		}
		return nil
	})
}

// VJP converts back.
func (p Cast) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := cotan[0]
	if c.DType() == dtype.Complex64 && in[0].DType() != dtype.Complex64 {
		c = realPart(c, s)
	}
	return []*Array{AsType(c, in[0].DType(), s)}
}

// realPart is c as float32: casting drops the imaginary part.
func realPart(c *Array, s Stream) *Array { return AsType(c, dtype.Float32, s) }
