package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Named is an array of a .npz file.
type Named struct {
	Name string
	Array
}

// ParseZip reads a whole .npz file's bytes, in the order of its entries. Entries that
// are not compressed are views of them.
func ParseZip(file []byte) ([]Named, error) {
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("is no .npz file: %w", err)
	}
	var out []Named
	seen := map[string]bool{}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			return nil, fmt.Errorf("entry %.60q is no .npy file", f.Name)
		}
		if seen[name] {
			return nil, fmt.Errorf("entry %.60q is there twice", f.Name)
		}
		seen[name] = true
		a, err := entry(file, f)
		if err != nil {
			return nil, fmt.Errorf("entry %.60q: %w", f.Name, err)
		}
		out = append(out, Named{name, a})
	}
	return out, nil
}

func entry(file []byte, f *zip.File) (Array, error) {
	if f.Flags&1 != 0 {
		return Array{}, errors.New("is encrypted")
	}
	if f.Method == zip.Store {
		at, err := f.DataOffset()
		n := f.UncompressedSize64
		if err == nil && (at < 0 || at > int64(len(file)) || n > uint64(int64(len(file))-at)) {
			err = errors.New("is cut short")
		}
		if err != nil {
			return Array{}, err
		}
		return Parse(file[at : at+int64(n) : at+int64(n)])
	}
	r, err := f.Open()
	if err != nil {
		return Array{}, err
	}
	defer r.Close()
	a, err := Read(r)
	if err != nil {
		return a, err
	}
	_, err = io.Copy(io.Discard, r) // its end tells whether the checksum is right
	return a, err
}

// ZipWriter writes a .npz file.
type ZipWriter struct {
	z      *zip.Writer
	method uint16
}

// NewZipWriter writes to w; Close it.
func NewZipWriter(w io.Writer, compress bool) *ZipWriter {
	z := &ZipWriter{z: zip.NewWriter(w)}
	if compress {
		z.method = zip.Deflate
	}
	return z
}

// Add writes an array. Equal arrays make equal files: no times are written.
func (z *ZipWriter) Add(name string, a Array) error {
	w, err := z.z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: z.method})
	if err == nil {
		err = Write(w, a)
	}
	return err
}

// Close writes the directory.
func (z *ZipWriter) Close() error { return z.z.Close() }
