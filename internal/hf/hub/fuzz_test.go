package hub

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

func FuzzListing(f *testing.F) {
	f.Add([]byte(`{"sha":"` + hubtest.Commit("1") + `","siblings":[{"rfilename":"a/b.json","size":3,"blobId":"` + hubtest.Commit("2") + `"},{"rfilename":"model.safetensors","lfs":{"sha256":"x","size":-1}}]}`))
	f.Add([]byte(`{"sha":"` + hubtest.Commit("1") + `","siblings":[{"rfilename":"../../x"}]}`))
	f.Add([]byte(`{"sha":"main","siblings":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseListing(repo, data)
		if err != nil {
			return
		}
		if !commitName.MatchString(l.Commit) {
			t.Errorf("commit %q", l.Commit)
		}
		for _, file := range l.Files {
			if !filepath.IsLocal(file.Name) || filepath.Clean(file.Name) != file.Name || file.Size < -1 {
				t.Errorf("file %+v", file)
			}
			if file.sum != "" && hasher(file.sum, 0) == nil || strings.ContainsAny(file.blob, "/.") {
				t.Errorf("file %+v", file)
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add(`"abc"`, "bytes 3-9/10", "7", `"api";r=0;t=55`)
	f.Add(`W/"../x"`, "bytes */10", "Wed, 21 Oct 2026 07:28:00 GMT", "t=99999999999999999999")
	f.Add(`..`, "bytes 3-18446744073709551616/*", "-1", "")
	f.Fuzz(func(t *testing.T, etag, content, after, limit string) {
		if name, err := blobOf(etag); err == nil && (!filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") || strings.HasSuffix(name, incomplete)) {
			t.Errorf("blob %q of %q", name, etag)
		}
		if goesOn(content, 3, 10) && !strings.HasPrefix(content, "bytes 3-") {
			t.Errorf("range %q", content)
		}
		h := http.Header{"Retry-After": {after}, "Ratelimit": {limit}}
		if d := retryAfter(h, time.Unix(1e9, 0)); d < 0 {
			t.Errorf("%q, %q: %v", after, limit, d)
		}
		if text := printable(etag); len([]rune(text)) > 203 || strings.ContainsAny(text, "\n\r\x1b") {
			t.Errorf("%q is printed as %q", etag, text)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"org/name", "../x", "a/..", "a--b/c", "refs/pr/1", "a/./b", `a\b`, "a//b", "/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckRepo(s) == nil {
			if !filepath.IsLocal(folder(s)) || strings.Contains(folder(s), "/") {
				t.Errorf("folder %q of %q", folder(s), s)
			}
			if back, ok := repoOf(folder(s)); !ok || back != s {
				t.Errorf("%q comes back as %q", s, back)
			}
		}
		if CheckRevision(s) == nil && (!filepath.IsLocal(s) || filepath.Clean(s) != s) {
			t.Errorf("revision %q", s)
		}
		if names, err := parseIndex([]byte(s)); err != nil && names != nil {
			t.Errorf("%q: %q, %v", s, names, err)
		}
	})
}
