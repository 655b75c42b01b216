package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// workers is how many files come at the same time.
const workers = 8

// errChecksum is a complete file with other contents than the Hub promised.
var errChecksum = errors.New("the checksum is wrong")

// hasher computes what sum is the checksum of; nil if sum is none.
func hasher(sum string, size int64) hash.Hash {
	switch {
	case sha256Name.MatchString(sum):
		return sha256.New()
	case commitName.MatchString(sum):
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size) // a blob of git
		return h
	}
	return nil
}

// blob is the download of one file into the blobs.
type blob struct {
	c       *Client
	file    *File
	url     string
	path    string    // of the blob
	counted int64     // bytes that Watch knows of
	best    int64     // most bytes that there ever were
	bad     int       // how often the checksum was wrong
	sum     hash.Hash // of the incomplete file; nil without a checksum
	tag     string    // strong ETag of the host that the bytes come from
}

// lock waits for the lock of path.
func (c *Client) lock(ctx context.Context, path, what string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		f, err := tryLock(path)
		if f != nil || err != nil {
			return f, err
		}
		if i == 10 {
			c.Watch.Note("waiting for another program that downloads " + what)
		}
		select {
		case <-ctx.Done():
			return nil, context.Canceled
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fetch downloads the file unless it is there. When it returns nil the blob is
// complete and checked.
func (b *blob) fetch(ctx context.Context, lockPath string) error {
	lock, err := b.c.lock(ctx, lockPath, b.file.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	if sound(b.path, b.file) == nil {
		b.at(b.file.Size) // somebody else brought it
		return nil
	}
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := b.c.retry(ctx, b.file.Name, b.c.tries, func() (bool, error) { return b.try(ctx) }); err != nil {
		return err
	}
	b.c.Watch.File(b.file.Name, b.file.Size)
	return os.Rename(b.path+incomplete, b.path)
}

// incomplete ends the name of a blob on its way.
const incomplete = ".incomplete"

// at tells Watch how much of the file there is.
func (b *blob) at(n int64) {
	b.c.Watch.Add(n - b.counted)
	b.counted = n
}

// maxBad is how often a file is fetched from its beginning because of its checksum.
const maxBad = 3

// try goes on where the incomplete file ends. progress is set when there is more of
// the file than ever.
func (b *blob) try(ctx context.Context) (progress bool, err error) {
	f, err := os.OpenFile(b.path+incomplete, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = e
		}
	}()
	have, err := b.existing(f)
	if err != nil {
		return false, err
	}
	b.at(have)
	b.best = max(b.best, have)
	if have < b.file.Size {
		if err := b.transfer(ctx, f, have); err != nil {
			progress = b.counted > b.best
			b.best = max(b.best, b.counted)
			return progress, err
		}
	}
	if b.sum != nil && hex.EncodeToString(b.sum.Sum(nil)) != b.file.sum {
		// Nobody knows which of the bytes are bad.
		if err := f.Truncate(0); err != nil {
			return false, err
		}
		b.at(0)
		if b.bad++; b.bad >= maxBad {
			return false, permanent{fmt.Errorf("%w, %d times", errChecksum, b.bad)}
		}
		return false, errChecksum
	}
	return false, f.Sync()
}

// existing prepares f for more: have bytes of it count, and b.sum has seen them.
func (b *blob) existing(f *os.File) (have int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	have = info.Size()
	b.sum = hasher(b.file.sum, b.file.Size)
	// Without a checksum only an ETag vouches for the beginning, and only as long as
	// it was seen.
	if have > b.file.Size || have > 0 && b.sum == nil && b.tag == "" && b.file.tag == "" {
		have = 0
		if err := f.Truncate(0); err != nil {
			return 0, err
		}
	}
	if b.sum != nil {
		if _, err := io.Copy(b.sum, io.NewSectionReader(f, 0, have)); err != nil {
			return 0, err
		}
	}
	_, err = f.Seek(have, io.SeekStart)
	return have, err
}

// transfer asks for the bytes from have on and writes them to f.
func (b *blob) transfer(ctx context.Context, f *os.File, have int64) error {
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if b.tag != "" {
			header.Set("If-Range", b.tag)
		} else if b.file.tag != "" {
			header.Set("If-Range", b.file.tag)
		}
	}
	a, err := b.c.send(ctx, http.MethodGet, b.url, header)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	switch {
	case a.StatusCode == http.StatusPartialContent && have > 0 && goesOn(a.Header.Get("Content-Range"), have, b.file.Size):
	case a.StatusCode == http.StatusOK: // all of it, asked for or not
		if have > 0 {
			if err := b.restart(f); err != nil {
				return err
			}
			have = 0
		}
	case a.StatusCode == http.StatusPartialContent, a.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		if err := b.restart(f); err != nil {
			return err
		}
		return fmt.Errorf("%s answers with another range than the one asked for", a.Request.URL.Host)
	default:
		return statusError(a.Response)
	}
	b.tag = ""
	if tag := a.Header.Get("ETag"); len(tag) > 2 && tag[0] == '"' {
		b.tag = tag
	}
	return b.copy(f, a.Body, have)
}

// restart empties f.
func (b *blob) restart(f *os.File) error {
	b.at(0)
	b.tag = ""
	b.sum = hasher(b.file.sum, b.file.Size)
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// copy writes the rest of the file.
func (b *blob) copy(f *os.File, body io.Reader, have int64) error {
	buf := make([]byte, 256<<10)
	for {
		n, readErr := body.Read(buf)
		if have+int64(n) > b.file.Size {
			// Too much came: what is there cannot be right either.
			b.at(0)
			return errors.Join(f.Truncate(0), fmt.Errorf("more than the %d bytes of the file came", b.file.Size))
		}
		if n > 0 {
			w, err := f.Write(buf[:n])
			have += int64(w)
			b.at(have)
			if err != nil {
				return err
			}
			if b.sum != nil {
				b.sum.Write(buf[:n])
			}
		}
		switch {
		case readErr == nil:
		case have == b.file.Size:
			return nil
		default:
			return shortRead(readErr)
		}
	}
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)

// goesOn reports whether a Content-Range begins at have in a file of size bytes.
func goesOn(v string, have, size int64) bool {
	m := contentRange.FindStringSubmatch(v)
	if m == nil || m[1] != strconv.FormatInt(have, 10) {
		return false
	}
	return m[3] == "*" || m[3] == strconv.FormatInt(size, 10)
}

// smallFile is the size up to which files are read again to check them.
const smallFile = 32 << 20

// sound says what is wrong with a file that should be f; nil for nothing. Large ones
// are judged by their size.
func sound(path string, f *File) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case f.Size >= 0 && info.Size() != f.Size:
		return fmt.Errorf("%s has %d bytes instead of %d", path, info.Size(), f.Size)
	case info.Size() > smallFile:
		return nil
	}
	sum := hasher(f.sum, info.Size())
	if sum == nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.sum {
		return fmt.Errorf("%s is damaged: its checksum is wrong", path)
	}
	return nil
}
