package tune_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

func TestRecords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              {},
		"{}\n\n {\"a\":1} \r\n{}":       {"f:1 {}", `f:3 {"a":1}`, "f:4 {}"},
		"\xef\xbb\xbf{}\n":              {"f:1 {}"},
		"\n [ {\"a\": 1},\n {} ]\n":     {`f, row 1 {"a": 1}`, "f, row 2 {}"},
		strings.Repeat("x", 3<<20):      {"f:1 " + strings.Repeat("x", 3<<20)},
		"[]":                            {},
		"{\"a\": \"\u00e9\U0001f600\"}": {"f:1 {\"a\": \"\u00e9\U0001f600\"}"},
	} {
		got, err := tune.ParseRecords("f", []byte(text))
		if err != nil || len(got) != len(want) {
			t.Errorf("%.40q: %d records, %v", text, len(got), err)
			continue
		}
		for i, r := range got {
			if s := r.Place + " " + string(r.Text); s != want[i] {
				t.Errorf("%.40q: %.80q, want %.80q", text, s, want[i])
			}
		}
	}
	for text, want := range map[string]string{"{}\n\xff\n": "f:2: byte 1, 0xff, is not UTF-8", "[{},\n{},\nx]": "f:3: ", "\xfe\xff\x00{": "UTF-16", "[\"\xe9\"]": "f, row 1: byte 2"} {
		if _, err := tune.ParseRecords("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A packed file is read as what it holds; one that is cut short is refused.
func TestPackedRecords(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("{}\n{}\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.jsonl.gz")
	for n, good := range map[int]bool{b.Len(): true, b.Len() - 3: false, 5: false} {
		if err := os.WriteFile(path, b.Bytes()[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := tune.ReadRecords(path)
		if good != (err == nil) || good && len(got) != 2 || !good && !strings.Contains(err.Error(), path) {
			t.Errorf("%d bytes: %v, %v", n, got, err)
		}
	}
}

// Rows from outside never panic, and what is refused has its place.
func FuzzParseRows(f *testing.F) {
	tok, err := llm.LoadTokenizer(filepath.Join("..", "testdata"))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"{\"text\": \"Once\"}\n{\"text\": \"a\"}", "[{\"text\": \"Once\"}]", "{\"messages\": [{\"role\": \"user\"}]}", "{\"prompt\": \"a\", \"completion\": \"b\"}", "\xef\xbb\xbf{\"text\": 1}", "{\"text\": \"\xff\"}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := tune.ParseRecords("f", data)
		if err == nil {
			var rows []tune.Row
			if rows, err = tune.ParseRows(records, tok, tune.DataOptions{}); err == nil && len(rows) != len(records) {
				t.Errorf("%d rows of %d records", len(rows), len(records))
			}
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "f") || !utf8.ValidString(err.Error())) {
			t.Error(err)
		}
	})
}
