package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// maxJSONDepth bounds nesting in decoded JSON; deeper values could not be
// printed again.
const maxJSONDepth = 900

// DecodeJSON reads one JSON value. Objects become a *Dict with their keys in
// order (the last of equal keys counts, at the place of the first), arrays a
// *List, and numbers without "." or exponent ints of any size up to 4300
// digits.
func DecodeJSON(data []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("JSON at byte %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("JSON at byte %d: text after the value", d.InputOffset())
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (Value, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case json.Delim:
		if depth > maxJSONDepth {
			return nil, fmt.Errorf("nested more than %d levels deep", maxJSONDepth)
		}
		if x == '{' {
			return decodeObject(d, depth)
		}
		l := &List{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			l.Items = append(l.Items, v)
		}
		_, err = d.Token()
		return l, err
	case json.Number:
		return decodeNumber(string(x))
	}
	return t, nil
}

func decodeObject(d *json.Decoder, depth int) (Value, error) {
	m := NewDict()
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		m.Set(k.(string), v)
	}
	_, err := d.Token()
	return m, err
}

func decodeNumber(s string) (Value, error) {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if len(s) > maxIntDigits {
			return nil, fmt.Errorf("an int has more than %d digits", maxIntDigits)
		}
		if n, ok := new(big.Int).SetString(s, 10); ok {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) { // too large is inf, as in Python
		return nil, fmt.Errorf("bad number %q", s)
	}
	return f, nil
}

// jsonStyle are the options of json.dumps.
type jsonStyle struct {
	pretty          bool // a line for every item, indented
	indent          string
	itemSep, keySep string
	ascii, sortKeys bool
}

type jsonWriter struct {
	strings.Builder
	r     *runtime
	style jsonStyle
}

func (r *runtime) encodeJSON(v Value, style jsonStyle) (string, error) {
	w := &jsonWriter{r: r, style: style}
	err := w.value(v, 0)
	return w.String(), err
}

func (w *jsonWriter) put(s string) error {
	if err := w.r.alloc(int64(len(s))); err != nil {
		return err
	}
	w.WriteString(s)
	return nil
}

func (w *jsonWriter) newline(depth int) error {
	if !w.style.pretty {
		return nil
	}
	if err := w.r.allocTimes(len(w.style.indent), int64(depth)); err != nil {
		return err
	}
	return w.put("\n" + strings.Repeat(w.style.indent, depth))
}

func (w *jsonWriter) value(v Value, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{"depth", maxValueDepth}
	}
	if err := w.r.spend(1); err != nil {
		return err
	}
	switch x := v.(type) {
	case *List:
		return w.list(x.Items, depth)
	case *Tuple:
		return w.list(x.Items, depth)
	case *Dict:
		return w.dict(x, depth)
	}
	if s, ok := asString(v); ok {
		return w.put(quoteJSON(s, w.style.ascii))
	}
	s, ok, err := scalarJSON(v)
	if err == nil && !ok {
		err = fmt.Errorf("object of type %s is not JSON serializable", typeName(v))
	}
	if err != nil {
		return err
	}
	return w.put(s)
}

// scalarJSON writes null, a boolean or a number; ok is false for other types.
func scalarJSON(v Value) (s string, ok bool, err error) {
	switch x := v.(type) {
	case nil:
		return "null", true, nil
	case bool:
		return strconv.FormatBool(x), true, nil
	case int64:
		return strconv.FormatInt(x, 10), true, nil
	case *big.Int:
		s, err := intRepr(x)
		return s, true, err
	case float64:
		switch {
		case math.IsInf(x, 1):
			return "Infinity", true, nil
		case math.IsInf(x, -1):
			return "-Infinity", true, nil
		case x != x:
			return "NaN", true, nil
		}
		return floatRepr(x), true, nil
	}
	return "", false, nil
}

func (w *jsonWriter) list(items []Value, depth int) error {
	if len(items) == 0 {
		return w.put("[]")
	}
	w.WriteByte('[')
	for i, v := range items {
		if err := w.item(i, depth); err != nil {
			return err
		}
		if err := w.value(v, depth+1); err != nil {
			return err
		}
	}
	if err := w.newline(depth); err != nil {
		return err
	}
	return w.put("]")
}

// item writes what stands before item i.
func (w *jsonWriter) item(i, depth int) error {
	if i > 0 {
		if err := w.put(w.style.itemSep); err != nil {
			return err
		}
	}
	return w.newline(depth + 1)
}

func (w *jsonWriter) dict(d *Dict, depth int) error {
	if d.Len() == 0 {
		return w.put("{}")
	}
	order, err := w.keyOrder(d)
	if err != nil {
		return err
	}
	w.WriteByte('{')
	for n, i := range order {
		if err := w.item(n, depth); err != nil {
			return err
		}
		k, isString := asString(d.keys[i])
		if !isString {
			s, ok, err := scalarJSON(d.keys[i])
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("keys must be str, int, float, bool or None, not %s", typeName(d.keys[i]))
			}
			k = s
		}
		if err := w.put(quoteJSON(k, w.style.ascii) + w.style.keySep); err != nil {
			return err
		}
		if err := w.value(d.vals[i], depth+1); err != nil {
			return err
		}
	}
	if err := w.newline(depth); err != nil {
		return err
	}
	return w.put("}")
}

// keyOrder is the order in which the keys of d are written.
func (w *jsonWriter) keyOrder(d *Dict) ([]int, error) {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if !w.style.sortKeys {
		return order, nil
	}
	var failed error
	slices.SortStableFunc(order, func(a, b int) int {
		c, _, err := w.r.order("<", d.keys[a], d.keys[b], 0)
		if err != nil {
			failed = err
		}
		return c
	})
	return order, failed
}

// quoteJSON writes a JSON string. Unlike package json it leaves <, > and & as
// they are, and with ascii it escapes all else beyond ASCII.
func quoteJSON(s string, ascii bool) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < 0x20, ascii && c >= 0x7f && c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		case ascii && c >= 0x10000:
			c -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
