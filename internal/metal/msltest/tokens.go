package msltest

import "strings"

// A reader looks around in tokens. Positions beyond the ends read as the empty token.
type reader struct {
	tokens []token
	open   bool  // a bracket is never closed
	close  []int // of each opening ( [ {: the index of its partner, or of the last token
}

func newReader(src string) *reader {
	r := &reader{tokens: lex(src)}
	r.pair()
	return r
}

// pair matches brackets. One that has no partner ends with the source.
func (r *reader) pair() {
	last := len(r.tokens) - 1
	r.close = make([]int, len(r.tokens))
	var open []int
	for i, t := range r.tokens {
		switch t.text {
		case "(", "[", "{":
			r.close[i] = last
			open = append(open, i)
		case ")", "]", "}":
			want := map[string]string{")": "(", "]": "[", "}": "{"}[t.text]
			if n := len(open) - 1; n >= 0 && r.tokens[open[n]].text == want {
				r.close[open[n]] = i
				open = open[:n]
			}
		}
	}
	r.open = len(open) > 0
}

func (r *reader) text(i int) string {
	if i < 0 || i >= len(r.tokens) {
		return ""
	}
	return r.tokens[i].text
}

// angle gives the > that ends the template arguments which begin at the < at i; ok is
// false when that < is an operator.
func (r *reader) angle(i int) (end int, ok bool) {
	depth := 0
	for j := i; j < len(r.tokens); j++ {
		switch r.text(j) {
		case "<":
			depth++
		case ">":
			if depth--; depth == 0 {
				return j, true
			}
		case "(", "[":
			j = r.close[j]
		case ";", "{", "}", ")", "]", "":
			return i, false
		}
	}
	return i, false
}

// isAttribute says whether [[ is at i.
func (r *reader) isAttribute(i int) bool {
	return r.text(i) == "[" && r.text(i+1) == "[" && r.tokens[i+1].space == ""
}

// An attribute is one of [[name(arg), ...]].
type attribute struct{ name, arg string }

// attributes reads the [[...]] at i and gives the index behind it.
func (r *reader) attributes(i int) (list []attribute, next int) {
	end := r.close[i]
	for j := i + 2; j < end-1; j++ {
		a := attribute{name: r.text(j)}
		if r.text(j+1) == "(" {
			to := min(r.close[j+1], end)
			a.arg = r.source(j+2, to)
			j = to
		}
		list = append(list, a)
		if r.text(j+1) == "," {
			j++
		}
	}
	return list, min(end+1, len(r.tokens))
}

// source is the text of the tokens from a to b, with single spaces.
func (r *reader) source(a, b int) string {
	var s strings.Builder
	for i := a; i < b && i < len(r.tokens); i++ {
		if i > a && r.tokens[i].space != "" {
			s.WriteByte(' ')
		}
		s.WriteString(r.tokens[i].text)
	}
	return s.String()
}

// skipStatement gives the index behind the ; that ends what begins at i.
func (r *reader) skipStatement(i int) int {
	for ; i < len(r.tokens); i++ {
		switch r.text(i) {
		case "(", "[", "{":
			i = r.close[i]
		case ";":
			return i + 1
		}
	}
	return len(r.tokens)
}
