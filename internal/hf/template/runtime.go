package template

import (
	"time"
)

// runtime is the state of one rendering.
type runtime struct {
	lim   Limits
	now   func() time.Time
	out   []byte
	steps int64
	bytes int64
	depth int
	over  error // the limit that was passed, for code that returns no error
}

// spend counts n steps.
func (r *runtime) spend(n int64) error {
	if r.steps += n; r.steps > r.lim.Steps && r.over == nil {
		r.over = &LimitError{"steps", r.lim.Steps}
	}
	return r.over
}

// alloc counts n bytes that a value or the output will take. Call it before
// they are taken. Handling a kilobyte is a step too.
func (r *runtime) alloc(n int64) error {
	if n < 0 || n > r.lim.Bytes || r.bytes > r.lim.Bytes-n {
		if r.over == nil {
			r.over = &LimitError{"bytes", r.lim.Bytes}
		}
		return r.over
	}
	r.bytes += n
	return r.spend(n >> 10)
}

// valueSize is what a list item is counted as.
const valueSize = 16

func (r *runtime) allocItems(n int) error { return r.alloc(int64(n) * valueSize) }

// enter counts a level of depth, which leave gives back.
func (r *runtime) enter() error {
	if r.depth++; r.depth > r.lim.Depth && r.over == nil {
		r.over = &LimitError{"depth", int64(r.lim.Depth)}
	}
	return r.over
}

func (r *runtime) leave() { r.depth-- }

func (r *runtime) write(s string) error {
	if err := r.alloc(int64(len(s))); err != nil {
		return err
	}
	r.out = append(r.out, s...)
	return nil
}

// list makes a list and counts it.
func (r *runtime) list(items []Value) (Value, error) {
	return &List{items}, r.allocItems(len(items))
}

// scope holds variables; a name that is not in it is looked up outside. The
// outermost scope holds the variables of Render, and outside of it are the
// functions of the language.
type scope struct {
	names []string
	vals  []Value
	vars  *Dict
	piped Value // the text that a filter block passes to its filters
	up    *scope
}

func (s *scope) get(name string) (Value, bool) {
	for ; s != nil; s = s.up {
		for i, n := range s.names {
			if n == name {
				return s.vals[i], true
			}
		}
		if s.vars != nil {
			if v, ok := s.vars.Get(name); ok {
				return v, true
			}
		}
	}
	f, ok := globals[name]
	return f, ok
}

// manyNames is the count from which a scope keeps its names in a dict.
const manyNames = 16

func (s *scope) set(name string, v Value) {
	for i, n := range s.names {
		if n == name {
			s.vals[i] = v
			return
		}
	}
	if len(s.names) >= manyNames {
		if s.vars == nil {
			s.vars = NewDict()
		}
		s.vars.Set(name, v)
		return
	}
	s.names = append(s.names, name)
	s.vals = append(s.vals, v)
}
