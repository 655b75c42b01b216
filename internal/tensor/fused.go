package tensor

import (
	"errors"
	"fmt"
	"strings"
)

// Fused is a chain of elementwise ops as one: inputs and results have one shape, and
// values between the ops never leave the cache. It gives the bits of the single ops,
// but signalling NaNs of half types become quiet.
type Fused struct{ *FusedProgram }

// FusedProgram is what a Fused computes. Value i below len(In) is an input, the others
// are results of the steps in order; the last is the result of the op.
type FusedProgram struct {
	In    []Spec
	Steps []FusedStep
}

// FusedStep is one op of a Fused: a Unary, Binary, Select or Cast.
type FusedStep struct {
	Prim Primitive
	In   []int
	Out  DType
}

// Fusible reports whether p may be a step of a Fused.
func Fusible(p Primitive) bool {
	switch p.(type) {
	case Unary, Binary, Select, Cast:
		return true
	}
	return false
}

// Name is the op's name.
func (Fused) Name() string { return "fused" }

// Elementwise marks index-by-index ops.
func (Fused) Elementwise() {}

// DTypeOfValue is the dtype of value i.
func (p *FusedProgram) DTypeOfValue(i int) DType {
	if i < len(p.In) {
		return p.In[i].DType
	}
	return p.Steps[i-len(p.In)].Out
}

// Infer checks the inputs.
func (p Fused) Infer(in []Spec) ([]Spec, error) {
	if len(in) != len(p.In) {
		return nil, fmt.Errorf("%d inputs, not %d", len(in), len(p.In))
	}
	for i, s := range in {
		if s.DType != p.In[i].DType || s.Shape.String() != in[0].Shape.String() {
			return nil, errors.New("inputs are not those that were fused")
		}
	}
	return []Spec{{in[0].Shape, p.Steps[len(p.Steps)-1].Out}}, nil
}

// String is the formula, as sqrt(add(%0, %1)); values that are used twice are named.
func (p Fused) String() string {
	uses := make([]int, len(p.In)+len(p.Steps))
	for _, s := range p.Steps {
		for _, i := range s.In {
			uses[i]++
		}
	}
	text := make([]string, len(uses))
	for i := range p.In {
		text[i] = fmt.Sprintf("%%%d", i)
	}
	var b strings.Builder
	b.WriteByte('{')
	for k, s := range p.Steps {
		args := make([]string, len(s.In))
		for j, i := range s.In {
			args[j] = text[i]
		}
		name := s.Prim.Name()
		if c, ok := s.Prim.(Cast); ok {
			name = c.To.String()
		}
		i := len(p.In) + k
		if text[i] = name + "(" + strings.Join(args, ", ") + ")"; uses[i] > 1 {
			fmt.Fprintf(&b, "t%d = %s; ", k, text[i])
			text[i] = fmt.Sprintf("t%d", k)
		}
	}
	return b.String() + text[len(text)-1] + "}"
}

// Fallback is the ops one by one.
func (p Fused) Fallback(s Stream, in []*Array) []*Array {
	values := append([]*Array(nil), in...)
	for _, st := range p.Steps {
		args := make([]*Array, len(st.In))
		for j, i := range st.In {
			args[j] = values[i]
		}
		values = append(values, Apply1(st.Prim, s, args...))
	}
	return values[len(values)-1:]
}
