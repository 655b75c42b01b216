package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// recorder is a Watcher that remembers.
type recorder struct {
	mu           sync.Mutex
	files        int
	total, there int64
	notes        []string
	pauses       []time.Duration
	added        func(there int64) // called after each Add
}

func (r *recorder) Start(files int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files, r.total = files, bytes
}

func (r *recorder) Add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.there += n
	if r.added != nil {
		r.added(r.there)
	}
}

func (r *recorder) File(string, int64) {}

func (r *recorder) Note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, text)
}

func (r *recorder) noted(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.notes, func(n string) bool { return strings.Contains(n, part) })
}

// client is a Client of h that does not sleep.
func client(h *hubtest.Hub, cache string) (*Client, *recorder) {
	r := &recorder{}
	c := New(Config{Endpoint: h.URL, Cache: cache, TokenFrom: "/home/me/token"}, r)
	c.pause = func(_ context.Context, d time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pauses = append(r.pauses, d)
	}
	return c, r
}

// random are n bytes.
func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// model are the files of a repository; weights bytes in each of two shards.
func model(weights int) map[string][]byte {
	return map[string][]byte{
		"config.json":                      []byte(`{"model_type":"llama"}`),
		"tokenizer.json":                   random(1, 3000),
		"model-00001-of-00002.safetensors": random(2, weights),
		"model-00002-of-00002.safetensors": random(3, weights),
		indexName:                          []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`),
		"merges.txt":                       {},
		"README.md":                        []byte("not wanted"),
		"pytorch_model.bin":                random(4, 10),
		"original/params.json":             []byte("{}"),
		"onnx/model.safetensors":           random(5, 10),
	}
}

const repo = "org/name"

var (
	commit1 = hubtest.Commit("1")
	commit2 = hubtest.Commit("2")
)

// wantFiles checks that dir has the wanted files, whole, and no others.
func wantFiles(t *testing.T, dir string, files map[string][]byte, want Want) {
	t.Helper()
	n := 0
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if !wanted(name, want) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there, %v", name, err)
			}
			continue
		}
		n++
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, want %d; %v", name, len(got), len(data), err)
		}
		target, err := os.Readlink(filepath.Join(dir, name))
		if want := filepath.Join("..", "..", "blobs", hubtest.Blob(name, data)); err != nil || target != want {
			t.Errorf("%s is a link to %q, want %q; %v", name, target, want, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != n {
		t.Errorf("%d entries, want %d; %v", len(entries), n, err)
	}
}

// wantTidy checks that nothing unfinished is left in the repository.
func wantTidy(t *testing.T, cache string) {
	t.Helper()
	repos, err := Scan(cache)
	if err != nil || len(repos) != 1 || repos[0].Unfinished != 0 || len(repos[0].leftover) != 0 {
		t.Errorf("scan: %+v, %v", repos, err)
	}
}

func TestSnapshot(t *testing.T) {
	h := hubtest.New(t, 1)
	files := model(100_000)
	h.Put(repo, commit1, files, "refs/pr/1")
	h.Token = "hf_secret"
	c, r := client(h, t.TempDir())
	c.Token = "hf_secret"
	for i, revision := range []string{"", "refs/pr/1", commit1} {
		s, err := c.Snapshot(t.Context(), repo, revision, Model)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(c.Cache, "models--org--name", "snapshots", commit1); s.Dir != want || s.Commit != commit1 {
			t.Errorf("snapshot %+v, want %s", s, want)
		}
		wantFiles(t, s.Dir, files, Model)
		requests := h.Requests()
		if i > 0 && len(requests) != 1 {
			t.Errorf("%d requests with all files in the cache", len(requests))
		}
		away := 0
		for _, q := range requests {
			if q.Away != (q.Auth == "") {
				t.Errorf("request %+v", q)
			}
			if q.Away {
				away++
			}
		}
		if i == 0 && away != 3 {
			t.Errorf("%d requests to the other host, want 3", away)
		}
	}
	var total int64
	for name, data := range files {
		if wanted(name, Model) {
			total += int64(len(data))
		}
	}
	if r.files != 6 || r.total != total || r.there != total {
		t.Errorf("watched %d files, %d of %d bytes, want 6 and %d", r.files, r.there, r.total, total)
	}
	for ref, commit := range map[string]string{"main": commit1, "refs/pr/1": commit1} {
		if got, err := os.ReadFile(filepath.Join(c.repoDir(repo), "refs", ref)); err != nil || string(got) != commit {
			t.Errorf("ref %s is %q, %v", ref, got, err)
		}
	}
	for name, data := range files {
		if wanted(name, Model) {
			if _, err := os.Stat(filepath.Join(c.Cache, ".locks", "models--org--name", hubtest.Blob(name, data)+".lock")); err != nil {
				t.Error(err)
			}
		}
	}
	wantTidy(t, c.Cache)

	// A new commit shares what did not change.
	next := model(100_000)
	next["config.json"] = []byte(`{"model_type":"llama","more":1}`)
	h.Put(repo, commit2, next)
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s.Dir, next, Model)
	for _, q := range h.Requests() {
		if q.Away || q.Method == http.MethodGet && strings.Contains(q.Path, "resolve") && !strings.HasSuffix(q.Path, "config.json") {
			t.Errorf("unneeded request %+v", q)
		}
	}
}

// TestTorch: of a repository without safetensors the weights of PyTorch come.
func TestTorch(t *testing.T) {
	index := []byte(`{"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}`)
	for _, files := range []map[string][]byte{
		{"config.json": []byte("{}"), "pytorch_model.bin": random(1, 99)},
		{"config.json": []byte("{}"), "pytorch_model-00001-of-00002.bin": random(1, 99), "pytorch_model-00002-of-00002.bin": random(2, 99)},
		{"config.json": []byte("{}"), "pytorch_model-00001-of-00002.bin": random(1, 99), "pytorch_model-00002-of-00002.bin": random(2, 99), "pytorch_model.bin.index.json": index},
	} {
		h := hubtest.New(t, 1)
		more := map[string][]byte{"training_args.bin": random(3, 9), "optimizer.bin": random(4, 9)}
		maps.Copy(more, files)
		h.Put(repo, commit1, more)
		c, _ := client(h, t.TempDir())
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := os.ReadDir(s.Dir)
		if len(entries) != len(files) {
			t.Errorf("%d files, not %d", len(entries), len(files))
		}
		for name, data := range files {
			if got, err := os.ReadFile(filepath.Join(s.Dir, name)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes: %v", name, len(got), err)
			}
		}
		c.Offline = true
		if _, err := c.Snapshot(t.Context(), repo, "", Model); err != nil {
			t.Error(err)
		}
		for name := range files {
			if !strings.HasSuffix(name, ".bin") {
				continue
			}
			if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), "is missing") {
				t.Errorf("without %s: %v", name, err)
			}
			break
		}
	}
}

