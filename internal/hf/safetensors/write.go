package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/fmap"
)

// dataAlign is what the first tensor's offset in a written file is a multiple
// of. Larger elements come first, so every tensor is aligned to its element.
const dataAlign = 64

// Layout is the order in which tensors are written: larger elements first, then
// by name. It depends on nothing else, so equal tensors make equal files.
func Layout(tensors []Tensor) []Tensor {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.Name, b.Name))
	})
	return order
}

// Write writes tensors with their Data and the metadata (nil for none) to path,
// in the order of [Layout]. It writes beside path and then renames, so that path
// is never half a file; a file that was there is replaced, but a device or pipe is
// written to. Errors name the file and the tensor.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	for _, t := range tensors {
		if size, err := checkTensor(t); err != nil {
			return &Error{Path: path, Tensor: t.Name, Named: true, Err: err}
		} else if len(t.Data) != size {
			return &Error{Path: path, Tensor: t.Name, Named: true,
				Err: fmt.Errorf("%d bytes of data, but shape %v of %v takes %d", len(t.Data), t.Shape, t.DType, size)}
		}
	}
	defer runtime.KeepAlive(tensors) // Data may view their files' mappings
	return WriteFunc(path, tensors, metadata, false, func(t Tensor, w io.Writer) error {
		_, err := w.Write(t.Data)
		return err
	})
}

// WriteFunc is Write for tensors that are not all in memory: Data is not looked
// at; fill is called for each tensor in the order of [Layout] and must write
// exactly its bytes to w. With sync the file is flushed to the disk before it
// takes its name.
func WriteFunc(path string, tensors []Tensor, metadata map[string]string, sync bool, fill func(t Tensor, w io.Writer) error) error {
	order := Layout(tensors)
	header, err := makeHeader(order, metadata)
	if err != nil {
		var named *Error
		if errors.As(err, &named) {
			named.Path = path
			return err
		}
		return &Error{Path: path, Err: err}
	}
	return atomicfile.Write(path, sync, func(f *os.File) error { return write(f, path, header, order, fill) })
}

// Plan is a file before its tensors are there, for who writes them at their places.
type Plan struct {
	Header []byte           // the file up to the tensors' bytes
	At     map[string]int64 // where a tensor's bytes begin in the file, by its name
	Size   int64            // of the file
}

// NewPlan is the file of tensors in the order of [Layout]. Data is not looked at.
func NewPlan(tensors []Tensor, metadata map[string]string) (*Plan, error) {
	order := Layout(tensors)
	header, err := makeHeader(order, metadata)
	if err != nil {
		return nil, err
	}
	p := &Plan{Header: header, At: make(map[string]int64, len(order)), Size: int64(len(header))}
	for _, t := range order {
		p.At[t.Name] = p.Size
		p.Size += t.Size()
	}
	return p, nil
}

// WriteTo writes a file to w: tensors with their Data in the order that is given. Errors
// call it path.
func WriteTo(w io.Writer, path string, order []Tensor, metadata map[string]string) error {
	header, err := makeHeader(order, metadata)
	if err != nil {
		var named *Error
		if errors.As(err, &named) {
			named.Path = path
			return err
		}
		return &Error{Path: path, Err: err}
	}
	defer runtime.KeepAlive(order)
	return write(w, path, header, order, func(t Tensor, w io.Writer) error {
		_, err := w.Write(t.Data)
		return err
	})
}

func write(f io.Writer, path string, header []byte, order []Tensor, fill func(t Tensor, w io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range order {
		if err := writeTensor(w, t, fill); err != nil {
			return &Error{Path: path, Tensor: t.Name, Named: true, Err: err}
		}
	}
	return w.Flush()
}

func writeTensor(w io.Writer, t Tensor, fill func(Tensor, io.Writer) error) error {
	size, err := checkTensor(t)
	if err != nil {
		return err
	}
	lw := &limited{w: w, left: size}
	// Data may view a mapped file that fails under us.
	if err := fmap.Guard(func() error { return fill(t, lw) }); err != nil {
		return err
	}
	if lw.left != 0 {
		return fmt.Errorf("%d of %d bytes were not written", lw.left, size)
	}
	return nil
}

// limited refuses more bytes than are left.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("%d bytes more than the tensor has", len(p)-l.left)
	}
	n, err := l.w.Write(p)
	l.left -= n
	return n, err
}

// checkTensor checks what can be wrong with a tensor to write but its data, and
// gives the size of the latter.
func checkTensor(t Tensor) (int, error) {
	switch {
	case !t.DType.Valid():
		return 0, fmt.Errorf("invalid dtype %v", t.DType)
	case !utf8.ValidString(t.Name):
		return 0, errors.New("the name is not valid UTF-8")
	case t.Name == metadataKey:
		return 0, errors.New("the name is reserved")
	case len(t.Shape) > maxRank:
		return 0, fmt.Errorf("%d dimensions, more than %d", len(t.Shape), maxRank)
	}
	if t.RawDType != "" {
		d, err := parseRaw(t.RawDType)
		if err != nil {
			return 0, err
		}
		if d != t.DType {
			return 0, fmt.Errorf("element type %s is %v, not %v", t.RawDType, d, t.DType)
		}
	}
	return byteSize(t.DType, t.Shape)
}

// makeHeader is the file up to the data: length, JSON and the spaces that align
// the data.
func makeHeader(order []Tensor, metadata map[string]string) ([]byte, error) {
	out := append(make([]byte, 8), '{')
	if metadata != nil {
		for key, value := range metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("metadata %q is not valid UTF-8", clip(key))
			}
		}
		out = appendJSON(append(out, `"`+metadataKey+`":`...), metadata)
	}
	at := 0
	seen := make(map[string]bool, len(order))
	for _, t := range order {
		size, err := checkTensor(t)
		switch {
		case err != nil:
		case seen[t.Name]:
			err = errors.New("the name is there twice")
		case size > maxInt-at:
			err = errors.New("the file would be larger than can be addressed")
		}
		if err != nil {
			return nil, &Error{Tensor: t.Name, Named: true, Err: err}
		}
		seen[t.Name] = true
		name := t.RawDType
		if name == "" {
			if name, err = rawName(t.DType); err != nil {
				return nil, &Error{Tensor: t.Name, Named: true, Err: err}
			}
		}
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(appendJSON(out, t.Name), ':')
		out = appendJSON(out, struct {
			DType   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{name, append([]int{}, t.Shape...), [2]int{at, at + size}})
		at += size
	}
	out = append(out, '}')
	for len(out)%dataAlign != 0 {
		out = append(out, ' ')
	}
	if n := len(out) - 8; n > MaxHeader {
		return nil, fmt.Errorf("a header of %d bytes exceeds the limit of %d", n, MaxHeader)
	}
	binary.LittleEndian.PutUint64(out, uint64(len(out)-8))
	return out, nil
}

const maxInt = int(^uint(0) >> 1)

// appendJSON appends v, of a type that always has a JSON form; maps get sorted keys.
func appendJSON(out []byte, v any) []byte {
	b := bytes.NewBuffer(out)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, integers and maps of strings only
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
