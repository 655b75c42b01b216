package template

import (
	"errors"
	"fmt"
)

var (
	errBreak    = errors.New("break outside of a loop")
	errContinue = errors.New("continue outside of a loop")
)

// exec runs statements. An error gets the line of the innermost statement.
func (r *runtime) exec(body []node, s *scope) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	for _, n := range body {
		err := r.spend(1)
		if err == nil {
			err = n.exec(r, s)
		}
		if err != nil {
			return located(err, n.at())
		}
	}
	return nil
}

func located(err error, line int) error {
	if err == errBreak || err == errContinue || line == 0 {
		return err
	}
	var te *Error
	if errors.As(err, &te) {
		return err
	}
	return &Error{Line: line, Err: err}
}

// capture runs body and returns what it wrote instead of writing it.
func (r *runtime) capture(body []node, s *scope) (string, error) {
	start := len(r.out)
	err := r.exec(body, s)
	text := string(r.out[start:])
	r.out = r.out[:start]
	if err != nil {
		return "", err
	}
	return text, r.alloc(int64(len(text)))
}

// print writes a value as Python's str.
func (r *runtime) print(v Value) error {
	if s, ok := v.(string); ok {
		return r.write(s)
	}
	s, err := r.str(v)
	if err != nil {
		return err
	}
	return r.write(s)
}

func (n textNode) exec(r *runtime, s *scope) error { return r.write(n.text) }

func (n *outputNode) exec(r *runtime, s *scope) error {
	v, err := r.eval(n.e, s)
	if err != nil {
		return err
	}
	return r.print(v)
}

// An if has no scope of its own.
func (n *ifNode) exec(r *runtime, s *scope) error {
	for i, c := range n.conds {
		v, err := r.eval(c, s)
		if err != nil {
			return err
		}
		if truth(v) {
			return r.exec(n.bodies[i], s)
		}
	}
	return r.exec(n.orElse, s)
}

func (n *setNode) exec(r *runtime, s *scope) error {
	v, err := r.eval(n.e, s)
	if err != nil {
		return err
	}
	return r.assign(n.target, v, s)
}

func (n *setBlockNode) exec(r *runtime, s *scope) error {
	in := &scope{up: s}
	text, err := r.capture(n.body, in)
	if err != nil {
		return err
	}
	var v Value = text
	if n.filter != nil {
		in.piped = text
		if v, err = r.eval(n.filter, in); err != nil {
			return err
		}
	}
	return r.assign(n.target, v, s)
}

func (n *macroNode) exec(r *runtime, s *scope) error {
	s.set(n.m.name, &macro{n.m, s})
	return nil
}

func (n *callNode) exec(r *runtime, s *scope) error {
	v, err := r.call(n.call, s, &macro{n.caller, s})
	if err != nil {
		return err
	}
	return r.print(v)
}

func (n *filterNode) exec(r *runtime, s *scope) error {
	in := &scope{up: s}
	text, err := r.capture(n.body, in)
	if err != nil {
		return err
	}
	in.piped = text
	v, err := r.eval(n.filter, in)
	if err != nil {
		return err
	}
	return r.print(v)
}

func (n *withNode) exec(r *runtime, s *scope) error {
	in := &scope{up: s}
	for i, t := range n.names {
		v, err := r.eval(n.vals[i], s)
		if err != nil {
			return err
		}
		if err := r.assign(t, v, in); err != nil {
			return err
		}
	}
	return r.exec(n.body, in)
}

// The generation tag marks what the assistant says, for training masks; the
// text is the same without it.
func (n *generationNode) exec(r *runtime, s *scope) error {
	return r.exec(n.body, &scope{up: s})
}

func (n *breakNode) exec(r *runtime, s *scope) error { return errBreak }

func (n *continueNode) exec(r *runtime, s *scope) error { return errContinue }

// assign sets what a target names.
func (r *runtime) assign(t expr, v Value, s *scope) error {
	switch x := t.(type) {
	case *nameExpr:
		s.set(x.name, v)
		return nil
	case *nsAttrExpr:
		o, _ := s.get(x.ns)
		ns, ok := o.(*namespace)
		if !ok {
			return fmt.Errorf("cannot assign attribute %q on %q, which is not a namespace", x.attr, x.ns)
		}
		ns.attrs.Set(x.attr, v)
		return nil
	case *tupleExpr:
		return r.unpack(x, v, s)
	}
	return fmt.Errorf("cannot assign to %T", t)
}

func (r *runtime) unpack(t *tupleExpr, v Value, s *scope) error {
	items, err := r.items(v)
	if err != nil {
		return fmt.Errorf("cannot unpack: %w", err)
	}
	if len(items) != len(t.items) {
		return fmt.Errorf("cannot unpack %d values into %d names", len(items), len(t.items))
	}
	for i, item := range items {
		if err := r.assign(t.items[i], item, s); err != nil {
			return err
		}
	}
	return nil
}