func TestText(t *testing.T) {
	for _, noBlobs := range []bool{false, true} {
		h := hubtest.New(t, 1)
		h.NoBlobs = noBlobs
		h.AllLarge = noBlobs
		files := model(1000)
		h.Put(repo, commit1, files)
		c, _ := client(h, t.TempDir())
		s, err := c.Snapshot(t.Context(), repo, "", Text)
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Text)
		c.Offline = true
		if _, err := c.Snapshot(t.Context(), repo, "", Text); err != nil {
			t.Error(err)
		}
		if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), "model-00001-of-00002.safetensors is missing") {
			t.Errorf("a model without weights: %v", err)
		}
		c.Offline = false
		if s, err = c.Snapshot(t.Context(), repo, "", Model); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
		wantTidy(t, c.Cache)
	}
}

// TestCuts cuts nine of ten transfers at random bytes.
func TestCuts(t *testing.T) {
	files := model(400_000)
	for seed := range uint64(10) {
		h := hubtest.New(t, seed)
		h.Cut = 0.9
		h.NoBlobs = seed%2 == 1
		h.Put(repo, commit1, files)
		c, r := client(h, t.TempDir())
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
		wantTidy(t, c.Cache)
		if r.there != r.total {
			t.Errorf("watched %d bytes of %d", r.there, r.total)
		}
	}
}

// TestKillAnyByte starts with every length that a killed download can leave.
func TestKillAnyByte(t *testing.T) {
	h := hubtest.New(t, 1)
	files := map[string][]byte{"config.json": []byte(`{"model_type":"llama"}`), "model.safetensors": random(1, 150)}
	h.Put(repo, commit1, files)
	for _, name := range []string{"config.json", "model.safetensors"} {
		data := files[name]
		for k := range len(data) + 3 {
			c, _ := client(h, t.TempDir())
			part := append(bytes.Clone(data), "!!"...)[:k]
			path := filepath.Join(c.repoDir(repo), "blobs", hubtest.Blob(name, data)+incomplete)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, part, 0o666)); err != nil {
				t.Fatal(err)
			}
			h.Requests()
			s, err := c.Snapshot(t.Context(), repo, "", Model)
			if err != nil {
				t.Fatalf("%s from byte %d: %v", name, k, err)
			}
			wantFiles(t, s.Dir, files, Model)
			wantTidy(t, c.Cache)
			want := []string{""} // the ranges asked for
			switch {
			case k == len(data):
				want = nil
			case k > 0 && k < len(data):
				want[0] = fmt.Sprintf("bytes=%d-", k)
			}
			var got []string
			for _, q := range h.Requests() {
				if q.Method == http.MethodGet && strings.HasSuffix(q.Path, name) && q.Away == hubtest.Large(name) {
					got = append(got, q.Range)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s from byte %d: ranges %q, want %q", name, k, got, want)
			}
		}
	}
}

