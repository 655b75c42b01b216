package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Pick chooses files of a repository of data by their names, which are sorted and have
// slashes.
type Pick func(names []string) ([]string, error)

// Dataset brings the files that pick names into the cache, as Snapshot does for models:
// repo is org/name of a dataset. Without the Hub, pick chooses among the files of the
// cache.
func (c *Client) Dataset(ctx context.Context, repo, revision string, pick Pick) (*Snapshot, error) {
	revision, err := check(repo, revision)
	if err != nil {
		return nil, err
	}
	return c.snapshot(ctx, datasetPrefix+repo, revision, pick)
}

func (pick Pick) of(l *Listing) ([]*File, error) {
	byName := map[string]*File{}
	var names []string
	for i := range l.Files {
		f := &l.Files[i]
		byName[f.Name] = f
		names = append(names, f.Name)
	}
	slices.Sort(names)
	names, err := pick(names)
	if err != nil {
		return nil, err
	}
	var files []*File
	for _, name := range names {
		files = append(files, byName[name])
	}
	return files, nil
}

func (pick Pick) complete(dir string) error {
	all, err := FileNames(dir)
	if err != nil {
		return err
	}
	names, err := pick(all)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		f := &File{Name: name, Size: -1}
		if target, err := os.Readlink(path); err == nil {
			f.sum = filepath.Base(target) // if it is one
		}
		if err := sound(path, f); errors.Is(err, fs.ErrNotExist) {
			return errors.New(name + " is missing")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// FileNames are the names of the files in dir and below it, with slashes, sorted.
func FileNames(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, incomplete) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	slices.Sort(names)
	return names, err
}
