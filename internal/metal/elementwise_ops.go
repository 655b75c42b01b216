package metal

import (
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The formulas of elementwise ops in Metal. $a, $b and $c are the inputs and $T is their
// type, in which the op computes: float also for halves, bool for bool, float2 for
// complex numbers. $U is the unsigned type of at least 32 bits for integers $T, whose
// sums wrap. An op that has no formula for a class of types has no kernel.

// computeType is the type that values of dtype d have between load and store.
func computeType(d dtype.DType) string {
	switch d {
	case dtype.Bool:
		return "bool"
	case dtype.Float16, dtype.BFloat16:
		return "float"
	}
	return storageType(d)
}

// storageType is the type of elements in memory, "" if Metal has none.
func storageType(d dtype.DType) string {
	switch d {
	case dtype.Bool:
		return "uchar"
	case dtype.Float16:
		return "half"
	case dtype.BFloat16:
		return "bfloat"
	case dtype.Float32:
		return "float"
	case dtype.Complex64:
		return "float2"
	case dtype.Float64:
		return ""
	}
	return integerType(d.Size(), d.Is(dtype.SignedInteger))
}

func integerType(size int, signed bool) string {
	t := map[int]string{1: "char", 2: "short", 4: "int", 8: "long"}[size]
	if !signed {
		return "u" + t
	}
	return t
}

// A class of dtypes shares formulas.
type class int

const (
	noClass class = iota
	floats
	signedInts
	unsignedInts
	bools
	complexes
)

func classOf(d dtype.DType) class {
	switch {
	case d == dtype.Bool:
		return bools
	case d == dtype.Complex64:
		return complexes
	case d == dtype.Float64:
		return noClass
	case d.Is(dtype.Floating):
		return floats
	case d.Is(dtype.SignedInteger):
		return signedInts
	}
	return unsignedInts
}

// fillTypes puts a dtype's types in the place of $T and $U.
func fillTypes(formula string, d dtype.DType) string {
	wide := "uint"
	if d.Size() == 8 {
		wide = "ulong"
	}
	return strings.NewReplacer("$T", computeType(d), "$U", wide).Replace(formula)
}

const (
	anyInt = signedInts // for lookups that both kinds of integers share
	always = "true"
	never  = "false"
)

var unaryFormulas = map[class]map[tensor.UnaryOp]string{
	floats: {
		tensor.OpNegative:   "-$a",
		tensor.OpAbs:        "metal::fabs($a)",
		tensor.OpSign:       "static_cast<float>(static_cast<int>($a > 0.0f) - static_cast<int>($a < 0.0f))",
		tensor.OpSquare:     "$a * $a",
		tensor.OpLogicalNot: "$a == 0.0f",
		tensor.OpIsNaN:      "$a != $a",
		tensor.OpIsInf:      "metal::fabs($a) == INFINITY",
		tensor.OpIsPosInf:   "$a == INFINITY",
		tensor.OpIsNegInf:   "$a == -INFINITY",
		tensor.OpIsFinite:   "metal::fabs($a) < INFINITY",
		tensor.OpFloor:      "metal::floor($a)",
		tensor.OpCeil:       "metal::ceil($a)",
		tensor.OpTrunc:      "metal::trunc($a)",
		tensor.OpRound:      "metal::rint($a)",
		tensor.OpToFP8:      "math_to_fp8($a)",
		tensor.OpSqrt:       "metal::precise::sqrt($a)",
		tensor.OpRsqrt:      "metal::precise::rsqrt($a)",
		tensor.OpReciprocal: "1.0f / $a",
		tensor.OpExp:        "metal::precise::exp($a)",
		tensor.OpExpm1:      "math_expm1($a)",
		tensor.OpLog:        "metal::precise::log($a)",
		tensor.OpLog2:       "metal::precise::log2($a)",
		tensor.OpLog10:      "metal::precise::log10($a)",
		tensor.OpLog1p:      "math_log1p($a)",
		tensor.OpSin:        "metal::precise::sin($a)",
		tensor.OpCos:        "metal::precise::cos($a)",
		tensor.OpTan:        "metal::precise::tan($a)",
		tensor.OpArcSin:     "metal::precise::asin($a)",
		tensor.OpArcCos:     "metal::precise::acos($a)",
		tensor.OpArcTan:     "metal::precise::atan($a)",
		tensor.OpSinh:       "metal::precise::sinh($a)",
		tensor.OpCosh:       "metal::precise::cosh($a)",
		tensor.OpTanh:       "metal::precise::tanh($a)",
		tensor.OpArcSinh:    "metal::precise::asinh($a)",
		tensor.OpArcCosh:    "metal::precise::acosh($a)",
		tensor.OpArcTanh:    "metal::precise::atanh($a)",
		tensor.OpSigmoid:    "math_sigmoid($a)",
		tensor.OpErf:        "math_erf($a)",
		tensor.OpErfInv:     "math_erfinv($a)",
	},
	signedInts: {
		tensor.OpNegative: "static_cast<$T>(static_cast<$U>(0) - static_cast<$U>($a))",
		tensor.OpAbs:      "static_cast<$T>($a < 0 ? static_cast<$U>(0) - static_cast<$U>($a) : static_cast<$U>($a))",
		tensor.OpSign:     "static_cast<$T>(static_cast<int>($a > 0) - static_cast<int>($a < 0))",
	},
	unsignedInts: {
		tensor.OpNegative: "static_cast<$T>(static_cast<$U>(0) - static_cast<$U>($a))",
		tensor.OpAbs:      "$a",
		tensor.OpSign:     "static_cast<$T>($a != 0)",
		tensor.OpFromFP8:  "math_from_fp8($a)",
	},
	bools: {
		tensor.OpAbs:           "$a",
		tensor.OpSign:          "$a",
		tensor.OpSquare:        "$a",
		tensor.OpLogicalNot:    "!$a",
		tensor.OpIsNaN:         never,
		tensor.OpIsInf:         never,
		tensor.OpIsPosInf:      never,
		tensor.OpIsNegInf:      never,
		tensor.OpIsFinite:      always,
		tensor.OpBitwiseInvert: "!$a",
	},
	complexes: {
		tensor.OpNegative:   "-$a",
		tensor.OpAbs:        "complex_abs($a)",
		tensor.OpSquare:     "complex_mul($a, $a)",
		tensor.OpLogicalNot: "!complex_true($a)",
		tensor.OpIsNaN:      "complex_nan($a)",
		tensor.OpIsInf:      "complex_inf($a)",
		tensor.OpIsPosInf:   "$a.x == INFINITY && $a.y == 0.0f",
		tensor.OpIsNegInf:   "$a.x == -INFINITY && $a.y == 0.0f",
		tensor.OpIsFinite:   "!complex_nan($a) && !complex_inf($a)",
		tensor.OpRound:      "float2(metal::rint($a.x), metal::rint($a.y))",
		tensor.OpConjugate:  "float2($a.x, -$a.y)",
		tensor.OpReal:       "$a.x",
		tensor.OpImag:       "$a.y",
		tensor.OpExp:        "complex_exp($a)",
		tensor.OpSign:       "complex_sign($a)",
		tensor.OpReciprocal: "complex_div(float2(1.0f, 0.0f), $a)",
	},
}

// unaryOfInts are the formulas that signed and unsigned integers share.
var unaryOfInts = map[tensor.UnaryOp]string{
	tensor.OpSquare:        "static_cast<$T>(static_cast<$U>($a) * static_cast<$U>($a))",
	tensor.OpLogicalNot:    "$a == 0",
	tensor.OpIsNaN:         never,
	tensor.OpIsInf:         never,
	tensor.OpIsPosInf:      never,
	tensor.OpIsNegInf:      never,
	tensor.OpIsFinite:      always,
	tensor.OpBitwiseInvert: "static_cast<$T>(~$a)",
}

var binaryFormulas = map[class]map[tensor.BinaryOp]string{
	floats: {
		tensor.OpAdd:          "$a + $b",
		tensor.OpSubtract:     "$a - $b",
		tensor.OpMultiply:     "$a * $b",
		tensor.OpDivide:       "$a / $b",
		tensor.OpMaximum:      "math_max($a, $b)",
		tensor.OpMinimum:      "math_min($a, $b)",
		tensor.OpPower:        "metal::precise::pow($a, $b)",
		tensor.OpLogicalAnd:   "$a != 0.0f && $b != 0.0f",
		tensor.OpLogicalOr:    "$a != 0.0f || $b != 0.0f",
		tensor.OpLogicalXor:   "($a != 0.0f) != ($b != 0.0f)",
		tensor.OpFloorDivide:  "math_floor_divide($a, $b)",
		tensor.OpRemainder:    "math_remainder($a, $b)",
		tensor.OpArcTan2:      "metal::precise::atan2($a, $b)",
		tensor.OpLogAddExp:    "math_logaddexp($a, $b)",
		tensor.OpEqual:        "$a == $b",
		tensor.OpNotEqual:     "$a != $b",
		tensor.OpLess:         "$a < $b",
		tensor.OpLessEqual:    "$a <= $b",
		tensor.OpGreater:      "$a > $b",
		tensor.OpGreaterEqual: "$a >= $b",
	},
	anyInt: {
		tensor.OpAdd:          "static_cast<$T>(static_cast<$U>($a) + static_cast<$U>($b))",
		tensor.OpSubtract:     "static_cast<$T>(static_cast<$U>($a) - static_cast<$U>($b))",
		tensor.OpMultiply:     "static_cast<$T>(static_cast<$U>($a) * static_cast<$U>($b))",
		tensor.OpMaximum:      "$a > $b ? $a : $b",
		tensor.OpMinimum:      "$a < $b ? $a : $b",
		tensor.OpPower:        "int_power<$T, $U>($a, $b)",
		tensor.OpLogicalAnd:   "$a != 0 && $b != 0",
		tensor.OpLogicalOr:    "$a != 0 || $b != 0",
		tensor.OpLogicalXor:   "($a != 0) != ($b != 0)",
		tensor.OpFloorDivide:  "int_floor_divide<$T, $U>($a, $b)",
		tensor.OpRemainder:    "int_remainder<$T>($a, $b)",
		tensor.OpBitwiseAnd:   "static_cast<$T>($a & $b)",
		tensor.OpBitwiseOr:    "static_cast<$T>($a | $b)",
		tensor.OpBitwiseXor:   "static_cast<$T>($a ^ $b)",
		tensor.OpLeftShift:    "int_left<$T, $U>($a, $b)",
		tensor.OpRightShift:   "int_right<$T>($a, $b)",
		tensor.OpEqual:        "$a == $b",
		tensor.OpNotEqual:     "$a != $b",
		tensor.OpLess:         "$a < $b",
		tensor.OpLessEqual:    "$a <= $b",
		tensor.OpGreater:      "$a > $b",
		tensor.OpGreaterEqual: "$a >= $b",
	},
	bools: { // as C++ does: in integers, and not zero is true
		tensor.OpAdd:          "$a || $b",
		tensor.OpSubtract:     "$a != $b",
		tensor.OpMultiply:     "$a && $b",
		tensor.OpMaximum:      "$a || $b",
		tensor.OpMinimum:      "$a && $b",
		tensor.OpPower:        "$a || !$b",
		tensor.OpLogicalAnd:   "$a && $b",
		tensor.OpLogicalOr:    "$a || $b",
		tensor.OpLogicalXor:   "$a != $b",
		tensor.OpFloorDivide:  "$a && $b",
		tensor.OpRemainder:    never,
		tensor.OpBitwiseAnd:   "$a && $b",
		tensor.OpBitwiseOr:    "$a || $b",
		tensor.OpBitwiseXor:   "$a != $b",
		tensor.OpEqual:        "$a == $b",
		tensor.OpNotEqual:     "$a != $b",
		tensor.OpLess:         "!$a && $b",
		tensor.OpLessEqual:    "!$a || $b",
		tensor.OpGreater:      "$a && !$b",
		tensor.OpGreaterEqual: "$a || !$b",
	},
	complexes: {
		tensor.OpAdd:          "$a + $b",
		tensor.OpSubtract:     "$a - $b",
		tensor.OpMultiply:     "complex_mul($a, $b)",
		tensor.OpDivide:       "complex_div($a, $b)",
		tensor.OpMaximum:      "complex_max($a, $b)",
		tensor.OpMinimum:      "complex_min($a, $b)",
		tensor.OpLogicalAnd:   "complex_true($a) && complex_true($b)",
		tensor.OpLogicalOr:    "complex_true($a) || complex_true($b)",
		tensor.OpLogicalXor:   "complex_true($a) != complex_true($b)",
		tensor.OpEqual:        "complex_equal($a, $b)",
		tensor.OpNotEqual:     "!complex_equal($a, $b)",
		tensor.OpLess:         "complex_less($a, $b)",
		tensor.OpLessEqual:    "complex_less($a, $b) || complex_equal($a, $b)",
		tensor.OpGreater:      "complex_less($b, $a)",
		tensor.OpGreaterEqual: "complex_less($b, $a) || complex_equal($a, $b)",
	},
}

// unaryFormula is "" if there is no kernel.
func unaryFormula(op tensor.UnaryOp, d dtype.DType) string {
	c := classOf(d)
	f := unaryFormulas[c][op]
	if f == "" && (c == signedInts || c == unsignedInts) {
		f = unaryOfInts[op]
	}
	return fillTypes(f, d)
}

func binaryFormula(op tensor.BinaryOp, d dtype.DType) string {
	c := classOf(d)
	if c == unsignedInts {
		c = anyInt
	}
	return fillTypes(binaryFormulas[c][op], d)
}

// castFormula converts as package cpu does: integers wrap, floats are cut towards zero
// and kept in the range of an integer, NaN is 0 there; of complex numbers the real part.
func castFormula(from, to dtype.DType) string {
	a, c := "$a", classOf(from)
	t := computeType(to)
	switch {
	case classOf(to) == noClass || c == noClass:
		return ""
	case c == complexes && to == dtype.Complex64, computeType(from) == t:
		return a
	case c == complexes && to == dtype.Bool:
		return "complex_true($a)"
	case c == complexes:
		a, c = "$a.x", floats
	}
	switch classOf(to) {
	case bools:
		return a + " != 0"
	case complexes:
		return "float2(static_cast<float>(" + a + "), 0.0f)"
	case floats:
		if c == floats {
			return a
		}
	case signedInts, unsignedInts:
		if c == floats {
			return intOf(a, to)
		}
	}
	return "static_cast<" + t + ">(" + a + ")"
}

// intOf cuts a float.
func intOf(a string, to dtype.DType) string {
	bits := 8 * to.Size()
	if to.Is(dtype.SignedInteger) {
		bits--
	}
	high := fmt.Sprintf("%.1ff", float64(uint64(1)<<(bits-1))*2)
	low := "0.0f"
	if to.Is(dtype.SignedInteger) {
		low = "-" + high
	}
	return fmt.Sprintf("int_of<%s>(%s, %s, %s)", computeType(to), a, low, high)
}
