package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of the text on its way to the model.
type piece struct {
	text  string
	first bool // begins where the whole text begins
}

// preTokenizer cuts a piece into the words that the model sees one by one. It
// may emit empty pieces; they are dropped behind it.
type preTokenizer interface {
	split(p piece, emit func(piece))
}

// preTokenizers run one behind the other.
type preTokenizers []preTokenizer

func (t preTokenizers) split(p piece, emit func(piece)) {
	if len(t) == 0 {
		emit(p)
		return
	}
	t[0].split(p, func(q piece) {
		if q.text != "" {
			t[1:].split(q, emit)
		}
	})
}

// parsePreTokenizer builds the section "pre_tokenizer". bytes says that the
// last one is ByteLevel: its pieces then are the raw bytes, which is the same
// for less work, and the model must read them as byte-level text.
func parsePreTokenizer(raw json.RawMessage) (t preTokenizer, bytes bool, err error) {
	c, ok, err := parseComponent(raw)
	if err != nil || !ok {
		return nil, false, err
	}
	list, err := buildPreTokenizers(c, 0)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	if err := checkGrowth(list); err != nil {
		return nil, false, err
	}
	if last, ok := list[len(list)-1].(*byteLevelSplit); ok {
		last.raw, bytes = true, true
	}
	if len(list) == 1 {
		return list[0], bytes, nil
	}
	return preTokenizers(list), bytes, nil
}

func buildPreTokenizers(c component, depth int) ([]preTokenizer, error) {
	if c.kind == "Sequence" {
		var v struct {
			List []json.RawMessage `json:"pretokenizers"`
		}
		if err := c.fill(&v); err != nil {
			return nil, err
		}
		return buildAll(v.List, depth, buildPreTokenizers)
	}
	t, err := buildPreTokenizer(c)
	if err != nil {
		return nil, err
	}
	return []preTokenizer{t}, nil
}

func buildPreTokenizer(c component) (preTokenizer, error) {
	switch c.kind {
	case "ByteLevel":
		return newByteLevelSplit(c)
	case "Split":
		return newSplit(c)
	case "Metaspace":
		return newMetaspace(c)
	case "Digits":
		return newDigits(c)
	case "Punctuation":
		return newPunctuation(c)
	case "WhitespaceSplit":
		return split{find: findRunes(unicode.IsSpace), behavior: removed}, nil
	case "Whitespace":
		return split{find: findWords, behavior: removed, invert: true}, nil
	case "BertPreTokenizer":
		return preTokenizers{
			split{find: findRunes(unicode.IsSpace), behavior: removed},
			split{find: findRunes(isPunctuation), behavior: isolated},
		}, nil
	case "CharDelimiterSplit":
		var v struct {
			Delimiter string `json:"delimiter"`
		}
		if err := c.fill(&v); err != nil {
			return nil, err
		}
		if _, err := oneRune("delimiter", v.Delimiter); err != nil {
			return nil, c.errorf("%w", err)
		}
		return split{find: findLiteral(v.Delimiter), behavior: removed}, nil
	case "FixedLength":
		return newFixedLength(c)
	case "UnicodeScripts":
		return split{find: findScripts, behavior: removed, invert: true}, nil
	}
	return nil, fmt.Errorf("pre-tokenizer type %q is not known", c.kind)
}

// byteLevelSplit cuts as GPT-2 does and writes bytes in the byte-level alphabet.
type byteLevelSplit struct {
	prefixSpace bool
	regex       bool
	raw         bool // leave the bytes as they are
}

func newByteLevelSplit(c component) (preTokenizer, error) {
	var v struct {
		PrefixSpace *bool `json:"add_prefix_space"`
		Regex       *bool `json:"use_regex"`
	}
	err := c.fill(&v)
	return &byteLevelSplit{prefixSpace: optional(v.PrefixSpace, true), regex: optional(v.Regex, true)}, err
}

func (t *byteLevelSplit) growth() int { return 3 }

func (t *byteLevelSplit) split(p piece, emit func(piece)) {
	if t.prefixSpace && !strings.HasPrefix(p.text, " ") {
		p.text = " " + p.text
	}
	out := emit
	if !t.raw {
		out = func(q piece) { emit(piece{toByteLevel(q.text), q.first}) }
	}
	if !t.regex {
		out(p)
		return
	}
	scanGPT2(p.text, func(a, b int) { out(piece{p.text[a:b], p.first && a == 0}) })
}

