package template

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// textFilter makes a filter of a function on text. What it returns is Markup
// where its input is.
func textFilter(f func(string) string) func(r *runtime, v Value, a []Value) (Value, error) {
	return func(r *runtime, v Value, a []Value) (Value, error) {
		s, err := r.str(v)
		if err != nil {
			return nil, err
		}
		if err := r.alloc(3 * int64(len(s))); err != nil {
			return nil, err
		}
		return like(v, f(s)), nil
	}
}

func addTextFilters() {
	addFilter("upper", "", textFilter(pyUpper))
	addFilter("lower", "", textFilter(pyLower))
	addFilter("capitalize", "", textFilter(pyCapitalize))
	addFilter("title", "", textFilter(titleWords))
	addFilter("striptags", "", func(r *runtime, v Value, a []Value) (Value, error) {
		s, err := r.str(v)
		if err != nil {
			return nil, err
		}
		return stripTags(s), r.alloc(int64(len(s)))
	})
	addFilter("trim", "chars?", trimFilter)
	addFilter("escape", "", func(r *runtime, v Value, a []Value) (Value, error) {
		if m, ok := v.(Markup); ok {
			return m, nil
		}
		return r.forceEscape(v)
	})
	addFilter("forceescape", "", func(r *runtime, v Value, a []Value) (Value, error) { return r.forceEscape(v) })
	addFilter("safe", "", func(r *runtime, v Value, a []Value) (Value, error) {
		s, err := r.str(v)
		return Markup(s), err
	})
	addFilter("string", "", func(r *runtime, v Value, a []Value) (Value, error) {
		if m, ok := v.(Markup); ok {
			return m, nil
		}
		return r.str(v)
	})
	addFilter("replace", "old new count?", replaceFilter)
	addFilter("indent", "width? first? blank?", indentFilter)
	addFilter("wordcount", "", func(r *runtime, v Value, a []Value) (Value, error) {
		s, err := r.str(v)
		words := strings.FieldsFunc(s, func(c rune) bool { return !isWord(c) })
		return int64(len(words)), err
	})
	addFilter("center", "width?", func(r *runtime, v Value, a []Value) (Value, error) {
		s, err := r.str(v)
		if err != nil {
			return nil, err
		}
		p, err := r.padded("center", s, []Value{or(a[0], int64(80)), unset{}})
		return like(v, p), err
	})
	addFilter("truncate", "length? killwords? end? leeway?", truncateFilter)
	addFilter("urlencode", "", urlencodeFilter)
	addFilter("xmlattr", "autospace?", xmlattrFilter)
	filters["format"] = filter{sig("*"), formatFilter}
}

func (r *runtime) forceEscape(v Value) (Value, error) {
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	return Markup(escapeHTML(s)), r.alloc(5 * int64(len(s)))
}

// titleWords begins words with a capital; words begin at the start and after
// white space and -({[<. This is not str.title: "it's" becomes "It's".
func titleWords(s string) string {
	var b, rest strings.Builder
	flush := func() {
		b.WriteString(pyLower(rest.String()))
		rest.Reset()
	}
	start := true
	for _, c := range s {
		switch {
		case isSpace(c) || strings.ContainsRune("-({[<", c):
			flush()
			b.WriteRune(c)
			start = true
		case start:
			b.WriteString(pyUpper(string(c)))
			start = false
		default:
			rest.WriteRune(c)
		}
	}
	flush()
	return b.String()
}

var (
	commentTag = regexp.MustCompile(`(?s)<!--.*?-->`)
	anyTag     = regexp.MustCompile(`(?s)<.*?>`)
)

func stripTags(s string) string {
	s = anyTag.ReplaceAllString(commentTag.ReplaceAllString(s, ""), "")
	return unescapeHTML(strings.Join(strings.FieldsFunc(s, isSpace), " "))
}

func trimFilter(r *runtime, v Value, a []Value) (Value, error) {
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	cut := pySpace
	if c := or(a[0], nil); c != nil {
		if cut, err = strArg("chars", c); err != nil {
			return nil, err
		}
	}
	return like(v, strings.Trim(s, cut)), nil
}

func replaceFilter(r *runtime, v Value, a []Value) (Value, error) {
	var parts [3]string
	for i, x := range []Value{v, a[0], a[1]} {
		var err error
		if parts[i], err = r.str(x); err != nil {
			return nil, err
		}
	}
	count := or(a[2], nil)
	if count == nil {
		count = int64(-1)
	}
	n, err := intArg("count", count, -1)
	if err != nil {
		return nil, err
	}
	return r.replace(parts[0], parts[1], parts[2], n)
}

// replace counts the result before it is made.
func (r *runtime) replace(s, old, repl string, n int64) (Value, error) {
	hits := int64(strings.Count(s, old))
	if n >= 0 {
		hits = min(hits, n)
	}
	if err := r.alloc(int64(len(s))); err != nil {
		return nil, err
	}
	if err := r.allocTimes(len(repl), hits); err != nil {
		return nil, err
	}
	return strings.Replace(s, old, repl, int(hits)), nil
}

