package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// formatMethod is str.format.
func formatMethod(r *runtime, self Value, a args) (Value, error) {
	text, _ := asString(self)
	f := &fieldFormatter{r: r, self: self, a: a}
	s, err := f.format(text, 0)
	return like(self, s), err
}

type fieldFormatter struct {
	r      *runtime
	self   Value
	a      args
	auto   int  // next automatic number
	manual bool // a number was given
}

// format replaces the fields of text. Specifiers may hold fields themselves,
// one level deep.
func (f *fieldFormatter) format(text string, depth int) (string, error) {
	if depth > 1 && text != "" {
		return "", errors.New("replacement fields are nested too deep")
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		if c != '{' && c != '}' {
			j := strings.IndexAny(text[i:], "{}")
			if j < 0 {
				j = len(text) - i
			}
			b.WriteString(text[i : i+j])
			i += j
			continue
		}
		if i+1 < len(text) && text[i+1] == c {
			b.WriteByte(c)
			i += 2
			continue
		}
		if c == '}' {
			return "", errors.New("single '}' encountered in format string")
		}
		end := fieldEnd(text[i+1:])
		if end < 0 {
			return "", errors.New("expected '}' before end of string")
		}
		s, err := f.field(text[i+1:i+1+end], depth)
		if err != nil {
			return "", err
		}
		if err := f.r.alloc(int64(len(s))); err != nil {
			return "", err
		}
		b.WriteString(s)
		i += end + 2
	}
	return b.String(), f.r.alloc(int64(b.Len()))
}

// fieldEnd finds the "}" that ends a field, -1 when there is none.
func fieldEnd(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// field formats name[!conversion][:spec].
func (f *fieldFormatter) field(s string, depth int) (string, error) {
	name, spec, _ := strings.Cut(s, ":")
	name, conv, hasConv := strings.Cut(name, "!")
	v, err := f.value(name)
	if err != nil {
		return "", err
	}
	if spec, err = f.format(spec, depth+1); err != nil {
		return "", err
	}
	if hasConv {
		text := ""
		switch conv {
		case "s":
			text, err = f.r.str(v)
		case "r", "a":
			text, err = f.r.repr(v)
		default:
			err = fmt.Errorf("unknown conversion specifier %q", conv)
		}
		if err != nil {
			return "", err
		}
		v = text
	}
	out, err := f.r.formatValue(v, spec)
	if _, m := f.self.(Markup); m && err == nil {
		if _, m := v.(Markup); !m {
			out = escapeHTML(out)
		}
	}
	return out, err
}

// value finds the argument that a field names, with .attributes and [items].
func (f *fieldFormatter) value(name string) (Value, error) {
	i := strings.IndexAny(name, ".[")
	if i < 0 {
		i = len(name)
	}
	v, err := f.argument(name[:i])
	rest := name[i:]
	for rest != "" && err == nil {
		if rest[0] == '.' {
			rest = rest[1:]
			j := strings.IndexAny(rest, ".[")
			if j < 0 {
				j = len(rest)
			}
			v, err = plainAttribute(v, rest[:j])
			rest = rest[j:]
			continue
		}
		j := strings.IndexByte(rest, ']')
		if rest[0] != '[' || j < 0 {
			return nil, errors.New("missing ']' in format string")
		}
		var key Value = rest[1:j]
		if n, e := strconv.ParseInt(rest[1:j], 10, 64); e == nil {
			key = n
		}
		if v, err = getItem(v, key); err == nil {
			if u, ok := v.(undefined); ok {
				err = u.err()
			}
		}
		rest = rest[j+1:]
	}
	return v, err
}

func plainAttribute(v Value, name string) (Value, error) {
	a, ok := attribute(v, name)
	if u, isU := a.(undefined); ok && isU {
		return nil, u.err()
	}
	if !ok {
		return nil, missingAttr(v, name).err()
	}
	return a, nil
}

func (f *fieldFormatter) argument(name string) (Value, error) {
	n, err := strconv.Atoi(name)
	switch {
	case name == "":
		if f.manual {
			return nil, errors.New("cannot switch from manual field specification to automatic field numbering")
		}
		n = f.auto
		f.auto++
	case err == nil && n >= 0:
		if f.auto > 0 {
			return nil, errors.New("cannot switch from automatic field numbering to manual field specification")
		}
		f.manual = true
	default:
		if v, ok := f.a.kw.Get(name); ok {
			return v, nil
		}
		return nil, fmt.Errorf("the format's argument %q is missing", name)
	}
	if n >= len(f.a.pos) {
		return nil, fmt.Errorf("replacement index %d out of range", n)
	}
	return f.a.pos[n], nil
}
