package template

import (
	"errors"
	"math/big"
	"reflect"
)

// testFunc is a test: "v is name(arguments)".
type testFunc struct {
	sig  signature
	call func(r *runtime, v Value, a []Value) (bool, error)
}

var tests map[string]testFunc

func init() {
	tests = map[string]testFunc{}
	addTypeTests()
	addCompareTests()
	add := func(name string, f func(r *runtime, v Value, a []Value) (bool, error)) {
		tests[name] = testFunc{sig(""), f}
	}
	add("odd", func(r *runtime, v Value, a []Value) (bool, error) { return r.remainder(v, int64(2), int64(1)) })
	add("even", func(r *runtime, v Value, a []Value) (bool, error) { return r.remainder(v, int64(2), int64(0)) })
	add("lower", func(r *runtime, v Value, a []Value) (bool, error) {
		s, err := r.str(v)
		return isLowerText(s), err
	})
	add("upper", func(r *runtime, v Value, a []Value) (bool, error) {
		s, err := r.str(v)
		return isUpperText(s), err
	})
	add("filter", func(r *runtime, v Value, a []Value) (bool, error) {
		s, ok := asString(v)
		_, found := filters[s]
		_, err := hashKey(v)
		return ok && found, err
	})
	add("test", func(r *runtime, v Value, a []Value) (bool, error) {
		s, ok := asString(v)
		_, found := tests[s]
		_, err := hashKey(v)
		return ok && found, err
	})
	tests["divisibleby"] = testFunc{sig("num"), func(r *runtime, v Value, a []Value) (bool, error) {
		return r.remainder(v, a[0], int64(0))
	}}
	tests["in"] = testFunc{sig("seq"), func(r *runtime, v Value, a []Value) (bool, error) { return r.contains(a[0], v) }}
	tests["sameas"] = testFunc{sig("other"), func(r *runtime, v Value, a []Value) (bool, error) { return same(v, a[0]), nil }}
}

// remainder reports v % n == want.
func (r *runtime) remainder(v, n, want Value) (bool, error) {
	if _, ok := asString(v); ok {
		return false, errors.New("the test needs a number, not a string")
	}
	m, err := r.binary("%", v, n)
	return err == nil && r.equal(m, want), err
}

// same is Python's "is", for ints and strings by value: Python shares small
// ints and literals.
func same(a, b Value) bool {
	if typeName(a) != typeName(b) {
		return false
	}
	switch x := a.(type) {
	case *big.Int:
		return x.Cmp(b.(*big.Int)) == 0
	case undefined, nil:
		return true
	case *Tuple:
		return x == b || len(x.Items) == 0 && len(b.(*Tuple).Items) == 0
	}
	return reflect.TypeOf(a).Comparable() && a == b
}

func addTypeTests() {
	types := map[string]func(v Value) bool{
		"defined":   func(v Value) bool { _, u := v.(undefined); return !u },
		"undefined": func(v Value) bool { _, u := v.(undefined); return u },
		"none":      func(v Value) bool { return v == nil },
		"string":    func(v Value) bool { _, ok := asString(v); return ok },
		"mapping":   func(v Value) bool { _, ok := v.(*Dict); return ok },
		"number":    isNumber,
		"integer": func(v Value) bool {
			_, isBool := v.(bool)
			_, ok := asBig(v)
			return ok && !isBool
		},
		"float":   func(v Value) bool { _, ok := v.(float64); return ok },
		"boolean": func(v Value) bool { _, ok := v.(bool); return ok },
		"true":    func(v Value) bool { return v == true },
		"false":   func(v Value) bool { return v == false },
		"escaped": func(v Value) bool { _, ok := v.(Markup); return ok },
		"callable": func(v Value) bool {
			switch v.(type) {
			case *function, *method, *macro, *loopState:
				return true
			case undefined: // it has __call__, which fails
				return true
			}
			return false
		},
		"iterable": func(v Value) bool {
			switch v.(type) {
			case *List, *Tuple, *Dict, *generator, *view, *intRange, *loopState, string, Markup, undefined:
				return true
			}
			return false
		},
		"sequence": func(v Value) bool {
			switch v.(type) {
			case *List, *Tuple, *Dict, *intRange, string, Markup, undefined:
				return true
			}
			return false
		},
	}
	for name, f := range types {
		tests[name] = testFunc{sig(""), func(r *runtime, v Value, a []Value) (bool, error) { return f(v), nil }}
	}
}

func addCompareTests() {
	ops := map[string][]string{
		"==": {"eq", "equalto", "=="},
		"!=": {"ne", "!="},
		"<":  {"lt", "lessthan", "<"},
		">":  {"gt", "greaterthan", ">"},
		"<=": {"le", "<="},
		">=": {"ge", ">="},
	}
	for op, names := range ops {
		for _, name := range names {
			tests[name] = testFunc{sig("other"), func(r *runtime, v Value, a []Value) (bool, error) {
				return r.compareOp(op, v, a[0])
			}}
		}
	}
}
