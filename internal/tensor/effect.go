package tensor

import (
	"slices"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
)

// An Effectful primitive does something that others see: it sends or receives. It
// happens at most once, in the order of the program, whatever graph it is part of: its
// last input and its last result are tokens, empty arrays that chain it to the effects
// before and after.
type Effectful interface {
	Primitive
	Order() *Order
}

// An Order is the effects of one group of processes so far. If processes apply the same
// effects in the same order, they run them in the same order.
type Order struct {
	mu sync.Mutex
	// tokens of the last effects. Those of a live trace lie over those before it, which
	// count again when it has ended.
	tokens []*Array
}

// tokenSpec is the spec of a token: no memory.
var tokenSpec = Spec{Shape: Shape{0}, DType: dtype.Uint8}

// WithToken is Infer's results and the token's, for effectful primitives.
func WithToken(specs ...Spec) []Spec { return append(specs, tokenSpec) }

// Token is the token of the last effect, for what must happen after it.
func (o *Order) Token() *Array {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last()
}

func (o *Order) last() *Array {
	for i := len(o.tokens) - 1; i >= 0; i-- {
		if t := o.tokens[i]; !ended(t) {
			o.tokens = o.tokens[:i+1]
			return t
		}
	}
	first := Apply1(Arange{DType: tokenSpec.DType}, DefaultStream(hostDevice))
	o.tokens = append(o.tokens[:0], first)
	return first
}

// ended reports whether a belongs to an abstract trace that is over: it will never have
// a value.
func ended(a *Array) bool {
	return slices.ContainsFunc(a.n.traces, func(t *Trace) bool { return t.Abstract && !t.Live() })
}

// add notes the token of an effect. No derivative goes through it.
func (o *Order) add(token *Array) {
	n := token.n
	n.traces = slices.DeleteFunc(slices.Clone(n.traces), func(t *Trace) bool { return !t.Abstract })
	if !slices.ContainsFunc(n.traces, func(t *Trace) bool { return t.Abstract }) {
		o.tokens = o.tokens[:0]
	}
	o.tokens = append(o.tokens, token)
}

// ApplyInOrder is Apply for an effect, after all before it. The results are without the
// token.
func ApplyInOrder(p Effectful, s Stream, in ...*Array) []*Array {
	o := p.Order()
	o.mu.Lock()
	defer o.mu.Unlock()
	outs := o.apply(p, s, append(slices.Clone(in), o.last()))
	return outs[:len(outs)-1]
}

// ApplyMapped is ApplyInOrder for rules of vmap, whose last input is the token of the
// mapped effect before. The results are with the token.
func ApplyMapped(p Effectful, s Stream, in ...*Array) []*Array {
	o := p.Order()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.apply(p, s, in)
}

// apply is Apply, and notes the token, the last of the results.
func (o *Order) apply(p Primitive, s Stream, in []*Array) []*Array {
	outs := Apply(p, s, in...)
	o.add(outs[len(outs)-1])
	return outs
}

// Ordered says that outs are of an op that has effects of o inside, a compiled function:
// the next effect comes after it.
func (o *Order) Ordered(outs []*Array, s Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	small := slices.MinFunc(outs, func(a, b *Array) int { return SpecOf(a).Bytes() - SpecOf(b).Bytes() })
	o.add(Apply1(TokenOf{}, s, small))
}

// TokenOf is a token of the op that computes its input.
type TokenOf struct{}

// Name is the op's name.
func (TokenOf) Name() string { return "token" }

// Infer gives a token.
func (TokenOf) Infer([]Spec) ([]Spec, error) { return WithToken(), nil }
