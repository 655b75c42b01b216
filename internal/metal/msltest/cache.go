package msltest

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The library and the runtime, which the compiler reads from the cache folder.
//
//go:embed cpp
var cppFiles embed.FS

// unused is how long a file may lie in the cache.
const unused = 30 * 24 * time.Hour

// cacheDir is where compiled kernels are kept, named after their content.
var cacheDir = sync.OnceValues(func() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "mlx", "msl")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the cache of compiled kernels: %w", err)
	}
	prune(dir, time.Now().Add(-unused))
	return dir, nil
})

// prune removes what was not used since a time. What cannot be removed stays.
func prune(dir string, since time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.ModTime().Before(since) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// touch notes that a file is in use.
func touch(path string, info fs.FileInfo) {
	if now := time.Now(); now.Sub(info.ModTime()) > 24*time.Hour {
		_ = os.Chtimes(path, now, now)
	}
}

// cached gives the path of a file or folder of the cache, which make writes if it is not there. It
// is safe with other processes: it is written beside, then renamed.
func cached(name string, make func(path string) error) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil {
		touch(path, info)
		return path, nil
	}
	tmp, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return "", fmt.Errorf("cannot write into the cache of compiled kernels: %w", err)
	}
	defer os.RemoveAll(tmp)
	beside := filepath.Join(tmp, name)
	if err := make(beside); err != nil {
		return "", err
	}
	if err := os.Rename(beside, path); err != nil {
		if _, there := os.Stat(path); there != nil { // or another process was first with a folder
			return "", fmt.Errorf("cannot write into the cache of compiled kernels: %w", err)
		}
	}
	return path, nil
}

// hash names content.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\n%s", len(p), p)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}

// cppHash names the content of the embedded files.
var cppHash = sync.OnceValue(func() string {
	var parts []string
	err := fs.WalkDir(cppFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := cppFiles.ReadFile(path)
		parts = append(parts, path, string(data))
		return err
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	return hash(parts...)
})

// cppDir writes the embedded files out, to a folder named after their content.
var cppDir = sync.OnceValues(func() (string, error) {
	return cached("cpp-"+cppHash(), func(path string) error {
		files, err := fs.Sub(cppFiles, "cpp")
		if err == nil {
			err = os.CopyFS(path, files)
		}
		if err != nil {
			return fmt.Errorf("cannot write the library of Metal into the cache: %w", err)
		}
		return nil
	})
})
