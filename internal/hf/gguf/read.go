package gguf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/fmap"
)

// Limits of what is read. No model comes near them; they bound the memory that a
// hostile file can ask for.
const (
	maxEntries   = 1 << 16
	maxTensors   = 1 << 16
	maxName      = 1 << 16 // bytes of a key or a tensor's name
	maxDims      = 4
	maxAlignment = 1 << 20
)

// alignmentKey has the multiple at which tensors begin, and 32 goes without it.
const (
	alignmentKey     = "general.alignment"
	defaultAlignment = 32
)

// Error is a file that is not a valid GGUF file.
type Error struct {
	Path string
	Err  error
}

// Error names the file.
func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Tensor is a tensor of a file.
type Tensor struct {
	Name string
	Type Type
	// Shape has the outermost dimension first, as elsewhere in this program: GGUF lists
	// them the other way.
	Shape []int
	// Data are the blocks, row by row: a view of the file, valid while File is.
	Data []byte

	offset uint64
}

// Elements is the number of elements.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is a parsed file.
type File struct {
	Path    string
	Version uint32
	keys    []string
	values  map[string]Value
	tensors []Tensor
	mapped  *fmap.File
}

// Open maps the file at path and reads all but the tensors' bytes. Errors of contents
// are of type *Error.
func Open(path string) (*File, error) {
	var f *File
	m, err := fmap.Parse(path, func(data []byte) (err error) {
		f, err = Parse(data, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	f.mapped = m
	return f, nil
}

// Release lets go of the pages of f that were read; see [fmap.File.Release].
func (f *File) Release() {
	if f.mapped != nil {
		f.mapped.Release()
	}
}

// Close ends the views of the file.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Close()
}

// Keys are the entries' keys in the file's order.
func (f *File) Keys() []string { return slices.Clip(f.keys) }

// Value is the entry of a key.
func (f *File) Value(key string) (Value, bool) {
	v, ok := f.values[key]
	return v, ok
}

// Tensors are the tensors in the file's order.
func (f *File) Tensors() []Tensor { return slices.Clip(f.tensors) }

// Entries are keys and values in the file's order.
func (f *File) Entries() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, k := range f.keys {
			if !yield(k, f.values[k]) {
				return
			}
		}
	}
}

// Parse reads a file from its bytes, which the result goes on viewing; path is for
// messages.
func Parse(data []byte, path string) (*File, error) {
	f := &File{Path: path, values: map[string]Value{}}
	if err := f.parse(data); err != nil {
		return nil, &Error{path, err}
	}
	return f, nil
}

func (f *File) parse(data []byte) error {
	r := &reader{data: data}
	tensors, entries, err := r.header(f)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := r.entry(f); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	align, err := f.alignment()
	if err != nil {
		return err
	}
	names := make(map[string]bool, tensors)
	for i := range tensors {
		t, err := r.tensor()
		if err != nil {
			return fmt.Errorf("tensor %d: %w", i, err)
		}
		if names[t.Name] {
			return fmt.Errorf("tensor %q is there twice", clip(t.Name))
		}
		names[t.Name] = true
		f.tensors = append(f.tensors, t)
	}
	return f.place(data, r.at, align)
}

// reader reads the header; at is never beyond the data.
type reader struct {
	data []byte
	at   int
}

var errShort = errors.New("the file ends in the middle of its header: it is cut off or no GGUF file")

// take is the next n bytes.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.data)-r.at) {
		return nil, errShort
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b, nil
}

func (r *reader) uint32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *reader) uint64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// name is a key or a tensor's name.
func (r *reader) name(what string) (string, error) {
	n, err := r.uint64()
	if err != nil {
		return "", err
	}
	switch {
	case n == 0:
		return "", fmt.Errorf("the %s is empty", what)
	case n > maxName:
		return "", fmt.Errorf("the %s is said to have %d bytes; more than %d are not read", what, n, maxName)
	}
	b, err := r.take(n)
	return string(b), err
}

