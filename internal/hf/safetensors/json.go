package safetensors

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds values that are skipped: the format itself needs a depth of 3.
const maxDepth = 32

// scanner reads JSON from outside in one pass. encoding/json would accept
// duplicate keys, mend broken UTF-8 and lose the order of the keys.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("byte %d of the JSON: %s", s.i, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// peek is the next byte after white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) expect(c byte, where string) error {
	switch got := s.peek(); {
	case got == c:
		s.i++
		return nil
	case s.i == len(s.b):
		return s.fail("it ends where %s needs %q", where, c)
	default:
		return s.fail("%q where %s needs %q", got, where, c)
	}
}

// end checks that only white space is left.
func (s *scanner) end() error {
	if s.peek(); s.i < len(s.b) {
		return s.fail("%q after the end of the object", s.b[s.i])
	}
	return nil
}

// object calls member for each key, in order; member must read the value.
func (s *scanner) object(member func(key string) error) error {
	if err := s.expect('{', "an object"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.expect(':', "an object"); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.expect('}', "an object")
		}
		s.i++
	}
}

// array calls element before each element; element must read it.
func (s *scanner) array(element func() error) error {
	if err := s.expect('[', "an array"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.expect(']', "an array")
		}
		s.i++
	}
}

// null reads the literal null if it is next.
func (s *scanner) null() bool {
	if s.peek() == 'n' && len(s.b)-s.i >= 4 && string(s.b[s.i:s.i+4]) == "null" {
		s.i += 4
		return true
	}
	return false
}

// text reads a string. The whole input was checked to be UTF-8 before.
func (s *scanner) text() (string, error) {
	if err := s.expect('"', "a string"); err != nil {
		return "", err
	}
	start := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return string(s.b[start : s.i-1]), nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return "", s.fail("control character %#02x in a string", c)
		}
		s.i++
	}
	return "", s.fail("it ends inside a string")
}

// escaped reads the rest of a string that began at start and has an escape at s.i.
func (s *scanner) escaped(start int) (string, error) {
	out := append([]byte(nil), s.b[start:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", s.fail("control character %#02x in a string", c)
		case c != '\\':
			out = append(out, c)
			continue
		}
		r, err := s.escape()
		if err != nil {
			return "", err
		}
		out = utf8.AppendRune(out, r)
	}
	return "", s.fail("it ends inside a string")
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, error) {
	if s.i == len(s.b) {
		return 0, s.fail("it ends inside a string")
	}
	c := s.b[s.i]
	s.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicode()
	}
	return 0, s.fail("unknown escape \\%c", c)
}

// unicode reads the digits of \u, and the second half of a surrogate pair.
func (s *scanner) unicode() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if len(s.b)-s.i >= 2 && s.b[s.i] == '\\' && s.b[s.i+1] == 'u' {
		s.i += 2
		low, err := s.hex4()
		if err != nil {
			return 0, err
		}
		if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
			return full, nil
		}
	}
	return 0, s.fail("half of a surrogate pair in a string")
}

func (s *scanner) hex4() (rune, error) {
	if len(s.b)-s.i < 4 {
		return 0, s.fail("it ends inside a string")
	}
	v, err := strconv.ParseUint(string(s.b[s.i:s.i+4]), 16, 16)
	if err != nil {
		return 0, s.fail("%q are not four hexadecimal digits", s.b[s.i:s.i+4])
	}
	s.i += 4
	return rune(v), nil
}

// number reads the characters of a number and checks its form.
func (s *scanner) number() (string, error) {
	s.space()
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.i++
	}
	tok := s.b[start:s.i]
	if len(tok) == 0 || !plainNumber(tok) && !json.Valid(tok) {
		s.i = start
		return "", s.fail("a number is needed")
	}
	return string(tok), nil
}

// plainNumber is the common case of json.Valid: digits without a leading zero.
func plainNumber(tok []byte) bool {
	for _, c := range tok {
		if c < '0' || c > '9' {
			return false
		}
	}
	return tok[0] != '0' || len(tok) == 1
}

// count reads a whole number that is not negative and fits int.
func (s *scanner) count() (int, error) {
	tok, err := s.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(tok, 10, 64)
	if err != nil || n > math.MaxInt {
		return 0, fmt.Errorf("%s is not a whole number between 0 and %d", clip(tok), math.MaxInt)
	}
	return int(n), nil
}

// skip reads any value and drops it.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail("values are nested deeper than %d", maxDepth)
	}
	switch c := s.peek(); c {
	case '"':
		_, err := s.text()
		return err
	case '{':
		return s.object(func(string) error { return s.skip(depth + 1) })
	case '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
				s.i += len(word)
				return nil
			}
		}
		return s.fail("unknown word")
	default:
		_, err := s.number()
		return err
	}
}

// clip shortens text from outside for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s... (%d bytes)", s[:cut], len(s))
}
