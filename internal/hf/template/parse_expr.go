package template

import (
	"math/big"
	"strconv"
	"strings"
)

// tuple parses expr[, expr...]; without cond an inline if is not part of it
// (the "if" of a for loop stands there).
func (p *parser) tuple(cond bool) expr {
	item := p.expr
	if !cond {
		item = p.or
	}
	e := item()
	if !p.isOp(",") {
		return e
	}
	t := &tupleExpr{items: []expr{e}}
	for p.op(",") {
		c := p.cur()
		if c.kind == tokVarEnd || c.kind == tokBlockEnd || p.isOp(")") || !cond && p.isName("recursive") {
			break
		}
		t.items = append(t.items, item())
	}
	return t
}

// expr parses an expression with inline ifs.
func (p *parser) expr() expr {
	defer func() { p.depth-- }()
	if !p.enter() {
		return &constExpr{}
	}
	e := p.or()
	for n := 0; p.keyword("if"); n++ {
		x := &condExpr{then: e, cond: p.or()}
		if p.keyword("else") {
			x.orElse = p.expr()
		}
		e = x
		p.chain(n)
	}
	return e
}

func (p *parser) chain(n int) {
	if n >= maxChain {
		p.failf("an expression has more than %d parts in a row", maxChain)
	}
}

func (p *parser) or() expr {
	e := p.and()
	for n := 0; p.keyword("or"); n++ {
		e = &logicExpr{true, e, p.and()}
		p.chain(n)
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	for n := 0; p.keyword("and"); n++ {
		e = &logicExpr{false, e, p.not()}
		p.chain(n)
	}
	return e
}

func (p *parser) not() expr {
	n := 0
	for p.keyword("not") {
		n++
	}
	e := p.compare()
	if n == 0 {
		return e
	}
	e = &notExpr{e}
	if n%2 == 0 { // not not x is a boolean too
		e = &notExpr{e}
	}
	return e
}

// compareOp reads a comparison operator, "" when there is none.
func (p *parser) compareOp() string {
	t := p.cur()
	switch {
	case t.kind == tokOp:
		switch t.s {
		case "==", "!=", "<", ">", "<=", ">=":
			return p.next().s
		}
	case p.isName("in"):
		return p.next().s
	case p.isName("not") && p.peek().kind == tokName && p.peek().s == "in":
		p.next()
		p.next()
		return "not in"
	}
	return ""
}

func (p *parser) compare() expr {
	e := p.add()
	x := &compareExpr{l: e}
	for {
		o := p.compareOp()
		if o == "" {
			break
		}
		x.ops = append(x.ops, o)
		x.r = append(x.r, p.add())
	}
	if len(x.ops) == 0 {
		return e
	}
	return x
}

func (p *parser) binary(next func() expr, ops ...string) expr {
	e := next()
	for n := 0; p.cur().kind == tokOp; n++ {
		found := ""
		for _, o := range ops {
			if p.cur().s == o {
				found = o
			}
		}
		if found == "" {
			break
		}
		p.next()
		e = &binaryExpr{found, e, next()}
		p.chain(n)
	}
	return e
}

func (p *parser) add() expr { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() expr {
	e := p.mul()
	if !p.isOp("~") {
		return e
	}
	x := &concatExpr{parts: []expr{e}}
	for p.op("~") {
		x.parts = append(x.parts, p.mul())
	}
	return x
}

func (p *parser) mul() expr { return p.binary(p.pow, "*", "//", "/", "%") }

// pow associates to the left, unlike Python's.
func (p *parser) pow() expr { return p.binary(p.filtered, "**") }

func (p *parser) filtered() expr { return p.filters(p.unary(), false) }

// unary parses signs, which bind tighter than filters: -1|abs is (-1)|abs.
func (p *parser) unary() expr {
	defer func() { p.depth-- }()
	if !p.enter() {
		return &constExpr{}
	}
	var e expr
	if p.isOp("-") || p.isOp("+") {
		o := p.next().s
		e = &signExpr{o, p.unary()}
	} else {
		e = p.primary()
	}
	return p.postfix(e)
}

func (p *parser) primary() expr {
	t := p.cur()
	switch t.kind {
	case tokName:
		p.next()
		switch t.s {
		case "true", "True":
			return &constExpr{true}
		case "false", "False":
			return &constExpr{false}
		case "none", "None":
			return &constExpr{nil}
		}
		return &nameExpr{t.s}
	case tokString:
		var b strings.Builder
		for p.cur().kind == tokString {
			b.WriteString(p.next().s)
		}
		return &constExpr{b.String()}
	case tokInt:
		p.next()
		return &constExpr{p.integer(t.s)}
	case tokFloat:
		p.next()
		f, err := strconv.ParseFloat(t.s, 64)
		if err != nil && f == 0 {
			p.failf("bad number %q", t.s)
		}
		return &constExpr{f}
	case tokOp:
		switch t.s {
		case "(":
			return p.paren()
		case "[":
			p.next()
			return &listExpr{p.list("]")}
		case "{":
			return p.dict()
		}
	}
	p.failf("unexpected %v", t)
	return &constExpr{}
}

// integer converts digits; like Python, a decimal literal has at most 4300.
func (p *parser) integer(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	base := 10
	if len(s) > 2 && s[0] == '0' {
		base = map[byte]int{'x': 16, 'o': 8, 'b': 2}[s[1]|0x20]
		if base != 0 {
			s = s[2:]
		}
	}
	n, ok := new(big.Int), false
	if len(s) <= maxIntDigits {
		n, ok = n.SetString(s, base)
	}
	if !ok {
		p.failf("bad integer of %d digits", len(s))
		return nil
	}
	return normInt(n)
}

func (p *parser) paren() expr {
	p.next()
	if p.op(")") {
		return &tupleExpr{}
	}
	e := p.tuple(true)
	p.want(")")
	return e
}

// list parses expressions up to the closing bracket.
func (p *parser) list(end string) []expr {
	var out []expr
	for p.err == nil && !p.isOp(end) {
		if len(out) > 0 {
			p.want(",")
			if p.isOp(end) {
				break
			}
		}
		out = append(out, p.expr())
	}
	p.want(end)
	return out
}

func (p *parser) dict() expr {
	p.next()
	x := &dictExpr{}
	for p.err == nil && !p.isOp("}") {
		if len(x.keys) > 0 {
			p.want(",")
			if p.isOp("}") {
				break
			}
		}
		x.keys = append(x.keys, p.expr())
		p.want(":")
		x.vals = append(x.vals, p.expr())
	}
	p.want("}")
	return x
}

// postfix parses attributes, indexes and calls after e.
func (p *parser) postfix(e expr) expr {
	for n := 0; ; n++ {
		p.chain(n)
		switch {
		case p.op("."):
			if p.cur().kind == tokInt {
				e = &indexExpr{e, &constExpr{p.integer(p.next().s)}}
			} else {
				e = &attrExpr{e, p.wantKind(tokName)}
			}
		case p.op("["):
			e = p.subscript(e)
		case p.isOp("("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// subscript parses what follows "[": an index, several (a tuple) or a slice.
func (p *parser) subscript(e expr) expr {
	var items []expr
	var last expr
	slices := 0
	for p.err == nil && !p.isOp("]") {
		if len(items) > 0 {
			p.want(",")
		}
		item, isSlice := p.subscriptItem(e)
		if isSlice {
			slices++
		}
		items, last = append(items, item), item
	}
	p.want("]")
	switch {
	case p.err != nil:
		return e
	case len(items) == 0:
		p.failf("expected an index")
		return e
	case len(items) == 1 && slices == 1:
		return last
	case len(items) == 1:
		return &indexExpr{e, last}
	case slices > 0:
		p.failf("a slice among several indexes is not supported")
	}
	return &indexExpr{e, &tupleExpr{items}}
}

// subscriptItem parses an index, or a slice of e.
func (p *parser) subscriptItem(e expr) (item expr, isSlice bool) {
	s := &sliceExpr{e: e}
	if !p.isOp(":") {
		i := p.expr()
		if !p.isOp(":") {
			return i, false
		}
		s.lo = i
	}
	p.want(":")
	if !p.isOp("]") && !p.isOp(",") && !p.isOp(":") {
		s.hi = p.expr()
	}
	if p.op(":") && !p.isOp("]") && !p.isOp(",") {
		s.step = p.expr()
	}
	return s, true
}

// call parses "(" arguments ")".
func (p *parser) call(f expr) *callExpr {
	p.want("(")
	c := &callExpr{f: f}
	for first := true; p.err == nil && !p.isOp(")"); first = false {
		if !first {
			p.want(",")
			if p.isOp(")") {
				break
			}
		}
		p.argument(c)
	}
	p.want(")")
	return c
}

func (p *parser) argument(c *callExpr) {
	named := len(c.kwNames) > 0 || c.starKw != nil
	switch {
	case p.op("*"):
		if c.star != nil || c.starKw != nil {
			p.failf("a second * argument, or one after **")
		}
		c.star = p.expr()
	case p.op("**"):
		if c.starKw != nil {
			p.failf("a second ** argument")
		}
		c.starKw = p.expr()
	case p.cur().kind == tokName && p.peek().kind == tokOp && p.peek().s == "=":
		if c.starKw != nil {
			p.failf("a named argument after **")
		}
		c.kwNames = append(c.kwNames, p.next().s)
		p.next()
		c.kwVals = append(c.kwVals, p.expr())
	default:
		if named || c.star != nil {
			p.failf("an unnamed argument after a named one")
		}
		c.args = append(c.args, p.expr())
	}
}

// filterName parses one filter (name and arguments) applied to e.
func (p *parser) filterName(e expr) expr {
	x := &filterExpr{line: p.cur().line, e: e, name: p.wantKind(tokName)}
	for p.op(".") {
		x.name += "." + p.wantKind(tokName)
	}
	if p.isOp("(") {
		x.args = p.call(nil)
	}
	return x
}

// filters parses the filters, and unless only filters may stand here also the
// tests and calls, after e.
func (p *parser) filters(e expr, only bool) expr {
	for n := 0; ; n++ {
		p.chain(n)
		switch {
		case p.op("|"):
			e = p.filterName(e)
		case only:
			return e
		case p.isName("is"):
			e = p.test(e)
		case p.isOp("("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// test parses "is [not] name [argument]"; one argument needs no brackets.
func (p *parser) test(e expr) expr {
	p.next()
	x := &testExpr{line: p.cur().line, e: e, negate: p.keyword("not")}
	x.name = p.wantKind(tokName)
	for p.op(".") {
		x.name += "." + p.wantKind(tokName)
	}
	if p.isOp("(") {
		x.args = p.call(nil)
		return x
	}
	if p.testArgument() {
		if p.isName("is") {
			p.failf("a test cannot be the argument of a test: use brackets")
		}
		x.args = &callExpr{args: []expr{p.postfix(p.primary())}}
	}
	return x
}

func (p *parser) testArgument() bool {
	switch t := p.cur(); t.kind {
	case tokString, tokInt, tokFloat:
		return true
	case tokOp:
		return t.s == "[" || t.s == "{"
	case tokName:
		return t.s != "else" && t.s != "or" && t.s != "and"
	}
	return false
}
