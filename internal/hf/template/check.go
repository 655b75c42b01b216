package template

import (
	"errors"
	"fmt"
)

// checkNames fails for unknown filters and tests, as Jinja2 does when it
// compiles. Inside an if (statement or inline) it lets them pass: there they
// fail only when they are reached. A loop, macro or block starts afresh.
func checkNames(body []node) error {
	c := &nameCheck{}
	c.nodes(body, false)
	if c.err != nil {
		return c.err
	}
	return nil
}

type nameCheck struct{ err error }

func (c *nameCheck) nodes(body []node, soft bool) {
	for _, n := range body {
		c.node(n, soft)
	}
}

func (c *nameCheck) node(n node, soft bool) {
	switch x := n.(type) {
	case *ifNode:
		c.exprs(true, x.conds...)
		for _, b := range x.bodies {
			c.nodes(b, true)
		}
		c.nodes(x.orElse, true)
	case *forNode:
		c.exprs(soft, x.iter)
		c.exprs(false, x.cond)
		c.nodes(x.body, false)
		c.nodes(x.orElse, false)
	default:
		visitNode(n, c.visitor(n, soft))
	}
}

// visitor checks the expressions of statement n in its own frame and sends the
// statements below it to a fresh one.
func (c *nameCheck) visitor(root node, soft bool) func(any) bool {
	return func(v any) bool {
		if v == any(root) {
			return true
		}
		switch x := v.(type) {
		case node:
			c.node(x, false)
			return false
		case expr:
			c.exprs(soft, x)
			return false
		}
		return true
	}
}

func (c *nameCheck) exprs(soft bool, es ...expr) {
	visitExprs(func(v any) bool {
		switch x := v.(type) {
		case *condExpr:
			c.exprs(true, x.cond, x.then, x.orElse)
			return false
		case *filterExpr:
			if _, ok := filters[x.name]; !ok && !soft {
				c.fail(x.line, noFilter(x.name))
			}
		case *testExpr:
			if _, ok := tests[x.name]; !ok && !soft {
				c.fail(x.line, noTest(x.name))
			}
		}
		return true
	}, es...)
}

func (c *nameCheck) fail(line int, err error) {
	if c.err == nil {
		c.err = &Error{Line: line, Err: err}
	}
}

// unsupported are filters of Jinja2 that this package leaves out: random ones
// and those for web pages.
var unsupported = map[string]bool{"random": true, "urlize": true, "pprint": true, "wordwrap": true}

func noFilter(name string) error {
	if unsupported[name] {
		return fmt.Errorf("the filter %q is not supported", name)
	}
	return fmt.Errorf("no filter named %q", name)
}

func noTest(name string) error { return fmt.Errorf("no test named %q", name) }

var errNotCallable = errors.New("expected a call")
