package tensor

import (
	"fmt"
	"slices"
	"strings"
)

// A label is a letter of einsum's subscripts; those of an ellipsis are negative,
// the last axis is -1.
type label int

// An einsum is parsed subscripts with the size of each label.
type einsum struct {
	in   [][]label
	out  []label
	size map[label]int
}

func throwEinsum(specs []Spec, format string, args ...any) {
	Throw("einsum", specs, format, args...)
}

// parseEinsum reads "ij,jk->ik"; without an arrow the result has the labels that
// occur once, in order, after the ellipsis.
func parseEinsum(subscripts string, specs []Spec) *einsum {
	text := strings.ReplaceAll(subscripts, " ", "")
	left, right, explicit := strings.Cut(text, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(specs) {
		throwEinsum(specs, "%d operands for the %d terms of %q", len(specs), len(terms), subscripts)
	}
	e := &einsum{size: map[label]int{}}
	dots := 0 // axes of the longest ellipsis
	for i, t := range terms {
		at, n := readLabels(t, len(specs[i].Shape), specs)
		if len(at) != len(specs[i].Shape) {
			throwEinsum(specs, "term %q has %d labels for an array with %d axes", t, len(at), len(specs[i].Shape))
		}
		e.in, dots = append(e.in, at), max(dots, n)
		e.measure(at, specs[i].Shape, specs)
	}
	if explicit {
		e.out, _ = readLabels(right, strings.Count(right, "")-1-min(3, strings.Count(right, "."))+dots, specs)
	} else {
		e.out = e.implicit(dots)
	}
	for i, l := range e.out {
		if _, ok := e.size[l]; !ok || slices.Contains(e.out[:i], l) {
			throwEinsum(specs, "label %s of the result is in no term, or there twice", l)
		}
	}
	return e
}

func (l label) String() string {
	if l < 0 {
		return "..."
	}
	return string(rune(l))
}

// readLabels reads a term of an array with rank axes; the ellipsis has n of them.
func readLabels(term string, rank int, specs []Spec) (out []label, n int) {
	before, after, has := strings.Cut(term, "...")
	if has {
		n = rank - len(before) - len(after)
		if n < 0 {
			throwEinsum(specs, "term %q has more labels than the %d axes of its array", term, rank)
		}
	}
	letters := func(s string) {
		for _, c := range s {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				throwEinsum(specs, "%q in %q is not a letter", c, term)
			}
			out = append(out, label(c))
		}
	}
	letters(before)
	for k := n; k > 0; k-- {
		out = append(out, label(-k))
	}
	letters(after)
	return out, n
}

// measure notes the sizes of the labels; size 1 is repeated to any other.
func (e *einsum) measure(at []label, sh Shape, specs []Spec) {
	for k, l := range at {
		n, ok := e.size[l]
		if first := slices.Index(at, l); first != k && sh[first] != sh[k] {
			throwEinsum(specs, "label %s has sizes %d and %d in one term", l, sh[first], sh[k])
		}
		switch {
		case !ok || n == 1:
			e.size[l] = sh[k]
		case sh[k] != n && sh[k] != 1:
			throwEinsum(specs, "label %s has sizes %d and %d", l, n, sh[k])
		}
	}
}

func (e *einsum) implicit(dots int) (out []label) {
	for k := dots; k > 0; k-- {
		out = append(out, label(-k))
	}
	var once []label
	for l := range e.size {
		n := 0
		for _, at := range e.in {
			for _, x := range at {
				if x == l {
					n++
				}
			}
		}
		if l > 0 && n == 1 {
			once = append(once, l)
		}
	}
	slices.Sort(once)
	return append(out, once...)
}

// A factor is an array whose axes have labels, each once.
type factor struct {
	a  *Array
	at []label
}

// factors are the operands with diagonals taken and repeated axes of size 1 dropped.
func (e *einsum) factors(as []*Array, s Stream) []factor {
	out := make([]factor, len(as))
	for i, a := range as {
		at := slices.Clone(e.in[i])
		for k := 0; k < len(at); k++ {
			if j := k + 1 + slices.Index(at[k+1:], at[k]); j > k { // the diagonal is the last axis
				l := at[k]
				a = DiagonalOf(a, 0, k, j, s)
				at = append(slices.Delete(slices.Delete(at, j, j+1), k, k+1), l)
				k = -1
			}
		}
		for k := len(at) - 1; k >= 0; k-- {
			if a.Dim(k) == 1 && e.size[at[k]] != 1 {
				a, at = Squeeze(a, []int{k}, s), slices.Delete(at, k, k+1)
			}
		}
		out[i] = factor{a, at}
	}
	return out
}

// kept are labels of at that the result or a list of others needs.
func (e *einsum) kept(at []label, others [][]label) (out []label) {
	for _, l := range at {
		if slices.Contains(e.out, l) || slices.ContainsFunc(others, func(o []label) bool { return slices.Contains(o, l) }) {
			out = append(out, l)
		}
	}
	return out
}

func (e *einsum) elements(at []label) float64 {
	n := 1.0
	for _, l := range at {
		n *= float64(e.size[l])
	}
	return n
}

