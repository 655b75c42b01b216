package template

import (
	"fmt"
	"strings"
)

// eval evaluates an expression within the limits.
func (r *runtime) eval(e expr, s *scope) (Value, error) {
	if err := r.spend(1); err != nil {
		return nil, err
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	v, err := e.eval(r, s)
	r.depth--
	return v, err
}

func (r *runtime) evalAll(es []expr, s *scope) ([]Value, error) {
	out := make([]Value, len(es))
	for i, e := range es {
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, r.allocItems(len(out))
}

func (x *constExpr) eval(r *runtime, s *scope) (Value, error) { return x.v, nil }

func (x pipeExpr) eval(r *runtime, s *scope) (Value, error) { return s.piped, nil }

func (x *nameExpr) eval(r *runtime, s *scope) (Value, error) {
	if v, ok := s.get(x.name); ok {
		return v, nil
	}
	return undefinedName(x.name), nil
}

func (x *nsAttrExpr) eval(r *runtime, s *scope) (Value, error) {
	return nil, fmt.Errorf("%s.%s is not a value here", x.ns, x.attr)
}

func (x *listExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.evalAll(x.items, s)
	if err != nil {
		return nil, err
	}
	return &List{v}, nil
}

func (x *tupleExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.evalAll(x.items, s)
	if err != nil {
		return nil, err
	}
	return &Tuple{v}, nil
}

func (x *dictExpr) eval(r *runtime, s *scope) (Value, error) {
	d := NewDict()
	for i := range x.keys {
		k, err := r.eval(x.keys[i], s)
		if err != nil {
			return nil, err
		}
		v, err := r.eval(x.vals[i], s)
		if err != nil {
			return nil, err
		}
		if err := d.putAny(k, v); err != nil {
			return nil, err
		}
	}
	return d, r.allocItems(3 * len(x.keys))
}

func (x *binaryExpr) eval(r *runtime, s *scope) (Value, error) {
	a, err := r.eval(x.l, s)
	if err != nil {
		return nil, err
	}
	b, err := r.eval(x.r, s)
	if err != nil {
		return nil, err
	}
	return r.binary(x.op, a, b)
}

// eval of "and" and "or" gives one of the operands, as in Python.
func (x *logicExpr) eval(r *runtime, s *scope) (Value, error) {
	a, err := r.eval(x.l, s)
	if err != nil || truth(a) == x.or {
		return a, err
	}
	return r.eval(x.r, s)
}

func (x *concatExpr) eval(r *runtime, s *scope) (Value, error) {
	var b strings.Builder
	for _, p := range x.parts {
		v, err := r.eval(p, s)
		if err != nil {
			return nil, err
		}
		t, err := r.str(v)
		if err != nil {
			return nil, err
		}
		if err := r.alloc(int64(len(t))); err != nil {
			return nil, err
		}
		b.WriteString(t)
	}
	return b.String(), nil
}

func (x *notExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	return !truth(v), nil
}

func (x *signExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	if !isNumber(v) {
		return nil, fmt.Errorf("bad operand type for unary %s: '%s'", x.op, typeName(v))
	}
	if x.op == "+" {
		return r.binary("+", v, int64(0))
	}
	if f, ok := v.(float64); ok {
		return -f, nil
	}
	return r.binary("-", int64(0), v)
}

// eval of a chain a < b < c stops at the first comparison that fails.
func (x *compareExpr) eval(r *runtime, s *scope) (Value, error) {
	l, err := r.eval(x.l, s)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		v, err := r.eval(x.r[i], s)
		if err != nil {
			return nil, err
		}
		ok, err := r.compareOp(op, l, v)
		if err != nil {
			return nil, err
		}
		if !ok {
			return false, nil
		}
		l = v
	}
	return true, nil
}

func (x *condExpr) eval(r *runtime, s *scope) (Value, error) {
	c, err := r.eval(x.cond, s)
	if err != nil {
		return nil, err
	}
	if truth(c) {
		return r.eval(x.then, s)
	}
	if x.orElse == nil {
		return undefined{"the inline if-expression evaluated to false and no else section was defined"}, nil
	}
	return r.eval(x.orElse, s)
}

func (x *attrExpr) eval(r *runtime, s *scope) (Value, error) {
	o, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	return getAttr(o, x.name)
}

func (x *indexExpr) eval(r *runtime, s *scope) (Value, error) {
	o, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	i, err := r.eval(x.i, s)
	if err != nil {
		return nil, err
	}
	return getItem(o, i)
}

func (x *sliceExpr) eval(r *runtime, s *scope) (Value, error) {
	o, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	var b [3]Value
	for i, e := range []expr{x.lo, x.hi, x.step} {
		if e == nil {
			continue
		}
		if b[i], err = r.eval(e, s); err != nil {
			return nil, err
		}
	}
	return r.slice(o, b[0], b[1], b[2])
}

func (x *callExpr) eval(r *runtime, s *scope) (Value, error) { return r.call(x, s, nil) }

func (x *filterExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	a, err := r.args(x.args, s)
	if err != nil {
		return nil, err
	}
	return r.filter(x.name, v, a)
}

// filter applies a filter by name.
func (r *runtime) filter(name string, v Value, a args) (Value, error) {
	f, ok := filters[name]
	if !ok {
		return nil, noFilter(name)
	}
	if f.sig.rest {
		return f.call(r, v, a)
	}
	what := "the filter " + name
	bound, err := f.sig.bind(what, a)
	if err != nil {
		return nil, err
	}
	return f.call(r, v, args{pos: bound})
}

func (x *testExpr) eval(r *runtime, s *scope) (Value, error) {
	v, err := r.eval(x.e, s)
	if err != nil {
		return nil, err
	}
	a, err := r.args(x.args, s)
	if err != nil {
		return nil, err
	}
	ok, err := r.test(x.name, v, a)
	return ok != x.negate, err
}

// test runs a test by name.
func (r *runtime) test(name string, v Value, a args) (bool, error) {
	t, ok := tests[name]
	if !ok {
		return false, noTest(name)
	}
	bound, err := t.sig.bind("the test "+name, a)
	if err != nil {
		return false, err
	}
	return t.call(r, v, bound)
}

// args evaluates the arguments of a call; c may be nil.
func (r *runtime) args(c *callExpr, s *scope) (args, error) {
	var a args
	if c == nil {
		return a, nil
	}
	var err error
	if a.pos, err = r.evalAll(c.args, s); err != nil {
		return a, err
	}
	if c.star != nil {
		v, err := r.eval(c.star, s)
		if err != nil {
			return a, err
		}
		more, err := r.items(v)
		if err != nil {
			return a, err
		}
		if err := r.allocItems(len(more)); err != nil {
			return a, err
		}
		a.pos = append(a.pos, more...)
	}
	if len(c.kwNames) == 0 && c.starKw == nil {
		return a, nil
	}
	a.kw = NewDict()
	for i, name := range c.kwNames {
		v, err := r.eval(c.kwVals[i], s)
		if err != nil {
			return a, err
		}
		if _, twice := a.kw.Get(name); twice {
			return a, fmt.Errorf("the argument %q is given twice", name)
		}
		a.kw.Set(name, v)
	}
	if c.starKw != nil {
		err = r.starKw(c.starKw, s, a.kw)
	}
	return a, err
}

func (r *runtime) starKw(e expr, s *scope, kw *Dict) error {
	v, err := r.eval(e, s)
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if !ok {
		return fmt.Errorf("the argument after ** must be a dict, not '%s'", typeName(v))
	}
	for k, v := range d.All() {
		name, ok := asString(k)
		if !ok {
			return fmt.Errorf("the names of arguments must be strings, not '%s'", typeName(k))
		}
		if _, twice := kw.Get(name); twice {
			return fmt.Errorf("the argument %q is given twice", name)
		}
		kw.Set(name, v)
	}
	return r.allocItems(d.Len())
}

// call calls the function of c; caller is the body of a call block or nil.
func (r *runtime) call(c *callExpr, s *scope, caller *macro) (Value, error) {
	f, err := r.eval(c.f, s)
	if err != nil {
		return nil, err
	}
	a, err := r.args(c, s)
	if err != nil {
		return nil, err
	}
	if caller != nil {
		if a.kw == nil {
			a.kw = NewDict()
		}
		a.kw.Set("caller", caller)
	}
	return r.apply(f, a)
}

func (r *runtime) apply(f Value, a args) (Value, error) {
	switch x := f.(type) {
	case *macro:
		return x.invoke(r, a)
	case *function:
		return x.call(r, a)
	case *method:
		return x.call(r, x.self, a)
	case *loopState:
		if x.again == nil {
			return nil, fmt.Errorf("loop() needs a loop marked recursive")
		}
		if len(a.pos) != 1 || a.kw.Len() > 0 {
			return nil, fmt.Errorf("loop() takes one argument")
		}
		return x.again(a.pos[0])
	case undefined:
		return nil, x.err()
	}
	return nil, fmt.Errorf("'%s' object is not callable", typeName(f))
}
