package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Repo is what the cache has of a repository.
type Repo struct {
	Name, Path string
	Revisions  []*Revision
	// Size is what it takes on disk, in bytes, and Unfinished the part that belongs to
	// no revision: downloads on their way or given up.
	Size, Unfinished int64

	blobs    map[string]int64 // size by name, with those on their way
	leftover []string         // paths of what belongs to no revision
}

// Revision is a snapshot in the cache.
type Revision struct {
	Repo, Commit string
	Refs         []string // branches and tags that are at it
	Size         int64    // of its files, in bytes, shared ones too
	Files        int
	Used         time.Time // last read, as far as the file system notes it
	Path         string
	Missing      []string // files whose blobs are not there

	blobs map[string]bool
	own   int64 // bytes of files that are no links
}

// Scan reads a cache. Directories that are none of a model's are passed over, and so
// is a cache that does not exist.
func Scan(cache string) ([]*Repo, error) {
	entries, err := os.ReadDir(cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the Hub's cache: %w", err)
	}
	var repos []*Repo
	for _, e := range entries {
		name, ok := repoOf(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		r, err := scanRepo(name, filepath.Join(cache, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("the Hub's cache: %w", err)
		}
		repos = append(repos, r)
	}
	return repos, nil
}

// readDir is os.ReadDir, but a directory that is not there is empty.
func readDir(path string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

func scanRepo(name, path string) (*Repo, error) {
	r := &Repo{Name: name, Path: path, blobs: map[string]int64{}}
	entries, err := readDir(filepath.Join(path, "blobs"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			r.blobs[e.Name()] = info.Size()
			r.Size += info.Size()
		}
	}
	refs, err := readRefs(filepath.Join(path, "refs"))
	if err != nil {
		return nil, err
	}
	if entries, err = readDir(filepath.Join(path, "snapshots")); err != nil {
		return nil, err
	}
	linked := map[string]bool{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		v := &Revision{Repo: name, Commit: e.Name(), Refs: refs[e.Name()], Path: filepath.Join(path, "snapshots", e.Name()), blobs: map[string]bool{}}
		if err := v.scan(r); err != nil {
			return nil, err
		}
		for blob := range v.blobs {
			linked[blob] = true
		}
		r.Size += v.own
		r.Revisions = append(r.Revisions, v)
	}
	for blob, size := range r.blobs {
		if !linked[blob] {
			r.Unfinished += size
			r.leftover = append(r.leftover, filepath.Join(path, "blobs", blob))
		}
	}
	if entries, err = readDir(path); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), incomplete) {
			r.leftover = append(r.leftover, filepath.Join(path, e.Name()))
		}
	}
	slices.Sort(r.leftover)
	return r, nil
}

// readRefs are the branches and tags by their commits.
func readRefs(dir string) (map[string][]string, error) {
	refs := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		commit := strings.TrimSpace(string(data))
		refs[commit] = append(refs[commit], filepath.ToSlash(name))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return refs, err
}

// scan adds up the files of v.
func (v *Revision) scan(r *Repo) error {
	return filepath.WalkDir(v.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, incomplete) {
			return err
		}
		v.Files++
		info, err := os.Stat(path)
		if err != nil {
			name, _ := filepath.Rel(v.Path, path)
			v.Missing = append(v.Missing, name)
			return nil
		}
		if used := lastUsed(info); used.After(v.Used) {
			v.Used = used
		}
		target, err := os.Readlink(path)
		if blob := filepath.Base(target); err == nil && filepath.Base(filepath.Dir(target)) == "blobs" {
			if !v.blobs[blob] {
				v.blobs[blob] = true
				v.Size += r.blobs[blob]
			}
			return nil
		}
		v.Size += info.Size()
		v.own += info.Size()
		return nil
	})
}

// Removal is what Remove takes away of one repository.
type Removal struct {
	Repo *Repo
	// Revisions go; with All everything of the repository does.
	Revisions []*Revision
	All       bool
	// Unfinished: what belongs to no revision goes.
	Unfinished bool
	// Freed is the space on disk that it gives, in bytes: files that a revision that
	// stays has too are not in it.
	Freed int64
}

// PlanRemoval finds what names stand for: org/name, or org/name@REVISION with a
// branch, a tag, a commit or its beginning. There is one Removal for each repository.
func PlanRemoval(repos []*Repo, names []string) ([]*Removal, error) {
	var plan []*Removal
	for _, name := range names {
		repo, revision, some := strings.Cut(name, "@")
		i := slices.IndexFunc(repos, func(r *Repo) bool { return r.Name == repo })
		if i < 0 {
			return nil, fmt.Errorf("the cache has no %s", repo)
		}
		var m *Removal
		if j := slices.IndexFunc(plan, func(m *Removal) bool { return m.Repo == repos[i] }); j >= 0 {
			m = plan[j]
		} else {
			m = &Removal{Repo: repos[i]}
			plan = append(plan, m)
		}
		if !some {
			m.All, m.Revisions = true, m.Repo.Revisions
			continue
		}
		v, err := m.Repo.find(revision)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(m.Revisions, v) {
			m.Revisions = append(slices.Clone(m.Revisions), v)
		}
	}
	for _, m := range plan {
		m.All = m.All || len(m.Revisions) == len(m.Repo.Revisions) && len(m.Repo.leftover) == 0
		m.Freed = m.freed()
	}
	return plan, nil
}

