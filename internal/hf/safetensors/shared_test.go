package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared is the directory of recorded references, or the test is skipped.
func shared(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("MLX_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no go.mod above the test: cannot find ../shared")
		}
		dir = up
	}
	dir = filepath.Join(dir, "..", "shared")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("recorded references are missing: ", err)
	}
	return dir
}

// Files that MLX, transformers and others wrote read as encoding/json sees them.
func TestRealFiles(t *testing.T) {
	root := shared(t)
	files, odd := 0, 0
	for _, sub := range []string{"goldens", "parity", "parity-hf", "parity-quantized", "parity-hub-quantized", "training", "models"} {
		err := filepath.WalkDir(filepath.Join(root, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".safetensors") {
				return err
			}
			files++
			if realFile(t, path)%8 != 0 {
				odd++
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Skip("no recorded safetensors files under ", root)
	}
	t.Logf("%d files, the data of %d is not 8-aligned", files, odd)
}

// realFile checks one file and gives the offset of its data.
func realFile(t *testing.T, path string) int {
	f, err := Open(path)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 8 + int(binary.LittleEndian.Uint64(whole))
	var header map[string]json.RawMessage
	if err := json.Unmarshal(whole[8:n], &header); err != nil {
		t.Fatal(path, err)
	}
	var meta map[string]string
	if m := header[metadataKey]; m != nil {
		if err := json.Unmarshal(m, &meta); err != nil {
			t.Fatal(path, err)
		}
	}
	delete(header, metadataKey)
	if len(f.Tensors()) != len(header) || len(meta) != len(f.Metadata) {
		t.Errorf("%s: %d tensors and %d metadata, want %d and %d", path, len(f.Tensors()), len(f.Metadata), len(header), len(meta))
	}
	for k, v := range meta {
		if f.Metadata[k] != v {
			t.Errorf("%s: metadata %q = %q, want %q", path, k, f.Metadata[k], v)
		}
	}
	for name, entry := range header {
		var want struct {
			DType   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(entry, &want); err != nil {
			t.Fatal(path, err)
		}
		g, ok := f.Tensor(name)
		if !ok || g.RawDType != want.DType || !slices.Equal(g.Shape, want.Shape) ||
			!bytes.Equal(g.Data, whole[n+want.Offsets[0]:n+want.Offsets[1]]) {
			t.Errorf("%s: %q is read as %s %v, want %s %v", path, name, g.RawDType, g.Shape, want.DType, want.Shape)
		}
	}
	return n
}

// Every recorded model directory opens as a set.
func TestRealDirectories(t *testing.T) {
	root := shared(t)
	dirs := 0
	for _, pattern := range []string{"parity/*", "parity-hf/*", "parity-quantized/*", "parity-hub-quantized/*", "models/*"} {
		list, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range list {
			if found, _ := filepath.Glob(filepath.Join(dir, "model*.safetensors")); len(found) == 0 {
				continue
			}
			dirs++
			s, err := OpenDir(dir)
			if err != nil {
				t.Error(err)
				continue
			}
			if len(s.Names()) == 0 || s.TotalBytes() == 0 || !slices.IsSorted(s.Names()) {
				t.Errorf("%s: %d tensors, %d bytes", dir, len(s.Names()), s.TotalBytes())
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if dirs == 0 {
		t.Skip("no recorded model directories under ", root)
	}
	t.Logf("%d directories", dirs)
}
