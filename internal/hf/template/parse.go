package template

import (
	"fmt"
	"slices"
	"strings"
)

// maxNesting bounds how deep blocks and brackets nest in a template, maxChain
// how many operators or filters follow one another in an expression. Both keep
// hostile input from exhausting the stack.
const (
	maxNesting = 200
	maxChain   = 1000
)

// parser is a recursive-descent parser. The first error stays in err and the
// position jumps to the end, so that every loop ends by itself.
type parser struct {
	toks  []token
	i     int
	depth int
	loops int // loops around this place that break and continue may leave
	err   error
}

func (p *parser) cur() token { return p.toks[p.i] }

func (p *parser) peek() token { return p.toks[min(p.i+1, len(p.toks)-1)] }

func (p *parser) next() token {
	t := p.toks[p.i]
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}

func (p *parser) failf(f string, a ...any) {
	if p.err == nil {
		p.err = &Error{Line: p.cur().line, Err: fmt.Errorf(f, a...)}
	}
	p.i = len(p.toks) - 1
}

// enter counts a level of nesting; the caller leaves it with p.depth--.
func (p *parser) enter() bool {
	if p.depth++; p.depth > maxNesting {
		p.failf("nested more than %d levels deep", maxNesting)
		return false
	}
	return true
}

func (p *parser) isOp(s string) bool   { c := p.cur(); return c.kind == tokOp && c.s == s }
func (p *parser) isName(s string) bool { c := p.cur(); return c.kind == tokName && c.s == s }

func (p *parser) op(s string) bool {
	ok := p.isOp(s)
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) keyword(s string) bool {
	ok := p.isName(s)
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) want(s string) {
	if !p.op(s) {
		p.failf("expected %q, got %v", s, p.cur())
	}
}

func (p *parser) wantKind(k tokenKind) string {
	if p.cur().kind != k {
		p.failf("expected %v, got %v", k, p.cur())
		return ""
	}
	return p.next().s
}

func (p *parser) blockEnd() { p.wantKind(tokBlockEnd) }

// bodyStart parses the end mark of a tag before a body; a colon may precede.
func (p *parser) bodyStart() {
	p.op(":")
	p.blockEnd()
}

func (p *parser) template() ([]node, error) {
	body, _ := p.body()
	if p.err == nil && p.cur().kind != tokEOF {
		p.failf("unexpected %v", p.cur())
	}
	return body, p.err
}

// body parses up to one of the tags named in ends (none: to the end of the
// template). It reads the tag's name, not its end mark, and returns it.
func (p *parser) body(ends ...string) ([]node, string) {
	defer func() { p.depth-- }()
	if !p.enter() {
		return nil, ""
	}
	var out []node
	for {
		t := p.cur()
		switch t.kind {
		case tokEOF:
			if len(ends) > 0 {
				p.failf("the template ends before %s", strings.Join(ends, " or "))
			}
			return out, ""
		case tokText:
			p.next()
			out = append(out, textNode{t.s})
		case tokVarBegin:
			p.next()
			e := p.tuple(true)
			p.wantKind(tokVarEnd)
			out = append(out, &outputNode{pos(t.line), e})
		case tokBlockBegin:
			p.next()
			name := p.wantKind(tokName)
			if slices.Contains(ends, name) {
				return out, name
			}
			if n := p.statement(name, pos(t.line)); n != nil {
				out = append(out, n)
			}
		default:
			p.failf("unexpected %v", t)
			return nil, ""
		}
	}
}

// block parses the end mark of an opening tag, a body and its closing tag.
func (p *parser) block(end string) []node {
	p.bodyStart()
	b, _ := p.body(end)
	p.blockEnd()
	return b
}

// closed is block for a body that becomes a function: a break in it cannot
// leave a loop around it.
func (p *parser) closed(end string) []node {
	old := p.loops
	p.loops = 0
	b := p.block(end)
	p.loops = old
	return b
}

func (p *parser) statement(name string, at pos) node {
	switch name {
	case "if":
		return p.ifStatement(at)
	case "for":
		return p.forStatement(at)
	case "set":
		return p.setStatement(at)
	case "macro":
		m := &macroDef{name: p.wantKind(tokName)}
		p.want("(")
		p.params(m)
		m.body = p.closed("endmacro")
		m.findSpecials()
		return &macroNode{at, m}
	case "call":
		return p.callStatement(at)
	case "filter":
		f := p.filterName(pipeExpr{})
		return &filterNode{at, p.filters(f, true), p.block("endfilter")}
	case "with":
		return p.withStatement(at)
	case "generation":
		return &generationNode{at, p.closed("endgeneration")}
	case "break", "continue":
		if p.loops == 0 {
			p.failf("%s outside of a loop", name)
		}
		p.blockEnd()
		if name == "break" {
			return &breakNode{at}
		}
		return &continueNode{at}
	case "include", "import", "from", "extends", "block", "autoescape":
		p.failf("the tag %q is not supported in a chat template", name)
	default:
		p.failf("unknown tag %q", name)
	}
	return nil
}

