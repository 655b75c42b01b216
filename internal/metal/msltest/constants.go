package msltest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// needs finds the function constants that each kernel cannot do without: those that are
// named in it or in what it names, but for those whose absence the source asks about.
// Names are taken as they are; two things of one name count as one.
func (u *unit) needs(r *reader) {
	if len(u.constants) == 0 {
		return
	}
	names := r.namesOfDeclarations()
	index := map[string]int{}
	for _, c := range u.constants {
		if !asksFor(r, c.Name) {
			index[c.Name] = c.Index
		}
	}
	for i := range u.entries {
		e := &u.entries[i]
		seen := map[string]bool{}
		var visit func(name string)
		visit = func(name string) {
			if seen[name] {
				return
			}
			seen[name] = true
			if c, ok := index[name]; ok && !slices.Contains(e.constants, c) {
				e.constants = append(e.constants, c)
			}
			for _, n := range names[name] {
				visit(n)
			}
		}
		for _, t := range lex(e.expr) {
			visit(t.text)
		}
	}
}

// asksFor says whether the source has is_function_constant_defined(name).
func asksFor(r *reader, name string) bool {
	for i, t := range r.tokens {
		if t.text == "is_function_constant_defined" && r.text(i+2) == name || t.text == name+"_is_defined" {
			return true
		}
	}
	return false
}

// namesOfDeclarations gives for each name that is declared in a namespace the names that
// its declaration has.
func (r *reader) namesOfDeclarations() map[string][]string {
	names := map[string][]string{}
	for i := 0; i < len(r.tokens); {
		if r.text(i) == "namespace" || r.text(i) == "extern" {
			for i++; i < len(r.tokens) && r.text(i) != "{" && r.text(i) != ";"; i++ {
			}
			i++
			continue
		}
		end, name := r.declaration(i)
		for ; i < end; i++ {
			if isName(r.text(i)) {
				names[name] = append(names[name], r.text(i))
			}
		}
	}
	return names
}

// declaration gives the end of what begins at i, and what it declares.
func (r *reader) declaration(i int) (end int, name string) {
	last := ""
	for j := i; j < len(r.tokens); j++ {
		t := r.text(j)
		if name == "" && (t == "(" || t == "=" || t == "[" || t == "{") && last != "" {
			name = last
		}
		switch {
		case r.isAttribute(j):
			if name == last {
				name = "" // an attribute is no array
			}
			j = r.close[j]
		case t == "(" || t == "[":
			j = r.close[j]
		case t == "<":
			if to, ok := r.angle(j); ok {
				j = to
			}
		case t == "{":
			if j = r.close[j]; r.text(j+1) != ";" && r.text(j+1) != "=" {
				return j + 1, name
			}
		case t == ";" || t == "}" || t == "":
			if name == "" {
				name = last
			}
			return j + 1, name
		case isName(t):
			last = t
		}
	}
	return len(r.tokens), name
}

// constantList checks values of function constants for an entry, and gives them as the
// runtime reads them.
func (u *unit) constantList(e Entry, values []gpu.Const) (string, error) {
	set := map[int]bool{}
	var list []string
	for _, v := range values {
		if set[v.Index] {
			return "", fmt.Errorf("kernel %s: function constant %d is given twice", e.Name, v.Index)
		}
		set[v.Index] = true
		kind, bits, err := constantBits(v)
		if err != nil {
			return "", fmt.Errorf("kernel %s: %w", e.Name, err)
		}
		for _, c := range u.constants {
			if c.Index == v.Index && c.Type != kind {
				return "", fmt.Errorf("kernel %s: function constant %d (%s) is %s, and the value given is %s", e.Name, c.Index, c.Name, c.Type, kind)
			}
		}
		list = append(list, fmt.Sprintf("%d=%d", v.Index, bits))
	}
	for _, c := range u.constants {
		if slices.Contains(e.constants, c.Index) && !set[c.Index] {
			return "", fmt.Errorf("kernel %s needs a value of function constant %d (%s)", e.Name, c.Index, c.Name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ","), nil
}
