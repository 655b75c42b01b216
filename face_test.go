package mlx_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// text is an array as its dtype, shape and values, or any other value as it prints.
func text(v any) string {
	a, ok := v.(*mlx.Array)
	if !ok {
		return fmt.Sprint(v)
	}
	var values string
	switch d := a.DType(); {
	case d == mlx.Bool:
		values = fmt.Sprint(mlx.ToSlice[bool](a))
	case d.Is(mlx.Floating):
		values = fmt.Sprintf("%.4g", mlx.ToSlice[float64](a.AsType(mlx.Float64)))
	case d == mlx.Uint64:
		values = fmt.Sprint(mlx.ToSlice[uint64](a))
	default:
		values = fmt.Sprint(mlx.ToSlice[int64](a.AsType(mlx.Int64)))
	}
	return fmt.Sprintf("%v%v%s", d(a), a.Shape(), values)
}

func d(a *mlx.Array) mlx.DType { return a.DType() }

type row struct {
	python string // what the Go column says in Python
	got    any
	want   string
}

func check(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		if got := text(r.got); got != r.want {
			t.Errorf("%s\n\tgives %s, want %s", r.python, got, r.want)
		}
	}
}

// The rows below are the table of Python and Go of the README, as far as it is built.

func TestFaceMaking(t *testing.T) {
	a := mlx.NewArray([][]int{{1, 2, 3}, {4, 5, 6}})
	b, l, w := mlx.Zeros(mlx.Shape{2, 3, 4}).Dims3()
	check(t, []row{
		{"mx.array([1, 2, 3])", mlx.NewArray([]int{1, 2, 3}), "int32(3,)[1 2 3]"},
		{"mx.array([[1., 2.], [3., 4.]])", mlx.NewArray([][]float64{{1, 2}, {3, 4}}), "float32(2, 2)[1 2 3 4]"},
		{"mx.array(1.0)", mlx.NewArray(1.0), "float32()[1]"},
		{"mx.array(np_array)", mlx.FromSlice([]int8{1, 2, 3, 4, 5, 6}, 2, 3), "int8(2, 3)[1 2 3 4 5 6]"},
		{"mx.array([1, 2], dtype=mx.float16)", mlx.NewArray([]int{1, 2}, mlx.Float16), "float16(2,)[1 2]"},
		{"mx.zeros((2, 3))", mlx.Zeros(mlx.Shape{2, 3}), "float32(2, 3)[0 0 0 0 0 0]"},
		{"mx.ones(4)", mlx.Ones(mlx.Shape{4}), "float32(4,)[1 1 1 1]"},
		{"mx.zeros((2, 3), dtype=mx.bfloat16)", mlx.Zeros(mlx.Shape{2, 3}, mlx.BFloat16), "bfloat16(2, 3)[0 0 0 0 0 0]"},
		{"mx.full((2, 2), 7)", mlx.Full(mlx.Shape{2, 2}, 7), "int32(2, 2)[7 7 7 7]"},
		{"mx.arange(10)", mlx.Arange(10), "int32(10,)[0 1 2 3 4 5 6 7 8 9]"},
		{"mx.arange(0, 1, 0.1)", mlx.Arange(0, 1, 0.1), "float32(10,)[0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9]"},
		{"a.shape", a.Shape(), "(2, 3)"},
		{"a.shape[-1]", a.Dim(-1), "3"},
		{"len(a)", a.Dim(0), "2"},
		{"B, L, D = a.shape", []int{b, l, w}, "[2 3 4]"},
		{"a.ndim, a.size, a.dtype, a.nbytes", []any{a.NDim(), a.Size(), a.DType(), a.NBytes()}, "[2 6 int32 24]"},
		{"a.item()", mlx.Item[float32](mlx.NewArray(2.5)), "2.5"},
		{"a.tolist() of a vector", mlx.ToSlice[int32](mlx.NewArray([]int{1, 2})), "[1 2]"},
		{"a.tolist()", mlx.ToRows[int32](a), "[[1 2 3] [4 5 6]]"},
		{"if (a > 0).all()", mlx.Item[bool](mlx.All(a.Gt(0))), "true"},
	})
	for i, r := range a.All() {
		check(t, []row{{"for row in a", r, []string{"int32(3,)[1 2 3]", "int32(3,)[4 5 6]"}[i]}})
	}
}

