package template

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatSpec is a parsed format: [[fill]align][sign][#][0][width][,][.prec]type.
type formatSpec struct {
	fill      string
	align     byte // '<', '>', '^', '=' or 0
	sign      byte // '+', '-', ' ' or 0
	alt       bool
	width     int
	group     byte // ',' or '_' or 0
	prec      int  // -1: none
	kind      byte // 0: none
	zeroByDef bool // "0" before the width
}

// parseSpec parses the part after ":" in a replacement field.
func parseSpec(s string) (formatSpec, error) {
	f := formatSpec{fill: " ", prec: -1}
	bad := fmt.Errorf("invalid format specifier %q", s)
	if _, n := utf8.DecodeRuneInString(s); n > 0 && n < len(s) && strings.IndexByte("<>^=", s[n]) >= 0 {
		f.fill, f.align, s = s[:n], s[n], s[n+1:]
	} else if s != "" && strings.IndexByte("<>^=", s[0]) >= 0 {
		f.align, s = s[0], s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		f.sign, s = s[0], s[1:]
	}
	if strings.HasPrefix(s, "#") {
		f.alt, s = true, s[1:]
	}
	if strings.HasPrefix(s, "0") {
		s = s[1:]
		if f.align == 0 {
			f.fill, f.align, f.zeroByDef = "0", '=', true
		}
	}
	var ok bool
	if f.width, s, ok = leadingInt(s, 0); !ok {
		return f, bad
	}
	if s != "" && (s[0] == ',' || s[0] == '_') {
		f.group, s = s[0], s[1:]
	}
	if strings.HasPrefix(s, ".") {
		if f.prec, s, ok = leadingInt(s[1:], -1); !ok || f.prec < 0 {
			return f, bad
		}
	}
	if len(s) > 1 {
		return f, bad
	}
	if s != "" {
		f.kind = s[0]
	}
	if f.group != 0 && f.kind == 'n' || f.group == ',' && strings.IndexByte("boxXc", f.kind) >= 0 {
		return f, bad
	}
	return f, nil
}

// leadingInt reads digits at the start of s.
func leadingInt(s string, def int) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 {
		return def, s, true
	}
	n, err := strconv.Atoi(s[:i])
	return n, s[i:], err == nil && n < 1<<30
}

// formatValue is format(v, spec).
func (r *runtime) formatValue(v Value, spec string) (string, error) {
	if spec == "" {
		return r.str(v)
	}
	f, err := parseSpec(spec)
	if err != nil {
		return "", err
	}
	if err := r.alloc(int64(f.width) * int64(len(f.fill))); err != nil {
		return "", err
	}
	if s, ok := asString(v); ok {
		return f.text(s)
	}
	_, isBool := v.(bool)
	if isBool && f.kind == 0 {
		v, _ = asInt(v)
	}
	_, isFloat := v.(float64)
	if n, ok := asBig(v); ok && strings.IndexByte("\x00bcdoxXn", f.kind) >= 0 {
		return f.integer(n)
	}
	if isNumber(v) && (isFloat || strings.IndexByte("eEfFgG%", f.kind) >= 0) {
		x, err := asFloat(v)
		if err != nil {
			return "", err
		}
		if err := r.alloc(int64(max(f.prec, 0))); err != nil {
			return "", err
		}
		return f.float(x)
	}
	return "", fmt.Errorf("unsupported format %q for '%s'", spec, typeName(v))
}

func (f formatSpec) text(s string) (string, error) {
	if f.kind != 0 && f.kind != 's' || f.align == '=' && !f.zeroByDef || f.sign != 0 || f.alt || f.group != 0 {
		return "", errors.New("invalid format for a string")
	}
	if f.prec >= 0 {
		s = s[:runeOffset(s, f.prec)]
	}
	if f.align == 0 || f.align == '=' {
		f.align = '<'
	}
	return f.pad("", s), nil
}

// pad fills to the width; "=" puts the filling between prefix and body.
func (f formatSpec) pad(prefix, body string) string {
	n := f.width - utf8.RuneCountInString(prefix) - utf8.RuneCountInString(body)
	if n <= 0 {
		return prefix + body
	}
	switch f.align {
	case '<':
		return prefix + body + strings.Repeat(f.fill, n)
	case '^':
		return strings.Repeat(f.fill, n/2) + prefix + body + strings.Repeat(f.fill, n-n/2)
	case '=':
		return prefix + strings.Repeat(f.fill, n) + body
	}
	return strings.Repeat(f.fill, n) + prefix + body
}

func (f formatSpec) signOf(negative bool) string {
	if negative {
		return "-"
	}
	if f.sign == '+' || f.sign == ' ' {
		return string(f.sign)
	}
	return ""
}

