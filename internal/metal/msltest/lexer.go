package msltest

import (
	"strconv"
	"strings"
)

// A token is a word, number, string or operator, and what lies before it: white space,
// comments, line markers.
type token struct {
	space, text string
	file        string
	line        int
}

// lexer cuts preprocessed source into tokens.
type lexer struct {
	src  string
	at   int
	file string
	line int
}

// lex never fails: what it does not know is a token of one byte. The last token is empty
// and holds the space at the end.
func lex(src string) []token {
	l := &lexer{src: src, line: 1}
	var tokens []token
	for {
		start := l.at
		l.skip()
		space := src[start:l.at]
		if l.at == len(src) {
			return append(tokens, token{space, "", l.file, l.line})
		}
		start, line := l.at, l.line
		l.word()
		l.line += strings.Count(src[start:l.at], "\n")
		tokens = append(tokens, token{space, src[start:l.at], l.file, line})
	}
}

func (l *lexer) rest() string { return l.src[l.at:] }

// skip goes over space, comments and directives.
func (l *lexer) skip() {
	lineStart := l.at == 0
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == '\n':
			l.line++
			l.at++
			lineStart = true
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.at++
		case c == '#' && lineStart:
			l.directive()
		case strings.HasPrefix(l.rest(), "//"):
			l.at += len(firstLine(l.rest()))
		case strings.HasPrefix(l.rest(), "/*"):
			n := len(l.rest())
			if end := strings.Index(l.rest()[2:], "*/"); end >= 0 {
				n = end + 4
			}
			l.line += strings.Count(l.rest()[:n], "\n")
			l.at += n
		default:
			return
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// directive goes over a line that begins with #. # 12 "file" and #line 12 "file" name the
// line that follows.
func (l *lexer) directive() {
	text := firstLine(l.rest())
	l.at += len(text)
	fields := strings.SplitN(strings.TrimPrefix(strings.TrimSpace(text[1:]), "line"), `"`, 3)
	n, err := strconv.Atoi(strings.TrimSpace(fields[0]))
	if err != nil {
		return
	}
	l.line = n - 1
	if len(fields) == 3 {
		l.file = fields[1]
	}
}

// word goes over one token.
func (l *lexer) word() {
	s := l.rest()
	switch c := s[0]; {
	case isDigit(c) || c == '.' && len(s) > 1 && isDigit(s[1]):
		l.at += numberLen(s)
	case isWord(c):
		for l.at < len(l.src) && isWord(l.src[l.at]) {
			l.at++
		}
	case c == '"' || c == '\'':
		l.at += stringLen(s)
	case len(s) > 1 && pairs[s[:2]]:
		l.at += 2
	default:
		l.at++
	}
}

// pairs are the operators of two characters that are one token. >> and << are not, for the
// sake of template arguments.
var pairs = func() map[string]bool {
	m := map[string]bool{}
	for s := range strings.FieldsSeq(":: -> ++ -- && || == != += -= *= /= |= ^= %= &= <= >=") {
		m[s] = true
	}
	return m
}()

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord says whether c can be in an identifier.
func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
}

// isName says whether s is an identifier or keyword.
func isName(s string) bool { return s != "" && isWord(s[0]) && !isDigit(s[0]) }

// numberLen is the length of the number at the start of s, with suffix and exponent.
func numberLen(s string) int {
	hex := len(s) > 1 && (s[1] == 'x' || s[1] == 'X')
	n := 1
	for ; n < len(s); n++ {
		c, before := s[n], s[n-1]
		exponent := before == 'p' || before == 'P' || !hex && (before == 'e' || before == 'E')
		if !isWord(c) && c != '.' && !(exponent && (c == '+' || c == '-')) {
			break
		}
	}
	return n
}

// stringLen is the length of the literal at the start of s, to the end of s if it is open.
func stringLen(s string) int {
	for n := 1; n < len(s); n++ {
		switch s[n] {
		case s[0]:
			return n + 1
		case '\\':
			n++
		}
	}
	return len(s)
}

// isFloat says whether a number is a floating-point literal without a suffix, which is a
// float in Metal and a double in C++.
func isFloat(s string) bool {
	if s == "" || !isDigit(s[0]) && (s[0] != '.' || len(s) == 1) {
		return false
	}
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		return strings.ContainsAny(s, "pP") && !strings.ContainsAny(s[strings.IndexAny(s, "pP"):], "fFhHlL")
	}
	return strings.ContainsAny(s, ".eE") && !strings.ContainsAny(s, "fFhHlLbB")
}
