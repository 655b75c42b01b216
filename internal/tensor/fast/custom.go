package fast

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// ErrNoMetal is what devices other than Metal's answer to a [Custom].
var ErrNoMetal = errors.New("kernels of one's own need a Metal GPU; on Linux build with -tags metalemu, " +
	"install clang 17 or newer, and set MLX_DEVICE=metal-emu")

// Custom is a kernel of one's own: the body of a Metal function, how it is launched and
// what it gives. [CustomOf] makes it; its lists are packed so that it compares.
type Custom struct {
	body

	StridedInputs     bool   // inputs may have any strides
	Grid, ThreadGroup [3]int // in threads

	HasInit bool       // outputs are filled with Init first
	Init    tensor.F64 // in every output's dtype

	results tensor.Ints // of each output the dtype, the number of axes and the shape
}

// body is what the source of a kernel is made of.
type body struct {
	Kernel          string // its name
	Source, Header  string // the body of the function, and what stands before it
	Math            string // safe, relaxed or fast
	AtomicOutputs   bool   // outputs are atomic<T>
	inputs, outputs words  // their names
	template        words  // T=half, N=4, B=true
}

// A Definition is what a kernel is, whatever it is called with: the fields of
// mx.fast.metal_kernel.
type Definition struct {
	Name                    string
	InputNames, OutputNames []string
	Source, Header          string
	MathMode                string
	Strided, Atomic         bool
}

// A Launch is one call of a kernel.
type Launch struct {
	Inputs            []*Array
	Shapes            []tensor.Shape // of outputs
	DTypes            []tensor.DType
	Grid, ThreadGroup [3]int
	Template          []TemplateArg
	Init              *float64
	Verbose           io.Writer // gets the source, unless nil
}

// TemplateArg is an argument of the function template: an int, a bool or a DType.
type TemplateArg struct {
	Name  string
	Value any
}

// Custom kernels of Metal have at most this many.
const (
	maxGroup   = 1024 // threads of a threadgroup
	maxBuffers = 31   // arguments
)

// customOp is the op's name in messages.
const customOp = "metal_kernel"

// CustomOf adds a call of kernel d to the graph. It panics with *tensor.Error for what
// does not fit.
func CustomOf(d Definition, l Launch, s Stream) []*Array {
	specs := make([]Spec, len(l.Inputs))
	for i, a := range l.Inputs {
		if a == nil {
			tensor.Throw(customOp, nil, "%s: input %d is nil", d.Name, i)
		}
		specs[i] = tensor.SpecOf(a)
	}
	p, err := customFor(d, l)
	if err != nil {
		panic(&tensor.Error{Op: customOp, In: specs, Err: err})
	}
	out := tensor.Apply(p, s, l.Inputs...) // Infer checks what inputs must be
	if l.Verbose != nil {
		fmt.Fprintf(l.Verbose, "Generated source code for `%s`:\n```\n%s```\n", d.Name, p.Signature(specs).Function().Text)
	}
	return out
}

// customFor checks what does not depend on inputs.
func customFor(d Definition, l Launch) (Custom, error) {
	p := Custom{StridedInputs: d.Strided, Grid: l.Grid, ThreadGroup: l.ThreadGroup}
	p.body = body{
		Kernel: d.Name, Source: d.Source, Header: d.Header, Math: d.MathMode, AtomicOutputs: d.Atomic,
		inputs: pack(d.InputNames), outputs: pack(d.OutputNames),
	}
	if err := checkNames(d, l.Template); err != nil {
		return p, err
	}
	fault := func(format string, a ...any) (Custom, error) { return p, fmt.Errorf(d.Name+": "+format, a...) }
	switch d.MathMode {
	case "":
		p.Math = "safe"
	case "safe", "relaxed", "fast":
	default:
		return fault("MathMode %q is none of safe, relaxed and fast", d.MathMode)
	}
	if strings.TrimSpace(d.Source) == "" {
		return fault("Source is empty")
	}
	if n := len(d.OutputNames); len(l.Shapes) != n || len(l.DTypes) != n {
		return fault("%d OutputShapes and %d OutputDTypes for the outputs (%s)", len(l.Shapes), len(l.DTypes), strings.Join(d.OutputNames, ", "))
	}
	if err := checkThreads(l.Grid, l.ThreadGroup); err != nil {
		return fault("%w", err)
	}
	var template []string
	for _, a := range l.Template {
		text, err := templateValue(a.Value)
		if err != nil {
			return fault("template argument %s: %w", a.Name, err)
		}
		template = append(template, a.Name+"="+text)
	}
	p.template = pack(template)
	var results []int
	for i, d := range l.DTypes {
		results = append(append(results, int(d), len(l.Shapes[i])), l.Shapes[i]...)
	}
	p.results = tensor.MakeInts(results...)
	if l.Init != nil {
		p.HasInit, p.Init = true, tensor.MakeF64(*l.Init)
	}
	return p, nil
}

