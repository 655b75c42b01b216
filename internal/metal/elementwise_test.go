//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// testTypes are floats and integers, or all.
func testTypes() (l []dtype.DType) {
	if !full {
		return []dtype.DType{dtype.Float32, dtype.Int32}
	}
	for d := range dtype.DType(dtype.Count) {
		if d != dtype.Float64 {
			l = append(l, d)
		}
	}
	return l
}

// ulpsOf is how far a function may be off, in float32; halves are rounded once.
func ulpsOf(op fmt.Stringer, d dtype.DType) float64 {
	ulps := 0.0
	switch o := op.(type) {
	case tensor.UnaryOp:
		if o >= tensor.OpRsqrt && o != tensor.OpReciprocal || d == dtype.Complex64 {
			ulps = 4
		}
	case tensor.BinaryOp:
		switch o {
		case tensor.OpPower, tensor.OpArcTan2, tensor.OpLogAddExp:
			ulps = 4
		case tensor.OpMultiply, tensor.OpDivide:
			if d == dtype.Complex64 {
				ulps = 4
			}
		}
	}
	if ulps > 0 && d.Size() == 2 {
		return 1
	}
	return ulps
}

// complexFallback is what the CPU does.
func complexFallback(op fmt.Stringer) bool {
	switch o := op.(type) {
	case tensor.UnaryOp:
		return o >= tensor.OpSqrt && o != tensor.OpExp && o != tensor.OpReciprocal
	case tensor.BinaryOp:
		return o == tensor.OpPower || o == tensor.OpLogAddExp
	}
	return false
}

func TestUnary(t *testing.T) {
	for _, d := range testTypes() {
		for op := range tensor.NumUnary {
			p := tensor.Unary{Op: op}
			if _, err := p.Infer([]tensor.Spec{{DType: d}}); err != nil || d == dtype.Complex64 && complexFallback(op) {
				continue
			}
			rng := rand.New(rand.NewPCG(1, uint64(op)))
			for _, n := range []int{1, 33, 2000} {
				agree(t, fmt.Sprint(n, " elements:"), p, ulpsOf(op, d), sample(rng, d, n))
			}
		}
	}
}

func TestBinary(t *testing.T) {
	for _, d := range testTypes() {
		for op := range tensor.NumBinary {
			p := tensor.Binary{Op: op}
			if _, err := p.Infer([]tensor.Spec{{DType: d}, {DType: d}}); err != nil || d == dtype.Complex64 && complexFallback(op) {
				continue
			}
			rng := rand.New(rand.NewPCG(2, uint64(op)))
			for _, n := range []int{1, 33, 2000} {
				a, b := sample(rng, d, n), sample(rng, d, n)
				if op == tensor.OpLogAddExp { // may be a small difference of large parts
					a = tensor.UnaryOf(tensor.OpSquare, a, onCPU())
				}
				agree(t, fmt.Sprint(n, " elements:"), p, ulpsOf(op, d), a, b)
			}
		}
	}
}

func TestCast(t *testing.T) {
	for _, from := range testTypes() {
		for _, to := range testTypes() {
			rng := rand.New(rand.NewPCG(3, uint64(from)<<8|uint64(to)))
			agree(t, fmt.Sprint("to ", to), tensor.Cast{To: to}, 0, sample(rng, from, 500))
		}
	}
}

