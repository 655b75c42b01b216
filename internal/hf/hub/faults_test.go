package hub

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// always answers the requests whose path contains part.
func always(part string, status int, code string, header ...string) func(http.ResponseWriter, *http.Request, bool) bool {
	return func(w http.ResponseWriter, r *http.Request, _ bool) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		hubtest.Refuse(w, status, code)
		return true
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, repo, revision, token string
		fault                       func(http.ResponseWriter, *http.Request, bool) bool
		want                        []string
		pauses                      int
	}{
		{"no repository", "org/nix", "", "", nil, []string{"there is no ", "/org/nix, or not in revision main", "404 Not Found"}, 0},
		{"no revision", repo, "v9", "", nil, []string{"org/name has no revision v9"}, 0},
		{"no token", repo, "", "", always("/", 401, "RepoNotFound"), []string{"does not exist, or is private and needs your token in HF_TOKEN or /home/me/token"}, 0},
		{"bad token", repo, "", "hf_x", always("/", 401, ""), []string{"does not exist, or the token of /home/me/token is not valid for it"}, 0},
		{"gated", repo, "", "", always("/resolve/", 401, "GatedRepo"), []string{"org/name is gated: accept its terms at http://", "HF_TOKEN"}, 0},
		{"gated with token", repo, "", "hf_x", always("/resolve/", 403, "GatedRepo"), []string{"no access to org/name with the token of /home/me/token"}, 0},
		{"forbidden", repo, "", "hf_x", always("safetensors", 403, ""), []string{"no access to org/name"}, 0},
		{"file gone", repo, "", "", always("/resolve/", 404, "EntryNotFound"), []string{"404 Not Found"}, 0},
		{"500 for ever", repo, "", "", always("/api/", 500, ""), []string{"answers 500 Internal Server Error", "the cache", "has no org/name at revision main"}, 5},
		{"503 of one file", repo, "", "", always("00002.safetensors", 503, ""), []string{".safetensors: ", "answers 503"}, 5},
		{"429 for ever", repo, "", "", always("/api/", 429, "", "Retry-After", "7"), []string{"the Hub asks to come back later", "429 Too Many Requests"}, 5},
		{"429 for long", repo, "", "", always("/api/", 429, "", "Retry-After", "7000"), []string{"the next try is welcome after 1h56m40s only"}, 0},
		{"circles", repo, "", "", always("/api/", 302, "", "Location", "/api/x"), []string{"redirects in circles"}, 0},
		{"nowhere", repo, "", "", always("/api/", 302, ""), []string{"redirects to nowhere"}, 0},
		{"other protocol", repo, "", "", always("/api/", 302, "", "Location", "file:///etc/passwd"), []string{"no web address"}, 0},
		{"not JSON", repo, "", "", func(w http.ResponseWriter, _ *http.Request, _ bool) bool { w.Write([]byte("<html>")); return true }, []string{"not the JSON that is expected"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hubtest.New(t, 1)
			h.Put(repo, commit1, model(5000))
			h.Fault = c.fault
			cl, r := client(h, t.TempDir())
			cl.Token = c.token
			s, err := cl.Snapshot(t.Context(), c.repo, c.revision, Model)
			if err == nil {
				t.Fatalf("no error: %+v", s)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
			if c.token != "" && strings.Contains(err.Error(), c.token) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells secrets: %v", err)
			}
			if len(r.pauses) < c.pauses || c.pauses == 0 && len(r.pauses) > 0 {
				t.Errorf("pauses %v, want %d", r.pauses, c.pauses)
			}
			if strings.HasPrefix(c.name, "429 for ever") && slices.ContainsFunc(r.pauses, func(d time.Duration) bool { return d != 7*time.Second }) {
				t.Errorf("pauses %v, want 7 s each", r.pauses)
			}
			if n := len(h.Requests()); c.name == "429 for long" && n != 1 {
				t.Errorf("%d requests, and the first was told to wait", n)
			}
			if c.name == "500 for ever" && !slices.Equal(r.pauses, []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9}) {
				t.Errorf("pauses %v", r.pauses)
			}
			if _, err := os.Stat(filepath.Join(cl.repoDir(repo), "snapshots")); err == nil {
				t.Error("there is a snapshot")
			}
		})
	}
}