func TestFaceOperators(t *testing.T) {
	a, b := mlx.NewArray([]int{1, 2, 3}), mlx.NewArray([]int{4, 2, 1})
	x := mlx.NewArray([]float64{-1, 0.5, 8})
	m := mlx.NewArray([][]float64{{1, 2}, {3, 4}})
	check(t, []row{
		{"a + b", a.Add(b), "int32(3,)[5 4 4]"},
		{"a - b", a.Sub(b), "int32(3,)[-3 0 2]"},
		{"a * b", a.Mul(b), "int32(3,)[4 4 3]"},
		{"a / b", a.Div(b), "float32(3,)[0.25 1 3]"},
		{"x * 2", x.Mul(2), "float32(3,)[-2 1 16]"},
		{"1 + x", mlx.Add(1, x), "float32(3,)[0 1.5 9]"},
		{"1 - x", mlx.Subtract(1, x), "float32(3,)[2 0.5 -7]"},
		{"a ** 2", a.Pow(2), "int32(3,)[1 4 9]"},
		{"a // b; a % b", []any{text(a.FloorDiv(2)), text(a.Mod(2))}, "[int32(3,)[0 1 1] int32(3,)[1 0 1]]"},
		{"a & b; a | b; ~a; a << 2", []any{text(a.And(b)), text(a.Or(b)), text(a.Not()), text(a.Shl(2))},
			"[int32(3,)[0 2 1] int32(3,)[5 2 3] int32(3,)[-2 -3 -4] int32(3,)[4 8 12]]"},
		{"a ^ b; a >> 1", []any{text(a.Xor(b)), text(a.Shr(1))}, "[int32(3,)[5 0 2] int32(3,)[0 1 1]]"},
		{"-a", a.Neg(), "int32(3,)[-1 -2 -3]"},
		{"a @ b", m.MatMul(m), "float32(2, 2)[7 10 15 22]"},
		{"a == b", a.Eq(b), "bool(3,)[false true false]"},
		{"a != b", a.Ne(b), "bool(3,)[true false true]"},
		{"a < b", a.Lt(b), "bool(3,)[true false false]"},
		{"a >= 0", a.Ge(0), "bool(3,)[true true true]"},
		{"a * 0.5", a.Mul(0.5), "float32(3,)[0.5 1 1.5]"},
		{"mx.add(a, b, stream=mx.cpu)", mlx.Add(a, b, mlx.CPU), "int32(3,)[5 4 4]"},
		{"mx.multiply(a, 2); mx.divide(1, a)", []any{text(mlx.Multiply(a, 2)), text(mlx.Divide(1, b))}, "[int32(3,)[2 4 6] float32(3,)[0.25 0.5 1]]"},
		{"mx.maximum(x, 0)", mlx.Maximum(x, 0), "float32(3,)[0 0.5 8]"},
		{"mx.minimum(x, 0)", mlx.Minimum(x, 0), "float32(3,)[-1 0 0]"},
		{"mx.power(x, 3)", mlx.Power(x, 3), "float32(3,)[-1 0.125 512]"},
		{"mx.where(a > 0, a, 0)", mlx.Where(x.Gt(0), x, 0), "float32(3,)[0 0.5 8]"},
		{"mx.clip(x, 0, 6)", mlx.Clip(x, 0, 6), "float32(3,)[0 0.5 6]"},
		{"mx.allclose(a, b, atol=1e-5)", mlx.AllClose(x, x.Add(1e-6), mlx.ATol(1e-5)), "bool()[true]"},
		{"mx.arcsin(x)", mlx.ArcSin(x), "float32(3,)[-1.571 0.5236 NaN]"},
		{"mx.round(x)", mlx.Round(x, 0), "float32(3,)[-1 0 8]"},
		{"mx.stop_gradient(x)", mlx.StopGradient(x), "float32(3,)[-1 0.5 8]"},
		{"mx.depends(x, a)", mlx.Depends(x, a), "float32(3,)[-1 0.5 8]"},
		{"mx.divmod(a, b)[1]", func() *mlx.Array { _, r := mlx.DivMod(a, b); return r }(), "int32(3,)[1 0 0]"},
		{"mx.from_fp8(mx.to_fp8(x), mx.float32)", mlx.FromFP8(mlx.ToFP8(x), mlx.Float32), "float32(3,)[-1 0.5 8]"},
		{"mx.positive(x); mx.radians(x)", []any{text(mlx.Positive(x)), text(mlx.Radians(x))}, "[float32(3,)[-1 0.5 8] float32(3,)[-0.01745 0.008727 0.1396]]"},
		{"mx.exp(x)", mlx.Exp(x), "float32(3,)[0.3679 1.649 2981]"},
		{"mx.rsqrt(x)", mlx.Rsqrt(b), "float32(3,)[0.5 0.7071 1]"},
		{"mx.erf(x)", mlx.Erf(x), "float32(3,)[-0.8427 0.5205 1]"},
		{"mx.isnan(x)", mlx.IsNaN(x), "bool(3,)[false false false]"},
		{"x * (1 + mx.erf(x / math.sqrt(2))) / 2", x.Mul(mlx.Add(1, mlx.Erf(x.Div(1.4142135623730951)))).Div(2), "float32(3,)[-0.1587 0.3457 8]"},
	})
}

