package msltest

import (
	"fmt"
	"strconv"
	"strings"
)

// An Entry is a kernel as the host sees it.
type Entry struct {
	Name       string // the host's
	Params     []Param
	MaxThreads int // of a threadgroup, from its attribute; 1024 if it has none

	expr      string // C++ that names the function
	line      int
	constants []int // that it needs a value of
}

// A Param is a parameter of a kernel.
type Param struct {
	Attribute, Argument string // buffer and 0, thread_position_in_grid and nothing
	Text                string // its declaration, without attributes
	Condition           string // function constant that says whether it is there

	pointer, reference, spaced bool
}

// A Constant is a function constant.
type Constant struct {
	Type, Name string
	Index      int
}

// A definition is a function that is a kernel or a template of kernels.
type definition struct {
	params     []Param
	maxThreads int
}

const maxThreads = 1024

// marks are the attributes before a function.
type marks struct {
	kernel     bool
	hostName   string
	maxThreads int
}

// marks reads attributes and words before a function's type, and gives the index behind.
func (r *rewriter) marks(i int) (m marks, next int) {
	m.maxThreads = maxThreads
	for {
		switch t := r.text(i); {
		case r.isAttribute(i):
			var list []attribute
			list, i = r.attributes(i)
			for _, a := range list {
				switch a.name {
				case "kernel":
					m.kernel = true
				case "host_name":
					m.hostName = literal(a.arg)
				case "max_total_threads_per_threadgroup":
					if n, err := strconv.Atoi(a.arg); err == nil {
						m.maxThreads = n
					}
				}
			}
		case t == "kernel":
			m.kernel = true
			i++
		case t == "inline" || t == "static":
			i++
		default:
			return m, i
		}
	}
}

