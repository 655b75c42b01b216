package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pySpace is what Python calls white space.
const pySpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

func isSpace(c rune) bool { return strings.ContainsRune(pySpace, c) }

func isCased(c rune) bool {
	return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) ||
		unicode.Is(unicode.Other_Lowercase, c) || unicode.Is(unicode.Other_Uppercase, c)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// pyUpper is str.upper: a character may become several (ß becomes SS).
func pyUpper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	var b strings.Builder
	for _, c := range s {
		if u, ok := specialUpper[c]; ok {
			b.WriteString(u)
		} else {
			b.WriteRune(unicode.ToUpper(c))
		}
	}
	return b.String()
}

// pyLower is str.lower, with the Greek final sigma.
func pyLower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	runes := []rune(s)
	var b strings.Builder
	for i := range runes {
		b.WriteString(lowerAt(runes, i))
	}
	return b.String()
}

func lowerAt(runes []rune, i int) string {
	switch c := runes[i]; c {
	case 'Σ':
		if finalSigma(runes, i) {
			return "ς"
		}
		return "σ"
	case 'İ':
		return "i\u0307"
	default:
		return string(unicode.ToLower(c))
	}
}

// finalSigma reports whether the sigma at i ends a word: a cased letter before
// it and none after it, characters without case of their own left aside.
func finalSigma(runes []rune, i int) bool {
	j := i - 1
	for j >= 0 && caseIgnorable(runes[j]) {
		j--
	}
	if j < 0 || !isCased(runes[j]) {
		return false
	}
	j = i + 1
	for j < len(runes) && caseIgnorable(runes[j]) {
		j++
	}
	return j == len(runes) || !isCased(runes[j])
}

func caseIgnorable(c rune) bool {
	return unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) ||
		strings.ContainsRune("'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a", c)
}

func titleRune(c rune) string {
	if t, ok := specialTitle[c]; ok {
		return t
	}
	if t := unicode.ToTitle(c); t != c {
		return string(t)
	}
	if u, ok := specialUpper[c]; ok && !unicode.IsTitle(c) {
		return u
	}
	return string(c)
}

// pyCapitalize is str.capitalize.
func pyCapitalize(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i, c := range runes {
		if i == 0 {
			b.WriteString(titleRune(c))
		} else {
			b.WriteString(lowerAt(runes, i))
		}
	}
	return b.String()
}

// pyTitle is str.title: a letter after a letter is small, others are large.
func pyTitle(s string) string {
	runes := []rune(s)
	var b strings.Builder
	cased := false
	for i, c := range runes {
		if cased {
			b.WriteString(lowerAt(runes, i))
		} else {
			b.WriteString(titleRune(c))
		}
		cased = isCased(c)
	}
	return b.String()
}

func pySwapcase(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i, c := range runes {
		switch {
		case unicode.IsUpper(c):
			b.WriteString(lowerAt(runes, i))
		case unicode.IsLower(c):
			b.WriteString(pyUpper(string(c)))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// isUpperText and isLowerText are str.isupper and str.islower: at least one
// cased character, and none of the other case.
func isUpperText(s string) bool {
	found := false
	for _, c := range s {
		if unicode.IsLower(c) || unicode.IsTitle(c) || unicode.Is(unicode.Other_Lowercase, c) {
			return false
		}
		found = found || unicode.IsUpper(c) || unicode.Is(unicode.Other_Uppercase, c)
	}
	return found
}

func isLowerText(s string) bool {
	found := false
	for _, c := range s {
		if unicode.IsUpper(c) || unicode.IsTitle(c) || unicode.Is(unicode.Other_Uppercase, c) {
			return false
		}
		found = found || unicode.IsLower(c) || unicode.Is(unicode.Other_Lowercase, c)
	}
	return found
}

func isTitleText(s string) bool {
	found, cased := false, false
	for _, c := range s {
		switch {
		case unicode.IsUpper(c) || unicode.IsTitle(c):
			if cased {
				return false
			}
			found, cased = true, true
		case isCased(c):
			if !cased {
				return false
			}
			found = true
		default:
			cased = false
		}
	}
	return found
}

// allRunes reports whether s is not empty and f holds for all of it.
func allRunes(s string, f func(rune) bool) bool {
	for _, c := range s {
		if !f(c) {
			return false
		}
	}
	return s != ""
}

// isWord is \w in Python's regular expressions.
func isWord(c rune) bool {
	return c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c)
}

// splitLines cuts s after every line boundary that Python knows. keep leaves
// the boundaries in.
func splitLines(s string, keep bool) []string {
	var out []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			return append(out, s)
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		end := i + n
		if s[i] == '\r' && strings.HasPrefix(s[end:], "\n") {
			end++
		}
		if keep {
			out = append(out, s[:end])
		} else {
			out = append(out, s[:i])
		}
		s = s[end:]
	}
	return out
}

// splitSpace is str.split() without separator: at most limit cuts (limit < 0:
// all), from the right end when right is set.
func splitSpace(s string, limit int, right bool) []string {
	fields := strings.FieldsFunc(s, isSpace)
	if limit < 0 || len(fields) <= limit {
		return fields
	}
	if right {
		rest := strings.TrimRight(s, pySpace)
		for range limit {
			i := strings.LastIndexFunc(rest, isSpace)
			rest = strings.TrimRight(rest[:i], pySpace)
		}
		return append([]string{rest}, fields[len(fields)-limit:]...)
	}
	rest := strings.TrimLeft(s, pySpace)
	for range limit {
		rest = strings.TrimLeft(rest[strings.IndexFunc(rest, isSpace):], pySpace)
	}
	return append(fields[:limit:limit], rest)
}

// splitAt is str.split(sep, limit) and str.rsplit.
func splitAt(s, sep string, limit int, right bool) []string {
	if limit < 0 {
		return strings.Split(s, sep)
	}
	if !right {
		return strings.SplitN(s, sep, limit+1)
	}
	var tail []string
	for range limit {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		tail = append(tail, s[i+len(sep):])
		s = s[:i]
	}
	out := []string{s}
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}
