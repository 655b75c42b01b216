package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// jsonLines are so many rows of JSON Lines, the first with number from.
func jsonLines(key string, from, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "{%q: \"Once upon a time %s\"}\n", key, strings.Repeat("x", from+i))
	}
	return b.Bytes()
}

// putDatasets gives a Hub the datasets of the scripts.
func putDatasets(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	put := func(name string, files map[string][]byte, refs ...string) {
		h.Put("datasets/"+name, hubtest.Commit(name), files, refs...)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(jsonLines("text", 0, 8)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	put("org/lines", map[string][]byte{"README.md": []byte("# Lines"), "train.jsonl": jsonLines("text", 0, 8), "valid.jsonl": jsonLines("text", 0, 2), "test.jsonl": jsonLines("text", 0, 2)}, "v1")
	put("org/packed", map[string][]byte{"data/train-00000-of-00001.jsonl.gz": packed.Bytes(), "data/validation-00000-of-00001.jsonl": jsonLines("text", 0, 2)})
	put("org/list", map[string][]byte{"rows.json": []byte("[{\"body\": \"one\"}, {\"body\": \"two\"},\n {\"body\": \"three\"}, {\"body\": \"four\"}]")})
	put("org/parquet", map[string][]byte{"data/train-00000-of-00001.parquet": {1}})
	put("org/broken", map[string][]byte{"train.jsonl": []byte("{\"text\": \"fine\"}\n{\"text\": 3}\n")})
	put("org/configs", map[string][]byte{
		"README.md": []byte("---\nconfigs:\n- config_name: a\n  data_files: a/*.jsonl\n- config_name: b\n  data_files: [{split: train, path: b.jsonl}, {split: valid, path: a/1.jsonl}]\n---\n"),
		"a/1.jsonl": jsonLines("text", 0, 3), "a/2.jsonl": jsonLines("text", 3, 3), "b.jsonl": jsonLines("text", 0, 5),
	})
	put("mlx-community/WikiSQL", map[string][]byte{"train.jsonl": jsonLines("text", 0, 4)})
}

// oddBytes is a directory with rows that a script cannot hold.
func oddBytes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"mark": "\xef\xbb\xbf{\"text\": \"one\"}\r\n\r\n  \r\n{\"text\": \"two\"}\r\n", "latin": "{\"text\": \"one\"}\n{\"text\": \"ca\xe9\"}\n",
		"nul": "{\"text\": \"\x00\"}\n", "wide": "\xff\xfe{\x00}\x00",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "raw", name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "raw", name, "train.jsonl"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