// checkThreads is about what dispatchThreads takes.
func checkThreads(grid, group [3]int) error {
	threads := 1
	for i, axis := range []string{"x", "y", "z"} {
		if g := grid[i]; g <= 0 || g > math.MaxUint32 {
			return fmt.Errorf("the grid %v must have 1 to 2^32-1 threads along %s", grid, axis)
		}
		if g := group[i]; g <= 0 {
			return fmt.Errorf("the threadgroup %v must have at least one thread along %s", group, axis)
		}
		if threads *= min(group[i], maxGroup+1); threads > maxGroup {
			return fmt.Errorf("the threadgroup %v has more than %d threads", group, maxGroup)
		}
	}
	return nil
}

// templateValue is a template argument as Metal spells it.
func templateValue(v any) (string, error) {
	switch v := v.(type) {
	case bool:
		return fmt.Sprint(v), nil
	case int:
		if int(int32(v)) != v {
			return "", fmt.Errorf("%d does not fit Metal's int", v)
		}
		return fmt.Sprint(v), nil
	case tensor.DType:
		return metalType(v)
	}
	return "", fmt.Errorf("a %T is neither an int nor a bool nor an mlx.DType", v)
}

// Name is the op's name.
func (Custom) Name() string { return customOp }

// String is for printed graphs: without the source.
func (p Custom) String() string {
	return fmt.Sprintf("{%s %v grid %v threadgroup %v}", p.Kernel, p.template.list(), p.Grid, p.ThreadGroup)
}

// Infer checks the inputs and gives the specs that the call asked for.
func (p Custom) Infer(in []Spec) ([]Spec, error) {
	fault := func(format string, a ...any) ([]Spec, error) { return nil, fmt.Errorf(p.Kernel+": "+format, a...) }
	names := p.inputs.list()
	if len(in) != len(names) {
		return fault("%d inputs for the names (%s)", len(in), strings.Join(names, ", "))
	}
	for i, s := range in {
		if _, err := metalType(s.DType); err != nil {
			return fault("input %s: %w", names[i], err)
		}
		for _, d := range s.Shape {
			if int(int32(d)) != d {
				return fault("input %s: the size %d of an axis does not fit Metal's int", names[i], d)
			}
		}
	}
	out := p.specs()
	for i, s := range out {
		if err := p.checkOutput(s.DType); err != nil {
			return fault("output %s: %w", p.outputs.list()[i], err)
		}
	}
	if n := p.Signature(in).buffers(); n > maxBuffers {
		return fault("%d inputs, shapes, strides and outputs are more than the %d arguments that Metal allows", n, maxBuffers)
	}
	return out, nil
}

// checkOutput refuses dtypes that a kernel cannot write.
func (p Custom) checkOutput(d tensor.DType) error {
	text, err := metalType(d)
	if err != nil || !p.AtomicOutputs {
		return err
	}
	switch d {
	case dtype.Int32, dtype.Uint32, dtype.Uint64, dtype.Float32:
		return nil
	}
	return fmt.Errorf("there is no atomic<%s> in Metal: with AtomicOutputs use float32, int32, uint32 or uint64", text)
}

// specs unpacks the results.
func (p Custom) specs() (out []Spec) {
	for r := p.results.List(); len(r) > 0; {
		n := r[1]
		out = append(out, Spec{DType: tensor.DType(r[0]), Shape: append(tensor.Shape{}, r[2:2+n]...)})
		r = r[2+n:]
	}
	return out
}

// VJP refuses: nobody but its author knows the derivative of a kernel.
func (p Custom) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return p.refuse(in, "has no derivative: give it one with mlx.CustomFunction and Rules.VJP")
}

// JVP refuses, too.
func (p Custom) JVP(s Stream, in, out, tangent []*Array) []*Array {
	return p.refuse(in, "has no derivative: give it one with mlx.CustomFunction and Rules.JVP")
}

// Vmap refuses, too.
func (p Custom) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return p.refuse(in, "cannot be mapped by vmap: say how with mlx.CustomFunction and Rules.VMap"), nil
}

func (p Custom) refuse(in []*Array, why string) []*Array {
	specs := make([]Spec, len(in))
	for i, a := range in {
		specs[i] = tensor.SpecOf(a)
	}
	tensor.Throw(customOp, specs, "%s %s", p.Kernel, why)
	return nil
}

// words is a comparable list of words.
type words string

func pack(list []string) words { return words(strings.Join(list, "\n")) }

func (w words) list() []string {
	if w == "" {
		return nil
	}
	return strings.Split(string(w), "\n")
}
