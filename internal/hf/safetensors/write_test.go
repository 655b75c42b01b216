package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

func sample() []Tensor {
	return []Tensor{
		{Name: "z.byte", DType: dtype.Uint8, Shape: []int{3}, Data: []byte{1, 2, 3}},
		{Name: "a.fp8", DType: dtype.Uint8, RawDType: "F8_E4M3", Shape: []int{1, 2}, Data: []byte{4, 5}},
		{Name: "m<&>é\"\\\n", DType: dtype.BFloat16, Shape: []int{2}, Data: []byte{6, 7, 8, 9}},
		{Name: "scalar", DType: dtype.Complex64, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Name: "empty", DType: dtype.Float32, Shape: []int{0, 7}},
		{Name: "b.f32", DType: dtype.Float32, Shape: []int{1}, Data: []byte{0, 1, 2, 3}},
	}
}

func TestWriteReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	meta := map[string]string{"format": "mlx", "é": "\x00<\u2028"}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, sample(), meta); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for _, g := range f.Tensors() {
		names = append(names, g.Name)
		i := slices.IndexFunc(sample(), func(w Tensor) bool { return w.Name == g.Name })
		want := sample()[i]
		if want.RawDType == "" {
			want.RawDType, _ = rawName(want.DType)
		}
		if !equal(g, want) {
			t.Errorf("%q = %+v, want %+v", g.Name, g, want)
		}
	}
	if want := []string{"scalar", "b.f32", "empty", "m<&>é\"\\\n", "a.fp8", "z.byte"}; !slices.Equal(names, want) {
		t.Errorf("order %q, want %q", names, want)
	}
	if len(f.Metadata) != 2 || f.Metadata["é"] != "\x00<\u2028" || f.Metadata["format"] != "mlx" {
		t.Errorf("metadata %q", f.Metadata)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(whole); (n+8)%64 != 0 {
		t.Errorf("the data begins at %d", n+8)
	}
	alsoStable(t, whole, meta)
}

// alsoStable writes the same tensors in another order: the bytes are the same.
func alsoStable(t *testing.T, whole []byte, meta map[string]string) {
	path := filepath.Join(t.TempDir(), "y.safetensors")
	other := sample()
	slices.Reverse(other)
	if err := Write(path, other, meta); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole, again) {
		t.Error("the order of the tensors changes the file")
	}
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(list) != 1 {
		t.Errorf("%d files are left, %v", len(list), err)
	}
}

func TestWriteNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors()) != 0 || f.Metadata != nil {
		t.Error("an empty file has tensors or metadata")
	}
}

func TestWriteFunc(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var order []string
	err := WriteFunc(path, sample(), nil, true, func(tn Tensor, w io.Writer) error {
		order = append(order, tn.Name)
		for i := range tn.Data { // in pieces
			if _, err := w.Write(tn.Data[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	layout := Layout(sample())
	for i, l := range layout {
		if order[i] != l.Name {
			t.Errorf("call %d was for %q, Layout says %q", i, order[i], l.Name)
		}
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range sample() {
		if g, _ := f.Tensor(w.Name); !bytes.Equal(g.Data, w.Data) {
			t.Errorf("%q = %v, want %v", w.Name, g.Data, w.Data)
		}
	}
}

func TestWriteErrors(t *testing.T) {
	u8 := func(name string, shape []int, data ...byte) Tensor {
		return Tensor{Name: name, DType: dtype.Uint8, Shape: shape, Data: data}
	}
	for _, c := range []struct {
		name, want string
		tensors    []Tensor
		meta       map[string]string
	}{
		{"short data", `tensor "w": 1 bytes of data`, []Tensor{u8("w", []int{2}, 1)}, nil},
		{"twice", `tensor "w": the name is there twice`, []Tensor{u8("w", []int{0}), u8("w", []int{0})}, nil},
		{"reserved", "reserved", []Tensor{u8("__metadata__", []int{0})}, nil},
		{"utf-8", "UTF-8", []Tensor{u8("\xff", []int{0})}, nil},
		{"negative", "negative", []Tensor{u8("w", []int{-1})}, nil},
		{"overflow", "addressed", []Tensor{u8("w", []int{1 << 31, 1 << 31, 1 << 31})}, nil},
		{"rank", "dimensions", []Tensor{u8("w", make([]int, 65))}, nil},
		{"dtype", "invalid dtype", []Tensor{{Name: "w", DType: 99}}, nil},
		{"raw dtype", "F32 is float32, not uint8", []Tensor{{Name: "w", RawDType: "F32", DType: dtype.Uint8, Shape: []int{0}}}, nil},
		{"unknown raw dtype", "unknown element type", []Tensor{{Name: "w", RawDType: "Q", DType: dtype.Uint8, Shape: []int{0}}}, nil},
		{"metadata", "metadata", nil, map[string]string{"a": "\xff"}},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.safetensors")
		err := Write(path, c.tensors, c.meta)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: a file is left behind", c.name)
		}
	}
}

// A failed write leaves the old file whole and nothing else.
func TestWriteFuncFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	tensors := []Tensor{{Name: "w", DType: dtype.Uint8, Shape: []int{4}}}
	for name, c := range map[string]struct {
		fill func(Tensor, io.Writer) error
		want string
	}{
		"own error": {func(Tensor, io.Writer) error { return mine }, "mine"},
		"too few":   {func(_ Tensor, w io.Writer) error { _, err := w.Write([]byte{1}); return err }, "3 of 4 bytes were not written"},
		"too many":  {func(_ Tensor, w io.Writer) error { _, err := w.Write(make([]byte, 5)); return err }, "1 bytes more"},
	} {
		err := WriteFunc(path, tensors, nil, false, c.fill)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `tensor "w"`) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "own error" && !errors.Is(err, mine) {
			t.Errorf("%s is not wrapped", name)
		}
		list, _ := os.ReadDir(dir)
		if b, _ := os.ReadFile(path); string(b) != "old" || len(list) != 1 {
			t.Errorf("%s: %q, %d files", name, b, len(list))
		}
	}
	if err := Write(filepath.Join(dir, "no", "x"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}

// TestWriteDevice: a device is written to, never replaced by a file. A link to it
// stands for it, so that a failure does no harm.
func TestWriteDevice(t *testing.T) {
	for device, fails := range map[string]bool{os.DevNull: false, "/dev/full": true} {
		if info, err := os.Stat(device); err != nil || info.Mode()&os.ModeDevice == 0 {
			t.Logf("%s is not here", device)
			continue
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(device, link); err != nil {
			t.Skip(err)
		}
		if err := Write(link, sample(), nil); (err != nil) != fails {
			t.Errorf("%s: error %v", device, err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s was replaced: %v, %v", device, info, err)
		}
	}
	dir := t.TempDir()
	if err := Write(dir, sample(), nil); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}
