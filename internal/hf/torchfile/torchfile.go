// Package torchfile reads the tensors of PyTorch checkpoints (.bin, .pt) without running
// anything that is in them.
//
// A checkpoint is a zip archive of stored entries: data.pkl, a pickle that describes the
// tensors, and their elements, which stay mapped. Of the pickle's language only what
// PyTorch writes for a dictionary of tensors is understood; a call of anything else is
// refused by its name. The main types are [File], [Tensor] and [Set], the weights of a
// model directory. The format before PyTorch 1.6 is refused.
package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
)

// The limits of data.pkl: bytes and instructions. That of a model with 100,000 tensors has
// about 20 MB and 4 million.
const (
	maxPickle = 32 << 20
	maxSteps  = 8 << 20
)

// Error is a file that cannot be read.
type Error struct {
	Path   string // the file
	Tensor string // the tensor, when the fault is one's
	Err    error
}

// Error names the file and the tensor.
func (e *Error) Error() string {
	if e.Tensor != "" {
		return fmt.Sprintf("%s: tensor %q: %v", e.Path, clip(e.Tensor), e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

// Unwrap is what is wrong, without the names.
func (e *Error) Unwrap() error { return e.Err }

// File is a parsed checkpoint.
type File struct {
	Path    string
	tensors []Tensor
	mapped  *fmap.File // nil for Parse
}

// Tensor is a named tensor of a checkpoint. Several may share their elements.
type Tensor struct {
	Name  string
	DType dtype.DType
	// RawDType is safetensors' name of the element type: "BF16".
	RawDType string
	Shape    []int
	// File is the file it was read from; it keeps the elements mapped.
	File *File

	strides []int  // in elements
	data    []byte // from the first element on, to the end of the storage
}

// Open maps the file at path and reads its description. Every error names the file. The
// pages of elements are not read.
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

// Parse reads a whole file's bytes; elements are views of data. path is for messages.
func Parse(data []byte, path string) (*File, error) {
	f := &File{Path: path}
	if err := f.parse(data); err != nil {
		var named *Error
		if errors.As(err, &named) {
			return nil, err
		}
		return nil, &Error{Path: path, Err: err}
	}
	return f, nil
}

// Release lets go of the pages of f that were read; see [fmap.File.Release].
func (f *File) Release() {
	if f.mapped != nil {
		f.mapped.Release()
	}
}

// Close unmaps the file: its tensors must not be read any more. A File that is never
// closed is unmapped when nothing references it.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Close()
}

// Tensors are all tensors in the order of the file. The slice must not be changed.
func (f *File) Tensors() []Tensor { return f.tensors }

// legacy begins files of the format before PyTorch 1.6: a pickled magic number.
var legacy = []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")

func (f *File) parse(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("version https://git-lfs")):
		return errors.New("is a Git LFS pointer, not the weights: fetch the real file")
	case bytes.HasPrefix(data, legacy):
		return errors.New("is in the format of PyTorch before 1.6, which is not supported: load it with torch.load and save it with torch.save of a newer version")
	}
	archive, err := openArchive(data)
	if err != nil {
		return err
	}
	pickle, err := archive.entry("data.pkl")
	if err != nil {
		return err
	}
	if len(pickle) > maxPickle {
		return fmt.Errorf("data.pkl has %d bytes, more than the limit of %d", len(pickle), maxPickle)
	}
	if order, err := archive.entry("byteorder"); err == nil && string(order) != "little" {
		return fmt.Errorf("its elements are in the byte order %q, only little is supported", clip(string(order)))
	}
	top, err := unpickle(pickle, archive)
	if err != nil {
		return err
	}
	return f.collect(top)
}

// collect takes the tensors out of the dictionary.
func (f *File) collect(top any) error {
	d, ok := top.(*dict)
	if !ok {
		return fmt.Errorf("holds %s, not a dictionary of tensors", kind(top))
	}
	seen := map[string]int{}
	for _, e := range d.entries {
		name, ok := e.key.(string)
		if !ok {
			return fmt.Errorf("a tensor's name is %s, not a string", kind(e.key))
		}
		t, ok := e.value.(*tensor)
		if !ok {
			return &Error{Path: f.Path, Tensor: name, Err: fmt.Errorf("is %s: only dictionaries of tensors (state_dict) are read", kind(e.value))}
		}
		out := Tensor{Name: name, DType: t.kind.dtype, RawDType: t.kind.raw, Shape: t.shape, File: f, strides: t.strides, data: t.data}
		if at, twice := seen[name]; twice {
			f.tensors[at] = out // as in a dictionary
			continue
		}
		seen[name] = len(f.tensors)
		f.tensors = append(f.tensors, out)
	}
	return nil
}

// archive is the zip file.
type archive struct {
	data    []byte
	prefix  string // of all names: the folder of data.pkl
	entries map[string]*zip.File
}

func openArchive(data []byte) (*archive, error) {
	if !bytes.HasPrefix(data, []byte("PK")) {
		return nil, errors.New("is not a PyTorch checkpoint: it is no zip archive")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("is no sound zip archive, or is cut short: %w", err)
	}
	a := &archive{data: data, entries: make(map[string]*zip.File, len(z.File))}
	found := false
	for _, e := range z.File {
		if _, twice := a.entries[e.Name]; twice {
			return nil, fmt.Errorf("the archive has %q twice", clip(e.Name))
		}
		a.entries[e.Name] = e
		if folder, base := path.Split(e.Name); base == "data.pkl" && strings.Count(folder, "/") == 1 {
			if found {
				return nil, errors.New("the archive has more than one data.pkl")
			}
			a.prefix, found = folder, true
		}
	}
	if !found {
		return nil, errors.New("is not a PyTorch checkpoint: the archive has no data.pkl")
	}
	return a, nil
}

// entry are the bytes of an entry, a view.
func (a *archive) entry(name string) ([]byte, error) {
	e := a.entries[a.prefix+name]
	if e == nil {
		return nil, fmt.Errorf("the archive has no %s", clip(name))
	}
	if e.Method != zip.Store || e.Flags&1 != 0 {
		return nil, fmt.Errorf("%s is compressed or encrypted, which PyTorch does not do", clip(name))
	}
	at, err := e.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clip(name), err)
	}
	size := e.UncompressedSize64
	if at < 0 || at > int64(len(a.data)) || size > uint64(int64(len(a.data))-at) {
		return nil, fmt.Errorf("%s is past the end: the file is cut short", clip(name))
	}
	return a.data[at : uint64(at)+size : uint64(at)+size], nil
}

// clip shortens text of the file for messages.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
