package metal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Elementwise ops are one kind of kernel, generated for the function: a Fused is its whole
// program, single ops of a dtype share a library.

// mapOp runs an elementwise primitive.
func mapOp(e *encoder, p tensor.Primitive, in, out []View) error {
	switch q := p.(type) {
	case tensor.Select: // of bits, whatever they mean
		in, out = []View{in[0], bitsOf(in[1]), bitsOf(in[2])}, []View{bitsOf(out[0])}
	case tensor.Cast:
		if q.To == in[0].DType {
			return copyView(e, &in[0], &out[0])
		}
	}
	n := out[0].Shape.Size()
	if n == 0 {
		return nil
	}
	k, flat, err := mapKernels(e, p, in, out)
	if err != nil {
		return err
	}
	var args []arg
	for i := range in {
		args = append(args, e.in(&in[i]))
	}
	for i := range out {
		args = append(args, e.out(&out[i]))
	}
	per := perThread(dtypesOf(in), dtypesOf(out))
	if flat {
		grid, group := linear((n + per - 1) / per)
		e.run(k, grid, group, append(args, i32(n))...)
		return nil
	}
	strides := make([][]int, len(in))
	for i := range in {
		strides[i] = in[i].Strides
	}
	w := newWalks(out[0].Shape, strides...)
	grid, group := w.grid(per)
	shape, steps := ints(w.shape...), longs(w.flat()...)
	if len(steps.bytes) > gpu.MaxBytes {
		return noKernel("strides of %d inputs with %d axes", len(in), len(w.shape))
	}
	e.run(k, grid, group, append(args, shape, steps, i32(len(w.shape)))...)
	return nil
}

// bitsOf is v as unsigned integers of its elements' size.
func bitsOf(v View) View {
	v.DType = map[int]dtype.DType{1: dtype.Uint8, 2: dtype.Uint16, 4: dtype.Uint32, 8: dtype.Uint64}[v.DType.Size()]
	return v
}

// maxMapped is how many buffers a mapping may have, beside three of sizes: Metal binds 31.
const maxMapped = 28

// mapKernels finds the kernel; flat says that all inputs are row-major.
func mapKernels(e *encoder, p tensor.Primitive, in, out []View) (k gpu.Kernel, flat bool, err error) {
	if len(in)+len(out) > maxMapped {
		return nil, false, noKernel("%d inputs", len(in))
	}
	variant := "flat"
	for i := range in {
		if !in[i].Contiguous() {
			variant = "strided"
		}
	}
	types, results := dtypesOf(in), dtypesOf(out)
	if tensor.Fusible(p) && formulaOf(p, types, results[0]) == "" {
		return nil, false, noFormula(p, types, results)
	}
	key, name, ops := mapLibrary(p, types, results)
	k, err = failed(e.b.kernels.generated(key, name+"_"+variant, gpu.Safe, func() (string, error) { return librarySource(ops) }, nil))
	return k, variant == "flat", err
}

func dtypesOf(views []View) []dtype.DType {
	l := make([]dtype.DType, len(views))
	for i := range views {
		l[i] = views[i].DType
	}
	return l
}

// A mapped is a primitive with dtypes, as a kernel in a library.
type mapped struct {
	name    string
	prim    tensor.Primitive
	in, out []dtype.DType
}

// mapLibrary is the library that has p's kernels, under a key, and their name there.
// Related ops of a dtype share one: compiling six costs little more than compiling one.
func mapLibrary(p tensor.Primitive, in, out []dtype.DType) (key, name string, ops func() []mapped) {
	name = p.Name()
	switch q := p.(type) {
	case tensor.Unary:
		g := opGroup(unaryGroups, q.Op)
		return fmt.Sprintf("map.unary%d.%v", g, in[0]), name, func() []mapped { return unaryGroup(g, in[0]) }
	case tensor.Binary:
		g := opGroup(binaryGroups, q.Op)
		return fmt.Sprintf("map.binary%d.%v", g, in[0]), name, func() []mapped { return binaryGroup(g, in[0]) }
	case tensor.Cast:
		g := classOf(q.To) == floats
		return fmt.Sprintf("map.cast.%v.%v", in[0], g), "to_" + q.To.String(), func() []mapped { return castGroup(in[0], g) }
	case tensor.Fused:
		name, key = "fused", fusedKey(q)
	case tensor.SwiGLU, tensor.GELU, tensor.GateVJP:
		return "map.gates." + in[0].String(), gateName(p, len(in)), func() []mapped { return gateGroup(in[0]) }
	default: // select
		key = name + "." + in[1].String()
	}
	return "map." + key, name, func() []mapped { return []mapped{{name, p, in, out}} }
}

