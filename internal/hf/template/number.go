package template

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

const (
	// maxIntBits bounds integers. Python has no bound; templates need none.
	maxIntBits = 1 << 17
	// maxIntDigits is Python's bound for an int that is read or printed.
	maxIntDigits = 4300
)

var (
	errDivZero  = errors.New("division by zero")
	errTooLarge = errors.New("the result is too large")
)

// normInt returns n as int64 when it fits, else itself.
func normInt(n *big.Int) Value {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// asInt returns the int of an int64 or bool.
func asInt(v Value) (int64, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case int64:
		return x, true
	}
	return 0, false
}

// asBig returns the int of an int of any size or bool.
func asBig(v Value) (*big.Int, bool) {
	if n, ok := asInt(v); ok {
		return big.NewInt(n), true
	}
	n, ok := v.(*big.Int)
	return n, ok
}

func isNumber(v Value) bool {
	switch v.(type) {
	case bool, int64, *big.Int, float64:
		return true
	}
	return false
}

// asFloat converts a number; an int beyond the floats is an error.
func asFloat(v Value) (float64, error) {
	if n, ok := asInt(v); ok {
		return float64(n), nil
	}
	switch x := v.(type) {
	case float64:
		return x, nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(x).Float64()
		if math.IsInf(f, 0) {
			return 0, errors.New("int too large to convert to float")
		}
		return f, nil
	}
	return 0, fmt.Errorf("'%s' is not a number", typeName(v))
}

// arithmetic is + - * / // % ** on two numbers.
func (r *runtime) arithmetic(op string, a, b Value) (Value, error) {
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			if v, done, err := smallInts(op, x, y); done || err != nil {
				return v, err
			}
		}
	}
	x, ok1 := asBig(a)
	y, ok2 := asBig(b)
	if ok1 && ok2 {
		return r.bigInts(op, x, y)
	}
	f, err := asFloat(a)
	if err != nil {
		return nil, err
	}
	g, err := asFloat(b)
	if err != nil {
		return nil, err
	}
	return floats(op, f, g)
}

// smallInts computes in 64 bits; done is false when the result needs more.
func smallInts(op string, x, y int64) (v Value, done bool, err error) {
	switch op {
	case "+":
		s := x + y
		return s, (s > x) == (y > 0), nil
	case "-":
		d := x - y
		return d, (d < x) == (y > 0), nil
	case "*":
		if x == 0 || y == 0 {
			return int64(0), true, nil
		}
		p := x * y
		ok := p/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
		return p, ok, nil
	case "//", "%":
		if y == 0 {
			return nil, true, errDivZero
		}
		if y == -1 {
			return nil, false, nil
		}
		q, m := x/y, x%y
		if m != 0 && (m < 0) != (y < 0) { // round down, not to zero
			q--
			m += y
		}
		if op == "//" {
			return q, true, nil
		}
		return m, true, nil
	}
	return nil, false, nil
}

func (r *runtime) bigInts(op string, x, y *big.Int) (Value, error) {
	if err := r.alloc(int64(x.BitLen()+y.BitLen()) / 8); err != nil {
		return nil, err
	}
	z := new(big.Int)
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		// The cost of a product grows faster than its size.
		if err := r.spend(int64(x.BitLen()/64) * int64(y.BitLen()/64) / 32); err != nil {
			return nil, err
		}
		z.Mul(x, y)
	case "/":
		return divideInts(x, y)
	case "//", "%":
		if y.Sign() == 0 {
			return nil, errDivZero
		}
		m := new(big.Int)
		z.DivMod(x, y, m)
		if m.Sign() != 0 && y.Sign() < 0 { // Euclid's to Python's
			z.Sub(z, big.NewInt(1))
			m.Add(m, y)
		}
		if op == "%" {
			z = m
		}
	case "**":
		return r.power(x, y)
	}
	if z.BitLen() > maxIntBits {
		return nil, errTooLarge
	}
	return normInt(z), nil
}

