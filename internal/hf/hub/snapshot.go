package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Snapshot is a revision of a repository in the cache.
type Snapshot struct {
	Repo, Commit string
	// Dir holds the files, as links.
	Dir string
}

// Snapshot brings the files that want asks for into the cache and returns their
// directory; revision is a branch, a tag or a commit, "" is main. If the Hub cannot
// be reached, or Offline is set, it is the one of the cache, if that is complete.
func (c *Client) Snapshot(ctx context.Context, repo, revision string, want Want) (*Snapshot, error) {
	revision, err := check(repo, revision)
	if err != nil {
		return nil, err
	}
	return c.snapshot(ctx, repo, revision, want)
}

// snapshot is Snapshot for checked names and any choice of files.
func (c *Client) snapshot(ctx context.Context, repo, revision string, want choice) (*Snapshot, error) {
	if c.Offline {
		s, err := c.cached(repo, revision, want)
		if err != nil {
			return nil, fmt.Errorf("HF_HUB_OFFLINE is set, and %w", err)
		}
		return s, nil
	}
	s, missing := c.cached(repo, revision, want)
	tries := c.tries
	if missing == nil {
		tries = 1
	}
	l, err := c.list(ctx, repo, revision, tries)
	switch {
	case err == nil:
	case ctx.Err() != nil || !noAnswer(err):
		return nil, c.explain(err, repo, revision)
	case missing != nil:
		return nil, fmt.Errorf("%w, and %w", c.explain(err, repo, revision), missing)
	default:
		c.Watch.Note(fmt.Sprintf("the Hub cannot be asked (%v): using revision %s of the cache", err, s.Commit[:12]))
		return s, nil
	}
	s, err = c.bring(ctx, l, revision, want)
	if err != nil {
		return nil, c.explain(err, repo, revision)
	}
	return s, nil
}

// choice says which files of a repository are needed.
type choice interface {
	// of are those of a listing; it refuses a repository that is of no use.
	of(l *Listing) ([]*File, error)
	// complete says what of them is missing in a snapshot's directory, as far as it can be
	// known without the Hub.
	complete(dir string) error
}

func (want Want) of(l *Listing) ([]*File, error) {
	files := chosen(l, want)
	return files, usable(l, files, want)
}

func (want Want) complete(dir string) error { return complete(dir, want) }

// repoDir is the directory of a repository.
func (c *Client) repoDir(repo string) string { return filepath.Join(c.Cache, folder(repo)) }

// bring downloads what is missing of a listing and puts the snapshot in place.
func (c *Client) bring(ctx context.Context, l *Listing, revision string, want choice) (*Snapshot, error) {
	dir := c.repoDir(l.Repo)
	s := &Snapshot{Repo: l.Repo, Commit: l.Commit, Dir: filepath.Join(dir, "snapshots", l.Commit)}
	files, err := want.of(l)
	if err != nil {
		return nil, permanent{err}
	}
	files = slices.DeleteFunc(files, func(f *File) bool { return sound(filepath.Join(s.Dir, f.Name), f) == nil })
	if len(files) > 0 {
		if err := c.fetch(ctx, l, files); err != nil {
			return nil, err
		}
		if err := place(dir, l.Commit, files); err != nil {
			return nil, err
		}
	}
	if revision == l.Commit {
		return s, nil
	}
	return s, writeRef(dir, revision, l.Commit)
}

// chosen are the files of a listing that are wanted.
func chosen(l *Listing, want Want) []*File {
	var files, torch []*File
	safe := want == Text
	for i := range l.Files {
		f := &l.Files[i]
		if wanted(f.Name, want) {
			files = append(files, f)
			safe = safe || strings.HasSuffix(f.Name, ".safetensors")
		} else if isTorch(f.Name) {
			torch = append(torch, f)
		}
	}
	if safe {
		return files
	}
	return append(files, torch...)
}