func (f formatSpec) integer(n *big.Int) (string, error) {
	base, prefix := 10, ""
	switch f.kind {
	case 'x', 'X':
		base, prefix = 16, "0"+string(f.kind)
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	case 'c':
		if !n.IsInt64() || n.Int64() < 0 || n.Int64() > utf8.MaxRune {
			return "", errors.New("%c arg not in range(0x110000)")
		}
		if f.align == 0 {
			f.align = '<'
		}
		return f.pad("", string(rune(n.Int64()))), nil
	}
	if f.prec >= 0 {
		return "", errors.New("precision not allowed in integer format")
	}
	if base == 10 && n.BitLen() > maxIntDigits*10/3 {
		return "", fmt.Errorf("an int of more than %d digits cannot be printed", maxIntDigits)
	}
	body := new(big.Int).Abs(n).Text(base)
	if f.kind == 'X' {
		body = strings.ToUpper(body)
	}
	if !f.alt {
		prefix = ""
	}
	prefix = f.signOf(n.Sign() < 0) + prefix
	return f.pad(prefix, f.grouped(body, base, f.width-len(prefix))), nil
}

// grouped puts separators between groups of three (or four bits') digits. Zeros
// that fill up to the width are grouped too.
func (f formatSpec) grouped(digits string, base, width int) string {
	if f.group == 0 {
		return digits
	}
	size := 3
	if base != 10 {
		size = 4
	}
	n := len(digits)
	for f.align == '=' && f.fill == "0" && n+(n-1)/size < width {
		n++
	}
	digits = strings.Repeat("0", n-len(digits)) + digits
	var b strings.Builder
	for i := range n {
		if i > 0 && (n-i)%size == 0 {
			b.WriteByte(f.group)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

func (f formatSpec) float(x float64) (string, error) {
	if strings.IndexByte("\x00eEfFgGn%", f.kind) < 0 {
		return "", fmt.Errorf("unknown format code %q for a float", string(f.kind))
	}
	neg := math.Signbit(x) && x == x
	x = math.Abs(x)
	suffix := ""
	kind, prec := f.kind, f.prec
	if kind == '%' {
		kind, suffix, x = 'f', "%", x*100
	}
	body := ""
	switch {
	case x != x:
		body = "nan"
	case math.IsInf(x, 0):
		body = "inf"
	case kind == 0 && prec < 0:
		body = floatRepr(x)
	case kind == 0:
		body = formatGeneral(x, prec, 1, f.alt)
		if !strings.ContainsAny(body, ".e") {
			body += ".0"
		}
	case kind == 'g' || kind == 'G' || kind == 'n':
		body = formatGeneral(x, prec, 0, f.alt)
	default: // e, E, f, F
		if prec < 0 {
			prec = 6
		}
		body = strconv.FormatFloat(x, kind|0x20, prec, 64)
	}
	if kind == 'E' || kind == 'F' || kind == 'G' {
		body = strings.ToUpper(body)
	}
	whole, frac := body, ""
	if i := strings.IndexAny(body, ".eE"); i >= 0 {
		whole, frac = body[:i], body[i:]
	}
	if f.alt && !strings.Contains(frac, ".") && strings.Trim(whole, "0123456789") == "" {
		frac = "." + frac
	}
	sign := f.signOf(neg)
	width := f.width - len(sign) - len(frac) - len(suffix)
	return f.pad(sign, f.grouped(whole, 10, width)+frac+suffix), nil
}

// formatGeneral is the format g of C: prec digits that count, trailing zeros
// dropped unless alt is set. spare digits are kept for a ".0".
func formatGeneral(x float64, prec, spare int, alt bool) string {
	if prec < 0 {
		prec = 6
	}
	prec = max(prec, 1)
	e := strconv.FormatFloat(x, 'e', prec-1, 64)
	exp, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	s, tail := e[:strings.IndexByte(e, 'e')], e[strings.IndexByte(e, 'e'):]
	if exp >= -4 && exp < prec-spare {
		s, tail = strconv.FormatFloat(x, 'f', prec-1-exp, 64), ""
	}
	if !alt && strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s + tail
}

// percentFormat is text % arg; self tells whether the text is Markup.
func (r *runtime) percentFormat(self Value, text string, arg Value) (Value, error) {
	p := &percent{r: r, self: self, arg: arg, items: []Value{arg}}
	if t, ok := arg.(*Tuple); ok {
		p.items = t.Items
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		out, n, err := p.field(text[i+1:])
		if err != nil {
			return nil, err
		}
		if err := r.alloc(int64(i + len(out))); err != nil {
			return nil, err
		}
		b.WriteString(out)
		text = text[i+1+n:]
	}
	b.WriteString(text)
	if p.used < len(p.items) && !p.named && !spareArgument(arg) {
		return nil, errors.New("not all arguments converted during string formatting")
	}
	return like(self, b.String()), r.alloc(int64(len(text)))
}

// spareArgument reports whether an argument of % may stay unused: it might be
// a mapping.
func spareArgument(v Value) bool {
	switch v.(type) {
	case *Dict, *List, *intRange, undefined:
		return true
	}
	return false
}

type percent struct {
	r     *runtime
	self  Value
	arg   Value
	items []Value
	used  int
	named bool
}

func (p *percent) next() (Value, error) {
	if p.used >= len(p.items) {
		return nil, errors.New("not enough arguments for format string")
	}
	p.used++
	return p.items[p.used-1], nil
}

// field formats what follows a "%" and returns the length it read.
func (p *percent) field(s string) (string, int, error) {
	f := formatSpec{fill: " ", prec: -1, align: '>'}
	rest := s
	var v Value
	var err error
	if strings.HasPrefix(rest, "(") {
		i := strings.IndexByte(rest, ')')
		d, ok := p.arg.(*Dict)
		if i < 0 || !ok {
			return "", 0, errors.New("format requires a mapping")
		}
		if v, ok = d.Get(rest[1:i]); !ok {
			return "", 0, fmt.Errorf("the format's key %q is missing", rest[1:i])
		}
		p.named, rest = true, rest[i+1:]
	}
	rest = f.percentFlags(rest)
	if f.width, rest, err = p.size(rest, 0); err != nil {
		return "", 0, err
	}
	if f.width < 0 {
		f.align, f.fill, f.width = '<', " ", -f.width
	}
	if strings.HasPrefix(rest, ".") {
		if f.prec, rest, err = p.size(rest[1:], 0); err != nil {
			return "", 0, err
		}
		f.prec = max(f.prec, 0)
	}
	rest = strings.TrimLeft(rest, "hlL")
	if rest == "" {
		return "", 0, errors.New("incomplete format")
	}
	f.kind = rest[0]
	n := len(s) - len(rest) + 1
	if f.kind == '%' {
		return "%", n, nil
	}
	if !(strings.HasPrefix(s, "(")) {
		if v, err = p.next(); err != nil {
			return "", 0, err
		}
	}
	if err := p.r.alloc(int64(f.width) + int64(max(f.prec, 0))); err != nil {
		return "", 0, err
	}
	out, err := p.convert(f, v)
	return out, n, err
}

func (f *formatSpec) percentFlags(s string) string {
	for s != "" {
		switch s[0] {
		case '-':
			f.align, f.fill = '<', " "
		case '+':
			f.sign = '+'
		case ' ':
			if f.sign != '+' {
				f.sign = ' '
			}
		case '#':
			f.alt = true
		case '0':
			if f.align != '<' {
				f.align, f.fill = '=', "0"
			}
		default:
			return s
		}
		s = s[1:]
	}
	return s
}

// size reads a width or precision: digits, or "*" for the next argument.
func (p *percent) size(s string, def int) (int, string, error) {
	if !strings.HasPrefix(s, "*") {
		n, rest, ok := leadingInt(s, def)
		if !ok {
			return 0, "", errors.New("width or precision is too big")
		}
		return n, rest, nil
	}
	v, err := p.next()
	if err != nil {
		return 0, "", err
	}
	n, err := intArg("*", v, 0)
	if err == nil && (n > 1<<30 || n < -1<<30) {
		err = errors.New("width or precision is too big")
	}
	return int(n), s[1:], err
}

func (p *percent) convert(f formatSpec, v Value) (string, error) {
	switch f.kind {
	case 's', 'r', 'a':
		s, err := p.r.str(v)
		if f.kind != 's' {
			s, err = p.r.repr(v)
		}
		if _, m := p.self.(Markup); m && err == nil {
			if _, m := v.(Markup); !m || f.kind != 's' {
				s = escapeHTML(s)
			}
		}
		if err != nil {
			return "", err
		}
		f.kind, f.sign, f.fill, f.alt = 0, 0, " ", false
		if f.align == '=' {
			f.align = '>'
		}
		return f.text(s)
	case 'c':
		if s, ok := asString(v); ok && utf8.RuneCountInString(s) == 1 {
			return f.pad("", s), nil
		}
	case 'd', 'i', 'u', 'x', 'X', 'o':
		return f.percentInt(v)
	}
	if !isNumber(v) {
		return "", fmt.Errorf("%%%c format: a number is required, not %s", f.kind, typeName(v))
	}
	if n, ok := asBig(v); ok && f.kind == 'c' {
		f.prec = -1
		return f.integer(n)
	}
	switch f.kind {
	case 'e', 'E', 'f', 'F', 'g', 'G':
		x, err := asFloat(v)
		if err != nil {
			return "", err
		}
		return f.float(x)
	}
	return "", fmt.Errorf("unsupported format character %q", string(f.kind))
}

func (f formatSpec) percentInt(v Value) (string, error) {
	if x, ok := v.(float64); ok && strings.IndexByte("diu", f.kind) >= 0 {
		var err error
		if v, err = truncate(x); err != nil {
			return "", err
		}
	}
	n, ok := asBig(v)
	if !ok {
		return "", fmt.Errorf("%%%c format: an integer is required, not %s", f.kind, typeName(v))
	}
	if strings.IndexByte("iu", f.kind) >= 0 {
		f.kind = 'd'
	}
	digits := f.prec
	f.prec = -1
	if digits < 0 {
		return f.integer(n)
	}
	plain := formatSpec{kind: f.kind, prec: -1, width: digits, align: '=', fill: "0"}
	body, err := plain.integer(new(big.Int).Abs(n))
	prefix := f.signOf(n.Sign() < 0)
	if i := strings.IndexByte("xXo", f.kind); i >= 0 && f.alt {
		prefix += []string{"0x", "0X", "0o"}[i]
	}
	return f.pad(prefix, body), err
}