// literal joins string literals: "a" "b" is ab.
func literal(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// kernel rewrites the definition of a kernel or of a template of kernels at i. It gives 0
// if there is none.
func (r *rewriter) kernel(i int) int {
	head, at := "", i
	if r.text(i) == "template" {
		end, ok := r.angle(i + 1)
		if !ok {
			return 0
		}
		r.templateTypes(i)
		head, at = r.code(i, end+1)+" ", end+1
	}
	m, at := r.marks(at)
	name := r.text(at + 1)
	if !m.kernel || r.text(at) != "void" || !isName(name) || r.text(at+2) != "(" {
		return 0
	}
	params, code, body := r.params(at + 2)
	if r.text(body) != "{" {
		return 0
	}
	r.out.WriteString(r.tokens[i].space)
	r.emitSpace(i+1, at+2)
	fmt.Fprintf(&r.out, " %sstatic void %s%s", head, name, code)
	r.kernels[name] = definition{params, m.maxThreads}
	if head == "" {
		host := name
		if m.hostName != "" {
			host = m.hostName
		}
		r.entry(i, Entry{Name: host, Params: params, MaxThreads: m.maxThreads, expr: name})
	}
	end := r.close[body]
	r.emit(body)
	r.block(body+1, end, inKernel)
	r.emit(end)
	return end + 1
}

func (r *rewriter) entry(i int, e Entry) {
	e.line = r.tokens[i].line
	for _, other := range r.unit.entries {
		if other.Name == e.Name {
			r.lint(i, "there are two kernels %s", e.Name)
		}
	}
	r.unit.entries = append(r.unit.entries, e)
}

// params reads the parameters of a kernel, in parentheses at i. It gives their C++, and
// the index behind.
func (r *rewriter) params(i int) (list []Param, code string, next int) {
	end := r.close[i]
	var out strings.Builder
	start := i + 1
	for j := i + 1; j <= end; j++ {
		if j < end {
			if j = r.skipNested(j); r.text(j) != "," {
				continue
			}
		}
		if j > start {
			list = append(list, r.param(start, j, &out))
		}
		if j < end {
			out.WriteString(r.tokens[j].space + ",")
		}
		start = j + 1
	}
	return list, "(" + out.String() + r.tokens[end].space + ")", end + 1
}

// skipNested gives the end of brackets or template arguments at i, or i.
func (r *rewriter) skipNested(i int) int {
	switch r.text(i) {
	case "(", "[", "{":
		return r.close[i]
	case "<":
		if end, ok := r.angle(i); ok {
			return end
		}
	}
	return i
}

// param reads the tokens of a parameter from a to b and writes its C++.
func (r *rewriter) param(a, b int, out *strings.Builder) Param {
	var p Param
	var text strings.Builder
	for k := a; k < b; {
		if r.isAttribute(k) {
			list, next := r.attributes(k)
			for _, at := range list {
				if at.name == "function_constant" {
					p.Condition = at.arg
				} else {
					p.Attribute, p.Argument = at.name, at.arg
				}
			}
			for ; k < next && k < b; k++ {
				text.WriteString(r.tokens[k].space)
			}
			continue
		}
		switch t := r.text(k); {
		case t == "*":
			p.pointer = true
		case t == "&":
			p.reference = true
		case isSpace(t):
			p.spaced = true
		}
		text.WriteString(r.tokens[k].space + r.word(k))
		k++
	}
	p.Text = r.sourceWithoutAttributes(a, b)
	if (p.pointer || p.reference) && !p.spaced {
		r.lint(a, "a pointer or reference needs an address space: %s", p.Text)
	}
	out.WriteString(text.String())
	return p
}

func (r *rewriter) sourceWithoutAttributes(a, b int) string {
	for k := a; k < b; k++ {
		if r.isAttribute(k) {
			return r.source(a, k)
		}
	}
	return r.source(a, b)
}

// instantiation rewrites the explicit instantiation at i, of a kernel or of something else:
//
//	template [[host_name("x")]] [[kernel]] decltype(f<A>) f<A>;
//	template [[host_name("x")]] [[kernel]] void f<A>(...);
func (r *rewriter) instantiation(i int) int {
	m, at := r.marks(i + 1)
	end := r.skipStatement(at)
	if !m.kernel {
		for k := i; k < end; k++ {
			r.emit(k)
		}
		return end
	}
	if r.text(at) == "decltype" && r.text(at+1) == "(" {
		at = r.close[at+1] + 1
	} else {
		at++ // void
	}
	name, expr := r.text(at), r.text(at)
	if to, ok := r.angle(at + 1); ok && r.text(at+1) == "<" {
		expr = r.code(at, to+1)
	}
	host := m.hostName
	if host == "" {
		host = name
	}
	if d, ok := r.kernels[name]; ok {
		r.entry(i, Entry{Name: host, Params: d.params, MaxThreads: min(d.maxThreads, m.maxThreads), expr: expr})
	} else {
		r.lint(i, "%s is no template of kernels", name)
	}
	r.emitSpace(i, end)
	return end
}

// functionConstant rewrites constant T name [[function_constant(i)]]; at i. It gives 0 if
// it is another variable.
func (r *rewriter) functionConstant(i int) int {
	for j := i; j < len(r.tokens); j++ {
		switch r.text(j) {
		case ";", "=", "{", "(", "":
			return 0
		}
		if !r.isAttribute(j) {
			continue
		}
		list, next := r.attributes(j)
		if len(list) != 1 || list[0].name != "function_constant" || r.text(next) != ";" {
			return 0
		}
		c := Constant{Type: r.source(i+1, j-1), Name: r.text(j - 1)}
		index, err := strconv.Atoi(list[0].arg)
		if err != nil {
			r.lint(i, "the index of function constant %s is no number: %s", c.Name, list[0].arg)
			return 0
		}
		c.Index = index
		r.unit.constants = append(r.unit.constants, c)
		r.emitSpace(i, next+1)
		fmt.Fprintf(&r.out, " MSL_FUNCTION_CONSTANT(%s, %s, %d);", c.Type, c.Name, c.Index)
		return next + 1
	}
	return 0
}
