package launch

import (
	"fmt"
	"strings"
)

// quote is s as one word of a POSIX shell, in ASCII: what has bytes that a terminal, a
// locale or an old shell could take amiss comes out of printf, as one piece, since shells
// are slow at many.
func quote(s string) string {
	switch {
	case s == "":
		return "''"
	case !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }):
		return s
	case !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	text := strings.TrimRight(s, "\n") // what a shell takes off printf's output
	var b strings.Builder
	b.WriteString(`"$(printf '`)
	for i, c := range []byte(text) {
		switch {
		case c == '%' || c == '\\':
			b.WriteByte(c)
			b.WriteByte(c)
		case c < ' ' && c != '\n' || c > '~' || c == '\'' || c == '-' && i == 0:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteString(`')"`)
	if text != s {
		b.WriteString("'" + s[len(text):] + "'")
	}
	return b.String()
}

// plain tells characters that need no quotes.
func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
}

// quoteAll is a command line.
func quoteAll(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = quote(w)
	}
	return strings.Join(q, " ")
}

// octal is data as the argument of printf %b, in ASCII.
func octal(data []byte) []byte {
	out := make([]byte, 0, len(data)+16)
	for _, c := range data {
		if c >= ' ' && c <= '~' && c != '\\' {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, `\0%03o`, c)
		}
	}
	return out
}
