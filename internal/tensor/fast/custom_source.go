package fast

import (
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/tensor"
)

// SmallInput is how many elements an input needs to be in device memory: smaller ones are
// constants.
const SmallInput = 8

// A Signature is all that the source of a call depends on: calls with the same one share
// a compiled kernel.
type Signature struct {
	body
	in, out string // a place for each input, a dtype for each output
}

// place is where an input lies.
type place byte

const (
	scalar   place = iota // a constant without axes
	constant              // fewer than SmallInput elements
	device
)

// Signature is that of a call with such inputs.
func (p Custom) Signature(in []Spec) Signature {
	var places, dtypes []byte
	for _, s := range in {
		at := device
		switch {
		case len(s.Shape) == 0:
			at = scalar
		case s.Shape.Size() < SmallInput:
			at = constant
		}
		places = append(places, byte(s.DType), byte(at))
	}
	for _, s := range p.specs() {
		dtypes = append(dtypes, byte(s.DType))
	}
	return Signature{p.body, string(places), string(dtypes)}
}

// input is the type and the place of input i.
func (s Signature) input(i int) (typ string, at place) {
	return metalTypes[tensor.DType(s.in[2*i])], place(s.in[2*i+1])
}

// output is the type of output i.
func (s Signature) output(i int) string { return metalTypes[tensor.DType(s.out[i])] }

// A Function is the Metal source of a kernel.
type Function struct {
	Name  string  // of the kernel, as the library knows it
	Text  string  // header, signature and body
	Facts []Facts // what follows each input
}

// Facts says which facts of an input are arguments behind it, in this order: those that
// the body names as NAME_shape (an int for each axis), NAME_strides (a long for each axis,
// in elements) and NAME_ndim (an int).
type Facts struct{ Shape, Strides, NDim bool }

// Function writes the source. Its lines are numbered so that messages of the compiler
// name the lines of Source and Header.
func (s Signature) Function() Function {
	used := wordsIn(s.Source)
	f := Function{Name: s.functionName(), Facts: s.facts(used)}
	var b strings.Builder
	if s.Header != "" {
		fmt.Fprintf(&b, "#line 1 \"%s.header\"\n%s\n", s.Kernel, s.Header)
	}
	fmt.Fprintf(&b, "#line 1 \"%s.signature\"\n", s.Kernel)
	parameters, arguments := s.templateText()
	b.WriteString(parameters)
	fmt.Fprintf(&b, "[[kernel]] void %s(\n    %s) {\n", f.Name, strings.Join(s.parameters(f.Facts, used), ",\n    "))
	fmt.Fprintf(&b, "#line 1 \"%s\"\n%s\n", s.Kernel, s.Source)
	fmt.Fprintf(&b, "#line 1 \"%s.end\"\n}\n", s.Kernel)
	if arguments != "" {
		fmt.Fprintf(&b, "template [[host_name(\"%[1]s\")]] [[kernel]] decltype(%[1]s%[2]s) %[1]s%[2]s;\n", f.Name, arguments)
	}
	f.Text = b.String()
	return f
}

// functionName is MLX's: custom_kernel_NAME, the template arguments, and the types of
// inputs (with s for scalars and c for constants) and outputs.
func (s Signature) functionName() string {
	parts := []string{"custom_kernel", s.Kernel}
	for _, a := range s.template.list() {
		_, value, _ := strings.Cut(a, "=")
		parts = append(parts, strings.ReplaceAll(value, "-", "m"))
	}
	for i := range s.inputs.list() {
		typ, at := s.input(i)
		parts = append(parts, typ+[]string{scalar: "s", constant: "c", device: ""}[at])
	}
	for i := range s.outputs.list() {
		parts = append(parts, s.output(i))
	}
	return strings.Join(parts, "_")
}

// templateText is the line of template parameters and the list of arguments.
func (s Signature) templateText() (parameters, arguments string) {
	list := s.template.list()
	if len(list) == 0 {
		return "", ""
	}
	var names, values []string
	for _, a := range list {
		name, value, _ := strings.Cut(a, "=")
		kind := "typename"
		switch {
		case value == "true" || value == "false":
			kind = "bool"
		case isDigit(value[len(value)-1]):
			kind = "int"
		}
		names, values = append(names, kind+" "+name), append(values, value)
	}
	return "template <" + strings.Join(names, ", ") + ">\n", "<" + strings.Join(values, ", ") + ">"
}

// facts finds which facts of inputs the body names. Scalars have none.
func (s Signature) facts(used map[string]bool) []Facts {
	names := s.inputs.list()
	list := make([]Facts, len(names))
	for i, n := range names {
		if _, at := s.input(i); at != scalar {
			list[i] = Facts{used[n+"_shape"], used[n+"_strides"], used[n+"_ndim"]}
		}
	}
	return list
}

// buffers is the number of arguments that are buffers or bytes.
func (s Signature) buffers() int {
	n := len(s.inputs.list()) + len(s.outputs.list())
	for _, f := range s.facts(wordsIn(s.Source)) {
		for _, has := range []bool{f.Shape, f.Strides, f.NDim} {
			if has {
				n++
			}
		}
	}
	return n
}

// parameters are the declarations of the function's parameters.
func (s Signature) parameters(facts []Facts, used map[string]bool) (list []string) {
	buffer := func(typ, name string) {
		list = append(list, fmt.Sprintf("%s %s [[buffer(%d)]]", typ, name, len(list)))
	}
	for i, name := range s.inputs.list() {
		typ, at := s.input(i)
		switch at {
		case scalar:
			buffer("const constant "+typ+"&", name)
		case constant:
			buffer("const constant "+typ+"*", name)
		default:
			buffer("const device "+typ+"*", name)
		}
		if facts[i].Shape {
			buffer("const constant int*", name+"_shape")
		}
		if facts[i].Strides {
			buffer("const constant int64_t*", name+"_strides")
		}
		if facts[i].NDim {
			buffer("const constant int&", name+"_ndim")
		}
	}
	for i, name := range s.outputs.list() {
		typ := s.output(i)
		if s.AtomicOutputs {
			typ = "atomic<" + typ + ">"
		}
		buffer("device "+typ+"*", name)
	}
	for _, a := range attributes {
		if used[a.name] {
			list = append(list, fmt.Sprintf("%s %s [[%s]]", a.typ, a.name, a.name))
		}
	}
	return list
}

// wordsIn are the words of a source. Comments count, too: a parameter too many does no
// harm.
func wordsIn(source string) map[string]bool {
	set := map[string]bool{}
	for i := 0; i < len(source); {
		if !inWord(source[i]) {
			i++
			continue
		}
		start := i
		for i < len(source) && inWord(source[i]) {
			i++
		}
		set[source[start:i]] = true
	}
	return set
}
