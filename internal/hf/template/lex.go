package template

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind byte

const (
	tokEOF tokenKind = iota
	tokText
	tokVarBegin
	tokVarEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
)

func (k tokenKind) String() string {
	return [...]string{"end of template", "text", "{{", "}}", "{%", "%}", "name", "string", "integer", "float", "operator"}[k]
}

// token is a word of the template; s is the decoded text of a string, the
// digits of a number, and the spelling of a name or operator.
type token struct {
	kind tokenKind
	s    string
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokName, tokOp, tokInt, tokFloat:
		return fmt.Sprintf("%q", t.s)
	case tokString:
		return "a string"
	}
	return t.kind.String()
}

type lexer struct {
	src  string
	pos  int
	line int
	out  []token
}

func (l *lexer) errorf(f string, a ...any) error {
	return &Error{Line: l.line, Err: fmt.Errorf(f, a...)}
}

func (l *lexer) add(k tokenKind, s string) { l.out = append(l.out, token{k, s, l.line}) }

// lex splits a template into tokens. White-space control happens here:
// a "-" beside a mark eats white space, a "+" keeps it; without a sign a block
// or comment at the start of a line loses its indentation (lstrip_blocks) and
// the newline after it (trim_blocks).
func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	src = strings.TrimSuffix(src, "\n") // keep_trailing_newline is off
	l := &lexer{src: src, line: 1}
	for l.pos < len(l.src) {
		i := nextMark(l.src[l.pos:])
		if i < 0 {
			l.add(tokText, l.src[l.pos:])
			break
		}
		if err := l.mark(i); err != nil {
			return nil, err
		}
	}
	l.add(tokEOF, "")
	return l.out, nil
}

// nextMark finds the next "{{", "{%" or "{#"; -1 when there is none.
func nextMark(s string) int {
	for off := 0; ; {
		i := strings.IndexByte(s[off:], '{')
		if i < 0 || off+i+1 >= len(s) {
			return -1
		}
		switch s[off+i+1] {
		case '{', '%', '#':
			return off + i
		}
		off += i + 1
	}
}

// mark handles the text of i bytes before a mark, and what the mark begins.
func (l *lexer) mark(i int) error {
	text := l.src[l.pos : l.pos+i]
	kind := l.src[l.pos+i+1]
	p := l.pos + i + 2
	sign := byte(0)
	if p < len(l.src) && (l.src[p] == '-' || l.src[p] == '+') {
		sign = l.src[p]
		p++
	}
	l.text(text, sign, kind != '{')
	l.line += strings.Count(text, "\n")
	l.pos = p
	switch kind {
	case '#':
		return l.comment()
	case '{':
		l.add(tokVarBegin, "")
		return l.expression("}}", tokVarEnd)
	}
	if n := rawBegin(l.src[p:]); n > 0 {
		l.line += strings.Count(l.src[p:p+n], "\n")
		l.pos += n
		return l.raw()
	}
	l.add(tokBlockBegin, "")
	return l.expression("%}", tokBlockEnd)
}

// text adds template text, trimmed as the sign of the mark after it asks.
func (l *lexer) text(text string, sign byte, block bool) {
	if sign == '-' {
		text = strings.TrimRight(text, pySpace)
	} else if sign != '+' && block {
		j := strings.LastIndexByte(text, '\n') + 1
		if (j > 0 || l.lineStart()) && strings.Trim(text[j:], pySpace) == "" {
			text = text[:j]
		}
	}
	if text != "" {
		l.add(tokText, text)
	}
}

// lineStart reports whether l.pos is at the beginning of a line.
func (l *lexer) lineStart() bool { return l.pos == 0 || l.src[l.pos-1] == '\n' }

func (l *lexer) comment() error {
	j := strings.Index(l.src[l.pos:], "#}")
	if j < 0 {
		return l.errorf("a comment has no end mark #}")
	}
	c := l.src[l.pos : l.pos+j]
	l.line += strings.Count(c, "\n")
	l.pos += j + 2
	l.afterMark(strings.HasSuffix(c, "-"), !strings.HasSuffix(c, "+"))
	return nil
}

// afterMark skips the white space that an end mark eats: all of it after "-",
// else one newline when trim is set.
func (l *lexer) afterMark(minus, trim bool) {
	switch {
	case minus:
		rest := strings.TrimLeft(l.src[l.pos:], pySpace)
		end := len(l.src) - len(rest)
		l.line += strings.Count(l.src[l.pos:end], "\n")
		l.pos = end
	case trim && l.pos < len(l.src) && l.src[l.pos] == '\n':
		l.pos++
		l.line++
	}
}