// usable refuses a repository without a model that this program could read.
func usable(l *Listing, files []*File, want Want) error {
	has := func(match func(name string) bool) bool {
		return slices.ContainsFunc(files, func(f *File) bool { return match(f.Name) })
	}
	if want == Text {
		return nil
	}
	for _, f := range l.Files {
		if filepath.Ext(f.Name) == ".gguf" && !has(func(name string) bool { return strings.HasSuffix(name, ".safetensors") }) {
			return fmt.Errorf("the repository has GGUF files and no model*.safetensors: download one, as %s, and give its path", f.Name)
		}
	}
	if !has(func(name string) bool { return name == "config.json" }) {
		return errors.New("the repository has no config.json, so it is not a model that can be run")
	}
	if has(func(name string) bool { return strings.HasSuffix(name, ".safetensors") || isTorch(name) }) {
		return nil
	}
	for _, f := range l.Files {
		switch filepath.Ext(f.Name) {
		case ".bin", ".gguf", ".safetensors", ".npz", ".pth", ".onnx":
			return fmt.Errorf("the repository has no model*.safetensors, only files as %s: look for one with safetensors", f.Name)
		}
	}
	return errors.New("the repository has no model*.safetensors")
}

// fetch brings the blobs of files.
func (c *Client) fetch(ctx context.Context, l *Listing, files []*File) error {
	dir := c.repoDir(l.Repo)
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o777); err != nil {
		return err
	}
	path := func(f *File) string { return filepath.Join(dir, "blobs", f.blob) }
	absent := slices.DeleteFunc(slices.Clone(files), func(f *File) bool {
		return f.blob != "" && f.Size >= 0 && sound(path(f), f) == nil
	})
	if err := each(ctx, absent, func(ctx context.Context, f *File) error {
		if err := c.identify(ctx, l.Repo, l.Commit, f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		return nil
	}); err != nil {
		return err
	}
	// The same contents under two names come once.
	slices.SortStableFunc(absent, func(a, b *File) int { return strings.Compare(a.blob, b.blob) })
	absent = slices.CompactFunc(absent, func(a, b *File) bool { return a.blob == b.blob })
	absent = slices.DeleteFunc(absent, func(f *File) bool { return sound(path(f), f) == nil })
	var total, need int64
	for _, f := range absent {
		total, need = total+f.Size, need+f.Size
		if info, err := os.Stat(path(f) + incomplete); err == nil {
			need -= min(info.Size(), f.Size)
		}
	}
	if free, err := c.free(dir); err == nil && need > free {
		return permanent{fmt.Errorf("the files need %s more, but %s has room for %s only; HF_HUB_CACHE is another place, mlx models tells what is there",
			Bytes(need), c.Cache, Bytes(free))}
	}
	if len(absent) > 0 {
		c.Watch.Start(len(absent), total)
	}
	return each(ctx, absent, func(ctx context.Context, f *File) error {
		b := &blob{c: c, file: f, url: c.fileURL(l.Repo, l.Commit, f.Name), path: path(f)}
		if err := b.fetch(ctx, filepath.Join(c.Cache, ".locks", folder(l.Repo), f.blob+".lock")); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		return nil
	})
}

// each calls do for all files, several at a time, and returns the first failure,
// which stops the others.
func each(ctx context.Context, files []*File, do func(context.Context, *File) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		once  sync.Once
		first error
		wg    sync.WaitGroup
	)
	work := make(chan *File)
	for range min(workers, len(files)) {
		wg.Go(func() {
			for f := range work {
				if err := do(ctx, f); err != nil {
					once.Do(func() { first = err; cancel() })
				}
			}
		})
	}
	for _, f := range files {
		if ctx.Err() != nil {
			break
		}
		work <- f
	}
	close(work)
	wg.Wait()
	if first == nil && ctx.Err() != nil {
		return context.Canceled
	}
	return first
}

// place makes the links of a snapshot whose blobs are there. A new snapshot appears
// at once with all of them.
func place(dir, commit string, files []*File) error {
	final := filepath.Join(dir, "snapshots", commit)
	if err := os.MkdirAll(filepath.Dir(final), 0o777); err != nil {
		return err
	}
	if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
		fresh := filepath.Join(dir, fmt.Sprintf(".%s.%016x%s", commit, rand.Uint64(), incomplete))
		if err := link(fresh, files); err != nil {
			return errors.Join(err, os.RemoveAll(fresh))
		}
		if os.Rename(fresh, final) == nil {
			return nil
		}
		// Somebody else was first; what he has may be for another want.
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
	}
	return link(final, files)
}

