package optest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A call is a case with some of its inputs as variables, the others fixed.
type call struct {
	c    Case
	in   []*mlx.Array
	vars []int
}

// f is the case as a function of the variables.
func (k call) f(vars []*mlx.Array) []*mlx.Array {
	in := slices.Clone(k.in)
	for j, i := range k.vars {
		in[i] = vars[j]
	}
	return k.c.Build(in)
}

func (k call) point() []*mlx.Array {
	out := make([]*mlx.Array, len(k.vars))
	for j, i := range k.vars {
		out[j] = k.in[i]
	}
	return out
}

// floating are the inputs that can vary.
func floating(in []*mlx.Array) (at []int) {
	for i, a := range in {
		if a.DType().Is(mlx.Floating) && a.Size() > 0 {
			at = append(at, i)
		}
	}
	return at
}

// subsets are the nonempty subsets of at; of many, the single ones and all.
func subsets(at []int) (out [][]int) {
	if len(at) > 3 {
		for _, i := range at {
			out = append(out, []int{i})
		}
		return append(out, at)
	}
	for m := 1; m < 1<<len(at); m++ {
		var s []int
		for k, i := range at {
			if m>>k&1 == 1 {
				s = append(s, i)
			}
		}
		out = append(out, s)
	}
	return out
}

// wave is an array like a of fixed irregular numbers: a cotangent or a direction.
func wave(a *mlx.Array, seed int) *mlx.Array {
	v := make([]float64, a.Size())
	for i := range v {
		v[i] = math.Sin(float64(seed) + 1.3*float64(i) + float64(i*i%31))
	}
	return mlx.FromSlice(v, a.Size()).Reshape(a.Shape()...).AsType(a.DType())
}

func waves(as []*mlx.Array, seed int) []*mlx.Array {
	out := make([]*mlx.Array, len(as))
	for i, a := range as {
		out[i] = wave(a, seed+7*i)
	}
	return out
}

// dot is the sum of products over all arrays, in float64.
func dot(a, b []*mlx.Array) (sum float64) {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			continue
		}
		x, y := floats(a[i]), floats(b[i])
		for k := range x {
			sum += x[k] * y[k]
		}
	}
	return sum
}

// moved is point + h*u.
func moved(point, u []*mlx.Array, h float64) []*mlx.Array {
	out := make([]*mlx.Array, len(point))
	for i := range point {
		out[i] = point[i].Add(u[i].Mul(h))
	}
	return out
}

// inFloat64 is the case with float64 inputs; ok is false if an op has no such kernel.
func inFloat64(c Case, in []*mlx.Array) (wide []*mlx.Array, ok bool) {
	wide = make([]*mlx.Array, len(in))
	for i, a := range in {
		wide[i] = a
		if a.DType().Is(mlx.Floating) {
			wide[i] = a.AsType(mlx.Float64)
		}
	}
	err := mlx.Try(func() {
		out := c.Build(wide)
		if e := mlx.Eval(out); e != nil {
			panic(&mlx.Error{Op: "eval", Err: e})
		}
		for _, o := range out {
			if o.DType() == mlx.Float32 {
				panic(&mlx.Error{Op: "eval", Err: fmt.Errorf("computes in float32")})
			}
		}
	})
	return wide, err == nil
}

// inFloat32 is the inputs with halves as float32.
func inFloat32(in []*mlx.Array) []*mlx.Array {
	out := slices.Clone(in)
	for i, a := range in {
		if a.DType() == mlx.Float16 || a.DType() == mlx.BFloat16 {
			out[i] = a.AsType(mlx.Float32)
		}
	}
	return out
}

// step is what differences in float32 go, from what they usually do.
func (c Case) step(usual float64) float64 {
	if c.GradStep > 0 {
		return c.GradStep
	}
	return usual
}

// differentiable says whether a case has a derivative to test.
func differentiable(c Case) bool { return c.NoGrad == "" && quick(c) }

