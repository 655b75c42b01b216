package mlx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/npy"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Files. Saving evaluates the arrays first, writes beside the path and renames, so that
// a path is never half a file. What is loaded is a view of the mapped file, whose pages
// are read when they are needed; a file must not be truncated meanwhile. Errors name the
// file.

// pathError names the file of an error that does not.
func pathError(path string, err error) error {
	if err == nil || strings.HasPrefix(err.Error(), path) {
		return err
	}
	var known *os.PathError
	if errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// withEnding is path, with the ending that its format has.
func withEnding(path, ending string) string {
	if strings.HasSuffix(path, ending) {
		return path
	}
	return path + ending
}

// viewOf is an array over memory that owner keeps.
func viewOf(a npy.Array, owner any) (*Array, error) {
	b, err := tensor.Adopt(a.Data, owner, tensor.Other)
	if err != nil {
		return nil, err
	}
	v := tensor.RowMajorView(Spec{Shape: a.Shape, DType: a.DType}, b)
	if a.ColumnMajor {
		n := 1
		for i, d := range a.Shape {
			v.Strides[i] = n
			n *= max(d, 1)
		}
	}
	return tensor.FromView(v), nil
}

// parseMapped maps a file and parses it; a page that cannot be read is an error.
func parseMapped[T any](path string, parse func(data []byte) (T, error)) (out T, file *fmap.File, err error) {
	if file, err = fmap.Open(path); err != nil {
		return out, nil, err
	}
	err = fmap.Guard(func() (err error) {
		out, err = parse(file.Bytes())
		return err
	})
	if err != nil {
		return out, nil, errors.Join(pathError(path, err), file.Close())
	}
	return out, file, nil
}

// Load is mx.load of one .npy array, of version 1 to 3, either byte order and either
// order of axes. bfloat16 is the raw type V2, as MLX writes it. For other files see
// [LoadAll].
func Load(path string) (*Array, error) {
	if e := filepath.Ext(path); e != ".npy" {
		return nil, fmt.Errorf("%s: Load reads .npy files; LoadAll reads .npz and .safetensors", path)
	}
	data, file, err := parseMapped(path, npy.Parse)
	if err != nil {
		return nil, err
	}
	a, err := viewOf(data, file)
	return a, pathError(path, err)
}

// LoadAll is mx.load of a .npz or .safetensors file: its arrays by name, and the
// metadata of the latter, whose values are strings (return_metadata=). Compressed
// arrays are unpacked at once.
func LoadAll(path string) (arrays map[string]*Array, meta map[string]any, err error) {
	switch filepath.Ext(path) {
	case ".npz":
		all, file, err := parseMapped(path, npy.ParseZip)
		if err != nil {
			return nil, nil, err
		}
		arrays = make(map[string]*Array, len(all))
		for _, a := range all {
			if arrays[a.Name], err = viewOf(a.Array, file); err != nil {
				return nil, nil, pathError(path, err)
			}
		}
		return arrays, nil, nil
	case ".safetensors":
		f, err := safetensors.Open(path)
		if err != nil {
			return nil, nil, err
		}
		arrays = make(map[string]*Array, len(f.Tensors()))
		for _, t := range f.Tensors() {
			arrays[t.Name], err = viewOf(npy.Array{Header: npy.Header{DType: t.DType, Shape: t.Shape}, Data: t.Data}, t.File)
			if err != nil {
				return nil, nil, pathError(path, err)
			}
		}
		for k, v := range f.Metadata {
			if meta == nil {
				meta = map[string]any{}
			}
			meta[k] = v
		}
		return arrays, meta, nil
	case ".npy":
		return nil, nil, fmt.Errorf("%s: a .npy file holds one array: use Load", path)
	case ".gguf":
		return nil, nil, fmt.Errorf("%s: .gguf files cannot be read yet", path)
	case "":
		return nil, nil, fmt.Errorf("%s: no ending tells the format; .npz and .safetensors are known", path)
	}
	return nil, nil, fmt.Errorf("%s: unknown file format; .npz and .safetensors are known", path)
}

// stored evaluates a for writing; with columns it may be column-major, as MLX writes it.
// The array keeps the memory alive.
func stored(a *Array, columns bool) (npy.Array, *Array, error) {
	if a == nil {
		return npy.Array{}, nil, errors.New("the array is nil")
	}
	v, err := tensor.ValueOf(a)
	if err != nil {
		return npy.Array{}, nil, err
	}
	column := columns && v.ColumnMajor()
	if !column && !v.Contiguous() {
		if a, v, err = tensor.RowMajor(a); err != nil {
			return npy.Array{}, nil, err
		}
	}
	return npy.Array{Header: npy.Header{DType: v.DType, Shape: v.Shape, ColumnMajor: column}, Data: v.HostBytes()}, a, nil
}

// Save is mx.save: one array to .npy; the ending is added to a path without it.
func Save(path string, a *Array) error {
	path = withEnding(path, ".npy")
	return pathError(path, atomicfile.Write(path, false, func(f *os.File) error { return WriteNPY(f, a) }))
}

// SaveZ is mx.savez: named arrays to .npz; the ending is added to a path without it.
func SaveZ(path string, arrays map[string]*Array) error { return saveZ(path, arrays, false) }

// SaveZCompressed is mx.savez_compressed; see [SaveZ].
func SaveZCompressed(path string, arrays map[string]*Array) error { return saveZ(path, arrays, true) }

func saveZ(path string, arrays map[string]*Array, compress bool) error {
	path = withEnding(path, ".npz")
	return pathError(path, atomicfile.Write(path, false, func(f *os.File) error {
		z := npy.NewZipWriter(f, compress)
		for _, name := range slices.Sorted(maps.Keys(arrays)) {
			a, keep, err := stored(arrays[name], true)
			if err == nil {
				err = fmap.Guard(func() error { return z.Add(name, a) })
			}
			runtime.KeepAlive(keep)
			if err != nil {
				return fmt.Errorf("array %q: %w", name, err)
			}
		}
		return z.Close()
	}))
}

// SaveSafetensors is mx.save_safetensors; meta may be nil. The ending is added to a path
// without it. Arrays lie in the order of their names, so equal arrays make equal files;
// float64 is an error, as in MLX, which does not read it.
func SaveSafetensors(path string, arrays map[string]*Array, meta map[string]string) error {
	path = withEnding(path, ".safetensors")
	return pathError(path, atomicfile.Write(path, false, func(f *os.File) error { return writeSafetensors(f, path, arrays, meta) }))
}

func writeSafetensors(w io.Writer, path string, arrays map[string]*Array, meta map[string]string) error {
	var list []safetensors.Tensor
	keep := make([]*Array, len(arrays))
	if err := Eval(slices.Collect(maps.Values(arrays))); err != nil {
		return pathError(path, err)
	}
	for i, name := range slices.Sorted(maps.Keys(arrays)) {
		a, k, err := stored(arrays[name], false)
		if err == nil && a.DType == Float64 {
			err = errors.New("float64 cannot be saved in this format: MLX does not read it")
		}
		if err != nil {
			return &safetensors.Error{Path: path, Tensor: name, Named: true, Err: err}
		}
		keep[i] = k
		list = append(list, safetensors.Tensor{Name: name, DType: a.DType, Shape: a.Shape, Data: a.Data})
	}
	err := safetensors.WriteTo(w, path, list, meta)
	runtime.KeepAlive(keep)
	return err
}

// ReadNPY is mx.load ([Load]) from a stream: it reads one array, and no further.
func ReadNPY(r io.Reader) (*Array, error) {
	a, err := npy.Read(r)
	if err != nil {
		return nil, fmt.Errorf("the stream %w", err)
	}
	return viewOf(a, a.Data)
}

// WriteNPY is mx.save ([Save]) to a stream.
func WriteNPY(w io.Writer, a *Array) error {
	s, keep, err := stored(a, true)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(keep)
	return fmap.Guard(func() error { return npy.Write(w, s) })
}

// ReadSafetensors is mx.load ([LoadAll]) from what can be read at offsets and has size
// bytes; it reads all arrays at once.
func ReadSafetensors(r io.ReaderAt, size int64) (map[string]*Array, map[string]string, error) {
	const path = "safetensors"
	first := make([]byte, min(size, 8))
	if err := readAt(r, first, 0); err != nil {
		return nil, nil, err
	}
	n, err := safetensors.HeaderSize(first)
	if err == nil && n > size {
		err = fmt.Errorf("a header of %d bytes exceeds the size of %d: it is cut short", n, size)
	}
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	head := make([]byte, n)
	if err := readAt(r, head, 0); err != nil {
		return nil, nil, err
	}
	f, err := safetensors.ParseHeader(head, size, path)
	if err != nil {
		return nil, nil, err
	}
	arrays := make(map[string]*Array, len(f.Tensors()))
	for _, t := range f.Tensors() { // they follow each other without gaps
		data := make([]byte, t.Size())
		if err := readAt(r, data, n); err != nil {
			return nil, nil, &safetensors.Error{Path: path, Tensor: t.Name, Named: true, Err: err}
		}
		n += t.Size()
		arrays[t.Name], err = viewOf(npy.Array{Header: npy.Header{DType: t.DType, Shape: t.Shape}, Data: data}, data)
		if err != nil {
			return nil, nil, &safetensors.Error{Path: path, Tensor: t.Name, Named: true, Err: err}
		}
	}
	return arrays, f.Metadata, nil
}

// readAt fills b from offset at.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	_, err := io.ReadFull(io.NewSectionReader(r, at, int64(len(b))), b)
	return err
}

// WriteSafetensors is mx.save_safetensors ([SaveSafetensors]) to a stream.
func WriteSafetensors(w io.Writer, arrays map[string]*Array, meta map[string]string) error {
	return writeSafetensors(w, "safetensors", arrays, meta)
}
