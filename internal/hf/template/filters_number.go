package template

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

func addNumberFilters() {
	addFilter("int", "default? base?", intFilter)
	addFilter("float", "default?", floatFilter)
	addFilter("abs", "", func(r *runtime, v Value, a []Value) (Value, error) {
		if f, ok := v.(float64); ok {
			return math.Abs(f), nil
		}
		n, ok := asBig(v)
		if !ok {
			return nil, fmt.Errorf("bad operand type for abs(): '%s'", typeName(v))
		}
		return normInt(new(big.Int).Abs(n)), nil
	})
	addFilter("round", "precision? method?", roundFilter)
	addFilter("filesizeformat", "binary?", fileSizeFilter)
}

// pyParseInt is int(s, base): white space around, a sign, "_" between digits
// and a prefix such as 0x when the base allows it.
func pyParseInt(s string, base int) (Value, bool) {
	s = strings.Trim(s, pySpace)
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	if len(s) > 2 && s[0] == '0' {
		if b := map[byte]int{'x': 16, 'o': 8, 'b': 2}[s[1]|0x20]; b != 0 && (base == 0 || base == b) {
			base, s = b, strings.TrimPrefix(s[2:], "_")
		}
	}
	if base == 0 {
		if len(strings.Trim(s, "0_")) > 0 && s[0] == '0' {
			return nil, false
		}
		base = 10
	}
	if s == "" || base < 2 || base > 36 || s[0] == '_' || s[len(s)-1] == '_' || strings.Contains(s, "__") || len(s) > maxIntDigits {
		return nil, false
	}
	if s[0] == '-' || s[0] == '+' {
		return nil, false
	}
	n, ok := new(big.Int).SetString(sign+strings.ReplaceAll(s, "_", ""), base)
	if !ok {
		return nil, false
	}
	return normInt(n), true
}

// pyParseFloat is float(s).
func pyParseFloat(s string) (float64, bool) {
	s = strings.Trim(s, pySpace)
	if s == "" || strings.ContainsAny(s, "xXpP") || s[0] == '_' || s[len(s)-1] == '_' || strings.Contains(s, "__") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

// truncate is int(f) of a float.
func truncate(f float64) (Value, error) {
	if f != f || math.IsInf(f, 0) {
		return nil, fmt.Errorf("cannot convert float %s to integer", floatRepr(f))
	}
	n, _ := new(big.Float).SetFloat64(f).Int(nil)
	return normInt(n), nil
}

func intFilter(r *runtime, v Value, a []Value) (Value, error) {
	def := or(a[0], int64(0))
	base, err := intArg("base", a[1], 10)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if s, ok := asString(v); ok {
		if n, ok := pyParseInt(s, int(min(max(base, -1), 99))); ok {
			return n, nil
		}
		if f, ok := pyParseFloat(s); ok {
			if n, err := truncate(f); err == nil {
				return n, nil
			}
		}
		return def, nil
	}
	if f, ok := v.(float64); ok {
		if f != f {
			return def, nil
		}
		return truncate(f)
	}
	if n, ok := asBig(v); ok {
		return normInt(n), nil
	}
	return def, nil
}

func floatFilter(r *runtime, v Value, a []Value) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if s, ok := asString(v); ok {
		if f, ok := pyParseFloat(s); ok {
			return f, nil
		}
	} else if isNumber(v) {
		return asFloat(v)
	}
	return or(a[0], 0.0), nil
}

func roundFilter(r *runtime, v Value, a []Value) (Value, error) {
	prec, err := intArg("precision", a[0], 0)
	if err != nil {
		return nil, err
	}
	method, err := strArg("method", or(a[1], "common"))
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if !isNumber(v) {
		return nil, fmt.Errorf("type %s doesn't define __round__ method", typeName(v))
	}
	switch method {
	case "common":
		return roundHalfEven(v, prec)
	case "ceil", "floor":
		return r.roundTo(v, prec, method == "ceil")
	}
	return nil, fmt.Errorf("method must be common, ceil or floor")
}

// roundTo is ceil or floor of v * 10**prec, over 10**prec.
func (r *runtime) roundTo(v Value, prec int64, up bool) (Value, error) {
	scale, err := r.arithmetic("**", int64(10), prec)
	if err != nil {
		return nil, err
	}
	x, err := r.arithmetic("*", v, scale)
	if err != nil {
		return nil, err
	}
	if f, ok := x.(float64); ok {
		if f = math.Floor(f); up {
			f = math.Ceil(x.(float64))
		}
		if x, err = truncate(f); err != nil {
			return nil, err
		}
	}
	return r.arithmetic("/", x, scale)
}

// roundHalfEven is Python's round: to the even neighbour in exact decimal
// arithmetic; an int stays one.
func roundHalfEven(v Value, prec int64) (Value, error) {
	f, isFloat := v.(float64)
	if isFloat && (f != f || math.IsInf(f, 0) || prec > 330) {
		return f, nil
	}
	if isFloat && prec >= 0 {
		return strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(prec), 64), 64)
	}
	if !isFloat && prec >= 0 {
		n, _ := asBig(v)
		return normInt(n), nil
	}
	if prec < -maxIntDigits {
		prec = -maxIntDigits
	}
	x := new(big.Rat)
	if isFloat {
		x.SetFloat64(f)
	} else {
		n, _ := asBig(v)
		x.SetInt(n)
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(-prec), nil)
	n, _ := new(big.Int).SetString(x.Quo(x, new(big.Rat).SetInt(unit)).FloatString(0), 10)
	if x.Denom().Cmp(big.NewInt(2)) == 0 { // a tie, which FloatString takes away from zero
		n = tieToEven(n, x.Sign())
	}
	n.Mul(n, unit)
	if isFloat {
		g, _ := new(big.Float).SetInt(n).Float64()
		return g, nil
	}
	return normInt(n), nil
}

func tieToEven(n *big.Int, sign int) *big.Int {
	if n.Bit(0) == 1 {
		n.Sub(n, big.NewInt(int64(sign)))
	}
	return n
}

func fileSizeFilter(r *runtime, v Value, a []Value) (Value, error) {
	f := 0.0
	if s, ok := asString(v); ok {
		if f, ok = pyParseFloat(s); !ok {
			return nil, fmt.Errorf("could not convert string to float: %s", strRepr(s))
		}
	} else {
		var err error
		if f, err = asFloat(v); err != nil {
			return nil, err
		}
	}
	base, units := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if flag(a[0]) {
		base, units = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	if f == 1 {
		return "1 Byte", nil
	}
	if f < base {
		return strconv.FormatFloat(math.Trunc(f), 'f', 0, 64) + " Bytes", nil
	}
	unit := base
	for _, u := range units {
		if unit *= base; f < unit {
			return strconv.FormatFloat(base*f/unit, 'f', 1, 64) + " " + u, nil
		}
	}
	return strconv.FormatFloat(base*f/unit, 'f', 1, 64) + " " + units[len(units)-1], nil
}
