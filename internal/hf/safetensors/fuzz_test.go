package safetensors

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// FuzzOpen reads files with any header and any amount of data. What is accepted
// must be JSON for encoding/json too, hold together, and survive a rewrite.
func FuzzOpen(f *testing.F) {
	for _, header := range []string{
		`{}`, `{"__metadata__":null}`, `{"__metadata__":{"format":"pt","\u00e9":"\ud83d\ude00"}}   `,
		"{" + tensorJSON("a", "F32", "[1,2]", 0, 8) + "," + tensorJSON("b", "U8", "[]", 8, 9) + "}",
		"{" + tensorJSON("a", "F8_E4M3", "[0,18446744073709551615]", 0, 0) + "}",
		"{" + tensorJSON("a", "F32", "[4611686018427387904,4]", 0, 0) + "}",
		`{"a":{"dtype":"I8","shape":[9],"data_offsets":[0,9],"x":[[{"y":-1e9}]]}}`,
	} {
		f.Add([]byte(header), uint8(9), uint64(len(header)))
		f.Add([]byte(header), uint8(0), uint64(len(header)))
	}
	f.Add([]byte(`{}`), uint8(8), uint64(1<<63))
	f.Fuzz(func(t *testing.T, header []byte, n uint8, length uint64) {
		data := build(string(header), int(n))
		if _, err := Parse(append([]byte(nil), data...), "x"); err == nil && !json.Valid(header) {
			t.Errorf("accepted a header that is not JSON: %q", header)
		}
		for i := range 8 {
			data[i] = byte(length >> (8 * i))
		}
		got, err := Parse(data, "x")
		if err != nil {
			return
		}
		total := 0
		for _, w := range got.Tensors() {
			if size, err := byteSize(w.DType, w.Shape); err != nil || size != len(w.Data) {
				t.Errorf("%q: shape %v, %d bytes, %v", w.Name, w.Shape, len(w.Data), err)
			}
			total += len(w.Data)
		}
		if want := len(data) - 8 - int(length); total != want {
			t.Errorf("the tensors have %d bytes, the file %d", total, want)
		}
		rewrite(t, got)
	})
}

func rewrite(t *testing.T, got *File) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, got.Tensors(), got.Metadata); err != nil {
		t.Fatal(err)
	}
	back, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if len(back.Tensors()) != len(got.Tensors()) || len(back.Metadata) != len(got.Metadata) {
		t.Errorf("%d tensors and %d metadata became %d and %d", len(got.Tensors()), len(got.Metadata), len(back.Tensors()), len(back.Metadata))
	}
	for _, w := range got.Tensors() {
		if b, ok := back.Tensor(w.Name); !ok || !equal(w, b) {
			t.Errorf("%q: %+v became %+v", w.Name, w, b)
		}
	}
	for k, v := range got.Metadata {
		if back.Metadata[k] != v {
			t.Errorf("metadata %q: %q became %q", k, v, back.Metadata[k])
		}
	}
}
