package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// File is a file of a repository.
type File struct {
	Name string
	// Size is in bytes; -1 when the Hub does not say.
	Size int64

	blob string // its name among the blobs; "" unknown
	sum  string // checksum: SHA-256 in 64 digits, git's SHA-1 in 40; "" unknown
	tag  string // an ETag that a Range may depend on; "" none
}

// Listing is what a repository holds at one commit.
type Listing struct {
	Repo, Commit string
	Files        []File
}

// maxListing bounds the Hub's answer, which has a line for each file.
const maxListing = 64 << 20

// listingJSON is the part that counts of /api/models/REPO/revision/REVISION.
type listingJSON struct {
	SHA      string `json:"sha"`
	Siblings []struct {
		Name string `json:"rfilename"`
		Size *int64 `json:"size"`
		Blob string `json:"blobId"`
		LFS  *struct {
			SHA256 string `json:"sha256"`
			Size   *int64 `json:"size"`
		} `json:"lfs"`
	} `json:"siblings"`
}

// parseListing reads the Hub's answer.
func parseListing(repo string, data []byte) (*Listing, error) {
	var raw listingJSON
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the Hub's list of files is not the JSON that is expected: %w", err)
	}
	if !commitName.MatchString(raw.SHA) {
		return nil, fmt.Errorf("the Hub's list of files names the commit %q", printable(raw.SHA))
	}
	l := &Listing{Repo: repo, Commit: raw.SHA}
	seen := map[string]bool{}
	for _, s := range raw.Siblings {
		if !localPath(s.Name) || seen[s.Name] {
			return nil, fmt.Errorf("the Hub's list of files has the name %q", printable(s.Name))
		}
		seen[s.Name] = true
		f := File{Name: s.Name, Size: -1}
		if s.Size != nil && *s.Size >= 0 {
			f.Size = *s.Size
		}
		switch {
		case s.LFS != nil && sha256Name.MatchString(s.LFS.SHA256):
			f.sum = s.LFS.SHA256
			if s.LFS.Size != nil && *s.LFS.Size >= 0 {
				f.Size = *s.LFS.Size
			}
		case s.LFS == nil && commitName.MatchString(s.Blob):
			f.sum = s.Blob
		}
		f.blob = f.sum
		l.Files = append(l.Files, f)
	}
	return l, nil
}

// list is List for checked names.
func (c *Client) list(ctx context.Context, repo, revision string, tries int) (*Listing, error) {
	kind := "models/"
	if isDataset(repo) {
		kind = ""
	}
	address := c.Endpoint + "/api/" + kind + repo + "/revision/" + url.PathEscape(revision) + "?blobs=true"
	var l *Listing
	err := c.retry(ctx, repo, tries, func() (bool, error) {
		a, err := c.send(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, err
		}
		defer a.Body.Close()
		if a.StatusCode != http.StatusOK {
			return false, statusError(a.Response)
		}
		data, err := io.ReadAll(io.LimitReader(a.Body, maxListing+1))
		if err != nil {
			return false, err
		}
		if len(data) > maxListing {
			return false, permanent{errors.New("the Hub's list of files does not end")}
		}
		if l, err = parseListing(repo, data); err != nil {
			return false, permanent{err}
		}
		return false, nil
	})
	return l, err
}

// List asks the Hub for the files of a repository at a revision; "" is main.
func (c *Client) List(ctx context.Context, repo, revision string) (*Listing, error) {
	revision, err := check(repo, revision)
	if err != nil {
		return nil, err
	}
	if c.Offline {
		return nil, fmt.Errorf("%s: HF_HUB_OFFLINE is set, so the Hub is not asked", repo)
	}
	l, err := c.list(ctx, repo, revision, c.tries)
	if err != nil {
		return nil, c.explain(err, repo, revision)
	}
	return l, nil
}

// check checks both names; the empty revision becomes main.
func check(repo, revision string) (string, error) {
	if revision == "" {
		revision = DefaultRevision
	}
	if err := CheckRepo(repo); err != nil {
		return "", err
	}
	return revision, CheckRevision(revision)
}

