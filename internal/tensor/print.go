package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/dtype"
)

// An axis longer than printAll shows its first and last printEdge elements.
const (
	printAll  = 6
	printEdge = 3
)

// PrintOptions is mx.printoptions: how [Array.String] writes numbers.
type PrintOptions struct {
	// Precision is the digits after the point of floats; -1, the default, is the
	// shortest of 6 significant digits.
	Precision int
}

// precision is PrintOptions.Precision of the process, plus 1.
var precision atomic.Int64

// SetPrintOptions is mx.set_printoptions, for the whole process; it returns the
// old options. It panics if the precision is below -1 or above 1000.
func SetPrintOptions(o PrintOptions) (old PrintOptions) {
	if o.Precision < -1 || o.Precision > 1000 {
		Throw("set_printoptions", nil, "precision %d is not within -1 and 1000", o.Precision)
	}
	return PrintOptions{Precision: int(precision.Swap(int64(o.Precision)+1)) - 1}
}

// String is the array as MLX prints it: array([5, 7, 9], dtype=int32). It
// evaluates the array, and reads only the elements that it shows: of an axis
// longer than 6 the first and last 3. An array that cannot be read prints as a
// sentence that says why. NaN has no sign, as on a Mac.
func (a *Array) String() string {
	text, err := a.text(plainElement(int(precision.Load())-1), false)
	if err != nil {
		return a.fault(err)
	}
	return text
}

// Format makes %v and %s print [Array.String] and %q quote it. The verbs of
// numbers, as %.3f, %8.2e, %g, %d or %x, print each element in that format; like
// MLX's f-strings they print an array without axes as a bare number. A verb that
// the dtype does not have prints as in fmt: %!d(*tensor.Array=array(...)).
func (a *Array) Format(f fmt.State, verb rune) {
	switch verb {
	case 'v':
		fmt.Fprintf(f, fmt.FormatString(f, 's'), a.String())
		return
	case 's', 'q':
		fmt.Fprintf(f, fmt.FormatString(f, verb), a.String())
		return
	}
	if a == nil || a.n == nil || !strings.ContainsRune(verbsOf(a.n.Spec.DType), verb) {
		fmt.Fprintf(f, "%%!%c(%T=%s)", verb, a, a.String())
		return
	}
	text, err := a.text(verbElement(f, verb), len(a.n.Spec.Shape) == 0)
	if err != nil {
		text = a.fault(err)
	}
	io.WriteString(f, text)
}

// verbsOf is the verbs that print an element of d.
func verbsOf(d DType) string {
	switch {
	case d == dtype.Bool:
		return "t"
	case d.Is(dtype.Integer):
		return "bcdoOUxX"
	}
	return "beEfFgGxX"
}

// fault is what an array prints that cannot be read.
func (a *Array) fault(err error) string {
	if a == nil {
		return "<nil>"
	}
	if a.n == nil {
		return "array without a value"
	}
	if e, ok := err.(*Error); ok && (e.Op == "eval" || e.Op == "read") {
		err = e.Err // the op is this reading, which needs no word
	}
	return fmt.Sprintf("array of %v that cannot be read: %v", a.n.Spec, err)
}

// text evaluates a and prints it with each element as element writes it, without
// the word array and the dtype if bare. What would panic is an error.
func (a *Array) text(element elementFunc, bare bool) (text string, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	if a == nil || a.n == nil {
		return "", errors.New("no value")
	}
	v, err := ValueOf(a)
	if err != nil {
		return "", err
	}
	p := printer{v: &v, element: element}
	p.axis(0, v.Offset)
	runtime.KeepAlive(a)
	if bare {
		return string(p.out), nil
	}
	return fmt.Sprintf("array(%s, dtype=%v)", p.out, v.DType), nil
}

// printer walks the visible elements of a view, wherever its strides lead.
type printer struct {
	v       *View
	element elementFunc
	out     []byte
}

// elementFunc appends the text of one element.
type elementFunc func(out []byte, x any) []byte

// axis prints axis i and those inside it; at is where its first element lies.
func (p *printer) axis(i, at int) {
	if i == len(p.v.Shape) {
		p.out = p.element(p.out, p.v.at(at))
		return
	}
	n, step := p.v.Shape[i], p.v.Strides[i]*p.v.DType.Size()
	p.out = append(p.out, '[')
	for k := 0; k < n; k++ {
		if k > 0 {
			p.separate(i)
		}
		if n > printAll && k == printEdge {
			p.out = append(p.out, "..."...)
			p.separate(i)
			k = n - printEdge
		}
		p.axis(i+1, at+k*step)
	}
	p.out = append(p.out, ']')
}

