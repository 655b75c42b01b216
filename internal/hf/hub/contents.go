package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// IsSnapshot reports whether dir is a revision of a model in a cache.
func IsSnapshot(cache, dir string) bool {
	_, err := repoPath(cache, filepath.Join(dir, "x"))
	return err == nil
}

// repoPath is the directory of the repository that has path, a file at the top of one of
// its snapshots.
func repoPath(cache, path string) (string, error) {
	var parts []string
	for _, p := range []string{cache, filepath.Dir(path)} {
		p, err := filepath.Abs(p)
		if err == nil {
			p, err = filepath.EvalSymlinks(p)
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	rel, err := filepath.Rel(parts[0], parts[1])
	if err != nil {
		return "", err
	}
	names := strings.Split(filepath.ToSlash(rel), "/")
	if len(names) != 3 || names[1] != "snapshots" {
		return "", fmt.Errorf("%s is not of a snapshot in %s", path, cache)
	}
	if _, ok := repoOf(names[0]); !ok {
		return "", fmt.Errorf("%s is not of a model in %s", path, cache)
	}
	return filepath.Join(parts[0], names[0]), nil
}

// RemoveContents removes what a file of a snapshot in the cache has; its name stays, as
// that of a file that is to be fetched. What another file of the repository has, too,
// stays.
func RemoveContents(cache, path string) error {
	repo, err := repoPath(cache, path)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return os.Remove(path)
	}
	blob, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if filepath.Dir(blob) != filepath.Join(repo, "blobs") {
		return fmt.Errorf("%s is a link to %s, which is not in the cache", path, blob)
	}
	own, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	shared := false
	err = filepath.WalkDir(filepath.Join(repo, "snapshots"), func(other string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || other == filepath.Join(own, filepath.Base(path)) {
			return err
		}
		if to, err := filepath.EvalSymlinks(other); err == nil && to == blob {
			shared = true
		}
		return nil
	})
	if err != nil || shared {
		return err
	}
	return os.Remove(blob)
}
