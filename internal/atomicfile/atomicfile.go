// Package atomicfile writes files that are there whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write lets fill write a new file beside path and renames it to path; on an error it
// leaves what was there. With sync the file is flushed to the disk before it takes its
// name. What is at path and no regular file, as a device or a pipe, is written to: a
// rename would put a file in its place. Errors name path.
func Write(path string, sync bool, fill func(*os.File) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return into(path, info, fill)
	}
	f, err := createBeside(path)
	if err != nil {
		return renamed(err, path)
	}
	defer func() {
		if err != nil {
			err = errors.Join(renamed(err, path), os.Remove(f.Name()))
		}
	}()
	err = fill(f)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// renamed is an error of the file beside path, told of path.
func renamed(err error, path string) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		p.Path = path
	case errors.As(err, &l):
		return &fs.PathError{Op: "write", Path: path, Err: l.Err}
	}
	return err
}

// into lets fill write what is at path.
func into(path string, info os.FileInfo, fill func(*os.File) error) error {
	if info.IsDir() {
		return errDirectory(path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

func errDirectory(path string) error { return fmt.Errorf("%s: is a directory", path) }

// createBeside makes a new file in path's directory, with the mode that a file made at
// path would have.
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

// Check says why Write could not make a file at path, as far as it can be known before
// there is anything to write; nil if it could.
func Check(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return errDirectory(path)
		}
		return nil // opening a pipe would wait for a reader
	}
	f, err := createBeside(path)
	if err != nil {
		return renamed(err, path)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
