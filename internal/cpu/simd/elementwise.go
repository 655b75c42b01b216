package simd

// UnaryOp indexes Table.Unary.
type UnaryOp uint8

// Unary operations. Rint is half to even; Sign of NaN and of -0 is 0.
const (
	Neg UnaryOp = iota
	Abs
	Sign
	Square
	Sqrt
	Rsqrt
	Reciprocal
	Exp
	Expm1
	Log
	Log1p
	Log2
	Log10
	Sin
	Cos
	Tan
	Asin
	Acos
	Atan
	Sinh
	Cosh
	Tanh
	Asinh
	Acosh
	Atanh
	Sigmoid
	SiLU
	Erf
	ErfInv
	Floor
	Ceil
	Trunc
	Rint
	NumUnary
)

// BinaryOp indexes Table.Binary.
type BinaryOp uint8

// Binary operations. Maximum and Minimum give NaN if either side is NaN.
const (
	Add BinaryOp = iota
	Sub
	Mul
	Div
	Maximum
	Minimum
	Pow
	Atan2
	LogAddExp
	NumBinary
)