func TestFaceReductions(t *testing.T) {
	x := mlx.NewArray([][][]float64{{{1, 2}, {3, 4}}, {{5, 6}, {7, 9}}})
	m := mlx.NewArray([]bool{true, false})
	logits := mlx.NewArray([][]float64{{0, 2, 1}, {3, 1, 1}})
	check(t, []row{
		{"mx.sum(x)", mlx.Sum(x), "float32()[37]"},
		{"mx.sum(x, axis=(0, 2))", mlx.Sum(x, mlx.Axes{0, 2}), "float32(2,)[14 23]"},
		{"mx.mean(x, axis=-1, keepdims=True)", mlx.Mean(x, mlx.Axis(-1), mlx.KeepDims(true)), "float32(2, 2, 1)[1.5 3.5 5.5 8]"},
		{"mx.all(m)", mlx.All(m), "bool()[false]"},
		{"mx.any(m)", mlx.Any(m), "bool()[true]"},
		{"mx.max(x), mx.min(x)", []any{text(mlx.Max(x)), text(mlx.Min(x))}, "[float32()[9] float32()[1]]"},
		{"mx.prod(x, axis=2)", mlx.Prod(x, mlx.Axis(2)), "float32(2, 2)[2 12 30 63]"},
		{"mx.argmax(logits, axis=-1)", mlx.ArgMax(logits, mlx.Axis(-1)), "uint32(2,)[1 0]"},
		{"mx.argmin(logits)", mlx.ArgMin(logits), "uint32()[0]"},
		{"mx.softmax(x, axis=-1)", mlx.Softmax(logits, mlx.Axis(-1)), "float32(2, 3)[0.09003 0.6652 0.2447 0.787 0.1065 0.1065]"},
		{"mx.logsumexp(x, axis=1)", mlx.LogSumExp(logits, mlx.Axis(1)), "float32(2,)[2.408 3.24]"},
		{"mx.argsort(x, axis=0)", mlx.ArgSort(logits, mlx.Axis(0)), "uint32(2, 3)[0 1 0 1 0 1]"},
	})
}

func TestFaceShapes(t *testing.T) {
	x := mlx.Arange(6).Reshape(1, 2, 3)
	check(t, []row{
		{"x.reshape(2, -1)", x.Reshape(2, -1), "int32(2, 3)[0 1 2 3 4 5]"},
		{"x.flatten()", x.Flatten(), "int32(6,)[0 1 2 3 4 5]"},
		{"x.transpose(2, 0, 1)", x.Transpose(2, 0, 1), "int32(3, 1, 2)[0 3 1 4 2 5]"},
		{"x.T", x.T(), "int32(3, 2, 1)[0 3 1 4 2 5]"},
		{"mx.swapaxes(x, 1, 2)", x.SwapAxes(1, 2), "int32(1, 3, 2)[0 3 1 4 2 5]"},
		{"x.squeeze(0)", x.Squeeze(0), "int32(2, 3)[0 1 2 3 4 5]"},
		{"mx.expand_dims(x, 1)", x.ExpandDims(1).Shape(), "(1, 1, 2, 3)"},
		{"mx.broadcast_to(x, (2, 2, 3))", x.BroadcastTo(2, 2, 3), "int32(2, 2, 3)[0 1 2 3 4 5 0 1 2 3 4 5]"},
		{"x.astype(mx.float16)", x.AsType(mlx.Float16), "float16(1, 2, 3)[0 1 2 3 4 5]"},
		{"mx.concatenate([a, b], axis=1)", mlx.Concatenate(mlx.Arrays{x, x}, mlx.Axis(1)), "int32(1, 4, 3)[0 1 2 3 4 5 0 1 2 3 4 5]"},
		{"mx.split(a, [1], axis=2)[1]", mlx.Split(x, []int{1}, mlx.Axis(2))[1], "int32(1, 2, 2)[1 2 4 5]"},
		{"mx.split(a, [0, 3], axis=-1)[2]", mlx.Split(x, []int{0, 3}, mlx.Axis(-1))[2], "int32(1, 2, 0)[]"},
		{"mx.take(a, idx, axis=2)", mlx.Take(x, mlx.NewArray([]int{2, -3}), mlx.Axis(2)), "int32(1, 2, 2)[2 0 5 3]"},
		{"mx.take(a, -1, axis=1)", mlx.Take(x, -1, mlx.Axis(1)), "int32(1, 3)[3 4 5]"},
		{"mx.take(a, 4)", mlx.Take(x, 4), "int32()[4]"},
		{"mx.full((1,), 0.1, mx.float64)", mlx.ToSlice[float64](mlx.Full(mlx.Shape{1}, 0.1, mlx.Float64)), "[0.1]"},
		{"mx.transpose(x), mx.reshape(x, (6,))", []any{mlx.Transpose(x).Shape(), mlx.Reshape(x, mlx.Shape{6}).Shape()}, "[(3, 2, 1) (6,)]"},
	})
}