// fileURL is where a file of a commit is.
func (c *Client) fileURL(repo, commit, name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return c.Endpoint + "/" + repo + "/resolve/" + url.PathEscape(commit) + "/" + strings.Join(parts, "/")
}

// identify asks the Hub for a file's ETag and size, which name and check the blob.
func (c *Client) identify(ctx context.Context, repo, commit string, f *File) error {
	return c.retry(ctx, f.Name, c.tries, func() (bool, error) {
		a, err := c.send(ctx, http.MethodHead, c.fileURL(repo, commit, f.Name), nil)
		if err != nil {
			return false, err
		}
		a.Body.Close()
		if a.StatusCode != http.StatusOK && !isRedirect(a.StatusCode) {
			return false, statusError(a.Response)
		}
		if a.commit != "" && a.commit != commit {
			return false, permanent{fmt.Errorf("the Hub has %s of commit %q instead of %s", f.Name, printable(a.commit), commit)}
		}
		return false, f.identified(a)
	})
}

// identified takes over what a HEAD told.
func (f *File) identified(a *answer) error {
	etag := a.etag
	if etag == "" && !a.away {
		etag = a.Header.Get("ETag")
	}
	size := a.size
	if size < 0 && !a.away && a.StatusCode == http.StatusOK {
		size = a.ContentLength
	}
	if etag == "" {
		return permanent{fmt.Errorf("the Hub gives no ETag for %s", f.Name)}
	}
	blob, err := blobOf(etag)
	if err != nil {
		return permanent{err}
	}
	f.blob = blob
	if sha256Name.MatchString(blob) || commitName.MatchString(blob) {
		f.sum = blob
	}
	if size >= 0 {
		f.Size = size
	}
	if own := a.Header.Get("ETag"); !a.away && strings.HasPrefix(own, `"`) {
		f.tag = own
	}
	if f.Size < 0 {
		return permanent{fmt.Errorf("the Hub does not tell the size of %s", f.Name)}
	}
	return nil
}

// maxSkip is how much of a file is read in vain when a server sends all of it.
const maxSkip = 1 << 20

// ReadRange asks for n bytes of a file from offset on, without the cache; fewer come
// at the file's end. It is for headers.
func (c *Client) ReadRange(ctx context.Context, l *Listing, name string, offset, n int64) ([]byte, error) {
	if c.Offline {
		return nil, fmt.Errorf("%s: HF_HUB_OFFLINE is set, so the Hub is not asked", l.Repo)
	}
	header := http.Header{}
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+n-1))
	var data []byte
	err := c.retry(ctx, name, c.tries, func() (bool, error) {
		a, err := c.send(ctx, http.MethodGet, c.fileURL(l.Repo, l.Commit, name), header)
		if err != nil {
			return false, err
		}
		defer a.Body.Close()
		switch {
		case a.StatusCode == http.StatusPartialContent && strings.HasPrefix(a.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)):
		case a.StatusCode == http.StatusOK && offset <= maxSkip:
			if _, err := io.CopyN(io.Discard, a.Body, offset); err != nil {
				return false, shortRead(err)
			}
		case a.StatusCode == http.StatusOK, a.StatusCode == http.StatusPartialContent:
			return false, permanent{fmt.Errorf("%s sends another range of %s than the one asked for", a.Request.URL.Host, name)}
		default:
			return false, statusError(a.Response)
		}
		data, err = io.ReadAll(io.LimitReader(a.Body, n))
		return false, err
	})
	if err != nil {
		return nil, c.explain(err, l.Repo, l.Commit)
	}
	return data, nil
}

// SizeOf is the size of a file in bytes, asked for if the listing does not say it.
func (c *Client) SizeOf(ctx context.Context, l *Listing, f File) (int64, error) {
	if f.Size >= 0 {
		return f.Size, nil
	}
	if err := c.identify(ctx, l.Repo, l.Commit, &f); err != nil {
		return 0, c.explain(err, l.Repo, l.Commit)
	}
	return f.Size, nil
}
