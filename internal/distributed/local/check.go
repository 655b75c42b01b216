package local

import (
	"fmt"
	"slices"
)

// usable refuses calls of a group that failed or that the process closed, and calls
// that make no sense, which others would wait for.
func (e *end) usable(c call) error {
	w := e.world
	switch {
	case w.err != nil:
		return w.err
	case e.gone(e.rank):
		return fmt.Errorf("rank %d has closed the group itself; it calls %v", e.rank, c)
	case c.dtype.Valid() && c.bytes%c.dtype.Size() != 0:
		return w.fail(fmt.Errorf("rank %d is in %s of %d bytes, which are no %v", e.rank, c.name, c.bytes, c.dtype))
	case c.peer == nobody:
	case c.peer < 0 || c.peer >= e.Size():
		return w.fail(fmt.Errorf("rank %d is in %v, but the group has ranks 0 to %d", e.rank, c, e.Size()-1))
	case c.peer == e.rank:
		return w.fail(fmt.Errorf("rank %d is in %v, itself", e.rank, c))
	}
	return nil
}

// misuse fails for a call whose slices do not fit.
func (e *end) misuse(c call, err error) error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	return e.world.fail(fmt.Errorf("rank %d is in %v: %w", e.rank, c, err))
}

// fail makes err everybody's, unless something failed before.
func (w *world) fail(err error) error {
	if w.err == nil {
		w.err = err
		w.changed.Broadcast()
	}
	return w.err
}

func mismatch(a int, in call, b int, other call) error {
	if a > b {
		a, in, b, other = b, other, a, in
	}
	return fmt.Errorf("the processes do not call the same: rank %d is in %v, rank %d in %v", a, in, b, other)
}

// check fails when a process waits for one that has closed the group, or when
// processes wait for one another without end.
func (w *world) check() {
	stuck := make([]bool, len(w.waiting))
	for rank, at := range w.waiting {
		if at == nil || at.done() {
			continue
		}
		stuck[rank] = true
		for _, o := range at.needs() {
			if at.gone(o) {
				w.fail(fmt.Errorf("rank %d has closed the group; rank %d is in %v", o, at.rank, at.call))
				return
			}
		}
	}
	// whoever needs only processes that go on goes on
	for again := true; again; {
		again = false
		for rank, at := range w.waiting {
			if stuck[rank] && !slices.ContainsFunc(at.needs(), func(o int) bool { return stuck[at.ranks[o]] }) {
				stuck[rank], again = false, true
			}
		}
	}
	a := slices.Index(stuck, true)
	if a < 0 {
		return
	}
	at := w.waiting[a]
	needs := at.needs()
	other := w.waiting[at.ranks[needs[slices.IndexFunc(needs, func(o int) bool { return stuck[at.ranks[o]] })]]]
	if at.group == other.group {
		w.fail(mismatch(at.rank, at.call, other.rank, other.call))
		return
	}
	w.fail(fmt.Errorf("processes wait for one another in different groups: rank %d of %d is in %v, rank %d of %d in %v",
		at.rank, at.Size(), at.call, other.rank, other.Size(), other.call))
}