// TestPassingFaults: each request fails twice before it succeeds.
func TestPassingFaults(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504, 0} {
		h := hubtest.New(t, 1)
		files := model(5000)
		h.Put(repo, commit1, files)
		seen := map[string]int{}
		h.Fault = func(w http.ResponseWriter, r *http.Request, away bool) bool {
			var n int
			h.Do(func() {
				seen[r.Method+r.Host+r.URL.Path]++
				n = seen[r.Method+r.Host+r.URL.Path]
			})
			if n > 2 {
				return false
			}
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
			return true
		}
		c, _ := client(h, t.TempDir())
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatalf("%d: %v", status, err)
		}
		wantFiles(t, s.Dir, files, Model)
	}
}

// TestTokenStays redirects the list of files and small files to another host.
func TestTokenStays(t *testing.T) {
	h := hubtest.New(t, 1)
	files := model(5000)
	h.Put(repo, commit1, files)
	h.AllLarge = true
	h.Token = "hf_secret"
	h.Fault = func(w http.ResponseWriter, r *http.Request, away bool) bool {
		switch {
		case !away && strings.HasPrefix(r.URL.Path, "/api/"):
			http.Redirect(w, r, h.CDN+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		case away && strings.HasPrefix(r.URL.Path, "/api/"):
			if r.Header.Get("Authorization") != "" {
				t.Error("the token went to another host")
			}
			// Back to the Hub under another address of the same machine: another origin.
			w.Write([]byte(`{"sha":"` + commit1 + `","siblings":[{"rfilename":"config.json"},{"rfilename":"model-00001-of-00002.safetensors"}]}`))
			return true
		}
		return false
	}
	c, _ := client(h, t.TempDir())
	c.Token = "hf_secret"
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err != nil {
		t.Fatal(err)
	}
	own, other := 0, 0
	for _, q := range h.Requests() {
		if q.Away {
			other++
		} else {
			own++
		}
		if q.Away != (q.Auth == "") {
			t.Errorf("request %+v", q)
		}
	}
	if own < 5 || other != 3 {
		t.Errorf("%d requests to the Hub, %d to the other host", own, other)
	}
}

// TestOwnRedirect: the Hub redirects small files to another path of its own, and
// tells a file's ETag there only.
func TestOwnRedirect(t *testing.T) {
	h := hubtest.New(t, 1)
	h.NoBlobs = true
	files := model(5000)
	h.Put(repo, commit1, files)
	h.Token = "hf_secret"
	h.Fault = func(w http.ResponseWriter, r *http.Request, away bool) bool {
		if away || hubtest.Large(filepath.Base(r.URL.Path)) || strings.HasPrefix(r.URL.Path, "/api/models/") {
			return false
		}
		if path, ok := strings.CutPrefix(r.URL.Path, "/api/resolve-cache"); ok {
			r.URL.Path = path
			return false
		}
		w.Header().Set("X-Repo-Commit", commit1)
		w.Header().Set("Location", "/api/resolve-cache"+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
	c, r := client(h, t.TempDir())
	c.Token = "hf_secret"
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil || len(r.notes) > 0 {
		t.Fatal(err, r.notes)
	}
	wantFiles(t, s.Dir, files, Model)
}

// TestNoChecksum has ETags that are no checksums: only the host that gave one can say
// whether a part is still of use.
func TestNoChecksum(t *testing.T) {
	data := random(1, 4000)
	for _, elsewhere := range []bool{false, true} {
		h := hubtest.New(t, 1)
		h.NoBlobs = true
		h.Put(repo, commit1, map[string][]byte{"config.json": []byte("{}"), "model.safetensors": data})
		var ranges []string
		h.Fault = func(w http.ResponseWriter, r *http.Request, away bool) bool {
			if !strings.HasSuffix(r.URL.Path, "model.safetensors") {
				return false
			}
			w.Header().Set("X-Repo-Commit", commit1)
			w.Header().Set("ETag", `"v1"`)
			switch {
			case elsewhere && !away:
				w.Header().Set("X-Linked-Etag", `"v1"`)
				w.Header().Set("X-Linked-Size", "4000")
				http.Redirect(w, r, h.CDN+r.URL.Path, http.StatusFound)
				return true
			case r.Method == http.MethodGet:
				h.Do(func() { ranges = append(ranges, r.Header.Get("Range")+" "+r.Header.Get("If-Range")) })
				if len(ranges) == 1 { // a cut at byte 1500
					w.Header().Set("Content-Length", "4000")
					w.Write(data[:1500])
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			return true
		}
		c, _ := client(h, t.TempDir())
		path := filepath.Join(c.repoDir(repo), "blobs", "v1"+incomplete)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, data[:100], 0o666)); err != nil {
			t.Fatal(err)
		}
		s, err := c.Snapshot(t.Context(), repo, "", Model)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(s.Dir, "model.safetensors")); err != nil || !bytes.Equal(got, data) {
			t.Errorf("elsewhere %v: %d bytes, %v", elsewhere, len(got), err)
		}
		want := []string{`bytes=100- "v1"`, `bytes=1500- "v1"`}
		if elsewhere {
			want[0] = " "
		}
		if !slices.Equal(ranges, want) {
			t.Errorf("elsewhere %v: ranges %q, want %q", elsewhere, ranges, want)
		}
	}
}

// TestNoFile: a file that cannot be written is no reason to try again.
func TestNoFile(t *testing.T) {
	h := hubtest.New(t, 1)
	h.Put(repo, commit1, model(5000))
	c, r := client(h, t.TempDir())
	// A directory stands where a file belongs: not even root can write it.
	path := filepath.Join(c.repoDir(repo), "blobs", hubtest.Blob("config.json", model(0)["config.json"])+incomplete)
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), "is a directory") || len(r.pauses) > 0 {
		t.Errorf("%v, pauses %v", err, r.pauses)
	}
}

