package template

import (
	"fmt"
	"strings"
)

// args are the arguments of a call. kw is nil when none is named.
type args struct {
	pos []Value
	kw  *Dict
}

// unset stands for an optional argument that was not given.
type unset struct{}

// signature names the parameters of a filter, test, function or method. min of
// them must be given. A rest signature passes the arguments on unbound.
type signature struct {
	params []string
	min    int
	rest   bool
}

// sig reads a signature: names with "?" after optional ones, or "*".
func sig(s string) signature {
	var g signature
	for _, f := range strings.Fields(s) {
		if f == "*" {
			g.rest = true
			continue
		}
		name, opt := strings.CutSuffix(f, "?")
		g.params = append(g.params, name)
		if !opt {
			g.min = len(g.params)
		}
	}
	return g
}

// bind orders the arguments as the parameters; missing ones are unset.
func (g signature) bind(what string, a args) ([]Value, error) {
	if len(a.pos) > len(g.params) {
		return nil, fmt.Errorf("%s takes at most %d arguments, got %d", what, len(g.params), len(a.pos))
	}
	out := make([]Value, len(g.params))
	copy(out, a.pos)
	for i := len(a.pos); i < len(out); i++ {
		out[i] = unset{}
	}
	for k, v := range a.kw.All() {
		if err := g.named(what, out, k, v); err != nil {
			return nil, err
		}
	}
	for i := range g.min {
		if _, missing := out[i].(unset); missing {
			return nil, fmt.Errorf("%s needs the argument %q", what, g.params[i])
		}
	}
	return out, nil
}

func (g signature) named(what string, out []Value, k, v Value) error {
	for i, p := range g.params {
		if k != Value(p) {
			continue
		}
		if _, missing := out[i].(unset); !missing {
			return fmt.Errorf("%s got two values for %q", what, p)
		}
		out[i] = v
		return nil
	}
	return fmt.Errorf("%s takes no argument named %q", what, fmt.Sprint(k))
}

// or returns v, or def when v is unset.
func or(v, def Value) Value {
	if _, ok := v.(unset); ok {
		return def
	}
	return v
}

// flag is or(v, false) as a truth.
func flag(v Value) bool { return truth(or(v, false)) }

// intArg is an argument that must be an int of 64 bits.
func intArg(what string, v Value, def int64) (int64, error) {
	v = or(v, def)
	n, ok := asInt(v)
	if !ok {
		if u, ok := v.(undefined); ok {
			return 0, u.err()
		}
		return 0, fmt.Errorf("%s must be an int of 64 bits, not '%s'", what, typeName(v))
	}
	return n, nil
}

// strArg is an argument that must be a string.
func strArg(what string, v Value) (string, error) {
	s, ok := asString(v)
	if !ok {
		return "", fmt.Errorf("%s must be str, not %s", what, typeName(v))
	}
	return s, nil
}
