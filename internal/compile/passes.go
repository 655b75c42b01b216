package compile

import (
	"fmt"
	"slices"
)

// A pass rewrites the graph. Optional passes make it better; without a required
// one the planner does not take it.
type pass struct {
	name     string
	run      func(*Graph) error
	required bool
}

// passes run in this order, which constraints explain.
var passes = []pass{
	{"counts", counts, true},
	{"deadcode", deadcode, false},
	{"copies", copies, true},
	{"scale", scale, false},
	{"fold", fold, true},
	{"cse", cse, false},
	{"fuse", fuse, false},
	{"order", order, false},
	{"number", number, true},
}

// constraints say which pass must come before which, and why.
var constraints = []struct{ before, after, reason string }{
	{"deadcode", "fold", "what nobody reads must not be evaluated"},
	{"copies", "fold", "a tracer of a constant is that constant"},
	{"copies", "cse", "two tracers of one value look different"},
	{"counts", "deadcode", "what is counted is not read"},
	{"scale", "fold", "folding turns constants into memory"},
	{"fold", "cse", "equal constants are known by their memory, which folding gives them"},
	{"cse", "fuse", "what is read twice is not fused into one of its readers"},
	{"fuse", "order", "fused ops move to their last one"},
	{"cse", "order", "merging moves reads"},
	{"order", "number", "values are numbered as they are computed"},
}

func init() {
	if err := checkOrder(passes); err != nil {
		panic("compile: " + err.Error())
	}
}

// checkOrder says which constraint a list of passes breaks.
func checkOrder(ps []pass) error {
	at := map[string]int{}
	for i, p := range ps {
		if _, ok := at[p.name]; ok {
			return fmt.Errorf("pass %s is listed twice", p.name)
		}
		at[p.name] = i
	}
	for _, c := range constraints {
		b, ok1 := at[c.before]
		a, ok2 := at[c.after]
		if !ok1 || !ok2 || b >= a {
			return fmt.Errorf("pass %s must come before %s: %s", c.before, c.after, c.reason)
		}
	}
	return nil
}

// verifyPasses checks the graph after each pass: always in this package's tests.
var verifyPasses = invariants

// optimize runs the passes but for optional ones that are named in skip.
func (g *Graph) optimize(skip ...string) error {
	for _, p := range passes {
		if !p.required && slices.Contains(skip, p.name) {
			continue
		}
		if err := p.run(g); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !verifyPasses {
			continue
		}
		if err := g.verify(); err != nil {
			return fmt.Errorf("graph after %s: %w", p.name, err)
		}
	}
	return nil
}
