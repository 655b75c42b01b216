// Package weights is where a model comes from: its small files and its tensors by
// name. A tensor is a view of a mapped safetensors file, or it is made on demand from
// another format. Nothing here knows models or makes arrays.
package weights

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// Source is a model: a directory, a file of another format, or files inside the program.
type Source struct {
	// Name is for messages.
	Name string
	// Read is a small file's content; a missing one is fs.ErrNotExist.
	Read func(name string) ([]byte, error)
	// Tensors are the weights; their memory must stay valid.
	Tensors []Tensor
	// Release lets go of the pages of mapped files that were read: they count as memory
	// of the process, and reading them again fetches them again. Nil: there are none.
	Release func()
}

// Tensor is a tensor of a model.
type Tensor struct {
	safetensors.Tensor
	// Owner keeps Data valid while it is referenced, where that is not File; nil: nothing
	// needs to.
	Owner any
	// Make gives the elements of a tensor that no file holds as they are: row-major,
	// little-endian, of DType, the caller's own. Then Data is nil. It may be called from
	// any goroutine and again: nothing is kept.
	Make func() ([]byte, error)
}

// Of are tensors whose elements are in their files.
func Of(ts []safetensors.Tensor) []Tensor {
	out := make([]Tensor, len(ts))
	for i, t := range ts {
		out[i] = Tensor{Tensor: t}
	}
	return out
}

// Bytes are the elements: a view of the file, or made. A page of a mapped file that
// cannot be read faults where the view is read: see fmap.Guard.
func (t Tensor) Bytes() ([]byte, error) {
	if t.Make == nil {
		return t.Data, nil
	}
	var data []byte
	err := fmap.Guard(func() (err error) { // it reads mapped files
		data, err = t.Make()
		return err
	})
	if err == nil && int64(len(data)) != t.Size() {
		err = fmt.Errorf("%d bytes were made, but shape %v of %v takes %d", len(data), t.Shape, t.DType, t.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return data, nil
}
