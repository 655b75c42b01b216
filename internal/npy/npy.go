// Package npy reads and writes NumPy's .npy and .npz files as dtype, shape and bytes.
//
// The main types are [Header] and [Array]. Files are not trusted: every size is checked
// before memory is taken for it. The package makes no arrays of mlx.
package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
)

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 20
	maxRank   = 32
	maxInt    = int(^uint(0) >> 1)
)

// Header is what a file says of its array.
type Header struct {
	DType       dtype.DType
	Shape       []int
	ColumnMajor bool // fortran_order: the first index runs fastest
	Swapped     bool // big-endian, of files that were read
}

// Array is a header and its elements, little-endian.
type Array struct {
	Header
	Data []byte
}

// names are NumPy's names of dtypes without byte order. bfloat16 is the raw type of two
// bytes, as MLX and ml_dtypes write it.
var names = []struct {
	name  string
	dtype dtype.DType
}{
	{"b1", dtype.Bool}, {"u1", dtype.Uint8}, {"u2", dtype.Uint16}, {"u4", dtype.Uint32}, {"u8", dtype.Uint64},
	{"i1", dtype.Int8}, {"i2", dtype.Int16}, {"i4", dtype.Int32}, {"i8", dtype.Int64},
	{"f2", dtype.Float16}, {"V2", dtype.BFloat16}, {"f4", dtype.Float32}, {"f8", dtype.Float64}, {"c8", dtype.Complex64},
}

// parseDescr reads a dtype such as "<f4".
func parseDescr(text string) (d dtype.DType, swapped bool, err error) {
	name := text
	if text != "" && strings.ContainsRune("<>=|", rune(text[0])) {
		name = text[1:]
	}
	for _, n := range names {
		if n.name == name {
			return n.dtype, text[0] == '>' && n.dtype.Size() > 1, nil
		}
	}
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return 0, false, fmt.Errorf("dtype %q is not supported", text)
}

// Bytes is the size of the elements; an error if it cannot be addressed.
func (h *Header) Bytes() (int, error) {
	n, empty := uint64(h.DType.Size()), false
	for _, d := range h.Shape {
		if d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if d < 0 || hi != 0 || lo > uint64(maxInt) {
			return 0, fmt.Errorf("shape %v of %v has more bytes than can be addressed", h.Shape, h.DType)
		}
		n = lo
	}
	if empty {
		return 0, nil
	}
	return int(n), nil
}

// ReadHeader reads up to the elements, which begin at offset size.
func ReadHeader(r io.Reader) (h Header, size int, err error) {
	var start [12]byte
	if _, err := io.ReadFull(r, start[:10]); err != nil {
		return h, 0, errors.New("is too short for a .npy file")
	}
	if string(start[:6]) != magic {
		return h, 0, errors.New("is no .npy file: it does not begin with \\x93NUMPY")
	}
	n := int(binary.LittleEndian.Uint16(start[8:]))
	size = 10
	switch start[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, start[10:]); err != nil {
			return h, 0, errors.New("is cut short in its header")
		}
		n, size = int(binary.LittleEndian.Uint32(start[8:])), 12
	default:
		return h, 0, fmt.Errorf("has version %d.%d of the .npy format; 1 to 3 are known", start[6], start[7])
	}
	if n < 0 || n > maxHeader {
		return h, 0, fmt.Errorf("has a header of %d bytes; at most %d are read", n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, 0, errors.New("is cut short in its header")
	}
	if h, err = parseDict(string(text)); err == nil {
		_, err = h.Bytes()
	}
	if err != nil {
		return h, 0, fmt.Errorf("header: %w", err)
	}
	return h, size + n, nil
}

// Read reads an array from a stream.
func Read(r io.Reader) (Array, error) {
	h, _, err := ReadHeader(r)
	if err != nil {
		return Array{}, err
	}
	n, err := h.Bytes()
	if err != nil {
		return Array{}, err
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows with what is there
	if err != nil {
		return Array{}, err
	}
	return made(h, data, n, false)
}

// Parse reads a whole file's bytes; Data is a view of them unless the file is
// big-endian.
func Parse(file []byte) (Array, error) {
	h, at, err := ReadHeader(bytes.NewReader(file))
	if err != nil {
		return Array{}, err
	}
	n, err := h.Bytes()
	if err != nil {
		return Array{}, err
	}
	data := file[at:]
	if len(data) > n {
		data = data[:n:n]
	}
	return made(h, data, n, true)
}

func made(h Header, data []byte, n int, shared bool) (Array, error) {
	if len(data) < n {
		return Array{}, fmt.Errorf("has %d bytes of elements, but shape %v of %v takes %d: it is cut short", len(data), h.Shape, h.DType, n)
	}
	if h.Swapped {
		if shared {
			data = slices.Clone(data)
		}
		size := h.DType.Size()
		if h.DType == dtype.Complex64 {
			size = 4
		}
		for i := 0; i < len(data); i += size {
			slices.Reverse(data[i : i+size])
		}
	}
	return Array{h, data}, nil
}

// AppendHeader appends the start of a file, up to the elements, as MLX writes it.
func AppendHeader(b []byte, h Header) ([]byte, error) {
	name := ""
	for _, n := range names {
		if n.dtype == h.DType {
			name = n.name
		}
	}
	if name == "" {
		return nil, fmt.Errorf("%v cannot be written", h.DType)
	}
	order := byte('<')
	if h.DType.Size() == 1 {
		order = '|'
	}
	flag := "False"
	if h.ColumnMajor {
		flag = "True"
	}
	var shape strings.Builder
	for _, d := range h.Shape {
		fmt.Fprintf(&shape, "%d, ", d)
	}
	text := fmt.Sprintf("{'descr': '%c%s', 'fortran_order': %s, 'shape': (%s)}", order, name, flag, shape.String())
	text += strings.Repeat(" ", (len(magic)+2+4+len(text)+1)%16) + "\n"
	if len(text) <= 0xffff {
		b = append(append(b, magic...), 1, 0)
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...), nil
	}
	b = append(append(b, magic...), 2, 0)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...), nil
}

// Write writes a file.
func Write(w io.Writer, a Array) error {
	if n, err := a.Bytes(); err != nil || n != len(a.Data) {
		return fmt.Errorf("%d bytes do not fill shape %v of %v", len(a.Data), a.Shape, a.DType)
	}
	head, err := AppendHeader(nil, a.Header)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err = w.Write(a.Data)
	return err
}
