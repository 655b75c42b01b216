package template

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// iterate returns a function that yields the elements of v: the keys of a
// dict, the characters of a string, nothing for undefined.
func (r *runtime) iterate(v Value) (func() (Value, bool, error), error) {
	if g, ok := v.(*generator); ok {
		return func() (Value, bool, error) {
			if err := r.spend(1); err != nil {
				return nil, false, err
			}
			if err := r.enter(); err != nil { // generators read generators
				return nil, false, err
			}
			defer r.leave()
			return g.next()
		}, nil
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	i := 0
	return func() (Value, bool, error) {
		if i >= len(items) {
			return nil, false, nil
		}
		i++
		return items[i-1], true, r.spend(1)
	}, nil
}

// items returns all elements of v. The slice may be the value's own: it must
// not be changed.
func (r *runtime) items(v Value) ([]Value, error) {
	switch x := v.(type) {
	case *List:
		return x.Items, nil
	case *Tuple:
		return x.Items, nil
	case *Dict:
		return x.keys, nil
	case *view:
		return x.items, nil
	case undefined:
		return nil, nil
	case *intRange:
		if err := r.allocItems(int(x.n)); err != nil {
			return nil, err
		}
		out := make([]Value, x.n)
		for i := range out {
			out[i] = x.lo + int64(i)*x.step
		}
		return out, nil
	case *generator:
		return r.drain(x)
	}
	if s, ok := asString(v); ok {
		// A character is a value and the string it points to.
		if err := r.allocItems(3 * utf8.RuneCountInString(s)); err != nil {
			return nil, err
		}
		var out []Value
		for s != "" {
			_, n := utf8.DecodeRuneInString(s)
			out = append(out, s[:n])
			s = s[n:]
		}
		return out, nil
	}
	return nil, fmt.Errorf("'%s' object is not iterable", typeName(v))
}

func (r *runtime) drain(g *generator) ([]Value, error) {
	var out []Value
	for {
		v, ok, err := g.next()
		if err != nil || !ok {
			return out, err
		}
		out = append(out, v)
		if err := r.alloc(valueSize); err != nil {
			return nil, err
		}
		if err := r.spend(1); err != nil {
			return nil, err
		}
	}
}

// length is Python's len.
func length(v Value) (int, error) {
	switch x := v.(type) {
	case *List:
		return len(x.Items), nil
	case *Tuple:
		return len(x.Items), nil
	case *Dict:
		return x.Len(), nil
	case *view:
		return len(x.items), nil
	case *intRange:
		return int(x.n), nil
	case *loopState:
		return len(x.items), nil
	case undefined:
		return 0, nil
	}
	if s, ok := asString(v); ok {
		return utf8.RuneCountInString(s), nil
	}
	return 0, fmt.Errorf("object of type '%s' has no len()", typeName(v))
}

// getAttr is v.name: an attribute or method first, then the item named so.
// What is missing, or would change the value, is undefined.
func getAttr(v Value, name string) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if a, ok := attribute(v, name); ok {
		return a, nil
	}
	if d, ok := v.(*Dict); ok {
		if x, ok := d.Get(name); ok {
			return x, nil
		}
	}
	return missingAttr(v, name), nil
}

// attribute finds a Python attribute. Methods that change a value are found
// but undefined, so that an item of that name does not take their place.
func attribute(v Value, name string) (Value, bool) {
	switch x := v.(type) {
	case *namespace:
		return x.attrs.Get(name)
	case *loopState:
		return x.attr(name)
	case *macro:
		return x.attr(name)
	case *cycler:
		return x.attr(name)
	case nil, *generator:
		return nil, false
	}
	kind := typeName(v)
	if kind == "Markup" {
		kind = "str"
	}
	if mutators[kind][name] {
		return undefined{fmt.Sprintf("access to attribute '%s' of '%s' object is unsafe", name, kind)}, true
	}
	if call, ok := methods[kind][name]; ok {
		return &method{v, name, call}, true
	}
	return nil, false
}

// getItem is v[k]: the item first, then the attribute named k.
func getItem(v, k Value) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if d, ok := v.(*Dict); ok {
		if x, ok, err := d.lookup(k); ok && err == nil {
			return x, nil
		}
	} else if i, ok := asInt(k); ok {
		if x, ok := elementAt(v, i); ok {
			return x, nil
		}
	}
	if s, ok := asString(k); ok {
		if a, ok := attribute(v, s); ok {
			return a, nil
		}
		return missingAttr(v, s), nil
	}
	return undefined{fmt.Sprintf("'%s object' has no such element", typeName(v))}, nil
}

