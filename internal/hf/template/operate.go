package template

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// binary computes an operator other than the logical and comparing ones.
func (r *runtime) binary(op string, a, b Value) (Value, error) {
	if s, ok := asString(a); ok && op == "%" {
		return r.percentFormat(a, s, b)
	}
	for _, v := range []Value{a, b} {
		if u, ok := v.(undefined); ok {
			return nil, u.err()
		}
	}
	if isNumber(a) && isNumber(b) {
		return r.arithmetic(op, a, b)
	}
	switch op {
	case "+":
		if v, ok, err := r.concat(a, b); ok || err != nil {
			return v, err
		}
	case "*":
		if _, ok := asInt(a); ok {
			a, b = b, a
		}
		if n, ok := asInt(b); ok {
			if v, ok, err := r.repeat(a, n); ok || err != nil {
				return v, err
			}
		}
	}
	return nil, fmt.Errorf("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
}

// concat is + on strings, lists and tuples. Where one string is Markup the
// other is escaped.
func (r *runtime) concat(a, b Value) (Value, bool, error) {
	switch x := a.(type) {
	case *List:
		if y, ok := b.(*List); ok {
			n := len(x.Items) + len(y.Items)
			if err := r.allocItems(n); err != nil {
				return nil, false, err
			}
			return &List{slices.Concat(x.Items, y.Items)}, true, nil
		}
	case *Tuple:
		if y, ok := b.(*Tuple); ok {
			n := len(x.Items) + len(y.Items)
			if err := r.allocItems(n); err != nil {
				return nil, false, err
			}
			return &Tuple{slices.Concat(x.Items, y.Items)}, true, nil
		}
	}
	s, ok1 := asString(a)
	t, ok2 := asString(b)
	if !ok1 || !ok2 {
		return nil, false, nil
	}
	_, m1 := a.(Markup)
	_, m2 := b.(Markup)
	if m1 && !m2 {
		t = escapeHTML(t)
	} else if m2 && !m1 {
		s = escapeHTML(s)
	}
	if err := r.alloc(int64(len(s) + len(t))); err != nil {
		return nil, false, err
	}
	if m1 || m2 {
		return Markup(s + t), true, nil
	}
	return s + t, true, nil
}

// repeat is v * n for a string, list or tuple.
func (r *runtime) repeat(v Value, n int64) (Value, bool, error) {
	n = max(n, 0)
	if s, ok := asString(v); ok {
		if len(s) == 0 {
			return v, true, nil
		}
		if err := r.allocTimes(len(s), n); err != nil {
			return nil, false, err
		}
		return like(v, strings.Repeat(s, int(n))), true, nil
	}
	items, ok := sequence(v)
	if !ok {
		return nil, false, nil
	}
	if len(items) == 0 {
		n = 0
	}
	if err := r.allocTimes(len(items)*valueSize, n); err != nil {
		return nil, false, err
	}
	out := slices.Repeat(items, int(n))
	if _, ok := v.(*Tuple); ok {
		return &Tuple{out}, true, nil
	}
	return &List{out}, true, nil
}

// allocTimes counts n things of size bytes, without overflow.
func (r *runtime) allocTimes(size int, n int64) error {
	if size > 0 && n > r.lim.Bytes/int64(size) {
		return r.alloc(-1)
	}
	return r.alloc(int64(size) * n)
}

// sequence returns the items of a list or tuple.
func sequence(v Value) ([]Value, bool) {
	switch x := v.(type) {
	case *List:
		return x.Items, true
	case *Tuple:
		return x.Items, true
	}
	return nil, false
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", "\"", "&#34;")

// escapeHTML escapes as markupsafe does.
func escapeHTML(s string) string { return htmlEscaper.Replace(s) }

func unescapeHTML(s string) string { return html.UnescapeString(s) }

// maxValueDepth bounds how deep values nest where they are printed, compared
// or written as JSON: Python's recursion limit.
const maxValueDepth = 990

// compareOp is a comparison operator.
func (r *runtime) compareOp(op string, a, b Value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b), r.over
	case "!=":
		return !r.equal(a, b), r.over
	case "in":
		return r.contains(b, a)
	case "not in":
		ok, err := r.contains(b, a)
		return !ok, err
	}
	c, unordered, err := r.order(op, a, b, 0)
	if err != nil || unordered {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case ">":
		return c > 0, nil
	case "<=":
		return c <= 0, nil
	}
	return c >= 0, nil
}

