package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func text(s string) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.WriteString(s)
		return err
	}
}

// wantOnly checks that dir has the file alone, with this text; "" is no file.
func wantOnly(t *testing.T, path, want string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if len(entries) > 1 || string(data) != want {
		t.Errorf("%v, %q", entries, data)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, want := range []string{"one", "two"} {
		if err := errors.Join(Check(path), Write(path, true, text(want))); err != nil {
			t.Fatal(err)
		}
		wantOnly(t, path, want)
	}
	bad := errors.New("bad")
	err := Write(path, false, func(f *os.File) error { return errors.Join(text("three")(f), bad) })
	if !errors.Is(err, bad) {
		t.Error(err)
	}
	wantOnly(t, path, "two")
}

// Errors name the file that was asked for, and leave nothing.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nix", "file")
	for _, err := range []error{Write(path, false, text("x")), Check(path)} {
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path+":") {
			t.Error(err)
		}
	}
	for _, err := range []error{Write(dir, false, text("x")), Check(dir)} {
		if err == nil || err.Error() != dir+": is a directory" {
			t.Error(err)
		}
	}
	path = filepath.Join(dir, "file")
	err := Write(path, false, func(f *os.File) error {
		return &os.PathError{Op: "write", Path: f.Name(), Err: errors.New("no space")}
	})
	if err == nil || err.Error() != "write "+path+": no space" {
		t.Error(err)
	}
	wantOnly(t, path, "")
}

// A device is written to, not replaced.
func TestDevice(t *testing.T) {
	if err := errors.Join(Check(os.DevNull), Write(os.DevNull, false, text("x"))); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Error(info, err)
	}
}
