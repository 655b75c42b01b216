// Package beside writes files beside their place and then renames them, so that a path
// is never half a file. It knows no formats.
package beside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write lets write fill a new file beside path and renames it to path; on an error it
// leaves nothing behind. What is at path and no regular file, a device or a pipe, is
// written to. With sync the file is flushed to the disk before it takes its name.
func Write(path string, sync bool, write func(*os.File) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return into(path, info, write)
	}
	f, err := createBeside(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// into lets write fill what is at path and no regular file: a rename would put a
// file in the place of a device.
func into(path string, info os.FileInfo, write func(*os.File) error) error {
	if info.IsDir() {
		return fmt.Errorf("%s: is a directory", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// createBeside makes a new file in path's directory, with the mode that a file
// made at path would have.
func createBeside(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprintf(".%s.%d-%d.tmp", base, os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil || !errors.Is(err, os.ErrExist) || i == 1000 {
			return f, err
		}
	}
}