// elementAt indexes a sequence; a negative i counts from its end.
func elementAt(v Value, i int64) (Value, bool) {
	if s, ok := asString(v); ok {
		c, ok := runeAt(s, i)
		return like(v, c), ok
	}
	if g, ok := v.(*intRange); ok {
		if i < 0 {
			i += g.n
		}
		return g.lo + i*g.step, i >= 0 && i < g.n
	}
	items, ok := sequence(v)
	if !ok {
		return nil, false
	}
	if i < 0 {
		i += int64(len(items))
	}
	if i < 0 || i >= int64(len(items)) {
		return nil, false
	}
	return items[i], true
}

// runeAt is character i of s.
func runeAt(s string, i int64) (string, bool) {
	for i < 0 { // from the end
		if s == "" {
			return "", false
		}
		_, n := utf8.DecodeLastRuneInString(s)
		if i == -1 {
			return s[len(s)-n:], true
		}
		s = s[:len(s)-n]
		i++
	}
	for off := range s {
		if i == 0 {
			_, n := utf8.DecodeRuneInString(s[off:])
			return s[off : off+n], true
		}
		i--
	}
	return "", false
}

// slice is v[lo:hi:step]; nil bounds are open.
func (r *runtime) slice(v, lo, hi, step Value) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	n, err := length(v)
	_, isDict := v.(*Dict)
	_, isView := v.(*view)
	if _, isLoop := v.(*loopState); err != nil || isDict || isView || isLoop {
		return nil, fmt.Errorf("'%s' object cannot be sliced", typeName(v))
	}
	first, by, count, err := sliceBounds(lo, hi, step, n)
	if err != nil {
		return nil, err
	}
	if g, ok := v.(*intRange); ok {
		return &intRange{g.lo + int64(first)*g.step, g.lo + int64(first+by*count)*g.step, g.step * int64(by), int64(count)}, nil
	}
	if s, ok := asString(v); ok {
		return r.sliceString(v, s, first, by, count)
	}
	items, _ := sequence(v)
	if err := r.allocItems(count); err != nil {
		return nil, err
	}
	out := make([]Value, 0, count)
	for range count {
		out = append(out, items[first])
		first += by
	}
	if _, ok := v.(*Tuple); ok {
		return &Tuple{out}, nil
	}
	return &List{out}, nil
}

func (r *runtime) sliceString(v Value, s string, first, by, count int) (Value, error) {
	if err := r.alloc(int64(len(s))); err != nil { // the time it takes, too
		return nil, err
	}
	if count == 0 {
		return like(v, ""), nil
	}
	if by == 1 {
		start := runeOffset(s, first)
		return like(v, s[start:start+runeOffset(s[start:], count)]), nil
	}
	runes := []rune(s)
	var b strings.Builder
	for range count {
		b.WriteRune(runes[first])
		first += by
	}
	return like(v, b.String()), nil
}

// runeOffset is the byte at which character n of s begins.
func runeOffset(s string, n int) int {
	for off := range s {
		if n == 0 {
			return off
		}
		n--
	}
	return len(s)
}

// sliceBounds resolves a slice of n elements into the first index, the step
// and the number of elements.
func sliceBounds(lo, hi, step Value, n int) (first, by, count int, err error) {
	for _, b := range []Value{lo, hi, step} {
		if b != nil {
			if _, ok := asBig(b); !ok {
				return 0, 0, 0, fmt.Errorf("slice indices must be integers or None, not '%s'", typeName(b))
			}
		}
	}
	by = clampInt(step, 1, n+1)
	if by == 0 {
		return 0, 0, 0, fmt.Errorf("slice step cannot be zero")
	}
	low, high := 0, n
	if by < 0 {
		low, high = -1, n-1
	}
	bound := func(v Value, def int) int {
		if v == nil {
			return def
		}
		b := clampInt(v, 0, 2*n+2)
		if b < 0 {
			b += n
		}
		return min(max(b, low), high)
	}
	if by > 0 {
		first = bound(lo, 0)
		count = (bound(hi, n) - first + by - 1) / by
	} else {
		first = bound(lo, n-1)
		count = (first - bound(hi, -1) - by - 1) / -by
	}
	return first, by, max(count, 0), nil
}

// clampInt is the int v (def when nil) within -limit..limit.
func clampInt(v Value, def, limit int) int {
	b, ok := asBig(v)
	if !ok {
		return def
	}
	if !b.IsInt64() {
		return b.Sign() * limit
	}
	return int(min(max(b.Int64(), int64(-limit)), int64(limit)))
}

// reversed returns the elements from last to first.
func reversed(items []Value) []Value {
	out := slices.Clone(items)
	slices.Reverse(out)
	return out
}