// find is the one revision that a name stands for.
func (r *Repo) find(name string) (*Revision, error) {
	var found []*Revision
	for _, v := range r.Revisions {
		if v.Commit == name || slices.Contains(v.Refs, name) || len(name) >= 4 && strings.HasPrefix(v.Commit, name) {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the cache has no revision %q of %s", name, r.Name)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q stands for %d revisions of %s in the cache", name, len(found), r.Name)
}

// Old are the revisions that no branch or tag is at, though one is at another.
func (r *Repo) Old() []*Revision {
	named := func(v *Revision) bool { return len(v.Refs) > 0 }
	if !slices.ContainsFunc(r.Revisions, named) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Revisions), named)
}

// Freed is what removing v alone frees, in bytes.
func (r *Repo) Freed(v *Revision) int64 {
	return (&Removal{Repo: r, Revisions: []*Revision{v}}).freed()
}

func (m *Removal) freed() int64 {
	if m.All {
		return m.Repo.Size
	}
	var n int64
	for blob := range m.blobs() {
		n += m.Repo.blobs[blob]
	}
	for _, v := range m.Revisions {
		n += v.own
	}
	return n
}

// PlanUnfinished is the removal of what belongs to no revision of r; nil if there is
// nothing.
func PlanUnfinished(r *Repo) *Removal {
	if len(r.leftover) == 0 {
		return nil
	}
	return &Removal{Repo: r, Unfinished: true, Freed: r.Unfinished}
}

// blobs are those that no revision that stays has.
func (m *Removal) blobs() map[string]bool {
	out := map[string]bool{}
	for _, v := range m.Revisions {
		for blob := range v.blobs {
			out[blob] = true
		}
	}
	for _, v := range m.Repo.Revisions {
		if !slices.Contains(m.Revisions, v) {
			for blob := range v.blobs {
				delete(out, blob)
			}
		}
	}
	return out
}

// Remove does what the plan says. It fails, with nothing removed, while another
// program downloads the repository. What came to the repository since the plan was
// made stays, unless all of it goes.
func (m *Removal) Remove() error {
	release, err := m.lockAll()
	if err != nil {
		return err
	}
	defer release()
	now, err := m.again()
	if err != nil {
		return err
	}
	// References first, then links, then files: what is left when this is cut short
	// belongs to no revision.
	var paths []string
	for _, v := range now.Revisions {
		for _, ref := range v.Refs {
			paths = append(paths, filepath.Join(now.Repo.Path, "refs", filepath.FromSlash(ref)))
		}
	}
	for _, v := range now.Revisions {
		paths = append(paths, v.Path, filepath.Join(now.Repo.Path, ".no_exist", v.Commit))
	}
	for blob := range now.blobs() {
		paths = append(paths, filepath.Join(now.Repo.Path, "blobs", blob))
	}
	if now.Unfinished {
		paths = append(paths, now.Repo.leftover...)
	}
	if now.All || now.Unfinished && len(now.Repo.Revisions) == 0 {
		paths = append(paths, now.Repo.Path)
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// again is m for the repository as it is now.
func (m *Removal) again() (*Removal, error) {
	r, err := scanRepo(m.Repo.Name, m.Repo.Path)
	if err != nil {
		return nil, err
	}
	now := &Removal{Repo: r, All: m.All, Unfinished: m.Unfinished}
	for _, v := range r.Revisions {
		if m.All || slices.ContainsFunc(m.Revisions, func(old *Revision) bool { return old.Commit == v.Commit }) {
			now.Revisions = append(now.Revisions, v)
		}
	}
	r.leftover = slices.DeleteFunc(r.leftover, func(path string) bool { return !slices.Contains(m.Repo.leftover, path) })
	return now, nil
}

// lockAll takes the locks that downloads of the repository hold.
func (m *Removal) lockAll() (release func(), err error) {
	var held []*os.File
	release = func() {
		for _, f := range held {
			f.Close()
		}
	}
	dir := filepath.Join(filepath.Dir(m.Repo.Path), ".locks", filepath.Base(m.Repo.Path))
	entries, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			continue
		}
		f, err := tryLock(filepath.Join(dir, e.Name()))
		if err != nil || f == nil {
			release()
			if err == nil {
				err = fmt.Errorf("another program downloads %s just now", m.Repo.Name)
			}
			return nil, err
		}
		held = append(held, f)
	}
	return release, nil
}
