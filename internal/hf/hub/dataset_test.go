package hub

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// TestDataset fetches what is picked of a repository of data into the place that
// huggingface_hub has for it, also below directories, and does without the Hub then.
func TestDataset(t *testing.T) {
	h := hubtest.New(t, 1)
	files := map[string][]byte{"train.jsonl": []byte("{}\n"), "data/a/test.jsonl": random(1, 5000), "other.parquet": random(2, 10)}
	h.Put("datasets/org/name", commit1, files, "v1")
	h.Put("org/name", commit2, model(100)) // a model of the same name is another repository
	cache := t.TempDir()
	c, _ := client(h, cache)
	json := func(names []string) ([]string, error) {
		if !slices.IsSorted(names) {
			t.Errorf("names %v", names)
		}
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasSuffix(name, ".jsonl") }), nil
	}
	check := func(s *Snapshot, err error) {
		t.Helper()
		if want := filepath.Join(cache, "datasets--org--name", "snapshots", commit1); err != nil || s.Dir != want {
			t.Fatalf("%+v, %v, want %s", s, err, want)
		}
		names, err := FileNames(s.Dir)
		if want := []string{"data/a/test.jsonl", "train.jsonl"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("%v, %v, want %v", names, err, want)
		}
		for _, name := range names {
			if data, err := os.ReadFile(filepath.Join(s.Dir, name)); err != nil || string(data) != string(files[name]) {
				t.Errorf("%s: %d bytes, %v", name, len(data), err)
			}
		}
	}
	check(c.Dataset(t.Context(), "org/name", "", json))
	target, err := os.Readlink(filepath.Join(cache, "datasets--org--name", "snapshots", commit1, "data", "a", "test.jsonl"))
	if want := filepath.Join("..", "..", "..", "..", "blobs", hubtest.Blob("test.jsonl", files["data/a/test.jsonl"])); err != nil || target != want {
		t.Errorf("link %q, %v, want %q", target, err, want)
	}
	for _, r := range h.Requests() {
		if r.Path == "/org/name" || strings.HasPrefix(r.Path, "/api/models/") || strings.Contains(r.Path, "parquet") {
			t.Errorf("asked for %s", r.Path)
		}
	}
	check(c.Dataset(t.Context(), "org/name", "v1", json))
	c.Offline = true
	check(c.Dataset(t.Context(), "org/name", "", json))
	bad := errors.New("nothing to pick")
	if _, err := c.Dataset(t.Context(), "org/name", "", func([]string) ([]string, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
	c.Offline = false
	if _, err := c.Dataset(t.Context(), "org/name", "", func([]string) ([]string, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
	// A damaged file is not taken for a good one, and comes again.
	blob := filepath.Join(cache, "datasets--org--name", "blobs", hubtest.Blob("train.jsonl", files["train.jsonl"]))
	if err := os.WriteFile(blob, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	c.Offline = true
	if _, err := c.Dataset(t.Context(), "org/name", "", json); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	c.Offline = false
	check(c.Dataset(t.Context(), "org/name", "", json))
	_, err = c.Dataset(t.Context(), "org/nix", "", json)
	if err == nil || !strings.Contains(err.Error(), h.URL+"/datasets/org/nix") {
		t.Error(err)
	}
	if repos, err := Scan(cache); err != nil || len(repos) != 0 {
		t.Errorf("datasets are no models: %v, %v", repos, err)
	}
	// An organization may be called datasets.
	h.Put("datasets/name", commit2, model(100))
	if s, err := c.Snapshot(t.Context(), "datasets/name", "", Text); err != nil || !strings.Contains(s.Dir, "models--datasets--name") {
		t.Errorf("%+v, %v", s, err)
	}
}