func TestFaceRest(t *testing.T) {
	w := mlx.Arange(128).AsType(mlx.Float32).Reshape(2, 64).Div(64)
	x := mlx.Ones(mlx.Shape{1, 64})
	q := mlx.Quantize(w, mlx.Bits(8), mlx.GroupSize(32))
	y := mlx.Mean(x).On(mlx.NewStream(mlx.CPU)).Add(1)
	k1, k2 := random.NewKey(0).Split()
	lin := nn.NewLinear(32, 10, nn.Bias(false))
	var parameters []string
	for name, p := range nn.Parameters(lin) {
		parameters = append(parameters, name+p.Shape().String())
	}
	if err := mlx.Eval(y, x); err != nil {
		t.Fatal(err)
	}
	if err := mlx.AsyncEval(y.Mul(2)); err != nil {
		t.Fatal(err)
	}
	check(t, []row{
		{"wq.shape, s.shape, b.shape", []any{q.Weight.Shape(), q.Scales.Shape(), q.Biases.Shape()}, "[(2, 16) (2, 2) (2, 2)]"},
		{"mx.dequantize(...) is near w", mlx.Max(mlx.Dequantize(q).Sub(w).Abs()).Lt(0.01), "bool()[true]"},
		{"mx.quantized_matmul(x, ...) is near x @ w.T", mlx.Max(mlx.QuantizedMatMul(x, q).Sub(x.MatMul(w.T())).Abs()).Lt(0.05), "bool()[true]"},
		{`mx.quantize(w, mode="mxfp4")`, mlx.Quantize(w, mlx.Mode("mxfp4")).Scales.Shape(), "(2, 2)"},
		{"with mx.stream(s): y = f(x)", y, "float32()[2]"},
		{"mx.default_device()", mlx.DefaultDevice(), fmt.Sprint(mlx.CPU)},
		{"mx.random.split(k)", k1.A.Eq(k2.A), "bool(2,)[false false]"},
		{"mx.random.normal((4,), key=k, scale=0.02)", random.Normal(mlx.Shape{4}, k1, random.Scale(0.02)).Shape(), "(4,)"},
		{"mx.random.uniform(-1, 1, (2, 3))", random.Uniform(-1, 1, mlx.Shape{2, 3}).Shape(), "(2, 3)"},
		{"mx.random.randint(0, 10, (5,))", random.RandInt(0, 10, mlx.Shape{5}).DType(), "int32"},
		{"mx.random.categorical(logits)", random.Categorical(mlx.NewArray([][]float64{{0, 50}})), "uint32(1,)[1]"},
		{"mx.fast.rms_norm(x, w, eps=1e-5)", fast.RMSNorm(x, nil, 1e-5).Shape(), "(1, 64)"},
		{"mx.fast.rope(x, 64, ...)", fast.RoPE{Dims: 64, Base: 1e4}.Apply(w.Reshape(1, 2, 64), 0).Shape(), "(1, 2, 64)"},
		{"nn.Linear(32, 10, bias=False)", parameters, "[weight(10, 32)]"},
		{"nn.Embedding(100, 32)", nn.NewEmbedding(100, 32).Forward(mlx.NewArray([]int{5})).Shape(), "(1, 32)"},
		{"nn.RMSNorm(64, eps=1e-6)", nn.NewRMSNorm(64, nn.Eps(1e-6)).Forward(x).Shape(), "(1, 64)"},
	})
	if mlx.PeakMemory() < mlx.ActiveMemory() {
		t.Errorf("peak %d is below active %d", mlx.PeakMemory(), mlx.ActiveMemory())
	}
}

