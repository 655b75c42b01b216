package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode"
)

// behavior says what becomes of the matches of a split's pattern.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous // neighbouring matches stay together
)

func parseBehavior(name string) (behavior, error) {
	for i, known := range []string{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"} {
		if name == known {
			return behavior(i), nil
		}
	}
	return 0, fmt.Errorf("behavior %q is not known", clip(name))
}

// split cuts a piece at the matches of a pattern; with invert the text between
// the matches takes their part.
type split struct {
	find     finder
	behavior behavior
	invert   bool
}

func newSplit(c component) (preTokenizer, error) {
	var v struct {
		Pattern  json.RawMessage `json:"pattern"`
		Behavior string          `json:"behavior"`
		Invert   bool            `json:"invert"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	var p pattern
	if _, err := decodeSection(v.Pattern, &p); err != nil {
		return nil, c.errorf("pattern: %w", err)
	}
	find, err := p.compile()
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	b, err := parseBehavior(v.Behavior)
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	return split{find, b, v.Invert}, nil
}

// span is a part of a text that matched or lies between matches.
type span struct {
	start, end int
	match      bool
}

func (t split) split(p piece, emit func(piece)) {
	cut := func(start, end int) {
		if start < end {
			emit(piece{p.text[start:end], p.first && start == 0})
		}
	}
	if t.behavior == isolated || t.behavior == removed {
		end := 0
		t.find(p.text, func(a, b int) {
			if t.behavior == isolated || !t.invert {
				cut(end, a)
			}
			if t.behavior == isolated || t.invert {
				cut(a, b)
			}
			end = b
		})
		if t.behavior == isolated || !t.invert {
			cut(end, len(p.text))
		}
		return
	}
	for _, s := range t.behavior.merge(t.spans(p.text)) {
		cut(s.start, s.end)
	}
}

func (t split) spans(s string) []span {
	var all []span
	end := 0
	t.find(s, func(a, b int) {
		if a > end {
			all = append(all, span{end, a, t.invert})
		}
		all = append(all, span{a, b, !t.invert})
		end = b
	})
	if end < len(s) {
		all = append(all, span{end, len(s), t.invert})
	}
	return all
}

// merge joins spans in place; a match joins at most one neighbour, and the
// second of two matches in a row none.
func (b behavior) merge(all []span) []span {
	if b == mergedWithNext {
		// The mirror image of mergedWithPrevious.
		slices.Reverse(all)
	}
	out := all[:0]
	match := false
	for _, s := range all {
		join := s.match && !match
		if b == contiguous {
			join = s.match == match
		}
		match = s.match
		if join && len(out) > 0 {
			last := &out[len(out)-1]
			last.start, last.end = min(last.start, s.start), max(last.end, s.end)
			continue
		}
		out = append(out, s)
	}
	if b == mergedWithNext {
		slices.Reverse(out)
	}
	return out
}

// scriptTables lists the scripts in order of name. Kana count as Han.
var scriptTables = sync.OnceValue(func() []*unicode.RangeTable {
	tables := []*unicode.RangeTable{unicode.Latin, unicode.Common, unicode.Han}
	for _, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		tables = append(tables, unicode.Scripts[name])
	}
	return tables
})

func scriptOf(r rune) *unicode.RangeTable {
	if r == 0x30fc { // the mark that lengthens a kana is Common
		return unicode.Han
	}
	for _, table := range scriptTables() {
		if unicode.Is(table, r) {
			if table == unicode.Hiragana || table == unicode.Katakana {
				return unicode.Han
			}
			return table
		}
	}
	return nil
}

// findScripts matches the runs of one script, from the first character that is
// not a space on; spaces after it belong to any script.
func findScripts(s string, found func(start, end int)) {
	var last *unicode.RangeTable
	start := -1
	for i, r := range s {
		if r == ' ' {
			continue
		}
		script := scriptOf(r)
		if start < 0 {
			start = i
		} else if script != last {
			found(start, i)
			start = i
		}
		last = script
	}
	if start >= 0 {
		found(start, len(s))
	}
}