// views are arrays of a shape in many layouts.
func views(rng *rand.Rand, d dtype.DType, shape ...int) map[string]*tensor.Array {
	n := len(shape)
	s := onCPU()
	reversed, perm, wide := make([]int, n), make([]int, n), make([]int, n)
	low, high, step, back := make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i, v := range shape {
		reversed[n-1-i], perm[i], wide[i] = v, n-1-i, 2*v+1
		low[i], high[i], step[i] = 1, 2*v+1, 2
		back[i] = -2
	}
	ints := tensor.MakeInts
	out := map[string]*tensor.Array{
		"row-major":  sample(rng, d, shape...),
		"transposed": tensor.Apply1(tensor.Transpose{Perm: ints(perm...)}, s, sample(rng, d, reversed...)),
		"steps":      tensor.Apply1(tensor.Slice{Start: ints(low...), Stop: ints(high...), Step: ints(step...)}, s, sample(rng, d, wide...)),
		"repeated":   tensor.Apply1(tensor.Broadcast{Shape: ints(shape...)}, s, sample(rng, d)),
		"rows":       tensor.Apply1(tensor.Broadcast{Shape: ints(shape...)}, s, sample(rng, d, shape[n-1])),
	}
	start, stop := make([]int, n), make([]int, n)
	for i, v := range shape {
		start[i], stop[i] = 2*v, 0
	}
	out["backward"] = tensor.Apply1(tensor.Slice{Start: ints(start...), Stop: ints(stop...), Step: ints(back...)}, s, sample(rng, d, wide...))
	return out
}

func TestElementwiseLayouts(t *testing.T) {
	d := dtype.Float32
	rng := rand.New(rand.NewPCG(4, 4))
	for _, shape := range [][]int{{1}, {31}, {7, 1, 33}, {3, 4, 5, 2}, {2, 3, 2, 3, 5}, {1100, 3}} {
		a, b := views(rng, d, shape...), views(rng, d, shape...)
		for x := range a {
			for y := range b {
				agree(t, fmt.Sprint(shape, x, y), tensor.Binary{Op: tensor.OpAdd}, 0, a[x], b[y])
			}
			agree(t, fmt.Sprint(shape, x), tensor.Unary{Op: tensor.OpNegative}, 0, a[x])
			agree(t, fmt.Sprint(shape, x), tensor.Select{}, 0, views(rng, dtype.Bool, shape...)[x], a[x], b["steps"])
		}
	}
	empty := sample(rng, d, 0, 3)
	agree(t, "empty", tensor.Binary{Op: tensor.OpAdd}, 0, empty, empty)
}

func TestSelectAndGates(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16} {
		rng := rand.New(rand.NewPCG(5, uint64(d)))
		tame := func(top float64) *tensor.Array { // infinite gates are each loop's own affair
			a := sample(rng, dtype.Float32, 1001)
			s := onCPU()
			a = tensor.Where(tensor.UnaryOf(tensor.OpIsFinite, a, s), a, tensor.FloatScalar(0.25, dtype.Float32, s), s)
			a = tensor.BinaryOf(tensor.OpMaximum, a, tensor.FloatScalar(-top, dtype.Float32, s), s)
			a = tensor.BinaryOf(tensor.OpMinimum, a, tensor.FloatScalar(top, dtype.Float32, s), s)
			return tensor.AsType(a, d, s)
		}
		x, up, c := tame(20), tame(3), tame(3)
		agree(t, "", tensor.SwiGLU{}, 8, x, up)
		for _, tanh := range []bool{false, true} {
			near(t, tensor.GELU{Tanh: tanh}, x)
			near(t, tensor.GELU{Tanh: tanh}, x, up)
		}
		for _, kind := range []tensor.Gate{tensor.GateSiLU, tensor.GateGELU, tensor.GateGELUTanh} {
			near(t, tensor.GateVJP{Kind: kind}, x, c)
			near(t, tensor.GateVJP{Kind: kind}, x, up, c)
		}
	}
}

// near compares finite results of functions whose small values are differences of large ones.
func near(t *testing.T, p tensor.Primitive, in ...*tensor.Array) {
	t.Helper()
	if !supported(t, p, specsOf(in)...) {
		t.Errorf("%s has no kernel for %v", p.Name(), specsOf(in))
		return
	}
	d := in[0].DType()
	got, want := bytesOn(t, onGPU(), p, in), bytesOn(t, onCPU(), p, in)
	for i := range want {
		for k := 0; k < len(want[i]); k += d.Size() {
			g, w := number(d, got[i][k:]), number(d, want[i][k:])
			if math.Abs(g-w) > 2e-5+8*unit(d, w) {
				t.Fatalf("%s %v of %v, element %d: %v, want %v", p.Name(), p, d, k/d.Size(), g, w)
			}
		}
	}
}