// header reads the magic, the version and the counts.
func (r *reader) header(f *File) (tensors, entries int, err error) {
	magic, err := r.take(4)
	if err != nil || string(magic) != "GGUF" {
		if string(magic) == "FUGG" {
			return 0, 0, errors.New("this is a big-endian GGUF file, which is not supported: convert the model again for little-endian machines")
		}
		return 0, 0, errors.New(`this is no GGUF file: it does not begin with "GGUF"`)
	}
	if f.Version, err = r.uint32(); err != nil {
		return 0, 0, err
	}
	switch v := f.Version; {
	case v == 2 || v == 3:
	case v&0xffff == 0 && v != 0:
		return 0, 0, errors.New("this is a big-endian GGUF file, which is not supported: convert the model again for little-endian machines")
	default:
		return 0, 0, fmt.Errorf("GGUF version %d is not supported, only 2 and 3", v)
	}
	counts := [2]uint64{}
	for i, what := range []string{"tensors", "entries"} {
		if counts[i], err = r.uint64(); err != nil {
			return 0, 0, err
		}
		if limit := uint64([]int{maxTensors, maxEntries}[i]); counts[i] > limit {
			return 0, 0, fmt.Errorf("the header says that there are %d %s; more than %d are not read", counts[i], what, limit)
		}
	}
	return int(counts[0]), int(counts[1]), nil
}

// entry reads a key and its value.
func (r *reader) entry(f *File) error {
	key, err := r.name("key")
	if err != nil {
		return err
	}
	if _, twice := f.values[key]; twice {
		return fmt.Errorf("key %q is there twice", clip(key))
	}
	kind, err := r.uint32()
	if err != nil {
		return err
	}
	v, err := r.value(Kind(kind))
	if err != nil {
		return fmt.Errorf("key %q: %w", clip(key), err)
	}
	f.keys = append(f.keys, key)
	f.values[key] = v
	return nil
}

func (r *reader) value(k Kind) (Value, error) {
	start := r.at
	switch {
	case k == String:
		if err := r.skipText(); err != nil {
			return Value{}, err
		}
		return Value{kind: k, data: r.data[start:r.at]}, nil
	case k == Array:
		return r.array()
	case k.size() == 0:
		return Value{}, fmt.Errorf("unknown %v", k)
	}
	b, err := r.take(uint64(k.size()))
	if err == nil && k == Bool && b[0] > 1 {
		err = fmt.Errorf("%d is no bool", b[0])
	}
	return Value{kind: k, data: b}, err
}

// skipText goes over a string.
func (r *reader) skipText() error {
	n, err := r.uint64()
	if err != nil {
		return err
	}
	if _, err := r.take(n); err != nil {
		return fmt.Errorf("a string is said to have %d bytes, and the file ends before", n)
	}
	return nil
}

// array reads an array; nothing is allocated for its elements.
func (r *reader) array() (Value, error) {
	elem, err := r.uint32()
	if err != nil {
		return Value{}, err
	}
	n, err := r.uint64()
	if err != nil {
		return Value{}, err
	}
	v := Value{kind: Array, elem: Kind(elem)}
	least := uint64(v.elem.size()) // bytes of an element
	if v.elem == String {
		least = 8
	}
	switch {
	case v.elem == Array:
		return v, errors.New("arrays of arrays are not supported")
	case least == 0:
		return v, fmt.Errorf("unknown %v of an array's elements", v.elem)
	case n > uint64(len(r.data)-r.at)/least:
		return v, fmt.Errorf("an array is said to have %d elements, and the file ends before", n)
	}
	v.n = int(n)
	start := r.at
	if v.elem == String {
		for i := range v.n {
			if err := r.skipText(); err != nil {
				return v, fmt.Errorf("element %d: %w", i, err)
			}
		}
	} else {
		r.at += v.n * int(least)
	}
	v.data = r.data[start:r.at]
	return v, nil
}

