package fast

import (
	"fmt"
	"strings"
)

// smallInput is how many elements an input needs to be in device memory: smaller ones are
// constants.
const smallInput = 8

// A Function is the Metal source of a [Custom] for its inputs.
type Function struct {
	Name string // of the kernel, as the library knows it
	Text string // header, signature and body
	Info []Info // what follows each input
}

// Info says which facts of an input are arguments behind it, in this order: those that
// the body names as NAME_shape (int32 a axis), NAME_strides (int64 a axis, in elements)
// and NAME_ndim (int32).
type Info struct{ Shape, Strides, NDim bool }

func (f Info) count() (n int) {
	for _, has := range []bool{f.Shape, f.Strides, f.NDim} {
		if has {
			n++
		}
	}
	return n
}

// Function writes the source. Its lines are numbered so that messages of the compiler
// name the lines of Source and Header.
func (p Custom) Function(in []Spec) Function {
	used := wordsIn(p.Source)
	f := Function{Name: p.functionName(in), Info: p.info(in, used)}
	var b strings.Builder
	if p.Header != "" {
		fmt.Fprintf(&b, "#line 1 \"%s.header\"\n%s\n", p.Kernel, p.Header)
	}
	fmt.Fprintf(&b, "#line 1 \"%s.signature\"\n", p.Kernel)
	parameters, arguments := p.templateText()
	b.WriteString(parameters)
	fmt.Fprintf(&b, "[[kernel]] void %s(\n    %s) {\n", f.Name, strings.Join(p.parameters(in, f.Info, used), ",\n    "))
	fmt.Fprintf(&b, "#line 1 \"%s\"\n%s\n", p.Kernel, p.Source)
	fmt.Fprintf(&b, "#line 1 \"%s.end\"\n}\n", p.Kernel)
	if arguments != "" {
		fmt.Fprintf(&b, "template [[host_name(\"%[1]s\")]] [[kernel]] decltype(%[1]s%[2]s) %[1]s%[2]s;\n", f.Name, arguments)
	}
	f.Text = b.String()
	return f
}

// functionName is MLX's: custom_kernel_NAME, the template arguments, and the types of
// inputs (with s for scalars and c for constants) and outputs.
func (p Custom) functionName(in []Spec) string {
	parts := []string{"custom_kernel", p.Kernel}
	for _, a := range p.template.list() {
		_, value, _ := strings.Cut(a, "=")
		parts = append(parts, strings.ReplaceAll(value, "-", "m"))
	}
	for _, s := range in {
		kind := ""
		switch {
		case len(s.Shape) == 0:
			kind = "s"
		case s.Shape.Size() < smallInput:
			kind = "c"
		}
		parts = append(parts, metalTypes[s.DType]+kind)
	}
	for _, s := range p.specs() {
		parts = append(parts, metalTypes[s.DType])
	}
	return strings.Join(parts, "_")
}

// templateText is the line of template parameters and the list of arguments.
func (p Custom) templateText() (parameters, arguments string) {
	list := p.template.list()
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

// info finds which facts of inputs the body names. Scalars have none.
func (p Custom) info(in []Spec, used map[string]bool) []Info {
	list := make([]Info, len(in))
	for i, n := range p.inputs.list() {
		if len(in[i].Shape) > 0 {
			list[i] = Info{used[n+"_shape"], used[n+"_strides"], used[n+"_ndim"]}
		}
	}
	return list
}

// buffers is the number of arguments that are buffers or bytes.
func (p Custom) buffers(in []Spec) int {
	n := len(in) + len(p.specs())
	for _, f := range p.info(in, wordsIn(p.Source)) {
		n += f.count()
	}
	return n
}

// parameters are the declarations of the function's parameters.
func (p Custom) parameters(in []Spec, info []Info, used map[string]bool) (list []string) {
	n := 0
	buffer := func(format string, a ...any) {
		list = append(list, fmt.Sprintf(format+" [[buffer(%d)]]", append(a, n)...))
		n++
	}
	for i, name := range p.inputs.list() {
		typ := metalTypes[in[i].DType]
		switch {
		case len(in[i].Shape) == 0:
			buffer("const constant %s& %s", typ, name)
		case in[i].Shape.Size() < smallInput:
			buffer("const constant %s* %s", typ, name)
		default:
			buffer("const device %s* %s", typ, name)
		}
		if info[i].Shape {
			buffer("const constant int* %s_shape", name)
		}
		if info[i].Strides {
			buffer("const constant int64_t* %s_strides", name)
		}
		if info[i].NDim {
			buffer("const constant int& %s_ndim", name)
		}
	}
	results := p.specs()
	for i, name := range p.outputs.list() {
		typ := metalTypes[results[i].DType]
		if p.AtomicOutputs {
			typ = "atomic<" + typ + ">"
		}
		buffer("device %s* %s", typ, name)
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
