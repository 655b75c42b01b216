package compile

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// arenaAlign is the alignment of arena ranges: a cache line.
const arenaAlign = 64

// span is a range of the arena that is in use until a step.
type span struct{ lo, hi, last int }

// arena gives every block that lies nowhere yet a range that is free while the
// block lives: the first that fits.
func (p *planner) arena() {
	var used []span // sorted by lo
	for i, s := range p.steps {
		used = slices.DeleteFunc(used, func(u span) bool { return u.last < i })
		for _, r := range s.out {
			b := &p.blocks[r.block]
			if b.bytes == 0 && !b.placed { // a span without a length would hide the one that begins there
				b.placed, b.slot = true, tensor.Slot{Kind: tensor.SlotArena}
			}
			if b.placed || p.over(i, r, used) {
				continue
			}
			size := (b.bytes + arenaAlign - 1) &^ (arenaAlign - 1)
			lo, at := 0, 0
			for at < len(used) && used[at].lo-lo < size {
				lo = used[at].hi
				at++
			}
			used = slices.Insert(used, at, span{lo, lo + size, b.last})
			b.placed, b.slot = true, tensor.Slot{Kind: tensor.SlotArena, Offset: lo}
			p.plan.Arena = max(p.plan.Arena, lo+size)
		}
	}
}

// over gives the result of an elementwise step the range of an operand of the same
// layout that is used for the last time.
func (p *planner) over(i int, out ref, used []span) bool {
	s := p.steps[i]
	switch s.prim.(type) {
	case tensor.Unary, tensor.Binary, tensor.SwiGLU:
	default:
		return false
	}
	for _, in := range s.in {
		b := &p.blocks[in.block]
		if !b.placed || b.slot.Kind != tensor.SlotArena || b.last != i || !p.whole(in) || !in.view.Spec.Equal(out.view.Spec) {
			continue
		}
		alone := !slices.ContainsFunc(s.in, func(o ref) bool { return o.block == in.block && !p.whole(o) })
		u := slices.IndexFunc(used, func(u span) bool { return u.lo == b.slot.Offset })
		if !alone || u < 0 {
			continue
		}
		to := &p.blocks[out.block]
		used[u].last = to.last
		to.placed, to.slot = true, b.slot
		return true
	}
	return false
}

// finish writes the steps with their slots.
func (p *planner) finish() {
	for _, s := range p.steps {
		st := tensor.Step{Prim: s.prim}
		for _, r := range s.in {
			st.In = append(st.In, p.slot(r))
		}
		for _, r := range s.out {
			st.Out = append(st.Out, p.slot(r))
		}
		p.plan.Steps = append(p.plan.Steps, st)
	}
}

func (p *planner) slot(r ref) tensor.Slot {
	s := p.blocks[r.block].slot
	s.Spec, s.Strides = r.view.Spec, r.view.Strides
	s.Offset += r.view.Offset
	return s
}