// equal is ==. When a limit is passed it is false, and r.over is set.
func (r *runtime) equal(a, b Value) bool { return r.equalAt(a, b, 0) }

func (r *runtime) equalAt(a, b Value, depth int) bool {
	if r.spend(1) != nil {
		return false
	}
	if depth > maxValueDepth {
		r.over = &LimitError{"depth", maxValueDepth}
		return false
	}
	if s, ok := asString(a); ok {
		t, ok := asString(b)
		return ok && s == t
	}
	if isNumber(a) {
		if !isNumber(b) {
			return false
		}
		c, unordered := compareNumbers(a, b)
		return c == 0 && !unordered
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *List:
		y, ok := b.(*List)
		return ok && r.equalItems(x.Items, y.Items, depth)
	case *Tuple:
		y, ok := b.(*Tuple)
		return ok && r.equalItems(x.Items, y.Items, depth)
	case *Dict:
		y, ok := b.(*Dict)
		return ok && r.equalDicts(x, y, depth)
	case *intRange:
		y, ok := b.(*intRange)
		return ok && x.n == y.n && (x.n == 0 || x.lo == y.lo && (x.n == 1 || x.step == y.step))
	case *generator, *namespace, *loopState, *macro, *function, *cycler:
		return a == b
	}
	return false
}

func (r *runtime) equalItems(x, y []Value, depth int) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !r.equalAt(x[i], y[i], depth+1) {
			return false
		}
	}
	return true
}

func (r *runtime) equalDicts(x, y *Dict, depth int) bool {
	if x.Len() != y.Len() {
		return false
	}
	for k, v := range x.All() {
		w, ok, _ := y.lookup(k)
		if !ok || !r.equalAt(v, w, depth+1) {
			return false
		}
	}
	return true
}

// order compares for <, >, <= and >=; op is for the message.
func (r *runtime) order(op string, a, b Value, depth int) (c int, unordered bool, err error) {
	if err := r.spend(1); err != nil {
		return 0, false, err
	}
	if depth > maxValueDepth {
		return 0, false, &LimitError{"depth", maxValueDepth}
	}
	if isNumber(a) && isNumber(b) {
		c, unordered := compareNumbers(a, b)
		return c, unordered, nil
	}
	s, ok1 := asString(a)
	t, ok2 := asString(b)
	if ok1 && ok2 {
		return strings.Compare(s, t), false, nil
	}
	x, ok1 := sequence(a)
	y, ok2 := sequence(b)
	if ok1 && ok2 && typeName(a) == typeName(b) {
		for i := range min(len(x), len(y)) {
			if !r.equalAt(x[i], y[i], depth+1) {
				return r.order(op, x[i], y[i], depth+1)
			}
		}
		return len(x) - len(y), false, r.over
	}
	for _, v := range []Value{a, b} {
		if u, ok := v.(undefined); ok {
			return 0, false, u.err()
		}
	}
	return 0, false, fmt.Errorf("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
}

// contains is "x in c".
func (r *runtime) contains(c, x Value) (bool, error) {
	if s, ok := asString(c); ok {
		if u, ok := x.(undefined); ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not Undefined (%s)", u.reason)
		}
		t, ok := asString(x)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", typeName(x))
		}
		if err := r.spend(int64(len(s)) >> 10); err != nil {
			return false, err
		}
		return strings.Contains(s, t), nil
	}
	if d, ok := c.(*Dict); ok {
		_, ok, err := d.lookup(x)
		return ok, err
	}
	it, err := r.iterate(c)
	if err != nil {
		return false, fmt.Errorf("argument of type '%s' is not iterable", typeName(c))
	}
	for {
		v, ok, err := it()
		if err != nil || !ok {
			return false, err
		}
		if r.equal(v, x) {
			return true, nil
		}
		if r.over != nil {
			return false, r.over
		}
	}
}
