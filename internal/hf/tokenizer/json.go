package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxID is the largest token id taken from a file: ids fit an int32 in tables.
const maxID = math.MaxInt32

// vocabEntry is one member of model.vocab; score is for Unigram only.
type vocabEntry struct {
	token string
	id    int32
	score float64
}

// definition is a tokenizer.json taken apart: the two huge members are parsed,
// the others stay JSON for the stage they belong to.
type definition struct {
	sections map[string]json.RawMessage // members of the file but "model"
	model    map[string]json.RawMessage // members of "model" but the two below
	vocab    []vocabEntry
	hasVocab bool
	scored   bool // vocab is a list of [token, score]
	merges   [][2]string
	merged   bool // merges was there
}

// scanner reads JSON from a string. Only vocab and merges go through it value
// by value, since their strings can then alias the file; all else is cut out
// and left to encoding/json.
type scanner struct {
	s string
	i int
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("malformed JSON at byte %d: %s", s.i, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.s) {
		return s.s[s.i]
	}
	return 0
}

func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// str reads a string; without escapes the result aliases the input.
func (s *scanner) str() (string, error) {
	if !s.accept('"') {
		return "", s.errorf("want a string")
	}
	start := s.i
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			s.i++
			return s.s[start : s.i-1], nil
		case '\\':
			return s.escaped(start)
		}
		s.i++
	}
	return "", s.errorf("string without end")
}

// escaped continues str at the first backslash of a string that began at start.
func (s *scanner) escaped(start int) (string, error) {
	out := []byte(s.s[start:s.i])
	for s.i < len(s.s) {
		c := s.s[s.i]
		s.i++
		if c == '"' {
			return string(out), nil
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if s.i >= len(s.s) {
			break
		}
		c = s.s[s.i]
		s.i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r, err := s.unicode()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		default:
			return "", s.errorf("unknown escape \\%c", c)
		}
	}
	return "", s.errorf("string without end")
}

// unicode reads the digits after \u, and the second half of a surrogate pair.
func (s *scanner) unicode() (rune, error) {
	unit := func() (rune, error) {
		if s.i+4 > len(s.s) {
			return 0, s.errorf("short \\u escape")
		}
		v, err := strconv.ParseUint(s.s[s.i:s.i+4], 16, 16)
		if err != nil {
			return 0, s.errorf("bad \\u escape")
		}
		s.i += 4
		return rune(v), nil
	}
	r, err := unit()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(s.s[s.i:], `\u`) {
		s.i += 2
		low, err := unit()
		if err != nil {
			return 0, err
		}
		if d := utf16.DecodeRune(r, low); d != utf8.RuneError {
			return d, nil
		}
	}
	return 0, s.errorf("half of a surrogate pair")
}

// raw cuts out one value without looking into it; not recursive, so that deep
// nesting costs nothing here and is refused by encoding/json where it matters.
func (s *scanner) raw() (json.RawMessage, error) {
	s.space()
	start, depth := s.i, 0
	for s.i < len(s.s) {
		switch c := s.s[s.i]; c {
		case '"':
			if _, err := s.str(); err != nil {
				return nil, err
			}
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			if depth == 0 {
				return nil, s.errorf("unexpected %q", c)
			}
			depth--
			s.i++
		case ' ', '\n', '\t', '\r', ',', ':':
			if depth == 0 {
				return nil, s.errorf("want a value")
			}
			s.i++
			continue
		default:
			for s.i < len(s.s) && strings.IndexByte(" \n\t\r,:}]", s.s[s.i]) < 0 {
				s.i++
			}
		}
		if depth == 0 {
			return json.RawMessage(s.s[start:s.i]), nil
		}
	}
	return nil, s.errorf("value without end")
}

// word reads the characters of a number or literal.
func (s *scanner) word() string {
	s.space()
	start := s.i
	for s.i < len(s.s) && strings.IndexByte(" \n\t\r,:}]", s.s[s.i]) < 0 {
		s.i++
	}
	return s.s[start:s.i]
}

