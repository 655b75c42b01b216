package template

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number adds the number at the start of s: an integer (decimal, 0x, 0o, 0b,
// with single "_" between digits) or a float.
func (l *lexer) number(s string) {
	if n := prefixedInt(s); n > 0 {
		l.add(tokInt, strings.ReplaceAll(s[:n], "_", ""))
		l.pos += n
		return
	}
	n := digits(s)
	kind := tokInt
	// After "." a number is an index (a.0.1), so it cannot be a float.
	if l.pos == 0 || l.src[l.pos-1] != '.' {
		if n < len(s) && s[n] == '.' {
			if d := digits(s[n+1:]); d > 0 {
				n += 1 + d
				kind = tokFloat
			}
		}
		if e := exponent(s[n:]); e > 0 {
			n += e
			kind = tokFloat
		}
	}
	if kind == tokInt && s[0] == '0' { // "012" is the two numbers 0 and 12
		n = 1
		for n < len(s) && (s[n] == '0' || s[n] == '_' && n+1 < len(s) && s[n+1] == '0') {
			n++
		}
	}
	l.add(kind, strings.ReplaceAll(s[:n], "_", ""))
	l.pos += n
}

// digits is the length of the decimal digits (with "_" between) that begin s.
func digits(s string) int {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || n > 0 && s[n] == '_' && n+1 < len(s) && s[n+1] >= '0' && s[n+1] <= '9') {
		n++
	}
	return n
}

func exponent(s string) int {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return 0
	}
	n := 1
	if n < len(s) && (s[n] == '+' || s[n] == '-') {
		n++
	}
	d := digits(s[n:])
	if d == 0 {
		return 0
	}
	return n + d
}

func prefixedInt(s string) int {
	if len(s) < 3 || s[0] != '0' {
		return 0
	}
	set := map[byte]string{'x': "0123456789abcdefABCDEF", 'o': "01234567", 'b': "01"}[s[1]|0x20]
	n := 2
	for n < len(s) && (strings.IndexByte(set, s[n]) >= 0 || s[n] == '_' && n+1 < len(s) && strings.IndexByte(set, s[n+1]) >= 0) {
		n++
	}
	if set == "" || n == 2 {
		return 0
	}
	return n
}

func (l *lexer) str(s string) error {
	end := 1
	for ; ; end++ {
		if end >= len(s) {
			return l.errorf("a string has no end quote")
		}
		if s[end] == s[0] {
			break
		}
		if s[end] == '\\' {
			end++
		}
	}
	v, err := unescape(s[1:end])
	if err != nil {
		return l.errorf("%w", err)
	}
	l.add(tokString, v)
	l.line += strings.Count(s[:end+1], "\n")
	l.pos += end + 1
	return nil
}

var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v",
	'\\': "\\", '\'': "'", '"': "\"", '\n': "",
}

// unescape decodes the escapes of a Python string literal.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i >= len(s) {
			return "", fmt.Errorf("a string ends in a lone backslash")
		}
		if v, ok := simpleEscapes[s[i]]; ok {
			b.WriteString(v)
			continue
		}
		n, base := 0, 16
		switch c := s[i]; {
		case c == 'x':
			n = 2
		case c == 'u':
			n = 4
		case c == 'U':
			n = 8
		case c == 'N':
			return "", fmt.Errorf(`the escape \N{...} is not supported`)
		case c >= '0' && c <= '7':
			base = 8
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			i--
		default: // Python keeps what it does not know
			b.WriteByte('\\')
			b.WriteByte(c)
			continue
		}
		if i+n >= len(s) {
			return "", fmt.Errorf("a string ends inside an escape")
		}
		v, err := strconv.ParseUint(s[i+1:i+1+n], base, 32)
		if err != nil || v > utf8.MaxRune {
			return "", fmt.Errorf("bad escape %q in a string", s[i:i+1+n])
		}
		b.WriteRune(rune(v))
		i += n
	}
	return b.String(), nil
}
