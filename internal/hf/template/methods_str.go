package template

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// strMethod registers a method of str whose result is text: Markup stays so.
func strMethod(name, s string, f func(r *runtime, s string, a []Value) (string, error)) {
	addMethod("str", name, s, func(r *runtime, self Value, a []Value) (Value, error) {
		text, _ := asString(self)
		if err := r.alloc(int64(len(text))); err != nil {
			return nil, err
		}
		out, err := f(r, text, a)
		return like(self, out), err
	})
}

// askMethod registers a method of str without arguments that answers a
// question.
func askMethod(name string, f func(string) bool) {
	addMethod("str", name, "", func(r *runtime, self Value, a []Value) (Value, error) {
		s, _ := asString(self)
		return f(s), nil
	})
}

func addStringMethods() {
	for name, f := range map[string]func(string) string{
		"upper": pyUpper, "lower": pyLower, "title": pyTitle, "capitalize": pyCapitalize,
		"swapcase": pySwapcase, "casefold": pyCasefold,
	} {
		strMethod(name, "", func(r *runtime, s string, a []Value) (string, error) {
			return f(s), r.alloc(2 * int64(len(s)))
		})
	}
	for name, f := range map[string]func(s, cut string) string{
		"strip": strings.Trim, "lstrip": strings.TrimLeft, "rstrip": strings.TrimRight,
	} {
		strMethod(name, "chars?", func(r *runtime, s string, a []Value) (string, error) {
			c := or(a[0], nil)
			if c == nil {
				return f(s, pySpace), nil
			}
			cut, err := strArg(name, c)
			return f(s, cut), err
		})
	}
	for name, f := range map[string]func(s, x string) string{
		"removeprefix": strings.TrimPrefix, "removesuffix": strings.TrimSuffix,
	} {
		strMethod(name, "affix", func(r *runtime, s string, a []Value) (string, error) {
			x, err := strArg(name, a[0])
			return f(s, x), err
		})
	}
	addAsking()
	addSplitting()
	addSearching()
	for _, name := range []string{"center", "ljust", "rjust"} {
		strMethod(name, "width fillchar?", func(r *runtime, s string, a []Value) (string, error) {
			return r.padded(name, s, a)
		})
	}
	strMethod("zfill", "width", zfill)
	strMethod("expandtabs", "tabsize?", expandTabs)
	methods["str"]["replace"] = replaceMethod
	methods["str"]["join"] = joinMethod
	methods["str"]["format"] = formatMethod
}

func addAsking() {
	askMethod("isupper", isUpperText)
	askMethod("islower", isLowerText)
	askMethod("istitle", isTitleText)
	askMethod("isascii", isASCII)
	for name, f := range map[string]func(rune) bool{
		"isspace": isSpace,
		"isalpha": unicode.IsLetter,
		"isdigit": isDigit,
		"isalnum": func(c rune) bool {
			return unicode.IsLetter(c) || isDigit(c) || unicode.IsNumber(c) && !unicode.Is(unicode.Nl, c)
		},
		"isdecimal": func(c rune) bool { return unicode.Is(unicode.Nd, c) },
		"isnumeric": unicode.IsNumber,
	} {
		askMethod(name, func(s string) bool { return allRunes(s, f) })
	}
	askMethod("isprintable", func(s string) bool { return s == "" || allRunes(s, unicode.IsPrint) })
	askMethod("isidentifier", func(s string) bool { return s != "" && nameLen(s) == len(s) })
}

// isDigit is str.isdigit of one character: decimal digits and superscripts.
func isDigit(c rune) bool {
	return unicode.Is(unicode.Nd, c) || c == '²' || c == '³' || c == '¹' || c == '⁰' ||
		c >= '⁴' && c <= '⁹' || c >= '₀' && c <= '₉' || c >= '①' && c <= '⑨' ||
		c >= '⑴' && c <= '⑼' || c >= '⒈' && c <= '⒐'
}

// pyCasefold lowers for comparing; it differs from lower in a few letters.
func pyCasefold(s string) string {
	s = strings.NewReplacer("ß", "ss", "ẞ", "ss", "ς", "σ", "ſ", "s", "İ", "i\u0307").Replace(s)
	return strings.Map(unicode.ToLower, s)
}

