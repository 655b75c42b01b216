package msltest

import "fmt"

func (r *rewriter) lint(i int, format string, args ...any) {
	t := r.tokens[min(i, len(r.tokens)-1)]
	r.unit.lint = append(r.unit.lint, fmt.Sprintf("%s:%d: ", t.file, t.line)+fmt.Sprintf(format, args...))
}

// lacking are words of C++ that Metal has not.
var lacking = map[string]string{
	"double":       "Metal has no double",
	"goto":         "Metal has no goto",
	"throw":        "Metal has no exceptions",
	"try":          "Metal has no exceptions",
	"catch":        "Metal has no exceptions",
	"new":          "Metal has no new",
	"delete":       "Metal has no delete",
	"dynamic_cast": "Metal has no dynamic_cast",
	"typeid":       "Metal has no typeid",
	"virtual":      "Metal has no virtual functions",
	"thread_local": "Metal has no thread_local",
	"asm":          "Metal has no assembly",
	"vertex":       "only kernels are compiled",
	"fragment":     "only kernels are compiled",
}

// lintToken looks at one token; its statement begins at start.
func (r *rewriter) lintToken(i, start int, in scope) {
	t, before, after := r.text(i), r.text(i-1), r.text(i+1)
	switch why := lacking[t]; {
	case before == "." || before == "->":
	case t == "delete" && before == "=": // a deleted function
	case (t == "vertex" || t == "fragment") && (i != start || in != inNamespace):
	case why != "":
		r.lint(i, "%s", why)
	case t == "std" && after == "::":
		r.lint(i, "Metal has no std::%s", r.text(i+2))
	case t == "[" && r.isLambda(i):
		r.lint(i, "Metal has no lambdas")
	case t == "(" && !in.isFunction() && r.declares(start, i):
		r.lintParams(i)
	}
}

// isLambda says whether the [ at i begins a lambda: there is no operand before it.
func (r *rewriter) isLambda(i int) bool {
	after := r.text(r.close[i] + 1)
	return startsCast(r.text(i-1)) && r.text(i-1) != "" && (after == "(" || after == "{")
}

// declares says whether the parenthesis at i is the first of its statement, and no part
// of an initializer.
func (r *rewriter) declares(start, i int) bool {
	for j := start; j < i; j++ {
		if t := r.text(j); t == "=" || t == "(" && r.text(j-1) != "operator" {
			return false
		}
	}
	return i > start
}

// lintParams looks at the parameters of a function that is no kernel, declared with the
// parenthesis at i.
func (r *rewriter) lintParams(i int) {
	switch before := r.text(i - 1); before {
	case "decltype", "alignas", "static_assert", "sizeof", "__attribute__", "(", "noexcept", "if", "_Pragma":
		return
	}
	end := r.close[i]
	start := i + 1
	for j := i + 1; j <= end; j++ {
		if j < end {
			if j = r.skipNested(j); r.text(j) != "," {
				continue
			}
		}
		r.lintParam(start, j)
		start = j + 1
	}
}

func (r *rewriter) lintParam(a, b int) {
	indirect := false
	for j := a; j < b; j++ {
		switch t := r.text(j); {
		case isSpace(t) || t == "=":
			if t != "=" {
				return
			}
			b = j
		case t == "*" || t == "&":
			indirect = true
		case isDigit((t + " ")[0]):
			return // an expression
		}
	}
	if indirect && b > a+1 {
		r.lint(a, "a pointer or reference needs an address space: %s", r.source(a, b))
	}
}

// lintVariable looks for a variable of the program that is not constant, at the start of a
// statement in a namespace.
func (r *rewriter) lintVariable(i int) {
	switch r.text(i) {
	case "template", "struct", "class", "union", "enum", "using", "typedef", "namespace", "static_assert",
		"extern", "friend", "constant", "_Pragma", ";", "{", "}", "[", "":
		return
	}
	constant := false
	for j := i; j < len(r.tokens); j++ {
		switch t := r.text(j); t {
		case "(", "operator", "{", "}", "":
			return
		case "constant":
			constant = true
		case "<":
			j = r.skipNested(j)
		case "=", ";", "[":
			if !constant && j > i+1 {
				r.lint(i, "a variable of the program must be constant: %s", r.text(j-1))
			}
			return
		}
	}
}
