package launch

import (
	"fmt"
	"strings"
)

// quote is s as one word of a POSIX shell, in ASCII: bytes that a terminal, a locale or
// an old shell could take amiss come out of printf.
func quote(s string) string {
	if s == "" {
		return "''"
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		n := 0
		for n < len(s) && readable(s[n]) {
			n++
		}
		if n > 0 {
			b.WriteString("'" + strings.ReplaceAll(s[:n], "'", `'\''`) + "'")
			s = s[n:]
			continue
		}
		b.WriteString(`"$(printf '`)
		for n < len(s) && !readable(s[n]) {
			fmt.Fprintf(&b, `\%03o`, s[n])
			n++
		}
		b.WriteString(`')"`)
		s = s[n:]
	}
	return b.String()
}

// plain tells characters that need no quotes.
func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
}

// readable tells bytes that stand between single quotes as they are. A newline is one:
// printf's last would be lost.
func readable(c byte) bool { return c == '\n' || ' ' <= c && c <= '~' }

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