// metaspace writes spaces as a visible mark, with one before the text.
type metaspace struct {
	mark   string
	scheme string // "always", "first", "never": whether to put a mark in front
	cut    bool   // before every mark
}

// parseMetaspace reads the members that pre-tokenizer and decoder share.
func parseMetaspace(c component) (*metaspace, error) {
	var v struct {
		Replacement *string `json:"replacement"`
		Scheme      *string `json:"prepend_scheme"`
		PrefixSpace *bool   `json:"add_prefix_space"` // older files
		Split       *bool   `json:"split"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	m := &metaspace{mark: optional(v.Replacement, "▁"), scheme: "always", cut: optional(v.Split, true)}
	if _, err := oneRune("replacement", m.mark); err != nil {
		return nil, c.errorf("%w", err)
	}
	if !optional(v.PrefixSpace, true) {
		m.scheme = "never"
		if v.Scheme != nil && *v.Scheme != "never" {
			return nil, c.errorf("add_prefix_space is false but prepend_scheme is %q", clip(*v.Scheme))
		}
	}
	m.scheme = optional(v.Scheme, m.scheme)
	switch m.scheme {
	case "always", "first", "never":
		return m, nil
	}
	return nil, c.errorf("prepend_scheme is %q, want always, first or never", clip(m.scheme))
}

func newMetaspace(c component) (preTokenizer, error) { return parseMetaspace(c) }

func (t *metaspace) growth() int { return 2 * len(t.mark) }

func (t *metaspace) split(p piece, emit func(piece)) {
	p.text = strings.ReplaceAll(p.text, " ", t.mark)
	if (t.scheme == "always" || t.scheme == "first" && p.first) && !strings.HasPrefix(p.text, t.mark) {
		p.text = t.mark + p.text
	}
	if !t.cut {
		emit(p)
		return
	}
	split{find: findLiteral(t.mark), behavior: mergedWithNext}.split(p, emit)
}

func newDigits(c component) (preTokenizer, error) {
	var v struct {
		Individual bool `json:"individual_digits"`
	}
	err := c.fill(&v)
	behavior := contiguous
	if v.Individual {
		behavior = isolated
	}
	return split{find: findRunes(unicode.IsNumber), behavior: behavior}, err
}

func newPunctuation(c component) (preTokenizer, error) {
	var v struct {
		Behavior *string `json:"behavior"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	b, err := parseBehavior(optional(v.Behavior, "Isolated"))
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	return split{find: findRunes(isPunctuation), behavior: b}, nil
}

// isPunctuation reports Unicode category P and the other ASCII symbols.
func isPunctuation(r rune) bool {
	return r < utf8.RuneSelf && unicode.IsSymbol(r) || unicode.IsPunct(r)
}

// isWord is \w: letters, marks, decimal digits, connectors and joiners.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// findWords matches \w+|[^\w\s]+.
func findWords(s string, found func(start, end int)) {
	kind := func(r rune) int {
		switch {
		case isWord(r):
			return 1
		case unicode.IsSpace(r):
			return 0
		}
		return 2
	}
	start, last := 0, 0
	for i, r := range s {
		k := kind(r)
		if k == last {
			continue
		}
		if last != 0 {
			found(start, i)
		}
		start, last = i, k
	}
	if last != 0 {
		found(start, len(s))
	}
}

// fixedLength cuts after every n characters.
type fixedLength int

func newFixedLength(c component) (preTokenizer, error) {
	var v struct {
		Length int `json:"length"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	if v.Length < 1 {
		return nil, c.errorf("length is %d, want at least 1", v.Length)
	}
	return fixedLength(v.Length), nil
}

func (t fixedLength) split(p piece, emit func(piece)) {
	start, n := 0, 0
	for i := range p.text {
		if n == int(t) {
			emit(piece{p.text[start:i], p.first && start == 0})
			start, n = i, 0
		}
		n++
	}
	emit(piece{p.text[start:], p.first && start == 0})
}