func TestFused(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	add, mul := tensor.Binary{Op: tensor.OpAdd}, tensor.Binary{Op: tensor.OpMultiply}
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16} {
		spec := tensor.Spec{Shape: []int{5, 7, 9}, DType: d}
		p := tensor.Fused{FusedProgram: &tensor.FusedProgram{In: []tensor.Spec{spec, spec, spec}, Steps: []tensor.FusedStep{
			{Prim: mul, In: []int{0, 1}, Out: d},
			{Prim: add, In: []int{3, 2}, Out: d}, // no fused multiply-add: each op rounds
			{Prim: tensor.Binary{Op: tensor.OpGreater}, In: []int{4, 0}, Out: dtype.Bool},
			{Prim: tensor.Unary{Op: tensor.OpAbs}, In: []int{4}, Out: d},
			{Prim: tensor.Select{}, In: []int{5, 6, 1}, Out: d},
			{Prim: tensor.Cast{To: dtype.Float16}, In: []int{7}, Out: dtype.Float16},
		}}}
		a := views(rng, d, spec.Shape...)
		agree(t, "flat", p, 0, a["row-major"], a["row-major"], a["row-major"])
		agree(t, "strided", p, 0, a["transposed"], a["repeated"], a["backward"])
	}
}

// Functions that are ours, against float64.
func TestMathFunctions(t *testing.T) {
	n := 20000
	rng := rand.New(rand.NewPCG(7, 7))
	for op, top := range map[tensor.UnaryOp]float64{tensor.OpErf: 4.5, tensor.OpExpm1: 90, tensor.OpLog1p: 1, tensor.OpErfInv: 1, tensor.OpSigmoid: 80} {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(top * (2*rng.Float64() - 1))
			if i%3 == 0 {
				v[i] /= 16
			}
		}
		a := tensor.FromSlice(v, n)
		agree(t, "", tensor.Unary{Op: op}, 3, a)
	}
}

func TestComplexDivide(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	var a, b []complex64
	for _, values := range [][]float32{{0, 1, -2, 3e22, 1e-15, -700}, {0, 1, -2, inf, -inf, nan}} {
		for _, x := range values {
			for _, y := range values {
				for _, z := range values {
					for _, w := range values {
						a, b = append(a, complex(x, y)), append(b, complex(z, w))
					}
				}
			}
		}
	}
	x, y := tensor.FromSlice(a, len(a)), tensor.FromSlice(b, len(b))
	agree(t, "", tensor.Binary{Op: tensor.OpDivide}, 4, x, y)
	agree(t, "", tensor.Binary{Op: tensor.OpMultiply}, 4, x, y)
	agree(t, "", tensor.Unary{Op: tensor.OpReciprocal}, 4, y)
	agree(t, "", tensor.Unary{Op: tensor.OpAbs}, 4, y)
}

// What has no formula is no kernel that fails.
func TestNoFormula(t *testing.T) {
	x := someOf(dtype.Float64, 1, -1, 1, 5)
	fallsBack(t, tensor.GELU{}, x)
	fallsBack(t, tensor.SwiGLU{}, x, x)
	fallsBack(t, tensor.Unary{Op: tensor.OpSin}, someOf(dtype.Complex64, 1, -1, 1, 5))
	wide := tensor.FusedProgram{In: []tensor.Spec{{Shape: []int{5}, DType: dtype.Float32}}, Steps: []tensor.FusedStep{
		{Prim: tensor.Cast{To: dtype.Float64}, In: []int{0}, Out: dtype.Float64},
		{Prim: tensor.Unary{Op: tensor.OpExp}, In: []int{1}, Out: dtype.Float64}}}
	fallsBack(t, tensor.Fused{FusedProgram: &wide}, someOf(dtype.Float32, 1, -1, 1, 5))
}
