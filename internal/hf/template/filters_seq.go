package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

func addSequenceFilters() {
	addFilter("first", "", firstFilter)
	addFilter("last", "", lastFilter)
	addFilter("list", "", func(r *runtime, v Value, a []Value) (Value, error) {
		items, err := r.items(v)
		if err != nil {
			return nil, err
		}
		return r.list(slices.Clone(items))
	})
	addFilter("join", "d? attribute?", joinFilter)
	addFilter("reverse", "", reverseFilter)
	addFilter("sort", "reverse? case_sensitive? attribute?", sortFilter)
	addFilter("dictsort", "case_sensitive? by? reverse?", dictsortFilter)
	addFilter("unique", "case_sensitive? attribute?", uniqueFilter)
	addFilter("min", "case_sensitive? attribute?", func(r *runtime, v Value, a []Value) (Value, error) {
		return r.extreme(v, a, "<")
	})
	addFilter("max", "case_sensitive? attribute?", func(r *runtime, v Value, a []Value) (Value, error) {
		return r.extreme(v, a, ">")
	})
	addFilter("sum", "attribute? start?", sumFilter)
	addFilter("batch", "linecount fill_with?", batchFilter)
	addFilter("slice", "slices fill_with?", sliceFilter)
	addFilter("groupby", "attribute default? case_sensitive?", groupbyFilter)
	filters["map"] = filter{sig("*"), mapFilter}
	for name, attr := range map[string]bool{"select": false, "selectattr": true} {
		filters[name] = filter{sig("*"), selectFilter(name, attr, true)}
	}
	for name, attr := range map[string]bool{"reject": false, "rejectattr": true} {
		filters[name] = filter{sig("*"), selectFilter(name, attr, false)}
	}
}

func firstFilter(r *runtime, v Value, a []Value) (Value, error) {
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	x, ok, err := next()
	if err == nil && !ok {
		return undefined{"No first item, sequence was empty."}, nil
	}
	return x, err
}

func lastFilter(r *runtime, v Value, a []Value) (Value, error) {
	if _, ok := v.(*generator); ok {
		return nil, errors.New("'generator' object is not reversible")
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"No last item, sequence was empty."}, nil
	}
	return items[len(items)-1], nil
}