func addSplitting() {
	for name, right := range map[string]bool{"split": false, "rsplit": true} {
		addMethod("str", name, "sep? maxsplit?", func(r *runtime, self Value, a []Value) (Value, error) {
			s, _ := asString(self)
			limit, err := intArg("maxsplit", a[1], -1)
			if err != nil {
				return nil, err
			}
			limit = min(limit, int64(len(s)))
			sep := or(a[0], nil)
			if sep == nil {
				return r.strings(self, splitSpace(s, int(limit), right))
			}
			by, err := strArg("the separator", sep)
			if err != nil {
				return nil, err
			}
			if by == "" {
				return nil, errors.New("empty separator")
			}
			if err := r.allocItems(strings.Count(s, by)); err != nil {
				return nil, err
			}
			return r.strings(self, splitAt(s, by, int(limit), right))
		})
	}
	addMethod("str", "splitlines", "keepends?", func(r *runtime, self Value, a []Value) (Value, error) {
		s, _ := asString(self)
		return r.strings(self, splitLines(s, flag(a[0])))
	})
	for name, index := range map[string]func(s, sep string) int{"partition": strings.Index, "rpartition": strings.LastIndex} {
		addMethod("str", name, "sep", func(r *runtime, self Value, a []Value) (Value, error) {
			s, _ := asString(self)
			sep, err := strArg(name, a[0])
			if err != nil {
				return nil, err
			}
			if sep == "" {
				return nil, errors.New("empty separator")
			}
			parts := [3]string{s, "", ""}
			if i := index(s, sep); i >= 0 {
				parts = [3]string{s[:i], sep, s[i+len(sep):]}
			} else if name == "rpartition" {
				parts = [3]string{"", "", s}
			}
			return &Tuple{[]Value{like(self, parts[0]), like(self, parts[1]), like(self, parts[2])}}, r.spend(int64(len(s) >> 10))
		})
	}
}

// strings makes a list of strings that are Markup when self is.
func (r *runtime) strings(self Value, parts []string) (Value, error) {
	if err := r.allocItems(3 * len(parts)); err != nil {
		return nil, err
	}
	s, _ := asString(self)
	out := make([]Value, len(parts))
	for i, p := range parts {
		out[i] = like(self, p)
	}
	return &List{out}, r.spend(int64(len(s) >> 10))
}

func addSearching() {
	for name, suffix := range map[string]bool{"startswith": false, "endswith": true} {
		addMethod("str", name, "prefix start? end?", func(r *runtime, self Value, a []Value) (Value, error) {
			s, _ := asString(self)
			s, _, ok, err := window(s, a[1], a[2])
			if err != nil {
				return nil, err
			}
			affixes := a[:1]
			if t, ok := a[0].(*Tuple); ok {
				affixes = t.Items
			}
			for _, x := range affixes {
				p, err := strArg(name, x)
				if err != nil {
					return nil, err
				}
				if ok && (!suffix && strings.HasPrefix(s, p) || suffix && strings.HasSuffix(s, p)) {
					return true, nil
				}
			}
			return false, nil
		})
	}
	for _, name := range []string{"find", "rfind", "index", "rindex", "count"} {
		addMethod("str", name, "sub start? end?", func(r *runtime, self Value, a []Value) (Value, error) {
			s, _ := asString(self)
			if err := r.spend(int64(len(s) >> 10)); err != nil {
				return nil, err
			}
			return searchMethod(name, s, a)
		})
	}
}

// window is s[start:end] with its offset in characters; ok is false when start
// is beyond end or the end of s, where not even "" is found.
func window(s string, start, end Value) (part string, offset int, ok bool, err error) {
	start, end = or(start, nil), or(end, nil)
	if start == nil && end == nil {
		return s, 0, true, nil
	}
	n := utf8.RuneCountInString(s)
	first, _, count, err := sliceBounds(start, end, nil, n)
	if err != nil {
		return "", 0, false, err
	}
	stop, _, _, _ := sliceBounds(end, nil, nil, n)
	if end == nil {
		stop = n
	}
	if clampInt(start, 0, n+1) > n || first > stop {
		return "", 0, false, nil
	}
	at := runeOffset(s, first)
	return s[at : at+runeOffset(s[at:], count)], first, true, nil
}