func indentFilter(r *runtime, v Value, a []Value) (Value, error) {
	if u, ok := v.(undefined); ok {
		return nil, u.err()
	}
	s, err := strArg("what indent works on", v)
	if err != nil {
		return nil, err
	}
	pad, ok := asString(or(a[0], int64(4)))
	if !ok {
		w, err := intArg("width", a[0], 4)
		if err != nil {
			return nil, err
		}
		if err := r.allocTimes(1, max(w, 0)); err != nil {
			return nil, err
		}
		pad = strings.Repeat(" ", int(max(w, 0)))
	}
	lines := splitLines(s+"\n", false)
	if err := r.allocTimes(len(pad)+1, int64(len(lines))); err != nil {
		return nil, err
	}
	if err := r.alloc(int64(len(s))); err != nil {
		return nil, err
	}
	blank := flag(a[2])
	var b strings.Builder
	if flag(a[1]) {
		b.WriteString(pad)
	}
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
			if blank || l != "" {
				b.WriteString(pad)
			}
		}
		b.WriteString(l)
	}
	return like(v, b.String()), nil
}

func truncateFilter(r *runtime, v Value, a []Value) (Value, error) {
	limit, err := intArg("length", a[0], 255)
	if err != nil {
		return nil, err
	}
	end, err := strArg("end", or(a[2], "..."))
	if err != nil {
		return nil, err
	}
	if or(a[3], nil) == nil {
		a[3] = int64(5)
	}
	leeway, err := intArg("leeway", a[3], 5)
	if err != nil {
		return nil, err
	}
	n := int64(utf8.RuneCountInString(end))
	if limit < n || leeway < 0 || leeway > math.MaxInt64-limit {
		return nil, fmt.Errorf("truncate: length %d with end %q and leeway %d", limit, end, leeway)
	}
	have, err := length(v)
	if err != nil || int64(have) <= limit+leeway {
		return v, err
	}
	s, ok := asString(v)
	if !ok {
		return nil, fmt.Errorf("the filter truncate cuts strings, not '%s'", typeName(v))
	}
	cut := s[:runeOffset(s, int(limit-n))]
	if !flag(a[1]) {
		if i := strings.LastIndexByte(cut, ' '); i >= 0 {
			cut = cut[:i]
		}
	}
	return like(v, cut+end), r.alloc(int64(len(cut) + len(end)))
}

// urlencodeFilter quotes text, or the pairs of a mapping or list.
func urlencodeFilter(r *runtime, v Value, a []Value) (Value, error) {
	var pairs []Value
	_, isString := asString(v)
	if d, ok := v.(*Dict); ok {
		var err error
		if pairs, err = r.pairs(d); err != nil {
			return nil, err
		}
	} else if items, err := r.items(v); err == nil && !isString {
		pairs = items
	} else {
		s, err := r.str(v)
		if err != nil {
			return nil, err
		}
		return quoteURL(s, "/"), r.alloc(3 * int64(len(s)))
	}
	var out []string
	for _, p := range pairs {
		kv, err := r.items(p)
		if err != nil || len(kv) != 2 {
			return nil, fmt.Errorf("the filter urlencode needs text, a mapping or pairs")
		}
		k, err := r.str(kv[0])
		if err != nil {
			return nil, err
		}
		s, err := r.str(kv[1])
		if err != nil {
			return nil, err
		}
		if err := r.alloc(3 * int64(len(k)+len(s))); err != nil {
			return nil, err
		}
		out = append(out, strings.ReplaceAll(quoteURL(k, "")+"="+quoteURL(s, ""), "%20", "+"))
	}
	return strings.Join(out, "&"), nil
}

func quoteURL(s, safe string) string {
	q := strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	if safe == "/" {
		q = strings.ReplaceAll(q, "%2F", "/")
	}
	return q
}

func xmlattrFilter(r *runtime, v Value, a []Value) (Value, error) {
	d, ok := v.(*Dict)
	if !ok {
		return nil, fmt.Errorf("the filter xmlattr needs a mapping, not '%s'", typeName(v))
	}
	var out []string
	for k, x := range d.All() {
		if _, missing := x.(undefined); missing || x == nil {
			continue
		}
		key, err := strArg("an attribute name", k)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(key, " \t\n\r\f\v/>=") {
			return nil, fmt.Errorf("invalid character in attribute name: %s", strRepr(key))
		}
		s, err := r.str(x)
		if err != nil {
			return nil, err
		}
		if err := r.alloc(5 * int64(len(key)+len(s))); err != nil {
			return nil, err
		}
		if _, ok := x.(Markup); !ok {
			s = escapeHTML(s)
		}
		out = append(out, escapeHTML(key)+`="`+s+`"`)
	}
	t := strings.Join(out, " ")
	if t != "" && truth(or(a[0], true)) {
		t = " " + t
	}
	return t, nil
}

// formatFilter is value % arguments.
func formatFilter(r *runtime, v Value, a args) (Value, error) {
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	if a.kw.Len() > 0 && len(a.pos) > 0 {
		return nil, fmt.Errorf("the filter format takes positional or named arguments, not both")
	}
	if a.kw.Len() > 0 {
		return r.percentFormat(v, s, a.kw)
	}
	return r.percentFormat(v, s, &Tuple{a.pos})
}
