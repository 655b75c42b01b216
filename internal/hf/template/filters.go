package template

import (
	"fmt"
	"strings"
)

// filter is a filter: with a rest signature it gets the arguments as they
// were given, else a.pos is bound to the parameters.
type filter struct {
	sig  signature
	call func(r *runtime, v Value, a args) (Value, error)
}

var filters map[string]filter

func init() {
	filters = map[string]filter{}
	addTextFilters()
	addSequenceFilters()
	addNumberFilters()
	add := func(name, s string, f func(r *runtime, v Value, a []Value) (Value, error)) {
		addFilter(name, s, f)
	}
	add("default", "default_value? boolean?", defaultFilter)
	add("length", "", func(r *runtime, v Value, a []Value) (Value, error) {
		n, err := length(v)
		return int64(n), err
	})
	add("attr", "name", attrFilter)
	add("tojson", "ensure_ascii? indent? separators? sort_keys?", tojsonFilter)
	add("items", "", func(r *runtime, v Value, a []Value) (Value, error) {
		return lazyItems("do_items", func() ([]Value, error) {
			switch x := v.(type) {
			case undefined:
				return nil, nil
			case *Dict:
				return r.pairs(x)
			}
			return nil, fmt.Errorf("the filter items needs a mapping, not '%s'", typeName(v))
		}), nil
	})
	for alias, name := range map[string]string{"d": "default", "e": "escape", "count": "length"} {
		filters[alias] = filters[name]
	}
}

func addFilter(name, s string, f func(r *runtime, v Value, a []Value) (Value, error)) {
	filters[name] = filter{sig(s), func(r *runtime, v Value, a args) (Value, error) { return f(r, v, a.pos) }}
}

func defaultFilter(r *runtime, v Value, a []Value) (Value, error) {
	_, missing := v.(undefined)
	if missing || flag(a[1]) && !truth(v) {
		return or(a[0], ""), nil
	}
	return v, nil
}

// attrFilter finds attributes only, not items.
func attrFilter(r *runtime, v Value, a []Value) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	name, err := r.str(a[0])
	if err != nil {
		return nil, err
	}
	if x, ok := attribute(v, name); ok {
		return x, nil
	}
	return missingAttr(v, name), nil
}

// tojsonFilter is the tojson of transformers, which writes as json.dumps does
// and escapes nothing for HTML.
func tojsonFilter(r *runtime, v Value, a []Value) (Value, error) {
	st := jsonStyle{itemSep: ", ", keySep: ": ", ascii: flag(a[0]), sortKeys: flag(a[3])}
	switch x := or(a[1], nil).(type) {
	case nil:
	case string:
		st.pretty, st.indent, st.itemSep = true, x, ","
	default:
		n, err := intArg("indent", x, 0)
		if err != nil {
			return nil, err
		}
		if err := r.allocTimes(1, max(n, 0)); err != nil {
			return nil, err
		}
		st.pretty, st.indent, st.itemSep = true, strings.Repeat(" ", int(max(n, 0))), ","
	}
	if sep := or(a[2], nil); sep != nil {
		items, err := r.items(sep)
		if err != nil || len(items) != 2 {
			return nil, fmt.Errorf("separators must be two strings")
		}
		if st.itemSep, err = strArg("a separator", items[0]); err != nil {
			return nil, err
		}
		if st.keySep, err = strArg("a separator", items[1]); err != nil {
			return nil, err
		}
	}
	return r.encodeJSON(v, st)
}

// pairs are the items of a dict as tuples.
func (r *runtime) pairs(d *Dict) ([]Value, error) {
	if err := r.allocItems(3 * d.Len()); err != nil {
		return nil, err
	}
	out := make([]Value, 0, d.Len())
	for k, v := range d.All() {
		out = append(out, &Tuple{[]Value{k, v}})
	}
	return out, nil
}

func generatorOf(name string, items []Value) *generator {
	i := 0
	return &generator{name, func() (Value, bool, error) {
		if i >= len(items) {
			return nil, false, nil
		}
		i++
		return items[i-1], true, nil
	}}
}

// attrGetter returns what the attribute argument of a filter selects: an
// index, or a dotted path of keys and indexes. def, unless nil, stands for
// what is missing. A nil path selects the value itself.
func (r *runtime) attrGetter(path, def Value) func(Value) (Value, error) {
	var parts []Value
	if s, ok := asString(path); ok {
		for _, p := range strings.Split(s, ".") {
			if n, isInt := pyParseInt(p, 10); isInt && allRunes(p, isDigit) {
				parts = append(parts, n)
			} else {
				parts = append(parts, p)
			}
		}
	} else if path != nil {
		parts = []Value{path}
	}
	return func(v Value) (Value, error) {
		for _, p := range parts {
			if err := r.spend(1); err != nil {
				return nil, err
			}
			var err error
			if v, err = getItem(v, p); err != nil {
				return nil, err
			}
			if _, missing := v.(undefined); missing && def != nil {
				v = def
			}
		}
		return v, nil
	}
}

// sortKey returns the key function of unique, min, max and groupby: letters of
// either case are equal unless cased is set.
func (r *runtime) sortKey(path, def Value, cased bool) func(Value) (Value, error) {
	get := r.attrGetter(path, def)
	return func(v Value) (Value, error) {
		k, err := get(v)
		if err != nil {
			return nil, err
		}
		if s, ok := asString(k); ok && !cased {
			return pyLower(s), r.alloc(int64(len(s)))
		}
		return k, nil
	}
}

// sortKeys is sortKey for sort, where "a,b" selects several attributes. The
// keys are lists: so missing attributes equal one another.
func (r *runtime) sortKeys(path Value, cased bool) func(Value) (Value, error) {
	paths := []Value{path}
	if s, ok := asString(path); ok {
		paths = nil
		for _, p := range strings.Split(s, ",") {
			paths = append(paths, p)
		}
	}
	var get []func(Value) (Value, error)
	for _, p := range paths {
		get = append(get, r.sortKey(p, nil, cased))
	}
	return func(v Value) (Value, error) {
		keys := &List{}
		for _, g := range get {
			k, err := g(v)
			if err != nil {
				return nil, err
			}
			keys.Items = append(keys.Items, k)
		}
		return keys, r.allocItems(len(get))
	}
}

// lazyItems makes a generator of what f returns, called at the first element.
func lazyItems(name string, f func() ([]Value, error)) *generator {
	var g *generator
	return &generator{name, func() (Value, bool, error) {
		if g == nil {
			items, err := f()
			if err != nil {
				return nil, false, err
			}
			g = generatorOf(name, items)
		}
		return g.next()
	}}
}