func searchMethod(name, s string, a []Value) (Value, error) {
	sub, err := strArg(name, a[0])
	if err != nil {
		return nil, err
	}
	s, offset, ok, err := window(s, a[1], a[2])
	if err != nil {
		return nil, err
	}
	if name == "count" {
		if !ok {
			return int64(0), nil
		}
		return int64(strings.Count(s, sub)), nil
	}
	i := -1
	if ok && strings.HasPrefix(name, "r") {
		i = strings.LastIndex(s, sub)
	} else if ok {
		i = strings.Index(s, sub)
	}
	if i >= 0 {
		return int64(offset + utf8.RuneCountInString(s[:i])), nil
	}
	if strings.HasSuffix(name, "index") {
		return nil, errors.New("substring not found")
	}
	return int64(-1), nil
}

// padded is str.center, ljust and rjust.
func (r *runtime) padded(name, s string, a []Value) (string, error) {
	width, err := intArg("width", a[0], 0)
	if err != nil {
		return "", err
	}
	fill, err := strArg("the fill character", or(a[1], " "))
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(fill) != 1 {
		return "", errors.New("the fill character must be exactly one character long")
	}
	n := width - int64(utf8.RuneCountInString(s))
	if n <= 0 {
		return s, nil
	}
	if err := r.allocTimes(len(fill), n); err != nil {
		return "", err
	}
	left := int64(0)
	switch name {
	case "rjust":
		left = n
	case "center": // where the odd one goes is CPython's own rule
		left = n/2 + n&width&1
	}
	return strings.Repeat(fill, int(left)) + s + strings.Repeat(fill, int(n-left)), nil
}

func zfill(r *runtime, s string, a []Value) (string, error) {
	width, err := intArg("width", a[0], 0)
	if err != nil {
		return "", err
	}
	n := width - int64(utf8.RuneCountInString(s))
	if n <= 0 {
		return s, nil
	}
	if err := r.allocTimes(1, n); err != nil {
		return "", err
	}
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	return sign + strings.Repeat("0", int(n)) + s, nil
}

func expandTabs(r *runtime, s string, a []Value) (string, error) {
	size, err := intArg("tabsize", a[0], 8)
	if err != nil {
		return "", err
	}
	if err := r.allocTimes(strings.Count(s, "\t"), max(size, 0)); err != nil {
		return "", err
	}
	var b strings.Builder
	col := int64(0)
	for _, c := range s {
		switch c {
		case '\t':
			if size > 0 {
				n := size - col%size
				b.WriteString(strings.Repeat(" ", int(n)))
				col += n
			}
		case '\n', '\r':
			b.WriteRune(c)
			col = 0
		default:
			b.WriteRune(c)
			col++
		}
	}
	return b.String(), nil
}

var replaceSig = sig("old new count?")

func replaceMethod(r *runtime, self Value, a args) (Value, error) {
	if a.kw.Len() > 0 {
		return nil, errors.New("str.replace takes no named arguments")
	}
	b, err := replaceSig.bind("str.replace", a)
	if err != nil {
		return nil, err
	}
	s, _ := asString(self)
	old, err := strArg("replace", b[0])
	if err != nil {
		return nil, err
	}
	repl, err := r.escapedFor(self, b[1])
	if err != nil {
		return nil, err
	}
	n, err := intArg("count", b[2], -1)
	if err != nil {
		return nil, err
	}
	v, err := r.replace(s, old, repl, n)
	if err != nil {
		return nil, err
	}
	out, _ := asString(v)
	return like(self, out), nil
}

// escapedFor returns the string v as it goes into self: escaped when self is
// Markup and v is not.
func (r *runtime) escapedFor(self, v Value) (string, error) {
	s, err := strArg("an argument", v)
	_, m1 := self.(Markup)
	if _, m2 := v.(Markup); m1 && !m2 && err == nil {
		return escapeHTML(s), r.alloc(5 * int64(len(s)))
	}
	return s, err
}

func joinMethod(r *runtime, self Value, a args) (Value, error) {
	if a.kw.Len() > 0 || len(a.pos) != 1 {
		return nil, errors.New("str.join takes exactly one argument")
	}
	sep, _ := asString(self)
	items, err := r.items(a.pos[0])
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, x := range items {
		if _, ok := asString(x); !ok {
			return nil, fmt.Errorf("sequence item %d: expected str instance, %s found", i, typeName(x))
		}
		s, err := r.escapedFor(self, x)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			s = sep + s
		}
		if err := r.alloc(int64(len(s))); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return like(self, b.String()), nil
}
