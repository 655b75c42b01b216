package safetensors

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

func TestParseHeader(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	err := Write(path, []Tensor{
		{Name: "a", DType: dtype.Float32, Shape: []int{2, 3}, Data: make([]byte, 24)},
		{Name: "b", DType: dtype.Uint8, Shape: []int{5}, Data: make([]byte, 5)},
	}, map[string]string{"format": "mlx"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse(data, path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := HeaderSize(data[:8])
	if err != nil || n != int64(len(data))-29 {
		t.Fatalf("header of %d bytes, %v", n, err)
	}
	for _, first := range [][]byte{data[:n], data[:n+3], data} {
		f, err := ParseHeader(first, int64(len(data)), path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(f.Metadata, whole.Metadata) || len(f.Tensors()) != 2 {
			t.Errorf("metadata %v, tensors %v", f.Metadata, f.Tensors())
		}
		for i, x := range f.Tensors() {
			w := whole.Tensors()[i]
			if x.Data != nil || x.Name != w.Name || x.Size() != int64(len(w.Data)) || !reflect.DeepEqual(x.Shape, w.Shape) {
				t.Errorf("%+v is not %+v without data", x, w)
			}
		}
	}
	for name, err := range map[string]error{
		"cut short": second(ParseHeader(data[:n-1], int64(len(data)), path)),
		"past the":  second(ParseHeader(data[:n], int64(len(data))-1, path)),
		"data":      second(ParseHeader(data[:n], int64(len(data))+1, path)),
		"together":  second(ParseHeader(data[:n], 8, path)),
		"too few":   second(HeaderSize(data[:7])),
		"exceeds":   second(HeaderSize([]byte{0, 0, 0, 0, 0, 0, 0, 1})),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestOpenFunc(t *testing.T) {
	head := func(name, tensor string) *File {
		f := &File{Path: filepath.Join("org/x", name), index: map[string]int{tensor: 0}, tensors: []Tensor{{Name: tensor, DType: dtype.Uint8, Shape: []int{1}}}}
		return f
	}
	open := func(name string) (*File, error) {
		switch name {
		case "model-1.safetensors":
			return head(name, "a"), nil
		case "model-2.safetensors":
			return head(name, "b"), nil
		}
		return nil, fs.ErrNotExist
	}
	s, err := OpenFunc("org/x", []string{"model-2.safetensors", "x.safetensors", "config.json", "model-1.safetensors"}, nil, open)
	if err != nil || !reflect.DeepEqual(s.Names(), []string{"a", "b"}) {
		t.Errorf("%v, %v", s, err)
	}
	s, err = OpenFunc("org/x", []string{"model-2.safetensors", "model-1.safetensors"}, []byte(`{"weight_map":{"b":"model-2.safetensors"}}`), open)
	if err != nil || !reflect.DeepEqual(s.Names(), []string{"b"}) || len(s.Unindexed) != 1 {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := OpenFunc("org/x", nil, []byte(`{"weight_map":{"b":"model-3.safetensors"}}`), open); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Error(err)
	}
	if _, err := OpenFunc("org/x", []string{"config.json"}, nil, open); err == nil || !strings.Contains(err.Error(), "no safetensors") {
		t.Error(err)
	}
}
