package safetensors

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Size is the bytes of the tensor's elements, also when Data was not read.
func (t Tensor) Size() int64 {
	n := int64(t.DType.Size())
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// HeaderSize is how many bytes of a file its tensors' names, dtypes and shapes take,
// the length itself included; first are the file's first 8 bytes or more.
func HeaderSize(first []byte) (int64, error) {
	if len(first) < 8 {
		return 0, fmt.Errorf("%d bytes are too few for a safetensors file: the header's length alone takes 8", len(first))
	}
	n := binary.LittleEndian.Uint64(first)
	if n > MaxHeader {
		return 0, fmt.Errorf("the header's length %d exceeds the limit of %d bytes: not a safetensors file, or a hostile one", n, MaxHeader)
	}
	return 8 + int64(n), nil
}

// ParseHeader is Parse for the first bytes of a file, HeaderSize of them or more,
// that has size bytes in all. The tensors have no Data.
func ParseHeader(first []byte, size int64, path string) (*File, error) {
	header, _, err := split(first)
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	body := size - 8 - int64(len(header))
	if body < 0 || int64(int(body)) != body {
		return nil, &Error{Path: path, Err: fmt.Errorf("a header of %d bytes and a size of %d do not go together", len(header), size)}
	}
	f, _, err := parseHeader(header, int(body), path)
	return f, err
}

// OpenFunc is OpenDir where dir is not a directory here, but has the files names;
// index is the text of IndexName, nil if there is none, and open gives a file of it,
// fs.ErrNotExist for a missing one. dir is for messages.
func OpenFunc(dir string, names []string, index []byte, open func(name string) (*File, error)) (*Set, error) {
	names = slices.DeleteFunc(slices.Sorted(slices.Values(names)), func(n string) bool { return !isWeights(n) })
	return openSet(dir, names, index, open)
}