// object calls member for every member; member must consume the value.
func (s *scanner) object(member func(key string) error) error {
	if !s.accept('{') {
		return s.errorf("want an object")
	}
	if s.accept('}') {
		return nil
	}
	for {
		key, err := s.str()
		if err != nil {
			return err
		}
		if !s.accept(':') {
			return s.errorf("want ':' after key %q", clip(key))
		}
		if err := member(key); err != nil {
			return err
		}
		if s.accept(',') {
			continue
		}
		if s.accept('}') {
			return nil
		}
		return s.errorf("want ',' or '}'")
	}
}

// array calls element for every element; element must consume the value.
func (s *scanner) array(element func() error) error {
	if !s.accept('[') {
		return s.errorf("want a list")
	}
	if s.accept(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.accept(',') {
			continue
		}
		if s.accept(']') {
			return nil
		}
		return s.errorf("want ',' or ']'")
	}
}

// parseDefinition takes the text of a tokenizer.json apart.
func parseDefinition(text string) (*definition, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("file is not valid UTF-8")
	}
	d := &definition{sections: map[string]json.RawMessage{}, model: map[string]json.RawMessage{}}
	s := &scanner{s: text}
	seenModel := false
	err := s.object(func(key string) (err error) {
		if key == "model" {
			seenModel = true
			return d.scanModel(s)
		}
		d.sections[key], err = s.raw()
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.peek() != 0 || s.i < len(s.s) {
		return nil, s.errorf("text after the end of the file's object")
	}
	if !seenModel {
		return nil, fmt.Errorf(`no section "model"`)
	}
	return d, nil
}

func (d *definition) scanModel(s *scanner) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "vocab":
			d.vocab, d.hasVocab, d.scored = d.vocab[:0], true, s.peek() == '['
			if d.scored {
				return s.array(func() error { return d.scanScored(s) })
			}
			return s.object(func(token string) error { return d.scanVocab(s, token) })
		case "merges":
			if s.peek() == 'n' {
				_, err = s.raw()
				return err
			}
			d.merges, d.merged = d.merges[:0], true
			return s.array(func() error { return d.scanMerge(s) })
		}
		d.model[key], err = s.raw()
		return err
	})
}

func (d *definition) scanVocab(s *scanner, token string) error {
	w := s.word()
	id, err := strconv.ParseUint(w, 10, 31)
	if err != nil {
		return fmt.Errorf("model.vocab: token %q has id %s, want an integer in [0, %d]", clip(token), clip(w), maxID)
	}
	d.vocab = append(d.vocab, vocabEntry{token: token, id: int32(id)})
	return nil
}

func (d *definition) scanScored(s *scanner) error {
	if !s.accept('[') {
		return s.errorf("model.vocab: want [token, score]")
	}
	token, err := s.str()
	if err != nil {
		return err
	}
	if !s.accept(',') {
		return s.errorf("model.vocab: token %q has no score", clip(token))
	}
	w := s.word()
	score, err := strconv.ParseFloat(w, 64)
	if err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
		return fmt.Errorf("model.vocab: token %q has score %s, want a number", clip(token), clip(w))
	}
	if !s.accept(']') {
		return s.errorf("model.vocab: want [token, score]")
	}
	d.vocab = append(d.vocab, vocabEntry{token: token, id: int32(len(d.vocab)), score: score})
	return nil
}

// scanMerge reads "a b" or ["a", "b"]; only the second form allows spaces.
func (d *definition) scanMerge(s *scanner) error {
	if s.peek() != '[' {
		text, err := s.str()
		if err != nil {
			return err
		}
		a, b, ok := strings.Cut(text, " ")
		if !ok || strings.Contains(b, " ") {
			return fmt.Errorf("model.merges: entry %d is %q, want two tokens with one space between", len(d.merges), clip(text))
		}
		d.merges = append(d.merges, [2]string{a, b})
		return nil
	}
	var pair [2]string
	n := 0
	err := s.array(func() error {
		text, err := s.str()
		if n < len(pair) {
			pair[n] = text
		}
		n++
		return err
	})
	if err == nil && n != len(pair) {
		err = fmt.Errorf("model.merges: entry %d has %d tokens, want 2", len(d.merges), n)
	}
	d.merges = append(d.merges, pair)
	return err
}

// decodeSection fills v from JSON; absent and null leave v as it is and
// answer false.
func decodeSection(raw json.RawMessage, v any) (bool, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, err
	}
	return true, nil
}

// clip shortens text from a file for an error message.
func clip(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
