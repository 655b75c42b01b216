package template

// node is a statement: it writes output and may set variables.
type node interface {
	exec(r *runtime, s *scope) error
	at() int // line
}

// expr is an expression.
type expr interface {
	eval(r *runtime, s *scope) (Value, error)
}

type pos int

func (p pos) at() int { return int(p) }

// Statements.
type (
	textNode   struct{ text string }
	outputNode struct {
		pos
		e expr
	}
	ifNode struct {
		pos
		conds  []expr
		bodies [][]node
		orElse []node
	}
	forNode struct {
		pos
		target    expr
		iter      expr
		cond      expr // nil: every item
		body      []node
		orElse    []node
		recursive bool
	}
	setNode struct {
		pos
		target, e expr
	}
	setBlockNode struct {
		pos
		target expr
		filter expr // a chain over pipeExpr, or nil
		body   []node
	}
	macroNode struct {
		pos
		m *macroDef
	}
	callNode struct {
		pos
		call   *callExpr
		caller *macroDef
	}
	filterNode struct {
		pos
		filter expr
		body   []node
	}
	withNode struct {
		pos
		names, vals []expr
		body        []node
	}
	generationNode struct {
		pos
		body []node
	}
	breakNode    struct{ pos }
	continueNode struct{ pos }
)

// macroDef is the text of a macro or of a call block.
type macroDef struct {
	name     string
	params   []string
	defaults []expr // of the last len(defaults) parameters
	body     []node
	// which of these special names the body uses
	usesCaller, usesVarargs, usesKwargs bool
}

// Expressions.
type (
	constExpr  struct{ v Value }
	nameExpr   struct{ name string }
	nsAttrExpr struct{ ns, attr string } // only a target: ns.attr
	listExpr   struct{ items []expr }
	tupleExpr  struct{ items []expr }
	dictExpr   struct{ keys, vals []expr }
	binaryExpr struct {
		op   string
		l, r expr
	}
	logicExpr struct {
		or   bool
		l, r expr
	}
	concatExpr struct{ parts []expr }
	notExpr    struct{ e expr }
	signExpr   struct {
		op string
		e  expr
	}
	compareExpr struct {
		l   expr
		ops []string
		r   []expr
	}
	condExpr struct {
		cond, then expr
		orElse     expr // nil: undefined
	}
	attrExpr struct {
		e    expr
		name string
	}
	indexExpr struct{ e, i expr }
	sliceExpr struct{ e, lo, hi, step expr }
	callExpr  struct {
		f       expr
		args    []expr
		kwNames []string
		kwVals  []expr
		star    expr
		starKw  expr
	}
	filterExpr struct {
		line int
		e    expr
		name string
		args *callExpr // nil: none
	}
	testExpr struct {
		line   int
		e      expr
		name   string
		args   *callExpr
		negate bool
	}
	pipeExpr struct{} // the text of a filter block
)

func (textNode) at() int { return 0 }

// visit calls f for every statement and expression below body, parents first.
// f returns false to leave out what is below.
func visitNodes(body []node, f func(any) bool) {
	for _, n := range body {
		visitNode(n, f)
	}
}

func visitNode(n node, f func(any) bool) {
	if !f(n) {
		return
	}
	switch x := n.(type) {
	case *outputNode:
		visitExprs(f, x.e)
	case *ifNode:
		visitExprs(f, x.conds...)
		for _, b := range x.bodies {
			visitNodes(b, f)
		}
		visitNodes(x.orElse, f)
	case *forNode:
		visitExprs(f, x.target, x.iter, x.cond)
		visitNodes(x.body, f)
		visitNodes(x.orElse, f)
	case *setNode:
		visitExprs(f, x.target, x.e)
	case *setBlockNode:
		visitExprs(f, x.target, x.filter)
		visitNodes(x.body, f)
	case *macroNode:
		visitExprs(f, x.m.defaults...)
		visitNodes(x.m.body, f)
	case *callNode:
		visitExprs(f, x.call)
		visitExprs(f, x.caller.defaults...)
		visitNodes(x.caller.body, f)
	case *filterNode:
		visitExprs(f, x.filter)
		visitNodes(x.body, f)
	case *withNode:
		visitExprs(f, x.vals...)
		visitNodes(x.body, f)
	case *generationNode:
		visitNodes(x.body, f)
	}
}

func visitExprs(f func(any) bool, es ...expr) {
	for _, e := range es {
		if e != nil && f(e) {
			visitChildren(e, f)
		}
	}
}

func visitChildren(e expr, f func(any) bool) {
	switch x := e.(type) {
	case *listExpr:
		visitExprs(f, x.items...)
	case *tupleExpr:
		visitExprs(f, x.items...)
	case *dictExpr:
		visitExprs(f, x.keys...)
		visitExprs(f, x.vals...)
	case *binaryExpr:
		visitExprs(f, x.l, x.r)
	case *logicExpr:
		visitExprs(f, x.l, x.r)
	case *concatExpr:
		visitExprs(f, x.parts...)
	case *notExpr:
		visitExprs(f, x.e)
	case *signExpr:
		visitExprs(f, x.e)
	case *compareExpr:
		visitExprs(f, x.l)
		visitExprs(f, x.r...)
	case *condExpr:
		visitExprs(f, x.cond, x.then, x.orElse)
	case *attrExpr:
		visitExprs(f, x.e)
	case *indexExpr:
		visitExprs(f, x.e, x.i)
	case *sliceExpr:
		visitExprs(f, x.e, x.lo, x.hi, x.step)
	case *callExpr:
		visitCall(x, f)
	case *filterExpr:
		visitExprs(f, x.e)
		visitCall(x.args, f)
	case *testExpr:
		visitExprs(f, x.e)
		visitCall(x.args, f)
	}
}

func visitCall(c *callExpr, f func(any) bool) {
	if c == nil {
		return
	}
	visitExprs(f, c.f)
	visitExprs(f, c.args...)
	visitExprs(f, c.kwVals...)
	visitExprs(f, c.star, c.starKw)
}
