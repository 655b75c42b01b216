package template

import (
	"fmt"
	"slices"
)

// macro is a macro or the caller of a call block, with the scope it was
// defined in.
type macro struct {
	def *macroDef
	up  *scope
}

// invoke binds the arguments and returns what the body writes.
func (m *macro) invoke(r *runtime, a args) (Value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	in := &scope{up: m.up}
	if err := m.bind(r, a, in); err != nil {
		return nil, err
	}
	return r.capture(m.def.body, in)
}

func (m *macro) bind(r *runtime, a args, in *scope) error {
	d := m.def
	used := map[string]bool{}
	for i, name := range d.params {
		v, ok := Value(nil), false
		if i < len(a.pos) {
			v, ok = a.pos[i], true
		} else if v, ok = a.kw.Get(name); ok {
			used[name] = true
		}
		if !ok {
			var err error
			if v, err = m.defaultValue(r, i, in); err != nil {
				return err
			}
		}
		in.set(name, v)
	}
	if d.usesCaller {
		c, ok := a.kw.Get("caller")
		if !ok {
			c = undefined{"no caller defined"}
		}
		used["caller"] = true
		in.set("caller", c)
	}
	rest := NewDict()
	for k, v := range a.kw.All() {
		if name, ok := asString(k); ok && !used[name] {
			rest.Set(name, v)
		}
	}
	switch {
	case d.usesKwargs:
		in.set("kwargs", rest)
	case rest.Len() > 0:
		return fmt.Errorf("the macro %q takes no argument named %q", d.name, rest.keys[0])
	}
	extra := a.pos[min(len(d.params), len(a.pos)):]
	switch {
	case d.usesVarargs:
		in.set("varargs", &Tuple{slices.Clone(extra)})
	case len(extra) > 0:
		return fmt.Errorf("the macro %q takes at most %d arguments, got %d", d.name, len(d.params), len(a.pos))
	}
	return nil
}

// defaultValue evaluates the default of parameter i, which sees the
// parameters before it.
func (m *macro) defaultValue(r *runtime, i int, in *scope) (Value, error) {
	j := i - (len(m.def.params) - len(m.def.defaults))
	if j < 0 {
		return undefined{fmt.Sprintf("parameter '%s' was not provided", m.def.params[i])}, nil
	}
	return r.eval(m.def.defaults[j], in)
}

func (m *macro) attr(name string) (Value, bool) {
	switch name {
	case "name":
		return m.def.name, true
	case "arguments":
		t := &Tuple{}
		for _, p := range m.def.params {
			t.Items = append(t.Items, p)
		}
		return t, true
	case "catch_kwargs":
		return m.def.usesKwargs, true
	case "catch_varargs":
		return m.def.usesVarargs, true
	case "caller":
		return m.def.usesCaller, true
	}
	return nil, false
}