// divideInts is the float nearest to x/y.
func divideInts(x, y *big.Int) (Value, error) {
	if y.Sign() == 0 {
		return nil, errDivZero
	}
	if x.Sign() == 0 {
		return math.Copysign(0, float64(y.Sign())), nil
	}
	f, _ := new(big.Rat).SetFrac(x, y).Float64()
	if math.IsInf(f, 0) {
		return nil, errors.New("integer division result too large for a float")
	}
	return f, nil
}

func (r *runtime) power(x, y *big.Int) (Value, error) {
	if y.Sign() < 0 {
		f, err := asFloat(normInt(x))
		if err != nil {
			return nil, err
		}
		g, err := asFloat(normInt(y))
		if err != nil {
			return nil, err
		}
		return floats("**", f, g)
	}
	if x.BitLen() <= 1 { // -1, 0 and 1 have large powers
		switch {
		case y.Sign() == 0, x.Sign() < 0 && y.Bit(0) == 0:
			return int64(1), nil
		}
		return x.Int64(), nil
	}
	if !y.IsInt64() || y.Int64() > maxIntBits || int64(x.BitLen()-1)*y.Int64() > maxIntBits {
		return nil, errTooLarge
	}
	if err := r.alloc(int64(x.BitLen()) * y.Int64() / 8); err != nil {
		return nil, err
	}
	z := new(big.Int).Exp(x, y, nil)
	if z.BitLen() > maxIntBits {
		return nil, errTooLarge
	}
	return normInt(z), nil
}

func floats(op string, f, g float64) (Value, error) {
	switch op {
	case "+":
		return f + g, nil
	case "-":
		return f - g, nil
	case "*":
		return f * g, nil
	case "/":
		if g == 0 {
			return nil, errDivZero
		}
		return f / g, nil
	case "//", "%":
		if g == 0 {
			return nil, errDivZero
		}
		q, m := floorDivMod(f, g)
		if op == "//" {
			return q, nil
		}
		return m, nil
	case "**":
		if f == 0 && g < 0 {
			return nil, errors.New("0.0 cannot be raised to a negative power")
		}
		if f < 0 && g != math.Floor(g) && !math.IsInf(f, 0) {
			return nil, errors.New("the power is a complex number")
		}
		p := math.Pow(f, g)
		if math.IsInf(p, 0) && !math.IsInf(f, 0) && !math.IsInf(g, 0) {
			return nil, errTooLarge
		}
		return p, nil
	}
	return nil, fmt.Errorf("unknown operator %q", op)
}

// floorDivMod is Python's divmod of floats: the remainder has the sign of g.
func floorDivMod(f, g float64) (q, m float64) {
	m = math.Mod(f, g)
	q = (f - m) / g
	if m != 0 {
		if (g < 0) != (m < 0) {
			m += g
			q--
		}
	} else {
		m = math.Copysign(0, g)
	}
	if q == 0 {
		return math.Copysign(0, f/g), m
	}
	n := math.Floor(q)
	if q-n > 0.5 {
		n++
	}
	return n, m
}

// compareNumbers is exact also between ints and floats. The result is
// meaningless when one is NaN, which unordered tells.
func compareNumbers(a, b Value) (c int, unordered bool) {
	x, ok1 := asInt(a)
	y, ok2 := asInt(b)
	if ok1 && ok2 {
		switch {
		case x < y:
			return -1, false
		case x > y:
			return 1, false
		}
		return 0, false
	}
	f, isF := a.(float64)
	g, isG := b.(float64)
	if isF && f != f || isG && g != g {
		return 0, true
	}
	return toBigFloat(a).Cmp(toBigFloat(b)), false
}

func toBigFloat(v Value) *big.Float {
	if f, ok := v.(float64); ok {
		return new(big.Float).SetFloat64(f)
	}
	n, _ := asBig(v)
	return new(big.Float).SetInt(n) // as precise as n is long
}
