package template

import (
	"fmt"
	"iter"
	"math/big"
	"strconv"
	"strings"
)

// Value is a value of the template language. The dynamic types are
//
//	nil       None
//	bool
//	int64     int; a *big.Int when it does not fit
//	float64
//	string    str
//	Markup    a string that the escape or safe filter made
//	*List, *Tuple, *Dict
//
// and types of this package that only templates make: undefined, namespaces,
// ranges, generators, loops, macros. Lists and dicts that went into Render are
// never changed by it.
type Value = any

// Markup is text that needs no HTML escaping: "+" escapes what is added to it.
type Markup string

// List is a list.
type List struct{ Items []Value }

// Tuple is a tuple.
type Tuple struct{ Items []Value }

// NewList makes a list of its arguments; Go's other numbers become Values.
func NewList(items ...Value) *List {
	l := &List{make([]Value, len(items))}
	for i, v := range items {
		l.Items[i] = fromGo(v)
	}
	return l
}

// fromGo turns Go's other numbers into int64, *big.Int or float64.
func fromGo(v Value) Value {
	switch x := v.(type) {
	case int:
		return int64(x)
	case int8:
		return int64(x)
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case uint8:
		return int64(x)
	case uint16:
		return int64(x)
	case uint32:
		return int64(x)
	case uint:
		return normInt(new(big.Int).SetUint64(uint64(x)))
	case uint64:
		return normInt(new(big.Int).SetUint64(x))
	case float32:
		return float64(x)
	}
	return v
}

// Dict is a mapping that keeps the order in which keys were set. The zero
// value is empty and ready for use.
type Dict struct {
	keys  []Value
	vals  []Value
	index map[Value]int // nil while the dict is small
}

// smallDict is the size up to which a dict is searched from end to end.
const smallDict = 8

// NewDict makes an empty dict.
func NewDict() *Dict { return &Dict{} }

// Set sets a key that is a string. Go's other numbers become Values.
func (d *Dict) Set(key string, v Value) { d.put(key, key, fromGo(v)) }

// Get returns the value of a key that is a string. It works on a nil dict.
func (d *Dict) Get(key string) (Value, bool) {
	i := d.find(key)
	if i < 0 {
		return nil, false
	}
	return d.vals[i], true
}

// Len is the number of keys.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.keys)
}

// All ranges over keys and values in order.
func (d *Dict) All() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		for i := range d.Len() {
			if !yield(d.keys[i], d.vals[i]) {
				return
			}
		}
	}
}

// Clone returns a copy that shares the values.
func (d *Dict) Clone() *Dict {
	c := NewDict()
	c.merge(d)
	return c
}

func (d *Dict) merge(o *Dict) {
	for i := range o.Len() {
		h, _ := hashKey(o.keys[i])
		d.put(h, o.keys[i], o.vals[i])
	}
}

// find returns the place of the key with hash h, -1 when absent.
func (d *Dict) find(h Value) int {
	if d == nil {
		return -1
	}
	if d.index != nil {
		if i, ok := d.index[h]; ok {
			return i
		}
		return -1
	}
	for i, k := range d.keys {
		if s, ok := k.(string); ok {
			if s == h {
				return i
			}
		} else if kh, _ := hashKey(k); kh == h {
			return i
		}
	}
	return -1
}

// put sets key k whose hash is h. As in Python the first spelling of a key
// stays: {1: a, True: b} is {1: b}.
func (d *Dict) put(h, k, v Value) {
	if i := d.find(h); i >= 0 {
		d.vals[i] = v
		return
	}
	d.keys = append(d.keys, k)
	d.vals = append(d.vals, v)
	if d.index != nil {
		d.index[h] = len(d.keys) - 1
	} else if len(d.keys) > smallDict {
		d.index = make(map[Value]int, 2*len(d.keys))
		for i, k := range d.keys {
			h, _ := hashKey(k)
			d.index[h] = i
		}
	}
}

// lookup finds any key; an error for a list or dict, which cannot be a key.
func (d *Dict) lookup(k Value) (Value, bool, error) {
	h, err := hashKey(k)
	if err != nil {
		return nil, false, err
	}
	if i := d.find(h); i >= 0 {
		return d.vals[i], true, nil
	}
	return nil, false, nil
}

// putAny sets any key that can be one.
func (d *Dict) putAny(k, v Value) error {
	h, err := hashKey(k)
	if err == nil {
		d.put(h, k, v)
	}
	return err
}

