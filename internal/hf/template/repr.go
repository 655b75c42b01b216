package template

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v).
func (r *runtime) str(v Value) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case Markup:
		return string(x), nil
	case undefined:
		return "", nil
	}
	return r.repr(v)
}

// repr is Python's repr(v).
func (r *runtime) repr(v Value) (string, error) {
	var b strings.Builder
	err := r.writeRepr(&b, v, 0)
	return b.String(), err
}

func (r *runtime) writeRepr(b *strings.Builder, v Value, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{"depth", maxValueDepth}
	}
	if err := r.alloc(valueSize); err != nil {
		return err
	}
	switch x := v.(type) {
	case *List:
		return r.reprItems(b, "[", x.Items, "]", depth)
	case *Tuple:
		if len(x.Items) == 1 {
			return r.reprItems(b, "(", x.Items, ",)", depth)
		}
		return r.reprItems(b, "(", x.Items, ")", depth)
	case *Dict:
		return r.reprDict(b, x, depth)
	case *view:
		return r.reprItems(b, x.name+"([", x.items, "])", depth)
	case *namespace:
		b.WriteString("<Namespace ")
		if err := r.reprDict(b, x.attrs, depth+1); err != nil {
			return err
		}
		b.WriteByte('>')
		return nil
	}
	s, err := scalarRepr(v)
	if err != nil {
		return err
	}
	b.WriteString(s)
	return r.alloc(int64(len(s)))
}

func (r *runtime) reprItems(b *strings.Builder, open string, items []Value, end string, depth int) error {
	b.WriteString(open)
	for i, v := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.writeRepr(b, v, depth+1); err != nil {
			return err
		}
	}
	b.WriteString(end)
	return nil
}

func (r *runtime) reprDict(b *strings.Builder, d *Dict, depth int) error {
	b.WriteByte('{')
	for i := range d.Len() {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.writeRepr(b, d.keys[i], depth+1); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := r.writeRepr(b, d.vals[i], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func scalarRepr(v Value) (string, error) {
	switch x := v.(type) {
	case nil:
		return "None", nil
	case undefined:
		return "Undefined", nil
	case bool:
		if x {
			return "True", nil
		}
		return "False", nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case *big.Int:
		return intRepr(x)
	case float64:
		return floatRepr(x), nil
	case string:
		return strRepr(x), nil
	case Markup:
		return "Markup(" + strRepr(string(x)) + ")", nil
	case *intRange:
		hi := x.hi
		if x.step == 1 {
			return fmt.Sprintf("range(%d, %d)", x.lo, hi), nil
		}
		return fmt.Sprintf("range(%d, %d, %d)", x.lo, hi, x.step), nil
	case *macro:
		return "<Macro " + strRepr(x.def.name) + ">", nil
	case *loopState:
		return fmt.Sprintf("<LoopContext %d/%d>", x.i+1, len(x.items)), nil
	case *generator:
		return "<generator object " + x.name + ">", nil
	case *method:
		return fmt.Sprintf("<built-in method %s of %s object>", x.name, typeName(x.self)), nil
	case *function:
		return "<function " + x.name + ">", nil
	case *cycler:
		return "<Cycler>", nil
	}
	return "", fmt.Errorf("a value of the Go type %T is not a template value", v)
}

// intRepr prints an int; like Python it refuses more than 4300 digits.
func intRepr(n *big.Int) (string, error) {
	if n.BitLen() > maxIntDigits*10/3 {
		return "", fmt.Errorf("an int of more than %d digits cannot be printed", maxIntDigits)
	}
	s := n.String()
	if len(strings.TrimPrefix(s, "-")) > maxIntDigits {
		return "", fmt.Errorf("an int of more than %d digits cannot be printed", maxIntDigits)
	}
	return s, nil
}

// floatRepr is the shortest text that reads back as f, as Python lays it out.
func floatRepr(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != f:
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// strRepr quotes s as Python: with ' unless only that occurs in s.
func strRepr(s string) string {
	q := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, "\"") {
		q = '"'
	}
	var b strings.Builder
	b.WriteRune(q)
	for _, c := range s {
		switch {
		case c == q || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteRune(q)
	return b.String()
}
