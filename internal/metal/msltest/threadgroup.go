package msltest

import (
	"fmt"
	"strings"
)

// threadgroupVariable rewrites threadgroup T a[N], b; at i, the start of a statement in a
// function. It gives 0 for a pointer to or reference of threadgroup memory.
func (r *rewriter) threadgroupVariable(i, end int, in scope) int {
	stop := r.skipStatement(i)
	if stop > end {
		return 0
	}
	names := r.declarators(i+1, stop-1)
	if names == nil {
		return 0
	}
	if in != inKernel {
		r.lint(i, "a variable of threadgroup memory outside of a kernel: %s", r.source(i, stop-1))
	}
	kind := r.code(i+1, names[0].at)
	r.emitSpace(i, stop)
	for _, d := range names {
		if d.init < d.end {
			r.lint(d.init, "threadgroup memory cannot be initialized: %s", r.text(d.at))
		}
		r.variables++
		name := fmt.Sprintf("msl_t%d", r.variables)
		fmt.Fprintf(&r.out, " MSL_VARIABLE(MSL_ONE(typedef %s %s%s), %s, %s);", kind, name, r.code(d.at+1, d.init), name, r.text(d.at))
	}
	return stop
}

// A declarator is a name with its dimensions up to init, and an initializer up to end.
type declarator struct{ at, init, end int }

// declarators finds the names that are declared from a to b, or nil if one is a pointer or
// reference or something else than a name.
func (r *rewriter) declarators(a, b int) (list []declarator) {
	at := -1 // the last name outside of brackets: it is declared, if no type comes after it
	d := declarator{}
	finish := func(end int) bool {
		if at < 0 {
			return false
		}
		d.at, d.end = at, end
		if d.init == 0 {
			d.init = end
		}
		list = append(list, d)
		at, d = -1, declarator{}
		return true
	}
	for j := a; j < b; j++ {
		switch t := r.text(j); {
		case t == "*" || t == "&" || t == "(":
			return nil
		case t == "=":
			d.init = j
			for j+1 < b && r.text(j+1) != "," {
				j = r.skipNested(j + 1)
			}
		case t == "{":
			d.init = j
			j = r.close[j]
		case t == ",":
			if !finish(j) {
				return nil
			}
		case t == "[" || t == "<":
			j = r.skipNested(j)
		case isName(t):
			at = j
		case t == "::":
		default:
			return nil
		}
	}
	if !finish(b) || strings.TrimSpace(r.source(a, list[0].at)) == "" {
		return nil
	}
	return list
}