type compositeKey string

// hashKey returns a comparable Go value that is equal for equal keys:
// 1, 1.0 and True are one key, so are a string and its Markup.
func hashKey(k Value) (Value, error) {
	switch x := k.(type) {
	case string:
		return x, nil
	case Markup:
		return string(x), nil
	case bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		if n := int64(x); float64(n) == x && n > -1<<62 && n < 1<<62 {
			return n, nil
		}
		return x, nil
	case *big.Int:
		return compositeKey("i" + x.String()), nil
	case *Tuple:
		var b strings.Builder
		if err := writeTupleKey(&b, x, 0); err != nil {
			return nil, err
		}
		return compositeKey(b.String()), nil
	case *List, *Dict:
		return nil, fmt.Errorf("unhashable type: '%s'", typeName(k))
	case undefined:
		return compositeKey("u"), nil
	case nil, int64, *generator, *intRange, *namespace, *loopState, *macro, *function, *method, *cycler:
		return k, nil
	}
	return nil, fmt.Errorf("unhashable type: '%s'", typeName(k))
}

// writeTupleKey writes a text that is equal for equal tuples.
func writeTupleKey(b *strings.Builder, t *Tuple, depth int) error {
	b.WriteByte('(')
	for _, v := range t.Items {
		if depth > 20 || b.Len() > 1<<16 {
			return fmt.Errorf("a tuple is too large to be a key")
		}
		if in, ok := v.(*Tuple); ok {
			if err := writeTupleKey(b, in, depth+1); err != nil {
				return err
			}
			continue
		}
		h, err := hashKey(v)
		if err != nil {
			return err
		}
		s, ok := h.(string)
		if !ok {
			s = fmt.Sprintf("%T%v", h, h)
		}
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	b.WriteByte(')')
	return nil
}

// undefined is the value of a name, key or attribute that is missing. Nearly
// every use of it but printing and testing is an error, which reason explains.
type undefined struct{ reason string }

func undefinedName(name string) undefined { return undefined{"'" + name + "' is undefined"} }

func missingAttr(v Value, name string) undefined {
	return undefined{fmt.Sprintf("'%s object' has no attribute '%s'", typeName(v), name)}
}

func (u undefined) err() error { return fmt.Errorf("%s", u.reason) }

// namespace is the one object whose attributes a template may set.
type namespace struct{ attrs *Dict }

// view is what dict.items(), .keys() and .values() return.
type view struct {
	name  string
	items []Value
}

// intRange is range(lo, hi, step): n numbers from lo.
type intRange struct{ lo, hi, step, n int64 }

// generator is what lazy filters return; it yields its items once. next
// returns false at the end.
type generator struct {
	name string
	next func() (Value, bool, error)
}

// function is a callable of the language itself.
type function struct {
	name string
	call func(r *runtime, a args) (Value, error)
}

// method is a method of a value.
type method struct {
	self Value
	name string
	call func(r *runtime, self Value, a args) (Value, error)
}

func typeName(v Value) string {
	switch x := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case Markup:
		return "Markup"
	case *List:
		return "list"
	case *Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case undefined:
		return "Undefined"
	case *generator:
		return "generator"
	case *view:
		return x.name
	case *intRange:
		return "range"
	case *namespace:
		return "Namespace"
	case *loopState:
		return "LoopContext"
	case *macro:
		return "Macro"
	case *cycler:
		return "Cycler"
	case *method:
		return "builtin_function_or_method"
	case *function:
		return "function"
	}
	return fmt.Sprintf("%T", v)
}

// truth is Python's bool(v).
func truth(v Value) bool {
	switch x := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return x
	case int64:
		return x != 0
	case *big.Int:
		return x.Sign() != 0
	case float64:
		return x != 0
	case string:
		return x != ""
	case Markup:
		return x != ""
	case *List:
		return len(x.Items) > 0
	case *Tuple:
		return len(x.Items) > 0
	case *Dict:
		return x.Len() > 0
	case *view:
		return len(x.items) > 0
	case *intRange:
		return x.n > 0
	}
	return true
}

// asString returns the text of a string or Markup.
func asString(v Value) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case Markup:
		return string(x), true
	}
	return "", false
}

// like returns s as Markup when v is Markup, as a string otherwise.
func like(v Value, s string) Value {
	if _, ok := v.(Markup); ok {
		return Markup(s)
	}
	return s
}
