package optest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// dtypeNames are the columns of the recorded tables.
var dtypeNames = []string{"bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"}

func parseDType(t *testing.T, name string) mlx.DType {
	t.Helper()
	d, err := mlx.ParseDType(strings.TrimSuffix(name, "_"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dtypeTables is what MLX answers: dtypes, or the text of an error.
type dtypeTables struct {
	Add          map[string]map[string]string            `json:"add"`
	AddScalar    map[string]map[string]string            `json:"add_scalar"`
	Binary       map[string]map[string]map[string]string `json:"binary"`
	BinaryScalar map[string]map[string]map[string]string `json:"binary_scalar"`
	Unary        map[string]map[string]string            `json:"unary"`
	Reduce       map[string]map[string]string            `json:"reduce"`
	MatMul       map[string]map[string]string            `json:"matmul"`
	Where        map[string]map[string]string            `json:"where"`
}

func readTables(t *testing.T) (tables dtypeTables) {
	t.Helper()
	if err := json.Unmarshal(ourEdges(t).DTypeTables, &tables); err != nil {
		t.Fatal(err)
	}
	return tables
}

// gives checks one cell: the dtype of the result, or that there is an error; and
// that the result can be computed.
func gives(t *testing.T, what, want string, build func() *mlx.Array) {
	t.Helper()
	var out *mlx.Array
	err := mlx.Try(func() { out = build() })
	if err == nil {
		err = mlx.Eval(out)
	}
	failed := strings.Contains(want, "Error")
	switch {
	case failed && err == nil:
		t.Errorf("%s gives %v; MLX says %s", what, out.DType(), want)
	case failed:
	case err != nil:
		t.Errorf("%s: %v; MLX gives %s", what, err, want)
	case out.DType().String() != strings.TrimSuffix(want, "_"):
		t.Errorf("%s gives %v, MLX %s", what, out.DType(), want)
	}
}

func onesOf(t *testing.T, name string) *mlx.Array {
	return mlx.Ones(mlx.Shape{2, 2}, parseDType(t, name))
}

func TestPromotionOfArrays(t *testing.T) {
	tables := readTables(t)
	binary := func(op string, table map[string]map[string]string, f func(a, b *mlx.Array) *mlx.Array) {
		for _, x := range dtypeNames {
			for _, y := range dtypeNames {
				want, ok := table[x][y]
				if !ok {
					t.Fatalf("no recorded %s of %s and %s", op, x, y)
				}
				gives(t, op+" of "+x+" and "+y, want, func() *mlx.Array { return f(onesOf(t, x), onesOf(t, y)) })
			}
		}
	}
	binary("add", tables.Add, func(a, b *mlx.Array) *mlx.Array { return a.Add(b) })
	binary("divide", tables.Binary["divide"], func(a, b *mlx.Array) *mlx.Array { return a.Div(b) })
	binary("power", tables.Binary["power"], func(a, b *mlx.Array) *mlx.Array { return a.Pow(b) })
	binary("maximum", tables.Binary["maximum"], func(a, b *mlx.Array) *mlx.Array { return mlx.Maximum(a, b) })
	binary("less", tables.Binary["less"], func(a, b *mlx.Array) *mlx.Array { return a.Lt(b) })
	binary("floor_divide", tables.Binary["floor_divide"], operator((*mlx.Array).FloorDiv))
	binary("remainder", tables.Binary["remainder"], operator((*mlx.Array).Mod))
	binary("bitwise_and", tables.Binary["bitwise_and"], operator((*mlx.Array).And))
	binary("left_shift", tables.Binary["left_shift"], operator((*mlx.Array).Shl))
	binary("logaddexp", tables.Binary["logaddexp"], func(a, b *mlx.Array) *mlx.Array { return mlx.LogAddExp(a, b) })
	binary("arctan2", tables.Binary["arctan2"], func(a, b *mlx.Array) *mlx.Array { return mlx.ArcTan2(a, b) })
	binary("matmul", tables.MatMul, func(a, b *mlx.Array) *mlx.Array { return a.MatMul(b) })
	binary("where", tables.Where, func(a, b *mlx.Array) *mlx.Array { return mlx.Where(true, a, b) })
}

func TestPromotionOfNumbers(t *testing.T) {
	tables := readTables(t)
	numbers := map[string]any{"True": true, "2": 2, "2.5": 2.5, "2j": 2i}
	scalar := func(op string, table map[string]map[string]string, f func(a *mlx.Array, b any) *mlx.Array) {
		for _, x := range dtypeNames {
			for _, n := range []string{"True", "2", "2.5", "2j"} {
				want, ok := table[x][n]
				if !ok {
					t.Fatalf("no recorded %s of %s and %s", op, x, n)
				}
				gives(t, op+" of "+x+" and "+n, want, func() *mlx.Array { return f(onesOf(t, x), numbers[n]) })
			}
		}
	}
	scalar("add", tables.AddScalar, (*mlx.Array).Add)
	scalar("divide", tables.BinaryScalar["divide"], (*mlx.Array).Div)
	scalar("multiply", tables.BinaryScalar["multiply"], (*mlx.Array).Mul)
	scalar("power", tables.BinaryScalar["power"], (*mlx.Array).Pow)
	scalar("floor_divide", tables.BinaryScalar["floor_divide"], (*mlx.Array).FloorDiv)
	scalar("equal", tables.BinaryScalar["equal"], (*mlx.Array).Eq)
	scalar("maximum", tables.BinaryScalar["maximum"], func(a *mlx.Array, b any) *mlx.Array {
		return tensor.BinaryAny(tensor.OpMaximum, a, b, none)
	})
}

// notBuilt are the cells that this library refuses and MLX does not.
var notBuilt = map[string]bool{}

func TestDTypesOfOneArray(t *testing.T) {
	tables := readTables(t)
	check := func(op string, table map[string]string, f func(a *mlx.Array) *mlx.Array) {
		for _, x := range dtypeNames {
			want, ok := table[x]
			if !ok {
				t.Fatalf("no recorded %s of %s", op, x)
			}
			if what := op + " of " + x; !notBuilt[what] {
				gives(t, what, want, func() *mlx.Array { return f(onesOf(t, x)) })
			}
		}
	}
	for o := range tensor.NumUnary {
		if table := tables.Unary[o.String()]; table != nil {
			check(o.String(), table, func(a *mlx.Array) *mlx.Array { return tensor.UnaryOf(o, a, none) })
		}
	}
	check("conj", tables.Unary["conj"], func(a *mlx.Array) *mlx.Array { return mlx.Conjugate(a) })
	check("degrees", tables.Unary["degrees"], func(a *mlx.Array) *mlx.Array { return mlx.Degrees(a) })
	check("round", tables.Unary["round"], func(a *mlx.Array) *mlx.Array { return mlx.Round(a, -1) })
	check("stop_gradient", tables.Unary["stop_gradient"], func(a *mlx.Array) *mlx.Array { return mlx.StopGradient(a) })
	axis := mlx.Axis(-1)
	for name, f := range map[string]func(a *mlx.Array) *mlx.Array{
		"sum": func(a *mlx.Array) *mlx.Array { return mlx.Sum(a, axis) }, "prod": func(a *mlx.Array) *mlx.Array { return mlx.Prod(a, axis) },
		"mean": func(a *mlx.Array) *mlx.Array { return mlx.Mean(a, axis) }, "max": func(a *mlx.Array) *mlx.Array { return mlx.Max(a, axis) },
		"min": func(a *mlx.Array) *mlx.Array { return mlx.Min(a, axis) }, "all": func(a *mlx.Array) *mlx.Array { return mlx.All(a, axis) },
		"any": func(a *mlx.Array) *mlx.Array { return mlx.Any(a, axis) }, "argmax": func(a *mlx.Array) *mlx.Array { return mlx.ArgMax(a, axis) },
		"argmin": func(a *mlx.Array) *mlx.Array { return mlx.ArgMin(a, axis) }, "argsort": func(a *mlx.Array) *mlx.Array { return mlx.ArgSort(a) },
		"softmax": func(a *mlx.Array) *mlx.Array { return mlx.Softmax(a) }, "logsumexp": func(a *mlx.Array) *mlx.Array { return mlx.LogSumExp(a, axis) },
		"var": func(a *mlx.Array) *mlx.Array { return mlx.Var(a, axis) }, "std": func(a *mlx.Array) *mlx.Array { return mlx.Std(a, axis) },
		"median": func(a *mlx.Array) *mlx.Array { return mlx.Median(a, axis) }, "sort": func(a *mlx.Array) *mlx.Array { return mlx.Sort(a) },
		"cumsum": func(a *mlx.Array) *mlx.Array { return mlx.CumSum(a, axis) }, "cumprod": func(a *mlx.Array) *mlx.Array { return mlx.CumProd(a, axis) },
		"cummax": func(a *mlx.Array) *mlx.Array { return mlx.CumMax(a, axis) },
	} {
		check(name, tables.Reduce[name], f)
	}
	for _, x := range dtypeNames { // MLX keeps integers, which hold no logarithm
		d := parseDType(t, x)
		want := d.String()
		if !d.Is(mlx.Inexact) {
			want = "float32"
		}
		gives(t, "logcumsumexp of "+x, want, func() *mlx.Array { return mlx.LogCumSumExp(onesOf(t, x), axis) })
	}
}

// unaryFormulas and binaryFormulas are the ops on numbers.
var unaryFormulas = map[tensor.UnaryOp]func(x float64) float64{
	tensor.OpNegative: func(x float64) float64 { return -x },
	tensor.OpAbs:      math.Abs,
	tensor.OpSign: func(x float64) float64 {
		return float64(bit(x > 0) - bit(x < 0))
	},
	tensor.OpSquare:     func(x float64) float64 { return x * x },
	tensor.OpLogicalNot: func(x float64) float64 { return float64(bit(x == 0)) },
	tensor.OpIsNaN:      func(x float64) float64 { return float64(bit(x != x)) },
	tensor.OpFloor:      math.Floor,
	tensor.OpSqrt:       math.Sqrt,
	tensor.OpRsqrt:      func(x float64) float64 { return 1 / math.Sqrt(x) },
	tensor.OpExp:        math.Exp,
	tensor.OpLog:        math.Log,
	tensor.OpLog1p:      math.Log1p,
	tensor.OpSin:        math.Sin,
	tensor.OpCos:        math.Cos,
	tensor.OpTanh:       math.Tanh,
	tensor.OpSigmoid:    func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	tensor.OpErf:        math.Erf,
	tensor.OpErfInv:     math.Erfinv,

	tensor.OpIsInf:         func(x float64) float64 { return number(math.IsInf(x, 0)) },
	tensor.OpIsPosInf:      func(x float64) float64 { return number(math.IsInf(x, 1)) },
	tensor.OpIsNegInf:      func(x float64) float64 { return number(math.IsInf(x, -1)) },
	tensor.OpIsFinite:      func(x float64) float64 { return number(!math.IsInf(x, 0) && !math.IsNaN(x)) },
	tensor.OpCeil:          math.Ceil,
	tensor.OpTrunc:         math.Trunc,
	tensor.OpRound:         math.RoundToEven,
	tensor.OpBitwiseInvert: func(x float64) float64 { return -1 - x },
	tensor.OpConjugate:     func(x float64) float64 { return x },
	tensor.OpReal:          func(x float64) float64 { return x },
	tensor.OpImag:          func(x float64) float64 { return 0 },
	tensor.OpReciprocal:    func(x float64) float64 { return 1 / x },
	tensor.OpExpm1:         math.Expm1,
	tensor.OpLog2:          math.Log2,
	tensor.OpLog10:         math.Log10,
	tensor.OpTan:           math.Tan,
	tensor.OpArcSin:        math.Asin,
	tensor.OpArcCos:        math.Acos,
	tensor.OpArcTan:        math.Atan,
	tensor.OpSinh:          math.Sinh,
	tensor.OpCosh:          math.Cosh,
	tensor.OpArcSinh:       math.Asinh,
	tensor.OpArcCosh:       math.Acosh,
	tensor.OpArcTanh:       math.Atanh,
}

// refuses reports whether MLX does not take the dtype for this op, or gives it a
// meaning that no formula of numbers has: bits of bool and of unsigned integers.
func refuses(o fmt.Stringer, d mlx.DType) bool {
	integer := !d.Is(mlx.Inexact)
	switch o {
	case tensor.OpNegative, tensor.OpBitwiseInvert:
		return d == mlx.Bool || d.Is(mlx.UnsignedInteger) || o == tensor.OpBitwiseInvert && !integer
	case tensor.OpToFP8, tensor.OpFromFP8:
		return true // rows of their own
	case tensor.OpBitwiseAnd, tensor.OpBitwiseOr, tensor.OpBitwiseXor:
		return !integer
	case tensor.OpLeftShift, tensor.OpRightShift:
		return !integer || d == mlx.Bool
	}
	return false
}

var binaryFormulas = map[tensor.BinaryOp]func(x, y float64) float64{
	tensor.OpAdd:          func(x, y float64) float64 { return x + y },
	tensor.OpSubtract:     func(x, y float64) float64 { return x - y },
	tensor.OpMultiply:     func(x, y float64) float64 { return x * y },
	tensor.OpDivide:       func(x, y float64) float64 { return x / y },
	tensor.OpMaximum:      math.Max,
	tensor.OpMinimum:      math.Min,
	tensor.OpPower:        math.Pow,
	tensor.OpEqual:        func(x, y float64) float64 { return float64(bit(x == y)) },
	tensor.OpNotEqual:     func(x, y float64) float64 { return float64(bit(x != y)) },
	tensor.OpLess:         func(x, y float64) float64 { return float64(bit(x < y)) },
	tensor.OpLessEqual:    func(x, y float64) float64 { return float64(bit(x <= y)) },
	tensor.OpGreater:      func(x, y float64) float64 { return float64(bit(x > y)) },
	tensor.OpGreaterEqual: func(x, y float64) float64 { return float64(bit(x >= y)) },
	tensor.OpLogicalAnd:   func(x, y float64) float64 { return float64(bit(x != 0 && y != 0)) },
	tensor.OpLogicalOr:    func(x, y float64) float64 { return float64(bit(x != 0 || y != 0)) },
	tensor.OpLogicalXor:   func(x, y float64) float64 { return float64(bit((x != 0) != (y != 0))) },
	tensor.OpFloorDivide:  func(x, y float64) float64 { return math.Floor(x / y) },
	tensor.OpRemainder:    func(x, y float64) float64 { return x - y*math.Floor(x/y) },
	tensor.OpArcTan2:      math.Atan2,
	tensor.OpLogAddExp:    func(x, y float64) float64 { return math.Log(math.Exp(x) + math.Exp(y)) },
	tensor.OpBitwiseAnd:   func(x, y float64) float64 { return float64(int64(x) & int64(y)) },
	tensor.OpBitwiseOr:    func(x, y float64) float64 { return float64(int64(x) | int64(y)) },
	tensor.OpBitwiseXor:   func(x, y float64) float64 { return float64(int64(x) ^ int64(y)) },
	tensor.OpLeftShift:    func(x, y float64) float64 { return x * math.Exp2(y) },
	tensor.OpRightShift:   func(x, y float64) float64 { return math.Floor(x * math.Exp2(-y)) },
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// samples are numbers that dtype d holds exactly.
func samples(d mlx.DType) []float64 {
	switch {
	case d == mlx.Bool:
		return []float64{0, 1}
	case d.Is(mlx.UnsignedInteger):
		return []float64{0, 1, 2, 3, 5, 11}
	case d.Is(mlx.SignedInteger):
		return []float64{0, 1, 2, 3, 5, 11, -1, -2, -7}
	}
	return []float64{0, 1, 2, 3, 0.25, -0.5, 0.75, -1, -2.5, 5, 11}
}

// near is the tolerance of a result of dtype d.
func near(d mlx.DType) Tol {
	switch d {
	case mlx.Float64:
		return Tol{Each: 1e-12, Abs: 1e-14}
	case mlx.Float32:
		return Tol{Each: 2e-6, Abs: 2e-7}
	case mlx.Float16, mlx.BFloat16:
		return Tol{Ulps: 1, Abs: 1e-7}
	}
	return Exact
}

// TestElementwise computes every elementwise op in every real dtype.
func TestElementwise(t *testing.T) {
	for _, name := range dtypeNames[:13] {
		d := parseDType(t, name)
		v := samples(d)
		x := mlx.FromSlice(v).AsType(d)
		for o := range tensor.NumUnary {
			f := unaryFormulas[o]
			if refuses(o, d) {
				continue
			}
			t.Run(fmt.Sprintf("%v/%v", o, d), func(t *testing.T) {
				got := tensor.UnaryOf(o, x, none)
				want := make([]float64, len(v))
				for i, a := range v {
					want[i] = f(a)
				}
				if err := mlx.Eval(got); err != nil {
					t.Fatal(err)
				}
				if err := Diff(got, mlx.FromSlice(want).AsType(got.DType()), near(got.DType())); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		for o := range tensor.NumBinary {
			if refuses(o, d) {
				continue
			}
			t.Run(fmt.Sprintf("%v/%v", o, d), func(t *testing.T) { everyPair(t, o, d, v) })
		}
	}
}

// everyPair computes o on all pairs of the numbers v in dtype d.
func everyPair(t *testing.T, o tensor.BinaryOp, d mlx.DType, v []float64) {
	var left, right, want []float64
	for _, a := range v {
		for _, b := range v {
			r := binaryFormulas[o](a, b)
			integer := !d.Is(mlx.Floating)
			shift := o == tensor.OpLeftShift || o == tensor.OpRightShift
			if integer && b == 0 && (o == tensor.OpFloorDivide || o == tensor.OpRemainder) {
				r = 0
			}
			floats := o == tensor.OpDivide || o == tensor.OpArcTan2 || o == tensor.OpLogAddExp
			if shift && b < 0 || integer && !floats && (r < 0 && d.Is(mlx.UnsignedInteger) || math.Abs(r) > 127 || o == tensor.OpPower && b < 0) {
				continue // wraps; the recorded edge cases say how
			}
			if d == mlx.Bool && !o.Boolean() && !floats {
				r = float64(bit(r != 0)) // bool arithmetic is that of C
			}
			left, right, want = append(left, a), append(right, b), append(want, r)
		}
	}
	got := tensor.BinaryOf(o, mlx.FromSlice(left).AsType(d), mlx.FromSlice(right).AsType(d), none)
	if err := mlx.Eval(got); err != nil {
		t.Fatal(err)
	}
	if err := Diff(got, mlx.FromSlice(want).AsType(got.DType()), near(got.DType())); err != nil {
		t.Errorf("%v", err)
	}
}

// TestCasts converts between every two dtypes numbers that both hold.
func TestCasts(t *testing.T) {
	for _, from := range dtypeNames {
		for _, to := range dtypeNames {
			a, b := parseDType(t, from), parseDType(t, to)
			x := mlx.FromSlice([]float64{0, 1, 0, 1, 1})
			if a != mlx.Bool && b != mlx.Bool {
				x = mlx.FromSlice([]float64{0, 1, 2, 100, 17})
			}
			y := x.AsType(a).AsType(b)
			if err := mlx.Eval(y); err != nil {
				t.Errorf("%v to %v: %v", a, b, err)
				continue
			}
			if y.DType() != b || !slices.Equal(mlx.ToSlice[complex64](y.AsType(mlx.Complex64)), mlx.ToSlice[complex64](x.AsType(mlx.Complex64))) {
				t.Errorf("%v to %v is %v of %v", a, b, mlx.ToSlice[complex64](y.AsType(mlx.Complex64)), y.DType())
			}
		}
	}
}