// alignment is the multiple at which tensors begin.
func (f *File) alignment() (uint64, error) {
	v, ok := f.values[alignmentKey]
	if !ok {
		return defaultAlignment, nil
	}
	if v.kind != Uint32 {
		return 0, fmt.Errorf("%s is %s, not a uint32", alignmentKey, v.describe())
	}
	n := uint64(binary.LittleEndian.Uint32(v.data))
	if n < 8 || n > maxAlignment || n&(n-1) != 0 {
		return 0, fmt.Errorf("%s is %d, not a power of two from 8 to %d", alignmentKey, n, maxAlignment)
	}
	return n, nil
}

// tensor reads a tensor's header.
func (r *reader) tensor() (Tensor, error) {
	var t Tensor
	var err error
	if t.Name, err = r.name("name"); err != nil {
		return t, err
	}
	fail := func(err error) (Tensor, error) { return t, fmt.Errorf("%q: %w", clip(t.Name), err) }
	dims, err := r.uint32()
	if err != nil {
		return fail(err)
	}
	if dims < 1 || dims > maxDims {
		return fail(fmt.Errorf("it has %d dimensions, not 1 to %d", dims, maxDims))
	}
	t.Shape = make([]int, dims)
	for i := range t.Shape {
		d, err := r.uint64()
		if err != nil {
			return fail(err)
		}
		if d == 0 || d > math.MaxInt32 {
			return fail(fmt.Errorf("dimension %d is %d, not between 1 and %d", i, d, math.MaxInt32))
		}
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	kind, err := r.uint32()
	if err != nil {
		return fail(err)
	}
	t.Type = Type(kind)
	if !t.Type.Known() {
		return fail(fmt.Errorf("its type, %v, is not supported", t.Type))
	}
	if last := t.Shape[len(t.Shape)-1]; last%t.Type.Block() != 0 {
		return fail(fmt.Errorf("rows of %d elements are no whole blocks of %v, which have %d", last, t.Type, t.Type.Block()))
	}
	if t.offset, err = r.uint64(); err != nil {
		return fail(err)
	}
	return t, nil
}

// size is the bytes of a tensor; false when they are more than any file has.
func (t *Tensor) size() (uint64, bool) {
	n := uint64(t.Type.BlockBytes())
	for i, d := range t.Shape {
		if i == len(t.Shape)-1 {
			d /= t.Type.Block()
		}
		if n > math.MaxInt64/uint64(d) { // d > 0
			return 0, false
		}
		n *= uint64(d)
	}
	return n, true
}

// place finds the tensors' bytes behind the header, which ends at end.
func (f *File) place(data []byte, end int, align uint64) error {
	if len(f.tensors) == 0 {
		return nil
	}
	begin := (uint64(end) + align - 1) / align * align
	if begin > uint64(len(data)) {
		return errors.New("the file ends behind its header: the tensors are missing")
	}
	body := data[begin:]
	order := make([]*Tensor, len(f.tensors))
	for i := range f.tensors {
		t := &f.tensors[i]
		order[i] = t
		size, ok := t.size()
		switch {
		case !ok:
			return fmt.Errorf("tensor %q: shape %v of %v is more than any file holds", clip(t.Name), t.Shape, t.Type)
		case t.offset%align != 0:
			return fmt.Errorf("tensor %q: its offset %d is no multiple of the alignment %d", clip(t.Name), t.offset, align)
		case t.offset > uint64(len(body)) || size > uint64(len(body))-t.offset:
			return fmt.Errorf("tensor %q: its %d bytes at offset %d go past the end of the file, which is cut off or damaged: fetch it again", clip(t.Name), size, t.offset)
		}
		t.Data = body[t.offset : t.offset+size : t.offset+size]
	}
	slices.SortFunc(order, func(a, b *Tensor) int { return cmp.Compare(a.offset, b.offset) })
	for i, t := range order[1:] {
		if before := order[i]; before.offset+uint64(len(before.Data)) > t.offset {
			return fmt.Errorf("tensors %q and %q overlap", clip(before.Name), clip(t.Name))
		}
	}
	return nil
}

// clip shortens a text of the file for a message.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