func (p *parser) ifStatement(at pos) node {
	x := &ifNode{pos: at}
	for {
		x.conds = append(x.conds, p.tuple(false))
		p.bodyStart()
		b, end := p.body("elif", "else", "endif")
		x.bodies = append(x.bodies, b)
		if end == "elif" {
			continue
		}
		if end == "else" {
			x.orElse = p.block("endif")
		} else {
			p.blockEnd()
		}
		return x
	}
}

func (p *parser) forStatement(at pos) node {
	x := &forNode{pos: at, target: p.target()}
	if !p.keyword("in") {
		p.failf("expected \"in\", got %v", p.cur())
	}
	x.iter = p.tuple(false)
	if p.keyword("if") {
		x.cond = p.expr()
	}
	x.recursive = p.keyword("recursive")
	p.bodyStart()
	old := p.loops
	if x.recursive {
		p.loops = 0
	}
	p.loops++
	b, end := p.body("else", "endfor")
	x.body = b
	p.loops--
	if end == "else" {
		x.orElse = p.block("endfor")
	} else {
		p.blockEnd()
	}
	p.loops = old
	return x
}

func (p *parser) setStatement(at pos) node {
	t := p.target()
	if p.op("=") {
		e := p.tuple(true)
		p.blockEnd()
		return &setNode{at, t, e}
	}
	x := &setBlockNode{pos: at, target: t}
	if p.isOp("|") {
		x.filter = p.filters(pipeExpr{}, true)
	}
	x.body = p.block("endset")
	return x
}

func (p *parser) callStatement(at pos) node {
	m := &macroDef{name: "caller"}
	if p.op("(") {
		p.params(m)
	}
	c, ok := p.expr().(*callExpr)
	if !ok {
		p.failf("%w", errNotCallable)
		c = &callExpr{}
	}
	m.body = p.closed("endcall")
	m.findSpecials()
	return &callNode{at, c, m}
}

func (p *parser) withStatement(at pos) node {
	x := &withNode{pos: at}
	for p.cur().kind != tokBlockEnd && p.err == nil {
		if len(x.names) > 0 {
			p.want(",")
		}
		x.names = append(x.names, p.target())
		p.want("=")
		x.vals = append(x.vals, p.expr())
	}
	x.body = p.block("endwith")
	return x
}

// params parses the parameters of a macro after "(".
func (p *parser) params(m *macroDef) {
	for p.err == nil && !p.isOp(")") {
		if len(m.params) > 0 {
			p.want(",")
		}
		name := p.assignable(p.wantKind(tokName))
		if slices.Contains(m.params, name) {
			p.failf("the parameter %q occurs twice", name)
		}
		m.params = append(m.params, name)
		hasDefault := p.op("=")
		if name == "caller" && !hasDefault {
			p.failf("the parameter caller needs a default")
		}
		if hasDefault {
			m.defaults = append(m.defaults, p.expr())
		} else if len(m.defaults) > 0 {
			p.failf("a parameter without default follows one with a default")
		}
	}
	p.want(")")
}

// findSpecials notes which of caller, varargs and kwargs the body uses.
func (m *macroDef) findSpecials() {
	visitNodes(m.body, func(v any) bool {
		if n, ok := v.(*nameExpr); ok {
			switch n.name {
			case "caller":
				m.usesCaller = true
			case "varargs":
				m.usesVarargs = true
			case "kwargs":
				m.usesKwargs = true
			}
		}
		return true
	})
	m.usesVarargs = m.usesVarargs && !slices.Contains(m.params, "varargs")
	m.usesKwargs = m.usesKwargs && !slices.Contains(m.params, "kwargs")
	m.usesCaller = m.usesCaller && !slices.Contains(m.params, "caller")
}

// assignable fails for the names of constants.
func (p *parser) assignable(name string) string {
	switch name {
	case "true", "false", "none", "True", "False", "None":
		p.failf("cannot assign to %q", name)
	}
	return name
}

// target parses what set, for and with assign to: a name, a namespace
// attribute, or a tuple of these.
func (p *parser) target() expr {
	e := p.targetItem()
	if !p.isOp(",") {
		return e
	}
	t := &tupleExpr{items: []expr{e}}
	for p.op(",") {
		if p.cur().kind != tokName && !p.isOp("(") || p.isName("in") {
			break
		}
		t.items = append(t.items, p.targetItem())
	}
	return t
}

func (p *parser) targetItem() expr {
	defer func() { p.depth-- }()
	if !p.enter() {
		return &nameExpr{}
	}
	if p.op("(") {
		t := p.target()
		p.want(")")
		return t
	}
	name := p.assignable(p.wantKind(tokName))
	if p.op(".") {
		return &nsAttrExpr{name, p.wantKind(tokName)}
	}
	return &nameExpr{name}
}
