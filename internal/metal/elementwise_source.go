package metal

import (
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A mapping is an elementwise function: statements that compute r0, r1, ... from a0, a1,
// ..., in computing types.
type mapping struct {
	name    string
	in, out []dtype.DType
	body    []string
}

// perThread is how many elements a thread computes: 16 bytes of the largest ones, but
// from 2 to 8.
func perThread(in, out []dtype.DType) int {
	largest := 1
	for _, l := range [][]dtype.DType{in, out} {
		for _, d := range l {
			largest = max(largest, d.Size())
		}
	}
	return min(16/largest, 8)
}

func (m *mapping) perThread() int { return perThread(m.in, m.out) }

// mappingHeader is what elementwise kernels include.
func mappingHeader() (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, f := range []string{"math.h", "ints.h", "complex.h"} {
		text, err := expand(f, seen)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// source is the function, op_NAME, and its two kernels: NAME_flat for row-major inputs, NAME_strided
// for any.
func (m *mapping) source() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMETAL_FUNC void op_%s(%s) {\n", m.name, strings.Join(append(declare("", "", "s", m.in), declare("thread ", "&", "y", m.out)...), ", "))
	for i, d := range m.in {
		fmt.Fprintf(&b, "  %s a%d = %s;\n", computeType(d), i, loaded(fmt.Sprintf("s%d", i), d))
	}
	for _, s := range m.body {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	for i, d := range m.out {
		fmt.Fprintf(&b, "  y%d = %s;\n", i, stored(fmt.Sprintf("r%d", i), d))
	}
	b.WriteString("}\n")
	m.flat(&b)
	m.strided(&b)
	return b.String()
}

// loaded is an element in its computing type; stored is the way back.
func loaded(x string, d dtype.DType) string {
	switch d {
	case dtype.Bool:
		return x + " != 0"
	case dtype.Float16, dtype.BFloat16:
		return "static_cast<float>(" + x + ")"
	}
	return x
}

func stored(x string, d dtype.DType) string {
	switch d {
	case dtype.Bool:
		return x + " ? static_cast<uchar>(1) : static_cast<uchar>(0)"
	case dtype.Float16, dtype.BFloat16:
		return "static_cast<" + storageType(d) + ">(" + x + ")"
	}
	return x
}

// declare is declarations NAME0, NAME1, ... of elements, pointers or references.
func declare(space, mark, name string, types []dtype.DType) (l []string) {
	for i, d := range types {
		l = append(l, fmt.Sprintf("%s%s%s %s%d", space, storageType(d), mark, name, i))
	}
	return l
}

// each is format for every input or result i, which it names %[1]d.
func each(types []dtype.DType, format string) string {
	var b strings.Builder
	for i, d := range types {
		fmt.Fprintf(&b, format, i, storageType(d))
	}
	return b.String()
}

// call is the function on inputs that are written as in, with results out.
func (m *mapping) call(in, out string) string {
	var l []string
	for i := range m.in {
		l = append(l, fmt.Sprintf(in, i))
	}
	for i := range m.out {
		l = append(l, fmt.Sprintf(out, i))
	}
	return "op_" + m.name + "(" + strings.Join(l, ", ") + ");"
}

// head begins a kernel with buffers of the inputs, then the results.
func (m *mapping) head(b *strings.Builder, variant string) (next int) {
	fmt.Fprintf(b, "\n[[kernel]] void %s_%s(\n", m.name, variant)
	for _, l := range [][]string{declare("const device ", "*", "x", m.in), declare("device ", "*", "y", m.out)} {
		for _, p := range l {
			fmt.Fprintf(b, "    %s [[buffer(%d)]],\n", p, next)
			next++
		}
	}
	return next
}

// flat has a thread for perThread elements.
func (m *mapping) flat(b *strings.Builder) {
	k := m.head(b, "flat")
	fmt.Fprintf(b, "    constant uint& size [[buffer(%d)]],\n    uint t [[thread_position_in_grid]]) {\n", k)
	per := m.perThread()
	fmt.Fprintf(b, "  uint i = t * %du;\n  if (i + %du <= size) {\n", per, per)
	b.WriteString(each(m.in, fmt.Sprintf("    %%[2]s s%%[1]d[%d];\n", per)))
	b.WriteString(each(m.out, fmt.Sprintf("    %%[2]s v%%[1]d[%d];\n", per)))
	loop := fmt.Sprintf("    for (uint k = 0; k < %du; k++) {\n", per)
	b.WriteString(loop + each(m.in, "      s%[1]d[k] = x%[1]d[i + k];\n") + "    }\n")
	b.WriteString(loop + "      " + m.call("s%d[k]", "v%d[k]") + "\n    }\n")
	b.WriteString(loop + each(m.out, "      y%[1]d[i + k] = v%[1]d[k];\n") + "    }\n    return;\n  }\n")
	b.WriteString("  for (; i < size; i++) {\n" + each(m.out, "    %[2]s v%[1]d;\n"))
	b.WriteString("    " + m.call("x%d[i]", "v%d") + "\n" + each(m.out, "    y%[1]d[i] = v%[1]d;\n") + "  }\n}\n")
}

// strided has threads for [outer axes, rows, parts of columns]. strides are those of the
// inputs one after the other.
func (m *mapping) strided(b *strings.Builder) {
	k := m.head(b, "strided")
	fmt.Fprintf(b, "    constant int* shape [[buffer(%d)]],\n    constant long* strides [[buffer(%d)]],\n    constant int& ndim [[buffer(%d)]],\n", k, k+1, k+2)
	b.WriteString("    uint3 t [[thread_position_in_grid]]) {\n")
	fmt.Fprintf(b, "  uint cols = static_cast<uint>(shape[ndim - 1]);\n  uint rows = static_cast<uint>(shape[ndim - 2]);\n  uint col = t.x * %du;\n", m.perThread())
	at := func(axis, index string) string {
		return each(m.in, "p%[1]d += static_cast<long>("+index+") * strides[%[1]d * ndim + "+axis+"];\n")
	}
	indent := func(by, s string) string {
		return by + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+by) + "\n"
	}
	b.WriteString(indent("  ", each(m.in, "long p%[1]d = 0;\n")+at("ndim - 1", "col")+at("ndim - 2", "t.y")))
	b.WriteString("  uint z = t.z;\n  for (int k = ndim - 3; k >= 0; k--) {\n    uint d = static_cast<uint>(shape[k]);\n    uint j = z % d;\n    z /= d;\n")
	b.WriteString(indent("    ", at("k", "j")) + "  }\n")
	b.WriteString("  uint o = (t.z * rows + t.y) * cols + col;\n")
	fmt.Fprintf(b, "  uint n = metal::min(%du, cols - col);\n", m.perThread())
	b.WriteString("  for (uint k = 0; k < n; k++) {\n" + each(m.out, "    %[2]s v%[1]d;\n"))
	b.WriteString("    " + m.call("x%[1]d[p%[1]d]", "v%d") + "\n" + each(m.out, "    y%[1]d[o + k] = v%[1]d;\n"))
	b.WriteString(indent("    ", each(m.in, "p%[1]d += strides[%[1]d * ndim + ndim - 1];\n")) + "  }\n}\n")
}

// mappingOf is the function of a primitive. ok is false if an op has no formula.
func mappingOf(p tensor.Primitive, in, out []dtype.DType) (m *mapping, ok bool) {
	m = &mapping{in: in, out: out}
	for _, d := range append(append([]dtype.DType(nil), in...), out...) {
		if storageType(d) == "" {
			return nil, false
		}
	}
	one := func(formula string) (*mapping, bool) {
		if formula == "" {
			return nil, false
		}
		m.set(0, formula)
		return m, true
	}
	switch p := p.(type) {
	case tensor.Unary, tensor.Binary, tensor.Select, tensor.Cast:
		return one(applied(formulaOf(p, in, out[0]), "a0", "a1", "a2"))
	case tensor.SwiGLU:
		return one("math_silu(a0) * a1")
	case tensor.GELU:
		f := "math_gelu(a0)"
		if p.Tanh {
			f = "math_gelu_tanh(a0)"
		}
		if len(in) == 2 {
			f += " * a1"
		}
		return one(f)
	case tensor.GateVJP:
		gate := [...]string{"math_silu", "math_gelu", "math_gelu_tanh"}[p.Kind]
		if len(in) == 2 {
			return one("a1 * " + gate + "_slope(a0)")
		}
		m.set(0, "(a2 * a1) * "+gate+"_slope(a0)")
		m.set(1, "a2 * "+gate+"(a0)")
		return m, true
	case tensor.Fused:
		return m, m.fuse(p)
	}
	return nil, false
}

// set makes result i a formula.
func (m *mapping) set(i int, formula string) {
	m.body = append(m.body, fmt.Sprintf("%s r%d = %s;", computeType(m.out[i]), i, formula))
}

// formulaOf is the formula of a primitive that may be a step of a Fused.
func formulaOf(p tensor.Primitive, in []dtype.DType, out dtype.DType) string {
	if classOf(out) == noClass {
		return ""
	}
	switch p := p.(type) {
	case tensor.Unary:
		return unaryFormula(p.Op, in[0])
	case tensor.Binary:
		return binaryFormula(p.Op, in[0])
	case tensor.Select:
		return "$a ? $b : $c"
	case tensor.Cast:
		return castFormula(in[0], out)
	}
	return ""
}

// applied puts values in the place of inputs.
func applied(formula string, values ...string) string {
	var l []string
	for i, v := range values {
		l = append(l, "$"+string(rune('a'+i)), v)
	}
	return strings.NewReplacer(l...).Replace(formula)
}

// fuse is the program: a value for each step, rounded as the single op would round it.
func (m *mapping) fuse(p tensor.Fused) bool {
	name := func(i int) string {
		if i < len(p.In) {
			return fmt.Sprintf("a%d", i)
		}
		return fmt.Sprintf("t%d", i-len(p.In))
	}
	for j, s := range p.Steps {
		var types []dtype.DType
		var values []string
		for _, i := range s.In {
			types, values = append(types, p.DTypeOfValue(i)), append(values, name(i))
		}
		f := formulaOf(s.Prim, types, s.Out)
		if f == "" {
			return false
		}
		f = applied(f, values...)
		if s.Out == dtype.Float16 || s.Out == dtype.BFloat16 {
			f = fmt.Sprintf("static_cast<float>(static_cast<%s>(%s))", storageType(s.Out), f)
		}
		m.body = append(m.body, fmt.Sprintf("%s t%d = %s;", computeType(s.Out), j, f))
	}
	m.set(0, name(len(p.In)+len(p.Steps)-1))
	return true
}
