package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
)

// DType is the type of an array's elements.
type DType = dtype.DType

// Shape is the size of each axis. It prints as in MLX: (2, 3), (3,), ().
type Shape []int

// Size is the number of elements: 1 for an empty shape.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// String is the shape as a Python tuple.
func (s Shape) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, d := range s {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(d))
	}
	if len(s) == 1 {
		b.WriteByte(',')
	}
	b.WriteByte(')')
	return b.String()
}

// Spec is the shape and dtype of an array.
type Spec struct {
	Shape Shape
	DType DType
}

// Bytes is the size of a row-major array of this spec.
func (s Spec) Bytes() int { return s.Shape.Size() * s.DType.Size() }

// Equal reports whether shape and dtype are the same.
func (s Spec) Equal(o Spec) bool { return s.DType == o.DType && slices.Equal(s.Shape, o.Shape) }

// String is for messages: float32(2, 3).
func (s Spec) String() string { return s.DType.String() + s.Shape.String() }

// maxBytes bounds an array, so that sizes and strides fit an int on 64-bit machines.
const maxBytes = 1 << 46

// maxRank bounds the axes, as AxisSet and the kernels do.
const maxRank = 32

// checkSize refuses shapes whose size overflows or is negative, or with too many
// axes.
func checkSize(s Spec) error {
	if len(s.Shape) > maxRank {
		return fmt.Errorf("%d axes are more than %d", len(s.Shape), maxRank)
	}
	n := s.DType.Size()
	for _, d := range s.Shape {
		if d < 0 {
			return fmt.Errorf("shape %v has a negative axis", s.Shape)
		}
		if d > 0 && n > maxBytes/d {
			return fmt.Errorf("shape %v is too large", s.Shape)
		}
		n *= d
	}
	return nil
}

// ContiguousStrides are the row-major strides of shape, in elements.
func ContiguousStrides(shape []int) []int {
	st, n := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		st[i], n = n, n*shape[i]
	}
	return st
}

// Ints is a comparable list of ints: a parameter of a primitive.
type Ints struct{ s string }

// MakeInts packs v.
func MakeInts(v ...int) Ints {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return Ints{string(b)}
}

// Len is the number of ints.
func (t Ints) Len() int { return len(t.s) / 8 }

// At is int i.
func (t Ints) At(i int) int {
	v := uint64(0)
	for k := 7; k >= 0; k-- {
		v = v<<8 | uint64(t.s[8*i+k])
	}
	return int(v)
}

// List unpacks the ints.
func (t Ints) List() []int {
	v := make([]int, t.Len())
	for i := range v {
		v[i] = t.At(i)
	}
	return v
}

func (t Ints) String() string { return fmt.Sprint(t.List()) }

// F64 is a float parameter stored as its bits, so that == is identity: NaN
// equals itself and +0 is not -0.
type F64 uint64

// MakeF64 stores v.
func MakeF64(v float64) F64 { return F64(math.Float64bits(v)) }

// Value is the float.
func (f F64) Value() float64 { return math.Float64frombits(uint64(f)) }

func (f F64) String() string { return strconv.FormatFloat(f.Value(), 'g', -1, 64) }

// AxisSet is a bit set of axes, so that reductions compare.
type AxisSet uint32

// MakeAxes is the set of axes ax, which must be normalized.
func MakeAxes(ax ...int) (s AxisSet) {
	for _, a := range ax {
		s |= 1 << a
	}
	return s
}

// AllAxes is the set of the first n axes.
func AllAxes(n int) AxisSet { return 1<<n - 1 }

// Has reports whether axis i is in the set.
func (s AxisSet) Has(i int) bool { return s>>i&1 == 1 }

func (s AxisSet) String() string {
	var l []int
	for i := range 32 {
		if s.Has(i) {
			l = append(l, i)
		}
	}
	return fmt.Sprint(l)
}
