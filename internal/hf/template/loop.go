package template

import "fmt"

// loopState is the variable "loop" of a for.
type loopState struct {
	items   []Value
	i       int
	depth   int
	changed *Tuple // last arguments of loop.changed
	again   func(v Value) (string, error)
}

func (n *forNode) exec(r *runtime, s *scope) error {
	v, err := r.eval(n.iter, s)
	if err != nil {
		return err
	}
	return r.loop(n, v, s, 0)
}

// loop runs a for over v. Every iteration has a fresh scope.
func (r *runtime) loop(n *forNode, v Value, s *scope, depth int) error {
	items, err := r.items(v)
	if err != nil {
		return err
	}
	if n.cond != nil {
		if items, err = r.filterItems(n, items, s); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return r.exec(n.orElse, &scope{up: s})
	}
	l := &loopState{items: items, depth: depth}
	if n.recursive {
		l.again = func(v Value) (string, error) { return r.nested(n, v, s, depth+1) }
	}
	for i, item := range items {
		l.i = i
		in := &scope{up: s, names: make([]string, 0, 4), vals: make([]Value, 0, 4)}
		in.set("loop", l)
		if err := r.assign(n.target, item, in); err != nil {
			return err
		}
		err := r.spend(1)
		if err == nil {
			err = r.exec(n.body, in)
		}
		if err == errBreak {
			break
		}
		if err != nil && err != errContinue {
			return err
		}
	}
	return nil
}

func (r *runtime) filterItems(n *forNode, items []Value, s *scope) ([]Value, error) {
	var out []Value
	for _, item := range items {
		in := &scope{up: s}
		if err := r.assign(n.target, item, in); err != nil {
			return nil, err
		}
		c, err := r.eval(n.cond, in)
		if err != nil {
			return nil, err
		}
		if truth(c) {
			out = append(out, packed(n.target, item, in))
		}
	}
	return out, r.allocItems(len(out))
}

// packed is the item as a filtered loop sees it: what was unpacked into
// several names is a tuple again.
func packed(t expr, item Value, in *scope) Value {
	x, ok := t.(*tupleExpr)
	if !ok {
		return item
	}
	out := &Tuple{make([]Value, len(x.items))}
	for i, e := range x.items {
		if name, ok := e.(*nameExpr); ok {
			out.Items[i], _ = in.get(name.name)
		} else {
			out.Items[i] = packed(e, nil, in)
		}
	}
	return out
}

// nested is the call loop(v) in a recursive loop: its output is the value.
func (r *runtime) nested(n *forNode, v Value, s *scope, depth int) (string, error) {
	if err := r.enter(); err != nil {
		return "", err
	}
	defer r.leave()
	start := len(r.out)
	err := r.loop(n, v, s, depth)
	text := string(r.out[start:])
	r.out = r.out[:start]
	if err != nil {
		return "", err
	}
	return text, r.alloc(int64(len(text)))
}

// attr returns an attribute of loop; false when it has no such one.
func (l *loopState) attr(name string) (Value, bool) {
	n := int64(len(l.items))
	i := int64(l.i)
	switch name {
	case "index":
		return i + 1, true
	case "index0":
		return i, true
	case "revindex":
		return n - i, true
	case "revindex0":
		return n - i - 1, true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return n, true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if i > 0 {
			return l.items[i-1], true
		}
		return undefined{"there is no previous item"}, true
	case "nextitem":
		if i+1 < n {
			return l.items[i+1], true
		}
		return undefined{"there is no next item"}, true
	case "cycle":
		return &method{l, name, loopCycle}, true
	case "changed":
		return &method{l, name, loopChanged}, true
	}
	return nil, false
}

func loopCycle(r *runtime, self Value, a args) (Value, error) {
	l := self.(*loopState)
	if len(a.pos) == 0 || a.kw.Len() > 0 {
		return nil, fmt.Errorf("loop.cycle takes one or more values")
	}
	return a.pos[l.i%len(a.pos)], nil
}

func loopChanged(r *runtime, self Value, a args) (Value, error) {
	l := self.(*loopState)
	if a.kw.Len() > 0 {
		return nil, fmt.Errorf("loop.changed takes no named arguments")
	}
	t := &Tuple{a.pos}
	if l.changed != nil && r.equal(l.changed, t) {
		return false, nil
	}
	l.changed = t
	return true, nil
}
