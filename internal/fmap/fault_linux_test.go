package fmap

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A file cut short under its mapping: reading a page that is gone raises SIGBUS.
func TestTruncatedFileIsAnError(t *testing.T) {
	page := os.Getpagesize()
	path := write(t, pattern(4*page))
	other, err := Open(write(t, pattern(page)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, int64(page)); err != nil {
		t.Fatal(err)
	}
	b := f.Bytes()
	var sum byte
	if err := Guard(func() error { sum += b[page-1]; return nil }); err != nil {
		t.Errorf("the page that is left: %v", err)
	}
	for name, read := range map[string]func() error{
		"load": func() error { sum += b[2*page+5]; return nil },
		"copy": func() error { copy(make([]byte, page), b[2*page+5:]); return nil },
	} {
		var fault *FaultError
		err := Guard(read)
		if !errors.As(err, &fault) {
			t.Fatalf("%s: %v", name, err)
		}
		if fault.Path != path || fault.Offset < int64(2*page) || fault.Offset >= int64(4*page) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v (path %s, offset %d)", name, err, fault.Path, fault.Offset)
		}
	}
	_ = sum
}

// After Close the address belongs to no file: the fault must not be explained away.
func TestFaultOutsideMappingsPanics(t *testing.T) {
	f, err := Open(write(t, pattern(os.Getpagesize())))
	if err != nil {
		t.Fatal(err)
	}
	b := f.Bytes()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("reading an unmapped page did not panic")
		}
	}()
	var sum byte
	_ = Guard(func() error { sum += b[0]; return nil })
	t.Log(sum)
}