// link makes or replaces the links of files in a directory of a snapshot's depth.
func link(dir string, files []*File) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		up := strings.Repeat("../", 2+strings.Count(f.Name, "/"))
		target := filepath.FromSlash(up + "blobs/" + f.blob)
		if old, err := os.Readlink(name); err == nil && old == target {
			continue
		}
		temporary := fmt.Sprintf("%s.%016x%s", name, rand.Uint64(), incomplete)
		if err := os.Symlink(target, temporary); err != nil {
			return fmt.Errorf("the cache needs a file system with symbolic links: %w", err)
		}
		if err := os.Rename(temporary, name); err != nil {
			return errors.Join(err, os.Remove(temporary))
		}
	}
	return nil
}

// writeRef notes which commit a branch or tag is at.
func writeRef(dir, revision, commit string) error {
	path := filepath.Join(dir, "refs", filepath.FromSlash(revision))
	if old, err := os.ReadFile(path); err == nil && string(old) == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	temporary := filepath.Join(dir, fmt.Sprintf(".ref.%016x%s", rand.Uint64(), incomplete))
	if err := os.WriteFile(temporary, []byte(commit), 0o666); err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// cached is the snapshot of the cache, or what is missing.
func (c *Client) cached(repo, revision string, want choice) (*Snapshot, error) {
	dir := c.repoDir(repo)
	commit := revision
	data, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(revision)))
	if err == nil {
		commit = strings.TrimSpace(string(data))
	}
	if !commitName.MatchString(commit) {
		return nil, fmt.Errorf("the cache %s has no %s at revision %s", c.Cache, repo, revision)
	}
	s := &Snapshot{Repo: repo, Commit: commit, Dir: filepath.Join(dir, "snapshots", commit)}
	if err := want.complete(s.Dir); err != nil {
		return nil, fmt.Errorf("%s is not complete in the cache %s: %w", repo, c.Cache, err)
	}
	return s, nil
}

// complete says what is missing in a snapshot, as far as it can be known without the
// Hub.
func complete(dir string, want Want) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if !wanted(name, want) && (want == Text || !isTorch(name)) {
			continue
		}
		f := &File{Name: name, Size: -1}
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			f.sum = filepath.Base(target) // if it is one
		}
		if err := sound(filepath.Join(dir, name), f); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing", name)
		} else if err != nil {
			return err
		}
		there[name] = true
	}
	if want == Text {
		if len(there) == 0 {
			return errors.New("it has no files")
		}
		return nil
	}
	return weightsComplete(dir, there)
}

// indexName is the file that names the shards of the weights.
const indexName = "model.safetensors.index.json"

// torchIndexName is that of PyTorch's weights.
const torchIndexName = "pytorch_model.bin.index.json"

// weightsComplete checks that config.json and all the shards are among the files.
func weightsComplete(dir string, there map[string]bool) error {
	if !there["config.json"] {
		return errors.New("config.json is missing")
	}
	index := indexName
	if !there[index] {
		torch := false
		for name := range there {
			if strings.HasSuffix(name, ".safetensors") {
				return shardsComplete(there)
			}
			torch = torch || isTorch(name)
		}
		switch index = torchIndexName; {
		case torch && !there[index]:
			return shardsComplete(there)
		case !there[index]:
			return errors.New("model.safetensors is missing")
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, index))
	if err != nil {
		return err
	}
	shards, err := parseIndex(data)
	if err != nil {
		return err
	}
	for _, name := range shards {
		if !there[name] {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

// shardsComplete checks the numbers in names as model-00001-of-00003.safetensors,
// for repositories without an index.
func shardsComplete(there map[string]bool) error {
	for name := range there {
		pattern := "model-%05d-of-%05d.safetensors"
		if isTorch(name) {
			pattern = "pytorch_model-%05d-of-%05d.bin"
		}
		var i, n int
		if k, _ := fmt.Sscanf(name, strings.ReplaceAll(pattern, "%05d", "%d"), &i, &n); k != 2 || n > 10000 {
			continue
		}
		for i := 1; i <= n; i++ {
			if shard := fmt.Sprintf(pattern, i, n); !there[shard] {
				return fmt.Errorf("%s is missing", shard)
			}
		}
	}
	return nil
}

// parseIndex reads the names of the shards from an index.
func parseIndex(data []byte) ([]string, error) {
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", indexName, err)
	}
	var names []string
	for _, name := range index.Map {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Bytes is a size in decimal units, as the Hub shows them.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), "kMGTPE"
	for v /= 1000; v >= 999.95 && len(units) > 1; v /= 1000 {
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %cB", v, units[0])
}
