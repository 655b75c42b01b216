package msltest

import (
	"fmt"
	"slices"
	"strings"
)

// A unit is what the rewriter makes of a source.
type unit struct {
	code      string // C++ without entries
	entries   []Entry
	constants []Constant
	lint      []string
	open      bool // a bracket is never closed
}

// scope says where tokens are.
type scope int

const (
	inNamespace scope = iota
	inType
	inKernel
	inHelper // a function that is no kernel
)

func (s scope) isFunction() bool { return s == inKernel || s == inHelper }

// rewriter turns preprocessed Metal into C++, token by token; lines stay lines.
type rewriter struct {
	reader
	out       strings.Builder
	unit      *unit
	vectors   map[string]string     // names of vector types: "float,4"; "" for those the source defines
	kernels   map[string]definition // functions marked as kernels
	variables int                   // of threadgroup memory so far
}

// rewrite never fails: what is no Metal is told by the compiler, or by lint.
func rewrite(src string) *unit {
	r := &rewriter{
		reader:  *newReader(src),
		unit:    &unit{},
		vectors: vectorNames(),
		kernels: map[string]definition{},
	}
	r.block(0, len(r.tokens), inNamespace)
	r.unit.code, r.unit.open = r.out.String(), r.open
	r.unit.needs(&r.reader)
	r.unit.lintEntries()
	return r.unit
}

func vectorNames() map[string]string {
	m := map[string]string{}
	for t := range strings.FieldsSeq("float half bfloat char uchar short ushort int uint long ulong bool") {
		for _, n := range []string{"2", "3", "4"} {
			m[t+n] = t + "," + n
		}
	}
	return m
}

func (r *rewriter) emit(i int) { r.out.WriteString(r.tokens[i].space + r.word(i)) }

// emitSpace keeps lines and line markers of tokens that are dropped.
func (r *rewriter) emitSpace(a, b int) {
	for ; a < b; a++ {
		r.out.WriteString(r.tokens[a].space)
	}
}

// code is the rewritten text of the tokens from a to b, on one line.
func (r *rewriter) code(a, b int) string {
	var s strings.Builder
	for i := a; i < b && i < len(r.tokens); i++ {
		if i > a && r.tokens[i].space != "" {
			s.WriteByte(' ')
		}
		s.WriteString(r.word(i))
	}
	return s.String()
}

// block rewrites the tokens from i to end.
func (r *rewriter) block(i, end int, in scope) {
	start := i // of the statement
	for i < end {
		if next := r.construct(i, end, i == start, in); next > i {
			if i == start {
				start = next // what was dropped or replaced is no part of the next statement
			}
			i = next
			continue
		}
		t := r.text(i)
		if t == "{" {
			to := r.close[i]
			r.emit(i)
			r.block(i+1, to, r.scopeOf(start, i, in))
			if to < end {
				r.emit(to)
			}
			i = to + 1
			start = i
			continue
		}
		r.lintToken(i, start, in)
		r.emit(i)
		i++
		label := t == ":" && slices.Contains([]string{"public", "private", "protected"}, r.text(i-2))
		if t == ";" || t == "}" || label {
			start = i
		}
	}
}

// construct rewrites what is more than a word at i, and gives the index behind it, or 0.
func (r *rewriter) construct(i, end int, first bool, in scope) int {
	t := r.text(i)
	if first && in == inNamespace {
		if t == "template" && r.text(i+1) == "<" || t == "kernel" || r.isAttribute(i) {
			if next := r.kernel(i); next > 0 {
				return next
			}
		}
		if t == "template" && r.text(i+1) != "<" {
			return r.instantiation(i)
		}
		if t == "constant" {
			if next := r.functionConstant(i); next > 0 {
				return next
			}
		}
		r.lintVariable(i)
	}
	switch {
	case r.isAttribute(i):
		_, next := r.attributes(i)
		r.emitSpace(i, next)
		return next
	case first && in.isFunction() && t == "threadgroup":
		return r.threadgroupVariable(i, end, in)
	case t == "using" || t == "typedef":
		r.alias(i)
	case t == "template":
		r.templateTypes(i)
	}
	return r.vector(i, end, in)
}

// scopeOf says what the { at i opens; its statement begins at start.
func (r *rewriter) scopeOf(start, i int, in scope) scope {
	if in.isFunction() {
		return in
	}
	for j := start; j < i; j++ {
		switch r.text(j) {
		case "(":
			return inHelper
		case "struct", "class", "union", "enum":
			if r.text(start) != "template" || j > r.templateEnd(start) {
				return inType
			}
		case "=":
			return inHelper // an initializer
		case "[":
			j = r.close[j]
		}
	}
	return in // a namespace, or extern "C"
}

// templateEnd gives the end of template <...> at i.
func (r *rewriter) templateEnd(i int) int {
	end, _ := r.angle(i + 1)
	return end
}

// spaces are the words for address spaces.
var spaces = []string{"device", "constant", "thread", "threadgroup"}

func isSpace(s string) bool { return slices.Contains(spaces, s) }

