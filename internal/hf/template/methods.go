package template

import (
	"fmt"
	"math"
	"slices"
)

// methodFunc is a method of a value of the language.
type methodFunc func(r *runtime, self Value, a args) (Value, error)

// methods of each type, by name.
var methods map[string]map[string]methodFunc

// mutators are the methods that the sandbox hides, by type.
var mutators = map[string]map[string]bool{
	"dict": {"clear": true, "pop": true, "popitem": true, "setdefault": true, "update": true},
	"list": {"append": true, "clear": true, "pop": true, "reverse": true, "insert": true, "sort": true, "extend": true, "remove": true},
}

func init() {
	methods = map[string]map[string]methodFunc{
		"str": {}, "dict": {}, "list": {}, "tuple": {}, "int": {}, "float": {}, "range": {},
	}
	addStringMethods()
	addDictMethods()
	for _, kind := range []string{"list", "tuple", "range"} {
		addMethod(kind, "index", "value start? stop?", indexMethod)
		addMethod(kind, "count", "value", countMethod)
	}
	addMethod("list", "copy", "", func(r *runtime, self Value, a []Value) (Value, error) {
		return r.list(slices.Clone(self.(*List).Items))
	})
	addMethod("float", "is_integer", "", func(r *runtime, self Value, a []Value) (Value, error) {
		f := self.(float64)
		return f == math.Trunc(f) && !math.IsInf(f, 0), nil
	})
	addMethod("int", "bit_length", "", func(r *runtime, self Value, a []Value) (Value, error) {
		n, _ := asBig(self)
		return int64(n.BitLen()), nil
	})
	methods["bool"] = methods["int"]
}

func addMethod(kind, name, s string, f func(r *runtime, self Value, a []Value) (Value, error)) {
	g := sig(s)
	methods[kind][name] = func(r *runtime, self Value, a args) (Value, error) {
		bound, err := g.bind(kind+"."+name, a)
		if err != nil {
			return nil, err
		}
		return f(r, self, bound)
	}
}

func addDictMethods() {
	addMethod("dict", "items", "", func(r *runtime, self Value, a []Value) (Value, error) {
		items, err := r.pairs(self.(*Dict))
		return &view{"dict_items", items}, err
	})
	addMethod("dict", "keys", "", func(r *runtime, self Value, a []Value) (Value, error) {
		return &view{"dict_keys", self.(*Dict).keys}, nil
	})
	addMethod("dict", "values", "", func(r *runtime, self Value, a []Value) (Value, error) {
		return &view{"dict_values", self.(*Dict).vals}, nil
	})
	addMethod("dict", "copy", "", func(r *runtime, self Value, a []Value) (Value, error) {
		d := self.(*Dict)
		return d.Clone(), r.allocItems(3 * d.Len())
	})
	methods["dict"]["get"] = func(r *runtime, self Value, a args) (Value, error) {
		if a.kw.Len() > 0 || len(a.pos) < 1 || len(a.pos) > 2 {
			return nil, fmt.Errorf("dict.get takes one or two unnamed arguments")
		}
		v, ok, err := self.(*Dict).lookup(a.pos[0])
		if err != nil || ok {
			return v, err
		}
		if len(a.pos) == 2 {
			return a.pos[1], nil
		}
		return nil, nil
	}
}

func indexMethod(r *runtime, self Value, a []Value) (Value, error) {
	items, err := r.items(self)
	if err != nil {
		return nil, err
	}
	first, _, count, err := sliceBounds(or(a[1], nil), or(a[2], nil), nil, len(items))
	if err != nil {
		return nil, err
	}
	for i := first; i < first+count; i++ {
		if r.equal(items[i], a[0]) {
			return int64(i), nil
		}
	}
	if r.over != nil {
		return nil, r.over
	}
	return nil, fmt.Errorf("the value is not in the %s", typeName(self))
}

func countMethod(r *runtime, self Value, a []Value) (Value, error) {
	items, err := r.items(self)
	if err != nil {
		return nil, err
	}
	n := int64(0)
	for _, v := range items {
		if r.equal(v, a[0]) {
			n++
		}
	}
	return n, r.over
}
