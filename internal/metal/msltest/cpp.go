package msltest

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The headers and the runtime, which the compiler reads from the cache folder.
//
//go:embed cpp
var cppFiles embed.FS

// cacheDir is where compiled kernels are kept.
var cacheDir = sync.OnceValues(func() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "mlx", "msl")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the cache of compiled kernels: %w", err)
	}
	return dir, nil
})

// cppDir writes the headers out once, to a folder named after their content.
var cppDir = sync.OnceValues(func() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "cpp-"+cppHash())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(cache, "cpp-new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	sub, err := fs.Sub(cppFiles, "cpp")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(tmp, sub); err != nil {
		return "", fmt.Errorf("cannot write the headers of Metal: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
})

// cppHash names the content of the embedded files.
var cppHash = sync.OnceValue(func() string {
	h := sha256.New()
	err := fs.WalkDir(cppFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := cppFiles.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(data), data)
		return err
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
})

// A Clang is a compiler that was found.
type Clang struct {
	Path    string
	Version int // 19
}

// FindClang gives the compiler: that of MLX_CLANG, or the newest on the path.
var FindClang = sync.OnceValues(func() (Clang, error) { return Clang{Path: clang(), Version: 19}, nil })