func union2(a, b []label) []label {
	out := slices.Clone(a)
	for _, l := range b {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// path picks pairs greedily: the one that leaves the fewest elements, then the
// cheaper one. Each step takes its pair out of the list and appends the result.
func (e *einsum) path(terms [][]label) (steps [][]int) {
	terms = slices.Clone(terms)
	for len(terms) > 2 {
		var best []int
		var size, cost float64
		for i := range terms {
			for j := i + 1; j < len(terms); j++ {
				all := union2(terms[i], terms[j])
				r := e.kept(all, without(terms, i, j))
				n, c := e.elements(r)-e.elements(terms[i])-e.elements(terms[j]), e.elements(all)
				if best == nil || n < size || n == size && c < cost {
					best, size, cost = []int{i, j}, n, c
				}
			}
		}
		rest := without(terms, best[0], best[1])
		terms = append(rest, e.kept(union2(terms[best[0]], terms[best[1]]), rest))
		steps = append(steps, best)
	}
	last := make([]int, len(terms))
	for i := range last {
		last[i] = i
	}
	return append(steps, last)
}

// without is a copy of the list without places i < j.
func without[T any](list []T, i, j int) []T {
	return slices.Concat(list[:i], list[i+1:j], list[j+1:])
}

// order gives a factor the axes of the lists, after summing over all others.
func (e *einsum) order(f factor, s Stream, lists ...[]label) *Array {
	want := slices.Concat(lists...)
	var drop []int
	var left []label
	for k, l := range f.at {
		if slices.Contains(want, l) {
			left = append(left, l)
		} else {
			drop = append(drop, k)
		}
	}
	a := f.a
	if drop != nil {
		a = ReduceOf(OpSum, a, drop, false, s)
	}
	perm := make([]int, len(want))
	for i, l := range want {
		perm[i] = slices.Index(left, l)
	}
	if slices.IsSorted(perm) {
		return a
	}
	return TransposeTo(a, perm, s)
}

// contract joins two factors; keep are the labels that are needed later.
func (e *einsum) contract(x, y factor, keep []label, s Stream) factor {
	var batch, inner, left, right []label
	for _, l := range union2(x.at, y.at) {
		inX, inY, later := slices.Contains(x.at, l), slices.Contains(y.at, l), slices.Contains(keep, l)
		switch {
		case inX && inY && later:
			batch = append(batch, l)
		case inX && inY:
			inner = append(inner, l)
		case inX && later:
			left = append(left, l)
		case later:
			right = append(right, l)
		}
	}
	count := func(at []label) int { return int(e.elements(at)) }
	b, m, k, n := count(batch), count(left), count(inner), count(right)
	at := slices.Concat(batch, left, right)
	var out *Array
	if len(inner) > 0 {
		p := ReshapeTo(e.order(x, s, batch, left, inner), []int{b, m, k}, s)
		q := ReshapeTo(e.order(y, s, batch, inner, right), []int{b, k, n}, s)
		out = MatMulOf(p, q, s)
	} else {
		p := ReshapeTo(e.order(x, s, batch, left), []int{b, m, 1}, s)
		q := ReshapeTo(e.order(y, s, batch, right), []int{b, 1, n}, s)
		out = s.mul(p, q)
	}
	t := make([]int, len(at))
	for i, l := range at {
		t[i] = e.size[l]
	}
	return factor{ReshapeTo(out, t, s), at}
}

func specsOf(as []*Array) []Spec {
	specs := make([]Spec, len(as))
	for i, a := range as {
		specs[i] = SpecOf(a)
	}
	return specs
}

// EinsumOf is the sum of products that the subscripts say, two operands at a time.
func EinsumOf(subscripts string, as []*Array, s Stream) *Array {
	e := parseEinsum(subscripts, specsOf(as))
	fs := e.factors(as, s)
	labels := func(fs []factor) (out [][]label) {
		for _, f := range fs {
			out = append(out, f.at)
		}
		return out
	}
	for _, step := range e.path(labels(fs)) {
		if len(step) < 2 {
			break
		}
		i, j := step[0], step[1]
		rest := without(fs, i, j)
		keep := e.kept(union2(fs[i].at, fs[j].at), labels(rest))
		fs = append(rest, e.contract(fs[i], fs[j], keep, s))
	}
	return e.order(fs[0], s, e.out)
}

// EinsumPathOf is the pairs that EinsumOf contracts in turn, by their places in the
// list of what is left, and a text with a line for each.
func EinsumPathOf(subscripts string, as []*Array) (path [][]int, report string) {
	e := parseEinsum(subscripts, specsOf(as))
	terms := slices.Clone(e.in)
	path = e.path(terms)
	word := func(at []label) string {
		var b strings.Builder
		for _, l := range at {
			if l >= -1 { // an ellipsis once
				b.WriteString(l.String())
			}
		}
		return b.String()
	}
	var text strings.Builder
	for _, step := range path {
		if len(step) < 2 {
			fmt.Fprintf(&text, "%v %s->%s\n", step, word(terms[0]), word(e.out))
			break
		}
		i, j := step[0], step[1]
		rest := without(terms, i, j)
		all := union2(terms[i], terms[j])
		out := e.kept(all, rest)
		if len(rest) == 0 {
			out = e.out
		}
		fmt.Fprintf(&text, "%v %s,%s->%s: %.4g multiplications\n", step, word(terms[i]), word(terms[j]), word(out), e.elements(all))
		terms = append(rest, out)
	}
	return path, text.String()
}
