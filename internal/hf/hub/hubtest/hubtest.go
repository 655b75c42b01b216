// Package hubtest is a Hub for tests: an HTTP server on this machine that answers as
// the Hugging Face Hub does, with a second one as the host of large files, and with
// faults on demand.
package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Request is a request that was made.
type Request struct {
	Away                               bool // to the host of large files
	Method, Path, Auth, Range, IfRange string
}

// Repo is a repository at one commit.
type Repo struct {
	Commit string
	Files  map[string][]byte
	Refs   []string // branches and tags at Commit; main always
}

// Hub is the server. Its fields may be changed between requests, under Do.
type Hub struct {
	URL string // the endpoint
	CDN string // the other host

	mu       sync.Mutex
	repos    map[string]*Repo
	requests []Request
	rng      *rand.Rand

	// Token, if set, is asked for.
	Token string
	// Fault answers a request in the server's place when it returns true.
	Fault func(w http.ResponseWriter, r *http.Request, away bool) bool
	// Cut is the share of file transfers that end early, at a random byte.
	Cut float64
	// NoRange sends whole files always; NoBlobs leaves sizes and checksums out of the
	// list of files; AllLarge redirects small files too.
	NoRange, NoBlobs, AllLarge bool
	// Corrupt is how many more transfers of a file have a wrong byte.
	Corrupt map[string]int
	// Piece and Delay make transfers slow: a pause after each so many bytes.
	Piece int
	Delay time.Duration
	// Sent hears of each piece of a file that was sent, from several goroutines.
	Sent func(n int)
}

// New starts a Hub that ends with the test.
func New(t testing.TB, seed uint64) *Hub {
	h := &Hub{repos: map[string]*Repo{}, rng: rand.New(rand.NewPCG(seed, 1)), Corrupt: map[string]int{}}
	own := httptest.NewServer(h.handler(false))
	cdn := httptest.NewServer(h.handler(true))
	t.Cleanup(own.Close)
	t.Cleanup(cdn.Close)
	h.URL, h.CDN = own.URL, cdn.URL
	return h
}

// Do runs f while no request reads the fields.
func (h *Hub) Do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// Commit is a commit's name made of a text.
func Commit(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Put gives the Hub a repository, or a new commit of it. The name of a dataset is
// datasets/org/name.
func (h *Hub) Put(name, commit string, files map[string][]byte, refs ...string) *Repo {
	r := &Repo{Commit: commit, Files: files, Refs: append(refs, "main")}
	h.Do(func() { h.repos[name] = r })
	return r
}

// Requests are those since the last call.
func (h *Hub) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.requests
	h.requests = nil
	return r
}

// Blob is the name of a file's blob: SHA-256 for large files, git's SHA-1 otherwise.
func Blob(name string, data []byte) string {
	if Large(name) {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))
	return hex.EncodeToString(sum[:])
}

// Large reports whether a file is kept on the other host.
func Large(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") || name == "tokenizer.json"
}

func (h *Hub) handler(away bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, Request{away, r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Range"), r.Header.Get("If-Range")})
		fault, token := h.Fault, h.Token
		h.mu.Unlock()
		if fault != nil && fault(w, r, away) {
			return
		}
		if away && r.Header.Get("Authorization") != "" {
			http.Error(w, "a token has no business here", http.StatusBadRequest)
			return
		}
		if !away && token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			Refuse(w, http.StatusUnauthorized, "RepoNotFound")
			return
		}
		switch {
		case away:
			h.file(w, r, strings.TrimPrefix(r.URL.Path, "/files/"), true)
		case strings.HasPrefix(r.URL.Path, "/api/models/"):
			h.list(w, r, "/api/models/")
		case strings.HasPrefix(r.URL.Path, "/api/datasets/"):
			h.list(w, r, "/api/")
		default:
			h.file(w, r, strings.TrimPrefix(r.URL.Path, "/"), false)
		}
	})
}

// Refuse answers with a status and the Hub's X-Error-Code.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.WriteHeader(status)
}