func TestSlow(t *testing.T) {
	h := hubtest.New(t, 1)
	files := map[string][]byte{"config.json": []byte(`{}`), "model.safetensors": random(1, 3000)}
	h.Put(repo, commit1, files)
	// Three seconds in all, with no silence near the limit.
	h.Piece, h.Delay = 1000, 20*time.Millisecond
	c, r := client(h, t.TempDir())
	c.stall = 10 * time.Second
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err != nil || len(r.notes) > 0 {
		t.Errorf("%v, %q", err, r.notes)
	}
	// A server that says nothing, once at the start and once in the middle.
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	n := 0
	h.Fault = func(w http.ResponseWriter, r *http.Request, away bool) bool {
		if !away {
			return false
		}
		var i int
		h.Do(func() { n++; i = n })
		switch i {
		case 2:
			w.Header().Set("Content-Length", "3000")
			w.Write(files["model.safetensors"][:700])
			http.NewResponseController(w).Flush()
			fallthrough
		case 1:
			select {
			case <-block:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		}
		return false
	}
	h.Delay = 0
	c, r = client(h, t.TempDir())
	c.stall = 300 * time.Millisecond
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s.Dir, files, Model)
	if !r.noted("nothing came for too long") || len(r.notes) != 2 {
		t.Errorf("notes %q", r.notes)
	}
}

