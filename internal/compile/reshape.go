package compile

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// An axis of a value that a Reshape merged from several is known by its factors, so
// that another Reshape can split it again: a matrix product of a batch does so.

// merged is the factors of each axis of a value.
func (r *resizer) merged(id int) [][]factor {
	was, is := r.traced[id], r.shape(id)
	fs := r.axes[id]
	out := make([][]factor, len(was))
	for a := range was {
		n := 1
		for n != was[a] && len(fs) > 0 {
			n *= fs[0].from
			out[a], fs = append(out[a], fs[0]), fs[1:]
		}
		if out[a] == nil && was[a] != 1 {
			out[a] = []factor{{was[a], is[a]}}
		}
	}
	return out
}

// inherit gives a result the factors of an axis of the same sizes of an input: the
// same axis if it can be.
func (r *resizer) inherit(in []int, out int) {
	was, is := r.traced[out], r.shape(out)
	var fs []factor
	special := false
	for a := range was {
		if was[a] == 1 {
			continue
		}
		f := []factor{{was[a], is[a]}}
		for _, id := range in {
			if r.axes[id] == nil {
				continue
			}
			m := r.merged(id)
			for b := range m {
				if len(m[b]) > 1 && r.traced[id][b] == was[a] && r.shape(id)[b] == is[a] && (len(f) == 1 || b == a) {
					f = m[b]
				}
			}
		}
		special = special || len(f) > 1
		fs = append(fs, f...)
	}
	if special {
		r.axes[out] = fs
	}
}

// reshape keeps axes, or what was merged into them, in order; an axis that was split
// must have its size still.
func (r *resizer) reshape(n Node, p tensor.Reshape) error {
	in, err := r.whole(n.In[0])
	if err != nil {
		return err
	}
	out := r.traced[n.Out[0]]
	size := r.shape(in).Size()
	switch {
	case r.fixed(in) && r.axes[in] == nil:
		return r.infer(Node{p, []int{in}, n.Out})
	case slices.Contains(out, 0):
		return errAnew
	}
	derived, factors := r.derive(in, out)
	t := derived
	if sure := p.Free == 0 && (r.axes[in] != nil || derived != nil && aligned(out, derived, factors)); !sure {
		if t = r.read(out, p.Free-1, size, derived); t == nil {
			return keeps(p, "give the size that changes as -1, use Flatten or Unflatten, or compile without Shapeless")
		}
	}
	if t == nil {
		return keeps(p, "it splits an axis whose size changed")
	}
	to := Node{tensor.Reshape{Shape: tensor.MakeInts(t...), Free: p.Free}, []int{in}, n.Out}
	if err := r.infer(to); err != nil {
		return err
	}
	delete(r.axes, n.Out[0])
	if merges := slices.DeleteFunc(slices.Clone(out), func(d int) bool { return d == 1 }); derived != nil && len(factors) > len(merges) {
		r.axes[n.Out[0]] = factors
	}
	return nil
}

// aligned reports whether each axis that changed is one of the input's: then it was
// hardly meant as a number.
func aligned(out, derived tensor.Shape, factors []factor) bool {
	axes, changed := 0, 0
	for a := range out {
		if out[a] != derived[a] {
			axes++
		}
	}
	for _, f := range factors {
		if f.from != f.to {
			changed++
			if !slices.Contains(out, f.from) {
				return false
			}
		}
	}
	return axes == changed
}

// read is the shape that is meant by sizes which may be numbers or those of axes; nil
// if it can be either.
func (r *resizer) read(out tensor.Shape, free, size int, derived tensor.Shape) tensor.Shape {
	asked := r.asked(out, free, size)
	if derived == nil {
		for a, d := range out {
			if a != free && r.changed[d] {
				return nil
			}
		}
		return asked
	}
	if free < 0 && asked == nil { // as numbers they do not fit
		return derived
	}
	for a, d := range out {
		if a != free && derived[a] != d {
			return nil
		}
	}
	return derived
}

// asked is the shape if the sizes were meant as numbers: with one that is free, or all
// of them; nil if it does not fit.
func (r *resizer) asked(out tensor.Shape, free, size int) tensor.Shape {
	n := 1
	for a, d := range out {
		if a != free {
			n *= d
		}
	}
	t := slices.Clone(out)
	switch {
	case free < 0 && n == size:
		return t
	case free >= 0 && n > 0 && size%n == 0:
		t[free] = size / n
		return t
	}
	return nil
}

// derive is the shape if the sizes were those of axes, and its factors; nil if there
// is no such shape.
func (r *resizer) derive(in int, out tensor.Shape) (tensor.Shape, []factor) {
	fs := slices.Concat(r.merged(in)...)
	var used []factor
	t := make(tensor.Shape, len(out))
	for a, d := range out {
		t[a] = 1
		for n := 1; n != d; {
			if len(fs) == 0 {
				return nil, nil
			}
			f := fs[0]
			switch fs = fs[1:]; {
			case d%(n*f.from) == 0:
			case f.from == f.to && d%n == 0 && f.from%(d/n) == 0: // the rest is for the next axis
				fs = slices.Insert(fs, 0, factor{f.from / (d / n), f.from / (d / n)})
				f = factor{d / n, d / n}
			default:
				return nil, nil
			}
			n *= f.from
			t[a] *= f.to
			used = append(used, f)
		}
	}
	return t, used
}