// separate goes on to the next element of axis i: on the same line for the last
// axis, else below the element before.
func (p *printer) separate(i int) {
	if i == len(p.v.Shape)-1 {
		p.out = append(p.out, ", "...)
		return
	}
	p.out = append(p.out, ",\n"...)
	for range len("array(") + i + 1 {
		p.out = append(p.out, ' ')
	}
}

// at is the element at a place of the buffer: a bool, int64, uint64, float32 (the
// half types too), float64 or complex64.
func (v *View) at(offset int) any {
	b := v.Buf.host[offset : offset+v.DType.Size()]
	le := binary.LittleEndian
	switch v.DType {
	case dtype.Bool:
		return b[0] != 0
	case dtype.Uint8:
		return uint64(b[0])
	case dtype.Uint16:
		return uint64(le.Uint16(b))
	case dtype.Uint32:
		return uint64(le.Uint32(b))
	case dtype.Uint64:
		return le.Uint64(b)
	case dtype.Int8:
		return int64(int8(b[0]))
	case dtype.Int16:
		return int64(int16(le.Uint16(b)))
	case dtype.Int32:
		return int64(int32(le.Uint32(b)))
	case dtype.Int64:
		return int64(le.Uint64(b))
	case dtype.Float16:
		return dtype.F16ToF32(le.Uint16(b))
	case dtype.BFloat16:
		return dtype.BF16ToF32(le.Uint16(b))
	case dtype.Float32:
		return math.Float32frombits(le.Uint32(b))
	case dtype.Float64:
		return math.Float64frombits(le.Uint64(b))
	}
	return complex(math.Float32frombits(le.Uint32(b)), math.Float32frombits(le.Uint32(b[4:])))
}

// plainElement writes elements as MLX does with this precision.
func plainElement(precision int) elementFunc {
	float := func(out []byte, x float64) []byte {
		if name := notFinite(x); name != "" {
			return append(out, name...)
		}
		if precision < 0 {
			return strconv.AppendFloat(out, x, 'g', 6, 64)
		}
		return strconv.AppendFloat(out, x, 'f', precision, 64)
	}
	return func(out []byte, x any) []byte {
		switch x := x.(type) {
		case bool:
			if x {
				return append(out, "True"...)
			}
			return append(out, "False"...)
		case int64:
			return strconv.AppendInt(out, x, 10)
		case uint64:
			return strconv.AppendUint(out, x, 10)
		case float32:
			return float(out, float64(x))
		case float64:
			return float(out, x)
		}
		c := x.(complex64)
		out = float(out, float64(real(c)))
		if y := imag(c); y >= 0 || y != y { // so that -0 gives +-0j, which is MLX's
			out = append(out, '+')
		}
		return append(float(out, float64(imag(c))), 'j')
	}
}

// notFinite is the name of x if it is no number.
func notFinite(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	}
	return ""
}

// verbElement writes elements with a verb of fmt, whose flags, width and
// precision f has.
func verbElement(f fmt.State, verb rune) elementFunc {
	format, names := fmt.FormatString(f, verb), "%" // names keeps the width of nan and inf
	if f.Flag('-') {
		names += "-"
	}
	if w, ok := f.Width(); ok {
		names += strconv.Itoa(w)
	}
	names += "s"
	float := func(out []byte, x any, wide float64, signed bool) []byte {
		name := notFinite(wide)
		switch {
		case name == "" && signed && !f.Flag('+'):
			return fmt.Appendf(out, "%+"+format[1:], x)
		case name == "":
			return fmt.Appendf(out, format, x)
		case signed && name[0] != '-':
			name = "+" + name
		}
		return fmt.Appendf(out, names, name)
	}
	return func(out []byte, x any) []byte {
		switch x := x.(type) {
		case float32:
			return float(out, x, float64(x), f.Flag('+'))
		case float64:
			return float(out, x, x, f.Flag('+'))
		case complex64:
			out = float(out, real(x), float64(real(x)), f.Flag('+'))
			return append(float(out, imag(x), float64(imag(x)), true), 'j')
		}
		return fmt.Appendf(out, format, x)
	}
}
