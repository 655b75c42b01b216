// Package safetensors reads and writes safetensors files and directories of
// sharded weights.
//
// The main types are [File], one mapped file, [Tensor], a named view of its
// bytes, and [Set], the weights of a model directory. Files are not trusted:
// every length, offset, name and shape of a header is checked before a tensor
// is handed out. The package makes no arrays, converts no elements and renames
// no tensors.
//
// The format: a little-endian uint64 n, n bytes of JSON that give each tensor
// its dtype, shape and byte range, then the tensors' bytes without gaps.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
)

// MaxHeader is the largest header, in bytes, that is read or written. The
// reference implementation has the same limit.
const MaxHeader = 100_000_000

// maxRank bounds the dimensions of one tensor.
const maxRank = 64

const metadataKey = "__metadata__"

// Error is a file that is not a valid safetensors file or index.
type Error struct {
	Path   string // the file
	Tensor string // the tensor, when the fault is one's
	Named  bool   // whether Tensor is set: a tensor's name may be empty
	Err    error  // what is wrong
}

// Error names the file and the tensor.
func (e *Error) Error() string {
	if e.Named {
		return fmt.Sprintf("%s: tensor %q: %v", e.Path, clip(e.Tensor), e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

// Unwrap is what is wrong, without the names.
func (e *Error) Unwrap() error { return e.Err }

// Tensor is a named array of bytes in a file.
type Tensor struct {
	Name  string
	DType dtype.DType
	// RawDType is the file's name of the element type: "BF16". It says more
	// than DType for the fp8 types, whose codes are Uint8. For writing, "" means
	// the name of DType.
	RawDType string
	Shape    []int
	// Data are the elements, row-major and little-endian, len = elements * size.
	// A tensor that was read views the mapping: read-only, at any alignment,
	// valid until File.Close and while File is referenced.
	Data []byte
	// File is the file it was read from, nil for one made to be written.
	File *File
}

// File is a parsed safetensors file.
type File struct {
	Path     string
	Metadata map[string]string // nil when the file has none
	tensors  []Tensor
	index    map[string]int
	mapped   *fmap.File // nil for Parse
	gone     bool
}

// NewGone is a file that is no more: its tensors, by name, RawDType and shape, have no
// Data.
func NewGone(path string, tensors []Tensor) (*File, error) {
	f := &File{Path: path, gone: true, index: map[string]int{}}
	for _, t := range tensors {
		d, err := parseRaw(t.RawDType)
		if err == nil {
			_, err = byteSize(d, t.Shape)
		}
		if err != nil {
			return nil, &Error{Path: path, Tensor: t.Name, Named: true, Err: err}
		}
		t.DType, t.Data, t.File = d, nil, f
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
	}
	return f, nil
}

// Gone reports whether the file is one of NewGone.
func (f *File) Gone() bool { return f.gone }

// Mapped reports whether the tensors' Data are a file's mapped pages.
func (f *File) Mapped() bool { return f.mapped != nil }

// Open maps the file at path and checks its header. Every error names the file,
// and the tensor where there is one. The data pages are not read.
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

// Close unmaps the file: the Data of its tensors must not be read any more. A
// File that is never closed is unmapped when nothing references it.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Close()
}

// Release lets go of the pages of f that were read; see [fmap.File.Release].
func (f *File) Release() {
	if f.mapped != nil {
		f.mapped.Release()
	}
}

// Tensors are all tensors in the order of their bytes. The slice must not be
// changed.
func (f *File) Tensors() []Tensor { return slices.Clip(f.tensors) }

// Tensor is the tensor of that name, if the file has it.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// TotalBytes is the sum of the tensors' sizes.
func (f *File) TotalBytes() int64 {
	var n int64
	for i := range f.tensors {
		n += int64(len(f.tensors[i].Data))
	}
	return n
}

// Parse checks the header of a whole file's bytes and gives its tensors as
// views of data. Path is for messages only.
func Parse(data []byte, path string) (*File, error) {
	header, body, err := split(data)
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	f, infos, err := parseHeader(header, len(body), path)
	if err != nil {
		return nil, err
	}
	for i, t := range infos {
		f.tensors[i].Data = body[t.begin:t.end:t.end]
	}
	return f, nil
}

// parseHeader reads the header of a file with body bytes after it. The tensors have
// no Data; infos say where it is.
func parseHeader(header []byte, body int, path string) (*File, []info, error) {
	p := parser{
		scanner: scanner{b: header},
		file:    &File{Path: path, index: map[string]int{}},
		body:    body,
	}
	if err := p.header(); err != nil {
		return nil, nil, err
	}
	if err := p.cover(); err != nil {
		return nil, nil, err
	}
	f := p.file
	f.tensors = make([]Tensor, len(p.infos))
	for i, t := range p.infos {
		f.index[t.Name] = i
		f.tensors[i] = t.Tensor
		f.tensors[i].File = f
	}
	return f, p.infos, nil
}

// split finds the header and the tensors' bytes.
func split(data []byte) (header, body []byte, err error) {
	if bytes.HasPrefix(data, []byte("version https://git-lfs")) {
		return nil, nil, errors.New("is a Git LFS pointer, not the weights: fetch the real file")
	}
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("%d bytes are too few for a safetensors file: the header's length alone takes 8", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > MaxHeader:
		return nil, nil, fmt.Errorf("the header's length %d exceeds the limit of %d bytes: not a safetensors file, or a hostile one", n, MaxHeader)
	case n > uint64(len(data)-8):
		return nil, nil, fmt.Errorf("the header's length %d exceeds the file's size %d: the file is cut short", n, len(data))
	}
	header, body = data[8:8+n], data[8+n:]
	if !utf8.Valid(header) {
		return nil, nil, errors.New("the header is not valid UTF-8")
	}
	if n == 0 || header[0] != '{' {
		return nil, nil, errors.New("the header does not begin with '{'")
	}
	return header, body, nil
}

// info is a tensor with the place of its bytes.
type info struct {
	Tensor
	begin, end int
}

// parser reads one header.
type parser struct {
	scanner
	file  *File
	infos []info
	body  int  // bytes after the header
	meta  bool // whether __metadata__ was seen
}

func (p *parser) header() error {
	err := p.object(func(name string) error {
		if name == metadataKey {
			return p.metadata()
		}
		err := p.tensor(name)
		if err != nil {
			return &Error{Path: p.file.Path, Tensor: name, Named: true, Err: err}
		}
		return nil
	})
	if err == nil {
		err = p.end()
	}
	var named *Error
	if err != nil && !errors.As(err, &named) {
		return &Error{Path: p.file.Path, Err: fmt.Errorf("header: %w", err)}
	}
	return err
}

// metadata reads an object of strings, or the null that MLX writes for none.
func (p *parser) metadata() error {
	if p.meta {
		return fmt.Errorf("%s is there twice", metadataKey)
	}
	p.meta = true
	if p.null() {
		return nil
	}
	p.file.Metadata = map[string]string{}
	err := p.object(func(key string) error {
		if _, twice := p.file.Metadata[key]; twice {
			return fmt.Errorf("key %q is there twice", clip(key))
		}
		if p.peek() != '"' {
			return fmt.Errorf("the value of %q is not a string", clip(key))
		}
		value, err := p.text()
		p.file.Metadata[key] = value
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", metadataKey, err)
	}
	return nil
}

// tensor reads one tensor's entry and checks it against itself and the file's size.
func (p *parser) tensor(name string) error {
	if _, twice := p.file.index[name]; twice {
		return errors.New("the name is there twice")
	}
	p.file.index[name] = len(p.infos)
	t := info{Tensor: Tensor{Name: name}}
	var seen keys
	err := p.object(func(key string) error {
		if !seen.add(key) {
			return fmt.Errorf("key %q is there twice", clip(key))
		}
		err := p.field(&t, key)
		if err != nil {
			return fmt.Errorf("%s: %w", clip(key), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, key := range entryKeys {
		if !seen.known[i] {
			return fmt.Errorf("key %q is missing", key)
		}
	}
	if err := p.check(&t); err != nil {
		return err
	}
	p.infos = append(p.infos, t)
	return nil
}

var entryKeys = [...]string{"dtype", "shape", "data_offsets"}

// keys are the keys of one entry that were seen.
type keys struct {
	known [len(entryKeys)]bool
	other map[string]bool
}

// add reports whether key is new.
func (k *keys) add(key string) bool {
	seen := k.other[key]
	if i := slices.Index(entryKeys[:], key); i >= 0 {
		seen, k.known[i] = k.known[i], true
	} else if !seen {
		if k.other == nil {
			k.other = map[string]bool{}
		}
		k.other[key] = true
	}
	return !seen
}

// field reads the value of one key; unknown keys are for later versions.
func (p *parser) field(t *info, key string) (err error) {
	switch key {
	case "dtype":
		if t.RawDType, err = p.text(); err != nil {
			return err
		}
		t.DType, err = parseRaw(t.RawDType)
		return err
	case "shape":
		t.Shape = []int{}
		return p.array(func() error {
			if len(t.Shape) == maxRank {
				return fmt.Errorf("more than %d dimensions", maxRank)
			}
			n, err := p.count()
			t.Shape = append(t.Shape, n)
			return err
		})
	case "data_offsets":
		got := 0
		err := p.array(func() (err error) {
			if got == 2 {
				return errors.New("more than two offsets")
			}
			got++
			t.begin = t.end
			t.end, err = p.count()
			return err
		})
		if err == nil && got != 2 {
			err = fmt.Errorf("%d offsets, two are needed", got)
		}
		return err
	}
	return p.skip(1)
}

func (p *parser) check(t *info) error {
	size, err := byteSize(t.DType, t.Shape)
	switch {
	case err != nil:
		return err
	case t.begin > t.end:
		return fmt.Errorf("data_offsets: begin %d is after end %d", t.begin, t.end)
	case t.end > p.body:
		return fmt.Errorf("data_offsets: end %d is past the %d bytes of data in the file: the file is cut short, or the header is wrong", t.end, p.body)
	case t.end-t.begin != size:
		return fmt.Errorf("data_offsets span %d bytes, but shape %v of %s takes %d", t.end-t.begin, t.Shape, t.RawDType, size)
	}
	return nil
}

// byteSize is the size of a tensor's data. A product that overflows is an error
// even where another dimension is zero.
func byteSize(d dtype.DType, shape []int) (int, error) {
	product, empty := uint64(d.Size()), false
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		if n == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(product, uint64(n))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v of %v has more bytes than can be addressed", shape, d)
		}
		product = lo
	}
	if empty {
		return 0, nil
	}
	return int(product), nil
}

// cover puts the tensors in the order of their bytes and checks that they fill
// the data with neither overlap nor gap, as the format demands.
func (p *parser) cover() error {
	slices.SortStableFunc(p.infos, func(a, b info) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at, last := 0, ""
	for _, t := range p.infos {
		var err error
		switch {
		case t.begin < at:
			err = fmt.Errorf("its bytes [%d, %d) overlap those of %q", t.begin, t.end, clip(last))
		case t.begin > at:
			err = fmt.Errorf("its bytes begin at %d, but those before end at %d: a gap", t.begin, at)
		}
		if err != nil {
			return &Error{Path: p.file.Path, Tensor: t.Name, Named: true, Err: err}
		}
		at, last = t.end, t.Name
	}
	if at != p.body {
		return &Error{Path: p.file.Path, Err: fmt.Errorf("the tensors take %d bytes, but the file has %d bytes of data", at, p.body)}
	}
	return nil
}