func TestMisuse(t *testing.T) {
	a := mlx.NewArray([]int{1, 2, 3})
	for want, f := range map[string]func(){
		"matmul[float32(1, 7, 64) float32(32, 100)]": func() { mlx.Zeros(mlx.Shape{1, 7, 64}).MatMul(mlx.Zeros(mlx.Shape{32, 100})) },
		"neither an array nor a number":              func() { a.Add("1") },
		"99) does not exist":                         func() { mlx.Add(a, a, mlx.Stream{Device: mlx.CPU, ID: 99}) },
		"nil":                                        func() { mlx.Add(a, (*mlx.Array)(nil)) },
		"add: a stream is given twice":               func() { mlx.Add(a, a, mlx.CPU, mlx.CPU) },
		"index 3 is out of range for axis 0":         func() { mlx.Take(a, 3) },
		"sum: an axis is given twice":                func() { mlx.Sum(a, mlx.Axis(0), mlx.Axis(0)) },
		"zeros: a dtype is given twice":              func() { mlx.Zeros(mlx.Shape{2}, mlx.Float32, mlx.Int32) },
		"ragged":                                     func() { mlx.NewArray([][]int{{1}, {2, 3}}) },
		"axis":                                       func() { mlx.Sum(a, mlx.Axis(1)) },
		"takes one axis":                             func() { mlx.Sort(a, mlx.Axes{0, 1}) },
		"item":                                       func() { mlx.Item[int32](a) },
		"bitwise_and[float32() float32()]":           func() { mlx.NewArray(1.5).And(2.5) },
		"clip: a stream is given twice":              func() { mlx.Clip(a, 0, 1, mlx.CPU, mlx.CPU) },
		"from_fp8: int32 is not floating":            func() { mlx.FromFP8(a.AsType(mlx.Uint8), mlx.Int32) },
		"from_fp8[int32(3,)]":                        func() { mlx.FromFP8(a) },
		"array_equal: takes no tolerance":            func() { mlx.ArrayEqual(a, a, mlx.ATol(1)) },
	} {
		err := mlx.Try(f)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := mlx.Try(func() {}); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Try swallowed a panic that is not an *Error")
		}
	}()
	_ = mlx.Try(func() { panic("other") })
}

// TestWrongKeywords: what an op does not take does not compile. Each file of
// testdata/wrong is one such program; its first line tells what the compiler says.
func TestWrongKeywords(t *testing.T) {
	paths, err := filepath.Glob("testdata/wrong/*.go")
	if err != nil || len(paths) < 7 {
		t.Fatalf("%d programs, %v", len(paths), err)
	}
	gobin, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := bytes.Cut(text, []byte("\n"))
			says := strings.TrimPrefix(string(first), "// ")
			out, err := exec.Command(gobin, "build", "-o", os.DevNull, path).CombinedOutput()
			if says == "compiles" {
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			if err == nil {
				t.Error("it compiles")
			} else if !strings.Contains(string(out), says) {
				t.Errorf("the compiler says\n%s\nwant %q", out, says)
			}
		})
	}
}

// TestNewArrayKeepsFloat64: with dtype float64 a Go float64 is not rounded.
func TestNewArrayKeepsFloat64(t *testing.T) {
	if got := mlx.Item[float64](mlx.NewArray(0.1, mlx.Float64)); got != 0.1 {
		t.Errorf("scalar %v", got)
	}
	if got := mlx.ToSlice[float64](mlx.NewArray([][]float64{{0.1, 1e300}}, mlx.Float64)); got[0] != 0.1 || got[1] != 1e300 {
		t.Errorf("slice %v", got)
	}
}

// TestEvalTrees: Eval takes arrays, slices, maps and structs of them.
func TestEvalTrees(t *testing.T) {
	type batch struct {
		X     *mlx.Array
		Rest  []*mlx.Array
		Named map[string]*mlx.Array
		Note  string
	}
	x := mlx.NewArray([]float64{1, 2})
	b := batch{x.Mul(2), []*mlx.Array{x.Add(1), nil}, map[string]*mlx.Array{"a": x.Sub(1)}, "kept"}
	if err := mlx.Eval(b, &b, x.Mul(3), []*mlx.Array{x}); err != nil {
		t.Fatal(err)
	}
	if got := mlx.ToSlice[float32](b.Named["a"]); got[1] != 1 {
		t.Error(got)
	}
	if err := mlx.Try(func() { mlx.Eval(x, 3) }); err == nil || !strings.Contains(err.Error(), "int is neither an array nor a tree") {
		t.Errorf("a number: %v", err)
	}
}