// rawBegin returns the length of " raw %}" at the start of s, 0 when absent.
func rawBegin(s string) int {
	t, ok := strings.CutPrefix(strings.TrimLeft(s, pySpace), "raw")
	if !ok {
		return 0
	}
	t = strings.TrimLeft(t, pySpace)
	if u, ok := strings.CutPrefix(t, "-%}"); ok {
		return len(s) - len(strings.TrimLeft(u, pySpace))
	}
	if u, ok := strings.CutPrefix(t, "%}"); ok {
		return len(s) - len(u)
	}
	return 0
}

// raw adds the text up to {% endraw %} as it stands.
func (l *lexer) raw() error {
	for off := l.pos; ; {
		i := strings.Index(l.src[off:], "{%")
		if i < 0 {
			return l.errorf("a raw block has no endraw")
		}
		off += i + 2
		b := l.src[off:]
		sign := byte(0)
		if b != "" && (b[0] == '-' || b[0] == '+') {
			sign, b = b[0], b[1:]
		}
		b, ok := strings.CutPrefix(strings.TrimLeft(b, pySpace), "endraw")
		if !ok {
			continue
		}
		b = strings.TrimLeft(b, pySpace)
		end := byte(0)
		if b != "" && (b[0] == '-' || b[0] == '+') {
			end, b = b[0], b[1:]
		}
		if b, ok = strings.CutPrefix(b, "%}"); !ok {
			continue
		}
		text := l.src[l.pos : off-2]
		l.text(text, sign, true)
		stop := len(l.src) - len(b)
		l.line += strings.Count(l.src[l.pos:stop], "\n")
		l.pos = stop
		l.afterMark(end == '-', end != '+')
		return nil
	}
}

// operators, longer spellings first.
var operators = []string{"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";"}

// expression adds the tokens up to the end mark of a print or a block.
func (l *lexer) expression(end string, k tokenKind) error {
	var open []byte
	for {
		l.skipSpace()
		if l.pos >= len(l.src) {
			return l.errorf("the template ends before %q", end)
		}
		s := l.src[l.pos:]
		if len(open) == 0 && l.endMark(s, end, k) {
			return nil
		}
		var err error
		switch c := s[0]; {
		case c == '"' || c == '\'':
			err = l.str(s)
		case c >= '0' && c <= '9':
			l.number(s)
		default:
			if n := nameLen(s); n > 0 {
				l.add(tokName, s[:n])
				l.pos += n
				break
			}
			open, err = l.operator(s, open)
		}
		if err != nil {
			return err
		}
	}
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		if r == '\n' {
			l.line++
		} else if !strings.ContainsRune(pySpace, r) {
			return
		}
		l.pos += n
	}
}

// endMark reads an end mark with its sign at the start of s. A print has no
// "+" sign: there the "+" is an operator.
func (l *lexer) endMark(s, end string, k tokenKind) bool {
	sign := s[0]
	if sign == '-' || sign == '+' && k == tokBlockEnd {
		s = s[1:]
	} else {
		sign = 0
	}
	if !strings.HasPrefix(s, end) {
		return false
	}
	l.pos = len(l.src) - len(s) + len(end)
	l.add(k, "")
	l.afterMark(sign == '-', k == tokBlockEnd && sign == 0)
	return true
}

// nameLen is the length of the name at the start of s, 0 when there is none.
func nameLen(s string) int {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80 && r != utf8.RuneError && unicode.IsLetter(r)
		if letter || i > 0 && (r >= '0' && r <= '9' || r >= 0x80 && (unicode.IsNumber(r) || unicode.IsMark(r))) {
			continue
		}
		return i
	}
	return len(s)
}

func (l *lexer) operator(s string, open []byte) ([]byte, error) {
	for _, o := range operators {
		if !strings.HasPrefix(s, o) {
			continue
		}
		switch o {
		case "(":
			open = append(open, ')')
		case "[":
			open = append(open, ']')
		case "{":
			open = append(open, '}')
		case ")", "]", "}":
			if len(open) == 0 {
				return nil, l.errorf("unexpected %q", o)
			}
			if want := open[len(open)-1]; want != o[0] {
				return nil, l.errorf("unexpected %q, want %q", o, string(want))
			}
			open = open[:len(open)-1]
		}
		l.add(tokOp, o)
		l.pos += len(o)
		return open, nil
	}
	r, _ := utf8.DecodeRuneInString(s)
	return nil, l.errorf("unexpected character %q", r)
}