// word rewrites one token.
func (r *rewriter) word(i int) string {
	t, before, after := r.text(i), r.text(i-1), r.text(i+1)
	if before == "." || before == "->" || before == "operator" {
		return t // a member, a conversion
	}
	switch {
	case isSpace(t) && before != "::":
		ofMethod := before == ")" || before == "const" && r.text(i-2) == ")"
		if ofMethod && (after == ":" || after == "{" || after == ";") {
			return "" // the address space of a method's object
		}
		return "MSL_" + strings.ToUpper(t)
	case isFloat(t):
		return t + "f"
	case t == "static_cast" && after == "<" && isName(r.text(i+2)) && r.castsToValue(i+1):
		return "metal::cast_"
	case after == "(" && (t == "half" || t == "bfloat") && r.text(i+2) != ")":
		return "metal::cast_<" + t + ">"
	case after == "(":
		return r.constructor(i)
	case t == "vec" && after == "<":
		if end, ok := r.angle(i + 1); ok && r.text(end+1) == "(" {
			return "make_vec"
		}
	}
	return t
}

// castsToValue says whether the type between the angles at i is no pointer or reference.
func (r *rewriter) castsToValue(i int) bool {
	end, ok := r.angle(i)
	for j := i; ok && j < end; j++ {
		if t := r.text(j); t == "*" || t == "&" || t == "&&" || isSpace(t) {
			return false
		}
	}
	return ok && r.text(end+1) == "("
}

// constructor rewrites a name before a parenthesis: float4(a, b) is a call.
func (r *rewriter) constructor(i int) string {
	t := r.text(i)
	elems, ok := r.vectors[t]
	switch {
	case !ok:
		return t
	case elems == "":
		return "metal::construct_<" + t + ">"
	case r.text(i-1) == "::":
		return "make_vec<" + elems + ">"
	}
	return "metal::make_vec<" + elems + ">"
}

// vectorType says whether a vector type is named at i, its elements as in vectors, and the
// index behind it.
func (r *rewriter) vectorType(i int) (code string, next int) {
	if r.text(i) == "metal" && r.text(i+1) == "::" {
		i += 2
	}
	t := r.text(i)
	if elems, ok := r.vectors[t]; ok {
		if elems == "" {
			return "metal::construct_<" + t + ">", i + 1
		}
		return "metal::make_vec<" + elems + ">", i + 1
	}
	if t == "vec" && r.text(i+1) == "<" {
		if end, ok := r.angle(i + 1); ok {
			return "metal::make_vec" + r.code(i+1, end+1), end + 1
		}
	}
	return "", 0
}

// vector rewrites casts to a vector and variables that are built by one, which C++ does
// not know; 0 if there is neither at i.
func (r *rewriter) vector(i, end int, in scope) int {
	if r.text(i) == "(" && startsCast(r.text(i-1)) { // (half4)x
		code, to := r.vectorType(i + 1)
		if code != "" && r.text(to) == ")" && startsOperand(r.text(to+1)) {
			args := strings.TrimSuffix(code[strings.Index(code, "<")+1:], ">")
			if !strings.HasPrefix(code, "metal::construct_") {
				fmt.Fprintf(&r.out, "%smetal::vcast<%s>() ->* ", r.tokens[i].space, args)
				r.emitSpace(i+1, to+1)
				return to + 1
			}
		}
	}
	if in.isFunction() && isName(r.text(i)) { // short2 a(x, y);
		before := r.text(i - 1)
		if before == "::" || before == "." || before == "->" || before == "<" {
			return 0
		}
		code, to := r.vectorType(i)
		if code != "" && isName(r.text(to)) && r.text(to+1) == "(" && to+1 < end {
			for ; i <= to; i++ {
				r.out.WriteString(r.tokens[i].space + r.wordOfType(i, to))
			}
			r.out.WriteString(" = " + code)
			return to + 1
		}
	}
	return 0
}

// wordOfType is word, but for a name that is declared.
func (r *rewriter) wordOfType(i, declared int) string {
	if i == declared {
		return r.text(i)
	}
	return r.word(i)
}

// startsCast says whether a cast may come after s: an operand may not.
func startsCast(s string) bool {
	return s == "return" || s == "" || !isWord(s[len(s)-1]) && s != ")" && s != "]" && s != ">"
}

func startsOperand(s string) bool {
	return s != "" && (isWord(s[0]) || s == "(" || s == "-" || s == "~" || s == "!" || s == "*" || s[0] == '.' && len(s) > 1)
}

// templateTypes notes the types that a template takes: they may be vectors too.
func (r *rewriter) templateTypes(i int) {
	end, ok := r.angle(i + 1)
	for j := i + 2; ok && j < end; j++ {
		after := r.text(j + 2)
		if t := r.text(j); (t == "typename" || t == "class") && (after == "," || after == "=" || j+2 == end) {
			r.vectors[r.text(j+1)] = ""
		}
	}
}

// alias notes a type that the source defines to be a vector.
func (r *rewriter) alias(i int) {
	end := r.skipStatement(i) - 1
	switch {
	case r.text(i) == "using" && r.text(i+2) == "=":
		if code, next := r.vectorType(i + 3); code != "" && next == end {
			r.vectors[r.text(i+1)] = ""
		}
	case r.text(i) == "typedef":
		if code, next := r.vectorType(i + 1); code != "" && next == end-1 && isName(r.text(next)) {
			r.vectors[r.text(next)] = ""
		}
	}
}