func joinFilter(r *runtime, v Value, a []Value) (Value, error) {
	sep, err := r.str(or(a[0], ""))
	if err != nil {
		return nil, err
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	get := r.attrGetter(or(a[1], nil), nil)
	var b strings.Builder
	for i, x := range items {
		if x, err = get(x); err != nil {
			return nil, err
		}
		s, err := r.str(x)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			s = sep + s
		}
		if err := r.alloc(int64(len(s))); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return b.String(), r.spend(int64(len(items)))
}

func reverseFilter(r *runtime, v Value, a []Value) (Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	if err := r.allocItems(len(items)); err != nil {
		return nil, err
	}
	items = reversed(items)
	if _, ok := asString(v); !ok {
		return generatorOf("reversed", items), nil
	}
	var b strings.Builder
	for _, x := range items {
		s, _ := asString(x)
		b.WriteString(s)
	}
	return like(v, b.String()), nil
}

// sorted sorts items by their keys; equal ones keep their order, also when
// reversed.
func (r *runtime) sorted(items []Value, key func(Value) (Value, error), reverse bool) ([]Value, []Value, error) {
	type keyed struct{ key, v Value }
	if err := r.allocItems(4 * len(items)); err != nil {
		return nil, nil, err
	}
	ks := make([]keyed, len(items))
	for i, v := range items {
		k, err := key(v)
		if err != nil {
			return nil, nil, err
		}
		ks[i] = keyed{k, v}
	}
	var failed error
	slices.SortStableFunc(ks, func(a, b keyed) int {
		if failed != nil {
			return 0
		}
		c, _, err := r.order("<", a.key, b.key, 0)
		if err != nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	vals, keys := make([]Value, len(ks)), make([]Value, len(ks))
	for i, k := range ks {
		vals[i], keys[i] = k.v, k.key
	}
	return vals, keys, failed
}

func sortFilter(r *runtime, v Value, a []Value) (Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	out, _, err := r.sorted(items, r.sortKeys(or(a[2], nil), flag(a[1])), flag(a[0]))
	if err != nil {
		return nil, err
	}
	return &List{out}, nil
}

func dictsortFilter(r *runtime, v Value, a []Value) (Value, error) {
	d, ok := v.(*Dict)
	if !ok {
		if u, ok := v.(undefined); ok {
			return nil, u.err()
		}
		return nil, fmt.Errorf("the filter dictsort needs a mapping, not '%s'", typeName(v))
	}
	pos := int64(0)
	switch or(a[1], "key") {
	case "key":
	case "value":
		pos = 1
	default:
		return nil, errors.New("dictsort sorts by key or value")
	}
	items, err := r.pairs(d)
	if err != nil {
		return nil, err
	}
	out, _, err := r.sorted(items, r.sortKey(pos, nil, flag(a[0])), flag(a[2]))
	if err != nil {
		return nil, err
	}
	return &List{out}, nil
}

func uniqueFilter(r *runtime, v Value, a []Value) (Value, error) {
	next := r.lazy(v)
	key := r.sortKey(or(a[1], nil), nil, flag(a[0]))
	seen := map[Value]bool{}
	return &generator{"do_unique", func() (Value, bool, error) {
		for {
			x, ok, err := next()
			if err != nil || !ok {
				return nil, false, err
			}
			k, err := key(x)
			if err != nil {
				return nil, false, err
			}
			h, err := hashKey(k)
			if err != nil {
				return nil, false, err
			}
			if !seen[h] {
				seen[h] = true
				return x, true, r.alloc(2 * valueSize)
			}
		}
	}}, nil
}

// extreme is min (op "<") and max (op ">").
func (r *runtime) extreme(v Value, a []Value, op string) (Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"No aggregated item, sequence was empty."}, nil
	}
	key := r.sortKey(or(a[1], nil), nil, flag(a[0]))
	best := items[0]
	bestKey, err := key(best)
	if err != nil {
		return nil, err
	}
	for _, x := range items[1:] {
		k, err := key(x)
		if err != nil {
			return nil, err
		}
		better, err := r.compareOp(op, k, bestKey)
		if err != nil {
			return nil, err
		}
		if better {
			best, bestKey = x, k
		}
	}
	return best, nil
}

func sumFilter(r *runtime, v Value, a []Value) (Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	acc := or(a[1], int64(0))
	if _, ok := asString(acc); ok {
		return nil, errors.New("sum() can't sum strings")
	}
	get := r.attrGetter(or(a[0], nil), nil)
	for _, x := range items {
		if x, err = get(x); err != nil {
			return nil, err
		}
		if acc, err = r.binary("+", acc, x); err != nil {
			return nil, err
		}
		if err := r.spend(1); err != nil {
			return nil, err
		}
	}
	return acc, nil
}

func batchFilter(r *runtime, v Value, a []Value) (Value, error) {
	return lazyItems("do_batch", func() ([]Value, error) { return r.batches(v, a[0], or(a[1], nil)) }), nil
}

// batches are lists of count items each; fill, unless nil, fills the last up.
func (r *runtime) batches(v, count, fill Value) ([]Value, error) {
	n, err := intArg("linecount", count, 0)
	if err != nil {
		return nil, err
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	var out []Value
	for len(items) > 0 {
		k := len(items)
		if n > 0 {
			k = int(min(n, int64(k)))
		}
		part := slices.Clone(items[:k])
		items = items[k:]
		if missing := n - int64(k); fill != nil && missing > 0 {
			if err := r.allocTimes(valueSize, missing); err != nil {
				return nil, err
			}
			part = append(part, slices.Repeat([]Value{fill}, int(missing))...)
		}
		if err := r.allocItems(k + 1); err != nil {
			return nil, err
		}
		out = append(out, &List{part})
	}
	return out, nil
}

func sliceFilter(r *runtime, v Value, a []Value) (Value, error) {
	return lazyItems("do_slice", func() ([]Value, error) { return r.columns(v, a[0], or(a[1], nil)) }), nil
}

// columns are count lists of about equal length; fill, unless nil, is added to
// the shorter ones.
func (r *runtime) columns(v, count, fill Value) ([]Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	n, err := intArg("slices", count, 0)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errDivZero
	}
	if err := r.allocTimes(3*valueSize, max(n, 0)); err != nil {
		return nil, err
	}
	if err := r.allocItems(len(items)); err != nil {
		return nil, err
	}
	size, extra := int64(len(items))/n, int64(len(items))%n
	var out []Value
	for i := range n {
		k := size
		if i < extra {
			k++
		}
		part := slices.Clone(items[:k])
		items = items[k:]
		if fill != nil && i >= extra {
			part = append(part, fill)
		}
		out = append(out, &List{part})
	}
	return out, nil
}

// groupbyFilter sorts by an attribute and groups equal ones.
func groupbyFilter(r *runtime, v Value, a []Value) (Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	def := or(a[1], nil)
	vals, keys, err := r.sorted(items, r.sortKey(a[0], def, flag(a[2])), false)
	if err != nil {
		return nil, err
	}
	out := &List{}
	var group *List
	for i, x := range vals {
		if i > 0 && r.equal(keys[i-1], keys[i]) {
			group.Items = append(group.Items, x)
			continue
		}
		// The name of a group is spelled as in its first item.
		name, err := r.sortKey(a[0], def, true)(x)
		if err != nil {
			return nil, err
		}
		group = NewList(x)
		out.Items = append(out.Items, &Tuple{[]Value{name, group}})
	}
	return out, r.over
}

// mapFilter applies a filter or looks an attribute up, lazily.
func mapFilter(r *runtime, v Value, a args) (Value, error) {
	if !truth(v) {
		return generatorOf("sync_do_map", nil), nil
	}
	var f func(Value) (Value, error)
	next := r.lazy(v)
	return &generator{"sync_do_map", func() (Value, bool, error) {
		if f == nil {
			var err error
			if f, err = r.mapper(a); err != nil {
				return nil, false, err
			}
		}
		x, ok, err := next()
		if err != nil || !ok {
			return nil, false, err
		}
		y, err := f(x)
		return y, err == nil, err
	}}, nil
}

// lazy is iterate at the time of the first element: what cannot be iterated
// is an error only then.
func (r *runtime) lazy(v Value) func() (Value, bool, error) {
	var next func() (Value, bool, error)
	return func() (Value, bool, error) {
		if next == nil {
			var err error
			if next, err = r.iterate(v); err != nil {
				return nil, false, err
			}
		}
		return next()
	}
}

func (r *runtime) mapper(a args) (func(Value) (Value, error), error) {
	if path, ok := a.kw.Get("attribute"); ok && len(a.pos) == 0 {
		def, hasDef := a.kw.Get("default")
		if a.kw.Len() > 2 || a.kw.Len() == 2 && !hasDef {
			return nil, errors.New("the filter map takes attribute and default, no other named argument")
		}
		return r.attrGetter(path, def), nil
	}
	if len(a.pos) == 0 {
		return nil, errors.New("the filter map needs the name of a filter or an attribute")
	}
	name, err := strArg("the filter of map", a.pos[0])
	if err != nil {
		return nil, err
	}
	return func(v Value) (Value, error) { return r.filter(name, v, args{a.pos[1:], a.kw}) }, nil
}

// selectFilter makes select, reject, selectattr and rejectattr.
func selectFilter(name string, attr, keep bool) func(r *runtime, v Value, a args) (Value, error) {
	return func(r *runtime, v Value, a args) (Value, error) {
		if !truth(v) {
			return generatorOf(name, nil), nil
		}
		var pick func(Value) (bool, error)
		next := r.lazy(v)
		return &generator{name, func() (Value, bool, error) {
			if pick == nil {
				var err error
				if pick, err = r.picker(a, attr); err != nil {
					return nil, false, err
				}
			}
			for {
				x, ok, err := next()
				if err != nil || !ok {
					return nil, false, err
				}
				hit, err := pick(x)
				if err != nil || hit == keep {
					return x, err == nil, err
				}
			}
		}}, nil
	}
}

func (r *runtime) picker(a args, attr bool) (func(Value) (bool, error), error) {
	get := func(v Value) (Value, error) { return v, nil }
	rest := a.pos
	if attr {
		if len(rest) == 0 {
			return nil, errors.New("missing parameter for attribute name")
		}
		get = r.attrGetter(rest[0], nil)
		rest = rest[1:]
	}
	test := func(v Value) (bool, error) { return truth(v), nil }
	if len(rest) > 0 {
		name, err := strArg("the name of a test", rest[0])
		if err != nil {
			return nil, err
		}
		test = func(v Value) (bool, error) { return r.test(name, v, args{rest[1:], a.kw}) }
	}
	return func(v Value) (bool, error) {
		x, err := get(v)
		if err != nil {
			return false, err
		}
		return test(x)
	}, nil
}
