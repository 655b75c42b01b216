package simd

import "math"

// Each operation is its own loop: Go does not inline a function value.

var pureUnary = [NumUnary]func(y, x []float32){
	Neg: neg, Abs: abs, Sign: sign, Square: square, Sqrt: sqrt, Rsqrt: rsqrtLoop, Reciprocal: reciprocal,
	Exp: expLoop, Sigmoid: sigmoidLoop, SiLU: silu, Tanh: tanhLoop, ErfInv: erfinvLoop,
	Floor: floor, Ceil: ceil, Trunc: trunc, Rint: rint,
	// These cost tens of nanoseconds a value anyhow, so a call hides in them.
	Expm1: via64(math.Expm1), Log: via64(math.Log), Log1p: via64(math.Log1p), Log2: via64(math.Log2), Log10: via64(math.Log10),
	Sin: via64(math.Sin), Cos: via64(math.Cos), Tan: via64(math.Tan),
	Asin: via64(math.Asin), Acos: via64(math.Acos), Atan: via64(math.Atan),
	Sinh: via64(math.Sinh), Cosh: via64(math.Cosh),
	Asinh: via64(math.Asinh), Acosh: via64(math.Acosh), Atanh: via64(math.Atanh), Erf: via64(math.Erf),
}

// via64 computes in float64 and rounds once.
func via64(f func(float64) float64) func(y, x []float32) {
	return func(y, x []float32) {
		x = x[:len(y)]
		for i, v := range x {
			y[i] = float32(f(float64(v)))
		}
	}
}

func neg(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = -v
	}
}

func abs(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = abs32(v)
	}
}

func sign(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		var s float32
		switch {
		case v > 0:
			s = 1
		case v < 0:
			s = -1
		}
		y[i] = s
	}
}

func square(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = v * v
	}
}

func sqrt(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(math.Sqrt(float64(v)))
	}
}

func rsqrtLoop(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = rsqrt(v)
	}
}

func reciprocal(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = 1 / v
	}
}

func expLoop(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = exp32(v)
	}
}

func sigmoidLoop(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = sigmoid32(v)
	}
}

func silu(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(float64(v) * sigmoid64(v))
	}
}

func tanhLoop(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = tanh32(v)
	}
}

func erfinvLoop(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = erfinv32(v)
	}
}

func floor(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(math.Floor(float64(v)))
	}
}

func ceil(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(math.Ceil(float64(v)))
	}
}

func trunc(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(math.Trunc(float64(v)))
	}
}

func rint(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = float32(math.RoundToEven(float64(v)))
	}
}

var pureBinary = [NumBinary]func(y, a, b []float32){
	Add: add, Sub: sub, Mul: mul, Div: div, Maximum: maximum, Minimum: minimum, Pow: pow, Atan2: atan2, LogAddExp: logAddExp,
}

func add(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

func sub(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] - b[i]
	}
}

func mul(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

func div(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] / b[i]
	}
}

func maximum(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = max(a[i], b[i])
	}
}

func minimum(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = min(a[i], b[i])
	}
}

func pow(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = float32(math.Pow(float64(a[i]), float64(b[i])))
	}
}

func atan2(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = float32(math.Atan2(float64(a[i]), float64(b[i])))
	}
}

func logAddExp(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		hi, lo := max(a[i], b[i]), min(a[i], b[i])
		switch {
		case lo == -inf32, hi == inf32:
			y[i] = hi // also keeps Inf - Inf out; NaN in either is NaN in hi
		default:
			y[i] = float32(float64(hi) + math.Log1p(math.Exp(float64(lo)-float64(hi))))
		}
	}
}

func swiGLU(y, gate, up []float32) {
	gate, up = gate[:len(y)], up[:len(y)]
	for i, v := range gate {
		y[i] = float32(float64(v)*sigmoid64(v)) * up[i]
	}
}

// rowByRow folds four rows into y one by one.
func rowByRow(f func(y, a, b []float32)) func(y, x []float32, ld int) {
	return func(y, x []float32, ld int) {
		for k := range 4 {
			f(y, y, x[k*ld:k*ld+len(y)])
		}
	}
}