// TestTogether has several programs download at once.
func TestTogether(t *testing.T) {
	h := hubtest.New(t, 1)
	h.Piece, h.Delay = 50_000, time.Millisecond
	files := model(300_000)
	h.Put(repo, commit1, files)
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c, _ := client(h, cache)
			s, err := c.Snapshot(t.Context(), repo, "", Model)
			if err != nil {
				t.Error(err)
				return
			}
			wantFiles(t, s.Dir, files, Model)
		})
	}
	wg.Wait()
	wantTidy(t, cache)
	got := map[string]int{}
	for _, q := range h.Requests() {
		if q.Away {
			if got[q.Path]++; got[q.Path] > 1 {
				t.Errorf("%s came %d times", q.Path, got[q.Path])
			}
		}
	}
	if len(got) != 3 {
		t.Errorf("large files %v", got)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	a, err := tryLock(path)
	if a == nil || err != nil {
		t.Fatal(a, err)
	}
	if b, err := tryLock(path); b != nil || err != nil {
		t.Fatalf("a second lock: %v, %v", b, err)
	}
	h := hubtest.New(t, 1)
	c, r := client(h, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
	defer cancel()
	if f, err := c.lock(ctx, path, "the file"); f != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("lock: %v, %v", f, err)
	}
	if !r.noted("waiting for another program that downloads the file") {
		t.Errorf("notes %q", r.notes)
	}
	// Python's filelock removes the file when it lets go.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	a.Close()
	b, err := c.lock(t.Context(), path, "the file")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOffline(t *testing.T) {
	h := hubtest.New(t, 1)
	files := model(5000)
	h.Put(repo, commit1, files)
	c, r := client(h, t.TempDir())
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	wantCached := func(revision, name string) {
		t.Helper()
		if got, err := c.Snapshot(t.Context(), repo, revision, Model); err != nil || *got != *s {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	h.Fault = always("/", 503, "")
	wantCached("", "503")
	if !r.noted("using revision " + commit1[:12] + " of the cache") {
		t.Errorf("notes %q", r.notes)
	}
	h.Fault = func(http.ResponseWriter, *http.Request, bool) bool { panic(http.ErrAbortHandler) }
	wantCached("main", "cut connection")
	c.Endpoint = "http://127.0.0.1:1"
	wantCached("", "no server")
	wantCached(commit1, "no server, commit")
	h.Requests()
	c.Offline = true
	wantCached("", "offline")
	wantCached(commit1, "offline, commit")
	if n := len(h.Requests()); n > 0 {
		t.Errorf("%d requests", n)
	}
	for _, bad := range [][3]string{
		{repo, "v1", "HF_HUB_OFFLINE is set, and the cache " + c.Cache + " has no org/name at revision v1"},
		{"org/other", "", "has no org/other at revision main"},
		{repo, commit2, "is not complete"},
	} {
		if _, err := c.Snapshot(t.Context(), bad[0], bad[1], Model); err == nil || !strings.Contains(err.Error(), bad[2]) {
			t.Errorf("%v, want %q", err, bad[2])
		}
	}
	if _, err := c.List(t.Context(), repo, ""); err == nil {
		t.Error("a list offline")
	}
	// One shard is gone: which is said, with and without a server.
	if err := os.Remove(filepath.Join(s.Dir, "model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := c.Snapshot(t.Context(), repo, "", Model)
		if err == nil || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors is missing") {
			t.Errorf("a shard is missing: %v", err)
		}
		c.Offline = false
	}
}

func TestNoSpace(t *testing.T) {
	h := hubtest.New(t, 1)
	files := model(5000)
	h.Put(repo, commit1, files)
	c, _ := client(h, t.TempDir())
	c.free = func(string) (int64, error) { return 1000, nil }
	_, err := c.Snapshot(t.Context(), repo, "", Model)
	if err == nil || !strings.Contains(err.Error(), "the files need 13.1 kB more, but "+c.Cache+" has room for 1.0 kB only") {
		t.Errorf("%v", err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	// A full disk in the middle of a file.
	c, _ = client(h, t.TempDir())
	name := "model-00001-of-00002.safetensors"
	path := filepath.Join(c.repoDir(repo), "blobs", hubtest.Blob(name, files[name])+incomplete)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.Symlink("/dev/full", path)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Snapshot(t.Context(), repo, "", Model)
	if err == nil || !strings.Contains(err.Error(), "no space is left for org/name in "+c.Cache) || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(c.repoDir(repo), "snapshots")); err == nil {
		t.Error("there is a snapshot")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s, err := c.Snapshot(t.Context(), repo, "", Model)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s.Dir, files, Model)
}

// TestUnusable are repositories that this program cannot run.
func TestUnusable(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"model.onnx", "no model*.safetensors, only files as model.onnx"},
		{"README.md", "has no model*.safetensors"},
		{"-config.json", "has no config.json"},
	} {
		h := hubtest.New(t, 1)
		files := map[string][]byte{"config.json": []byte("{}"), c.file: []byte("x")}
		if name, ok := strings.CutPrefix(c.file, "-"); ok {
			files = map[string][]byte{"model.safetensors": {1}}
			_ = name
		}
		h.Put(repo, commit1, files)
		cl, _ := client(h, t.TempDir())
		if _, err := cl.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}

// TestHostile has names that would leave the cache.
func TestHostile(t *testing.T) {
	h := hubtest.New(t, 1)
	h.Put(repo, commit1, model(10))
	c, _ := client(h, t.TempDir())
	for _, name := range []string{"../../x.json", "/etc/x.json", `..\\x.json`, "a/../x.json", "", "a\\u0000.json"} {
		h.Fault = func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
			w.Write([]byte(`{"sha":"` + commit1 + `","siblings":[{"rfilename":"` + name + `"}]}`))
			return true
		}
		if _, err := c.List(t.Context(), repo, ""); err == nil || !strings.Contains(err.Error(), "list of files has the name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	h.Fault = func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
		w.Write([]byte(`{"sha":"../x","siblings":[]}`))
		return true
	}
	if _, err := c.List(t.Context(), repo, ""); err == nil {
		t.Error("a commit that is a path")
	}
	h.Fault = func(w http.ResponseWriter, r *http.Request, _ bool) bool {
		if r.Method != http.MethodHead {
			return false
		}
		w.Header().Set("X-Linked-Etag", `"../../../x"`)
		w.Header().Set("X-Linked-Size", "3")
		return true
	}
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err == nil || !strings.Contains(err.Error(), "is no name of a file") {
		t.Errorf("an ETag that is a path: %v", err)
	}
	h.Requests()
	for _, bad := range [][2]string{{"a", ""}, {"../b", ""}, {"a/b/c", ""}, {"a--b/c", ""}, {"a/b.git", ""}, {repo, "../x"}, {repo, "/x"}, {repo, "a/../../b"}} {
		if _, err := c.Snapshot(t.Context(), bad[0], bad[1], Model); err == nil || len(h.Requests()) > 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestReadRange(t *testing.T) {
	for _, noRange := range []bool{false, true} {
		h := hubtest.New(t, 1)
		h.NoRange = noRange
		files := model(5000)
		h.Put(repo, commit1, files)
		c, _ := client(h, t.TempDir())
		l, err := c.List(t.Context(), repo, "")
		if err != nil || len(l.Files) != len(files) || l.Commit != commit1 {
			t.Fatal(l, err)
		}
		name := "model-00001-of-00002.safetensors"
		for _, r := range [][2]int{{0, 8}, {8, 100}, {4990, 10}} {
			got, err := c.ReadRange(t.Context(), l, name, int64(r[0]), int64(r[1]))
			if want := files[name][r[0] : r[0]+r[1]]; err != nil || string(got) != string(want) {
				t.Errorf("bytes from %d: %x, want %x; %v", r[0], got, want, err)
			}
		}
	}
}
