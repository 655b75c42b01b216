package template

import (
	"errors"
	"fmt"
)

// maxRange is the sandbox's bound on range().
const maxRange = 100_000

// globals are the functions that every template sees.
var globals map[string]Value

func init() {
	globals = map[string]Value{}
	add := func(name string, f func(r *runtime, a args) (Value, error)) {
		globals[name] = &function{name, f}
	}
	add("namespace", func(r *runtime, a args) (Value, error) {
		d, err := r.makeDict("namespace", a)
		return &namespace{d}, err
	})
	add("dict", func(r *runtime, a args) (Value, error) { return r.makeDict("dict", a) })
	add("range", makeRange)
	add("raise_exception", raiseException)
	add("strftime_now", strftimeNow)
	add("cycler", func(r *runtime, a args) (Value, error) {
		if len(a.pos) == 0 || a.kw.Len() > 0 {
			return nil, errors.New("cycler takes one or more values")
		}
		return &cycler{items: a.pos}, nil
	})
	add("joiner", func(r *runtime, a args) (Value, error) {
		b, err := joinerSig.bind("joiner", a)
		if err != nil {
			return nil, err
		}
		used := false
		return &function{"joiner", func(r *runtime, a args) (Value, error) {
			if !used {
				used = true
				return "", nil
			}
			return or(b[0], ", "), nil
		}}, nil
	})
}

var (
	joinerSig = sig("sep?")
	raiseSig  = sig("message")
	formatSig = sig("format")
)

func raiseException(r *runtime, a args) (Value, error) {
	b, err := raiseSig.bind("raise_exception", a)
	if err != nil {
		return nil, err
	}
	s, err := r.str(b[0])
	if err != nil {
		return nil, err
	}
	return nil, &RaisedError{s}
}

func strftimeNow(r *runtime, a args) (Value, error) {
	b, err := formatSig.bind("strftime_now", a)
	if err != nil {
		return nil, err
	}
	f, err := strArg("the format of strftime_now", b[0])
	if err != nil {
		return nil, err
	}
	if err := r.alloc(32 * int64(len(f))); err != nil {
		return nil, err
	}
	return strftime(r.now(), f), nil
}

// makeDict is dict(mapping or pairs, **named).
func (r *runtime) makeDict(what string, a args) (*Dict, error) {
	d := NewDict()
	if len(a.pos) > 1 {
		return d, fmt.Errorf("%s takes at most one unnamed argument", what)
	}
	if len(a.pos) == 1 {
		if from, ok := a.pos[0].(*Dict); ok {
			d.merge(from)
		} else if err := r.mergePairs(d, a.pos[0]); err != nil {
			return d, err
		}
	}
	d.merge(a.kw)
	return d, r.allocItems(3 * d.Len())
}

func (r *runtime) mergePairs(d *Dict, v Value) error {
	items, err := r.items(v)
	if err != nil {
		return err
	}
	for _, p := range items {
		kv, err := r.items(p)
		if err != nil || len(kv) != 2 {
			return errors.New("a dict is made from a mapping or from pairs")
		}
		if err := d.putAny(kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

func makeRange(r *runtime, a args) (Value, error) {
	if len(a.pos) == 0 || len(a.pos) > 3 || a.kw.Len() > 0 {
		return nil, errors.New("range takes one to three unnamed arguments")
	}
	n := [3]int64{0, 0, 1}
	for i, v := range a.pos {
		x, ok := asInt(v)
		if !ok {
			if u, ok := v.(undefined); ok {
				return nil, u.err()
			}
			return nil, fmt.Errorf("'%s' object cannot be interpreted as an integer of 64 bits", typeName(v))
		}
		n[i] = x
	}
	if len(a.pos) == 1 {
		n[0], n[1] = 0, n[0]
	}
	lo, hi, step := n[0], n[1], n[2]
	g := &intRange{lo: lo, hi: hi, step: step}
	switch {
	case step == 0:
		return nil, errors.New("range() arg 3 must not be zero")
	case step > 0 && lo < hi:
		g.n = rangeLen(uint64(hi)-uint64(lo), uint64(step))
	case step < 0 && lo > hi:
		g.n = rangeLen(uint64(lo)-uint64(hi), -uint64(step))
	}
	if g.n > maxRange {
		return nil, fmt.Errorf("range too big: the sandbox allows at most %d numbers", maxRange)
	}
	return g, nil
}

// rangeLen is the number of steps in a distance, cut off above maxRange.
func rangeLen(distance, step uint64) int64 {
	return int64(min((distance-1)/step, maxRange) + 1)
}

// cycler goes through its items again and again.
type cycler struct {
	items []Value
	i     int
}

func (c *cycler) attr(name string) (Value, bool) {
	switch name {
	case "current":
		return c.items[c.i], true
	case "items":
		return &Tuple{c.items}, true
	case "pos":
		return int64(c.i), true
	case "next":
		return &method{c, name, func(r *runtime, self Value, a args) (Value, error) {
			v := c.items[c.i]
			c.i = (c.i + 1) % len(c.items)
			return v, nil
		}}, true
	case "reset":
		return &method{c, name, func(r *runtime, self Value, a args) (Value, error) {
			c.i = 0
			return nil, nil
		}}, true
	}
	return nil, false
}