// TestStop stops downloads with their context at many bytes and goes on.
func TestStop(t *testing.T) {
	files := model(600_000)
	for _, at := range []int64{1, 3100, 262_144, 500_000, 900_000, 1_203_000} {
		h := hubtest.New(t, 1)
		h.Put(repo, commit1, files)
		cache := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		c, r := client(h, cache)
		r.added = func(there int64) {
			if there >= at {
				cancel()
			}
		}
		if _, err := c.Snapshot(ctx, repo, "", Model); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Fatalf("stopped at %d: %v", at, err)
		}
		if entries, _ := os.ReadDir(filepath.Join(c.repoDir(repo), "snapshots")); len(entries) > 0 {
			t.Errorf("stopped at %d there is a snapshot", at)
		}
		c, _ = client(h, cache)
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
		wantTidy(t, cache)
	}
}

// TestBadPart begins with parts that are not the beginning of the file.
func TestBadPart(t *testing.T) {
	files := model(5000)
	for _, noRange := range []bool{false, true} {
		h := hubtest.New(t, 1)
		h.NoRange = noRange
		h.Put(repo, commit1, files)
		c, r := client(h, t.TempDir())
		for name, data := range files {
			path := filepath.Join(c.repoDir(repo), "blobs", hubtest.Blob(name, data)+incomplete)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, random(9, len(data)/2), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
		if r.there != r.total || r.noted("checksum") == noRange {
			t.Errorf("no range %v: watched %d of %d, notes %q", noRange, r.there, r.total, r.notes)
		}
	}
}

// TestNoRangeCuts: without ranges a file must come in one piece, and tries end.
func TestNoRangeCuts(t *testing.T) {
	h := hubtest.New(t, 1)
	h.NoRange = true
	files := model(5000)
	h.Put(repo, commit1, files)
	c, r := client(h, t.TempDir())
	cuts := 4
	h.Fault = func(w http.ResponseWriter, q *http.Request, away bool) bool {
		if !away || !strings.HasSuffix(q.URL.Path, "model-00002-of-00002.safetensors") {
			return false
		}
		h.Do(func() { cuts-- })
		if cuts < 0 {
			return false
		}
		w.Header().Set("Content-Length", "5000")
		w.Write(files["model-00002-of-00002.safetensors"][:1000])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s.Dir, files, Model)
	if len(r.pauses) != 4 {
		t.Errorf("pauses %v", r.pauses)
	}
	c, _ = client(h, t.TempDir())
	cuts = 1 << 30
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors: ") {
		t.Errorf("cut forever: %v", err)
	}
	if n := 1<<30 - cuts; n > 10 {
		t.Errorf("%d tries", n)
	}
}

func TestCorrupt(t *testing.T) {
	for _, name := range []string{"config.json", "model-00002-of-00002.safetensors"} {
		h := hubtest.New(t, 1)
		files := model(5000)
		h.Put(repo, commit1, files)
		h.Corrupt[name] = 2
		c, r := client(h, t.TempDir())
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
		if !r.noted(name + ": the checksum is wrong") {
			t.Errorf("notes %q", r.notes)
		}
		h.Corrupt[name] = 1000
		c, _ = client(h, t.TempDir())
		_, err = c.Snapshot(t.Context(), repo, "", Model)
		if want := "org/name: " + name + ": the checksum is wrong, 3 times"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := os.Stat(filepath.Join(c.repoDir(repo), "snapshots")); err == nil {
			t.Error("there is a snapshot")
		}
		if _, err := os.Stat(filepath.Join(c.repoDir(repo), "blobs", hubtest.Blob(name, files[name]))); err == nil {
			t.Error("there is a blob")
		}
	}
}

// TestDamagedCache cuts and changes files of the cache.
func TestDamagedCache(t *testing.T) {
	h := hubtest.New(t, 1)
	files := model(5000)
	h.Put(repo, commit1, files)
	c, _ := client(h, t.TempDir())
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(path string) error{
		"model-00002-of-00002.safetensors": func(path string) error { return os.Truncate(path, 1234) },
		"model-00001-of-00002.safetensors": os.Remove,
		"tokenizer.json":                   func(path string) error { return os.WriteFile(path, random(7, 3000), 0o666) },
		"config.json":                      func(path string) error { return os.Truncate(path, 5) },
	} {
		path, err := filepath.EvalSymlinks(filepath.Join(s.Dir, name))
		if err == nil {
			err = damage(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Offline = true
		if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil {
			t.Errorf("%s is damaged, and offline all seems well", name)
		}
		c.Offline = false
		if s, err = c.Snapshot(t.Context(), repo, "", Model); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, s.Dir, files, Model)
	}
}