// quick leaves out what takes too long. With the race detector a part of the packed
// cases stands for all: they differ in numbers, not in what runs at once.
func quick(c Case) bool {
	packed := strings.HasPrefix(c.File, "quantize") || strings.Contains(c.Name, " bits in groups ")
	plain := strings.HasPrefix(c.Name, "float32.b4.g64.") || strings.Contains(c.Name, " 4 bits in groups of 64")
	return !(c.Long && testing.Short()) && !(raceDetector && (packed && !plain || c.Long || strings.Contains(c.Name, "over a ring")))
}

// eachCall runs f for every differentiable case, in float64 if it can, and subset
// of its variables.
func eachCall(t *testing.T, f func(t *testing.T, k call, wide bool)) {
	each(t, differentiable, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		out := run(t, c, in)
		if !slices.ContainsFunc(out, func(a *mlx.Array) bool { return a.DType().Is(mlx.Floating) }) {
			return // a step function
		}
		wide, ok := inFloat64(c, in)
		if ok {
			in = wide
		} else {
			in = inFloat32(in)
		}
		for _, vars := range subsets(floating(in)) {
			if err := mlx.Try(func() { f(t, call{c, in, vars}, ok) }); err != nil {
				t.Errorf("variables %v: %v", vars, err)
			}
		}
	})
}