func (h *Hub) find(w http.ResponseWriter, name, revision string) *Repo {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repos[name]
	switch {
	case r == nil:
		Refuse(w, http.StatusNotFound, "RepoNotFound")
		return nil
	case r.Commit != revision && !slices.Contains(r.Refs, revision):
		Refuse(w, http.StatusNotFound, "RevisionNotFound")
		return nil
	}
	return r
}

func (h *Hub) list(w http.ResponseWriter, r *http.Request, prefix string) {
	name, revision, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, prefix), "/revision/")
	repo := h.find(w, name, revision)
	if repo == nil {
		return
	}
	type lfs struct {
		SHA256 string `json:"sha256"`
		Size   int    `json:"size"`
	}
	type sibling struct {
		Name string `json:"rfilename"`
		Size *int   `json:"size,omitempty"`
		Blob string `json:"blobId,omitempty"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	h.mu.Lock()
	noBlobs := h.NoBlobs
	h.mu.Unlock()
	var list []sibling
	for name, data := range repo.Files {
		s := sibling{Name: name}
		if n := len(data); !noBlobs {
			s.Size, s.Blob = &n, Blob("pointer", data)
			if Large(name) {
				s.LFS = &lfs{Blob(name, data), n}
			}
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b sibling) int { return strings.Compare(a.Name, b.Name) })
	json.NewEncoder(w).Encode(map[string]any{"id": name, "sha": repo.Commit, "siblings": list})
}

// file answers for org/name/resolve/COMMIT/FILE.
func (h *Hub) file(w http.ResponseWriter, r *http.Request, path string, away bool) {
	repoName, rest, ok := strings.Cut(path, "/resolve/")
	revision, name, _ := strings.Cut(rest, "/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	repo := h.find(w, repoName, revision)
	if repo == nil {
		return
	}
	data, ok := repo.Files[name]
	if !ok {
		Refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	}
	tag := `"` + Blob(name, data) + `"`
	h.mu.Lock()
	redirect := !away && (Large(name) || h.AllLarge)
	if away {
		tag = `"other-` + strconv.Itoa(len(data)) + `"`
	}
	if r.Method == http.MethodGet && !redirect && h.Corrupt[name] > 0 {
		h.Corrupt[name]--
		data = bytes.Clone(data)
		data[h.rng.IntN(len(data))] ^= 0x10
	}
	cut := -1
	if r.Method == http.MethodGet && h.rng.Float64() < h.Cut {
		cut = h.rng.IntN(len(data) + 1)
	}
	if h.NoRange {
		r.Header.Del("Range")
	}
	out := &faulty{ResponseWriter: w, left: cut, piece: h.Piece, delay: h.Delay, noRange: h.NoRange, sent: h.Sent}
	h.mu.Unlock()
	w.Header().Set("X-Repo-Commit", repo.Commit)
	if redirect {
		w.Header().Set("X-Linked-Etag", tag)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		w.Header().Set("Location", h.CDN+"/files/"+path+"?signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(data))
}

// faulty is a slow or a cut connection.
type faulty struct {
	http.ResponseWriter
	left    int // bytes until the cut; -1 never
	piece   int
	delay   time.Duration
	noRange bool
	sent    func(n int)
}

func (f *faulty) WriteHeader(code int) {
	if f.noRange {
		f.Header().Del("Accept-Ranges")
	}
	f.ResponseWriter.WriteHeader(code)
}

func (f *faulty) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n := len(p)
		if f.piece > 0 {
			n = min(n, f.piece)
		}
		if f.left >= 0 {
			n = min(n, f.left)
		}
		w, err := f.ResponseWriter.Write(p[:n])
		written += w
		if err != nil {
			return written, err
		}
		if f.sent != nil {
			http.NewResponseController(f.ResponseWriter).Flush()
			f.sent(n)
		}
		if f.left >= 0 {
			if f.left -= n; f.left == 0 {
				http.NewResponseController(f.ResponseWriter).Flush()
				panic(http.ErrAbortHandler)
			}
		}
		if f.delay > 0 {
			http.NewResponseController(f.ResponseWriter).Flush()
			time.Sleep(f.delay)
		}
		p = p[n:]
	}
	return written, nil
}