// unaryGroups and binaryGroups are the first ops of groups.
var (
	unaryGroups = []tensor.UnaryOp{tensor.OpNegative, tensor.OpLogicalNot, tensor.OpFloor, tensor.OpConjugate,
		tensor.OpSqrt, tensor.OpExp, tensor.OpSin, tensor.OpSinh, tensor.OpSigmoid, tensor.NumUnary}
	binaryGroups = []tensor.BinaryOp{tensor.OpAdd, tensor.OpPower, tensor.OpEqual, tensor.OpLogicalAnd,
		tensor.OpFloorDivide, tensor.OpBitwiseAnd, tensor.NumBinary}
)

// opGroup is the group of an op.
func opGroup[T ~uint8](groups []T, op T) int {
	g := 0
	for groups[g+1] <= op {
		g++
	}
	return g
}

// unaryGroup is the ops of a group that have formulas.
func unaryGroup(g int, d dtype.DType) (l []mapped) {
	for op := unaryGroups[g]; op < unaryGroups[g+1]; op++ {
		l = addMapped(l, op.String(), tensor.Unary{Op: op}, d)
	}
	return l
}

func binaryGroup(g int, d dtype.DType) (l []mapped) {
	for op := binaryGroups[g]; op < binaryGroups[g+1]; op++ {
		l = addMapped(l, op.String(), tensor.Binary{Op: op}, d, d)
	}
	return l
}

// castGroup is the casts to floats, or to all others.
func castGroup(from dtype.DType, toFloats bool) (l []mapped) {
	for to := range dtype.DType(dtype.Count) {
		if (classOf(to) == floats) == toFloats && to != from {
			l = addMapped(l, "to_"+to.String(), tensor.Cast{To: to}, from)
		}
	}
	return l
}

// gateName names a gate with so many inputs.
func gateName(p tensor.Primitive, inputs int) string {
	switch p := p.(type) {
	case tensor.GELU:
		return fmt.Sprintf("gelu%d_%v", inputs, p.Tanh)
	case tensor.GateVJP:
		return fmt.Sprintf("gate%d_%d", inputs, p.Kind)
	}
	return p.Name()
}

// gateGroup is gated units and their derivatives.
func gateGroup(d dtype.DType) (l []mapped) {
	add := func(p tensor.Primitive, inputs, results int) {
		all := []dtype.DType{d, d, d}
		l = append(l, mapped{gateName(p, inputs), p, all[:inputs], all[:results]})
	}
	add(tensor.SwiGLU{}, 2, 1)
	for _, tanh := range []bool{false, true} {
		add(tensor.GELU{Tanh: tanh}, 1, 1)
		add(tensor.GELU{Tanh: tanh}, 2, 1)
	}
	for _, kind := range []tensor.Gate{tensor.GateSiLU, tensor.GateGELU, tensor.GateGELUTanh} {
		add(tensor.GateVJP{Kind: kind}, 2, 1)
		add(tensor.GateVJP{Kind: kind}, 3, 2)
	}
	return l
}

func addMapped(l []mapped, name string, p tensor.Primitive, in ...dtype.DType) []mapped {
	specs := make([]tensor.Spec, len(in))
	for i, d := range in {
		specs[i].DType = d
	}
	out, err := p.Infer(specs)
	if err != nil || formulaOf(p, in, out[0].DType) == "" {
		return l
	}
	return append(l, mapped{name, p, in, []dtype.DType{out[0].DType}})
}

// fusedKey tells programs apart.
func fusedKey(p tensor.Fused) string {
	var b strings.Builder
	b.WriteString("fused")
	for _, s := range p.In {
		fmt.Fprintf(&b, " %v", s.DType)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, ";%s%v%v", s.Prim.Name(), s.In, s.Out)
	}
	return b.String()
}

// noFormula is the reason for a function without one.
func noFormula(p tensor.Primitive, in, out []dtype.DType) error {
	all := append(slices.Clone(in), out...)
	switch {
	case slices.Contains(all, dtype.Float64):
		return noKernel("float64, which Metal does not have")
	case slices.Contains(all, dtype.Complex64):
		return noKernel("functions of complex numbers other than arithmetic and exp: Metal's library has none")
	}
	return noKernel("%s of %v", p.Name(), in)
}

// librarySource is the text of a library.
func librarySource(ops func() []mapped) (string, error) {
	text, err := mappingHeader()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(text)
	for _, o := range ops() {
		m, ok := mappingOf(o.prim, o.in, o.out)
		if !ok {
			return "", noFormula(o.prim, o.in, o.out)
		}
		m.name = o.name
		b.WriteString(m.source())
	}
	return b.String(), nil
}