func closeTo(a, b, rel float64) bool {
	return math.Abs(a-b) <= rel*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// seeds are cotangents of the floating results, nil for others.
func seeds(outs []*mlx.Array) []*mlx.Array {
	cs := waves(outs, 3)
	for i, o := range outs {
		if !o.DType().Is(mlx.Floating) {
			cs[i] = nil
		}
	}
	return cs
}

func onlyFloating(outs []*mlx.Array) (f []*mlx.Array) {
	for _, o := range outs {
		if o.DType().Is(mlx.Floating) {
			f = append(f, o)
		} else {
			f = append(f, nil)
		}
	}
	return f
}

func (k call) vjp(t *testing.T, x []*mlx.Array) (outs, grads []*mlx.Array) {
	t.Helper()
	outs, grads = autodiff.VJPWith(k.f, x, seeds)
	for i, g := range grads {
		if g != nil && !tensor.SpecOf(g).Equal(tensor.SpecOf(x[i])) {
			t.Fatalf("variables %v: gradient %d is %v, not %v", k.vars, i, tensor.SpecOf(g), tensor.SpecOf(x[i]))
		}
	}
	return outs, grads
}

// TestGradients: a VJP along a direction is the central difference, for every
// subset of the inputs.
func TestGradients(t *testing.T) {
	eachCall(t, func(t *testing.T, k call, wide bool) {
		h, tol := k.c.step(1e-2), 2e-2
		if wide {
			h, tol = 1e-6, 1e-6
		}
		if k.c.GradTol > 0 {
			tol = k.c.GradTol
		}
		x := k.point()
		outs, grads := k.vjp(t, x)
		c := seeds(outs)
		for seed := range 2 {
			u := waves(x, 50+seed)
			up, down := onlyFloating(k.f(moved(x, u, h))), onlyFloating(k.f(moved(x, u, -h)))
			want := (dot(up, c) - dot(down, c)) / (2 * h)
			if got := dot(grads, u); !closeTo(got, want, tol) {
				t.Errorf("variables %v: derivative %v, by differences %v", k.vars, got, want)
			}
		}
	})
}

// TestTangents: a JVP is the VJP transposed.
func TestTangents(t *testing.T) {
	eachCall(t, func(t *testing.T, k call, wide bool) {
		tol := 1e-3
		if wide {
			tol = 1e-9
		}
		x := k.point()
		u := waves(x, 50)
		outs, grads := k.vjp(t, x)
		_, pushed := autodiff.JVP(k.f, x, u)
		if a, b := dot(pushed, seeds(outs)), dot(grads, u); !closeTo(a, b, tol) {
			t.Errorf("variables %v: c.Ju is %v, J'c.u is %v", k.vars, a, b)
		}
	})
}

// TestSecondDerivatives: the tangent of a VJP is the central difference of VJPs.
func TestSecondDerivatives(t *testing.T) {
	eachCall(t, func(t *testing.T, k call, wide bool) {
		h, tol := k.c.step(1e-2), 4e-2
		if wide {
			h, tol = 1e-5, 1e-4
		}
		if k.c.GradTol > 0 {
			tol = 2 * k.c.GradTol
		}
		x := k.point()
		u, v := waves(x, 50), waves(x, 90)
		first := func(x []*mlx.Array) []*mlx.Array {
			_, g := k.vjp(t, x)
			for i := range g {
				if g[i] == nil {
					g[i] = tensor.ZerosLike(x[i], none)
				}
			}
			return g
		}
		_, pushed := autodiff.JVP(first, x, u)
		got := dot(pushed, v)
		device := mlx.DefaultDevice()
		mlx.SetDefaultDevice(mlx.CPU) // differences of large sums: another rounding of them is another result
		defer mlx.SetDefaultDevice(device)
		want := (dot(first(moved(x, u, h)), v) - dot(first(moved(x, u, -h)), v)) / (2 * h)
		if !closeTo(got, want, tol) {
			t.Errorf("variables %v: second derivative %v, by differences %v", k.vars, got, want)
		}
	})
}

// variants are three arrays like a, with values that suit the op as a's do.
func variants(a *mlx.Array) []*mlx.Array {
	if a.DType().Is(mlx.Inexact) {
		return []*mlx.Array{a, a.Mul(0.75), a.Mul(0.5)}
	}
	if a.NDim() == 0 || a.Size() == 0 {
		return []*mlx.Array{a, a, a}
	}
	return []*mlx.Array{a, tensor.CopyOf(sliceLast(a, a.Dim(-1)-1, -1, -1), none), a}
}

func stack(as []*mlx.Array, axis int) *mlx.Array {
	wide := make(mlx.Arrays, len(as))
	for i, a := range as {
		wide[i] = a.ExpandDims(axis)
	}
	return mlx.Concatenate(wide, mlx.Axis(axis))
}

// TestVMap: mapping over any axis of any input, and over all inputs, is a loop.
func TestVMap(t *testing.T) {
	each(t, func(c Case) bool { return c.NoVMap == "" && quick(c) }, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		all := make([]int, len(in))
		for i, a := range in {
			for axis := range a.NDim() + 1 {
				axes := slices.Repeat([]int{tensor.Unmapped}, len(in))
				axes[i] = axis
				checkVMap(t, c, in, axes)
			}
			all[i] = a.NDim()
		}
		if len(in) > 1 {
			checkVMap(t, c, in, make([]int, len(in)))
			checkVMap(t, c, in, all)
		}
	})
}

func checkVMap(t *testing.T, c Case, in []*mlx.Array, axes []int) {
	t.Helper()
	const n = 3
	mapped := slices.Clone(in)
	rows := make([][]*mlx.Array, n)
	for k := range rows {
		rows[k] = slices.Clone(in)
	}
	for i, axis := range axes {
		if axis == tensor.Unmapped {
			continue
		}
		vs := variants(in[i])
		mapped[i] = stack(vs, axis)
		for k := range rows {
			rows[k][i] = vs[k]
		}
	}
	got := run(t, Case{Build: func(in []*mlx.Array) []*mlx.Array {
		return autodiff.VMap(c.Build, in, axes, autodiff.InFront)
	}}, mapped)
	outs := make([][]*mlx.Array, n)
	for k, row := range rows {
		outs[k] = run(t, c, row)
	}
	for i := range got {
		parts := make([]*mlx.Array, n)
		for k := range parts {
			parts[k] = outs[k][i]
		}
		if err := Diff(got[i], stack(parts, 0), c.Tol); err != nil {
			t.Errorf("axes %v: result %d %v", axes, i, err)
		}
	}
}
