package tensor

import (
	"fmt"
	"strings"
)

// A Plan is a traced function laid out in memory: numbered steps in order, one
// arena, bound slots. It is data, and it is here so that backends need not
// import compile. It is immutable and holds a reference on its constants.
type Plan struct {
	Steps          []Step
	Arena          int // bytes
	Stream         Stream
	In, State, Out []Spec
	Const          []View   // weights; bound at Prepare
	Keep           []*Array // keeps the constants' handles alive
}

// A Step is one primitive on slots.
type Step struct {
	Prim    Primitive
	In, Out []Slot
}

// A Slot is a View whose buffer is not known yet.
type Slot struct {
	Spec
	Strides []int
	Kind    SlotKind
	Index   int // of the input, state, output or constant
	Offset  int // bytes
}

// SlotKind says where a slot's memory comes from.
type SlotKind uint8

// The kinds of slots.
const (
	SlotArena SlotKind = iota
	SlotIn
	SlotState // in and out: the same buffer
	SlotOut
	SlotConst
)

var slotNames = [...]string{"arena", "in", "state", "out", "const"}

func (s Slot) String() string {
	if s.Kind == SlotArena {
		return fmt.Sprintf("arena+%d:%v", s.Offset, s.Spec)
	}
	return fmt.Sprintf("%s%d+%d:%v", slotNames[s.Kind], s.Index, s.Offset, s.Spec)
}

// String is the plan as text, stable for golden files.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan arena %d in %v state %v out %v const %d\n", p.Arena, p.In, p.State, p.Out, len(p.Const))
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%3d %v = %s %+v %v\n", i, s.Out, s.Prim.Name(), s.Prim, s.In)
	}
	return b.String()
}
