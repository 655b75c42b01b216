package fmap

import (
	"bytes"
	"os"
	"testing"
	"unsafe"
)

// The bytes stay where they are and what they are, and are no more the file's.
func TestInHugePages(t *testing.T) {
	if !hugePages() {
		t.Skip("this system has no huge pages")
	}
	for _, size := range []int{hugePage, 5*hugePage/2 + 17, 2*readPart + 4097} {
		want := pattern(size)
		path := write(t, want)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		b := f.Bytes()
		if uintptr(unsafe.Pointer(&b[0]))%hugePage != 0 {
			t.Errorf("%d bytes lie at %p", size, &b[0])
		}
		moved, err := f.InHugePages()
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if n, err := f.InHugePages(); n != 0 || err != nil {
			t.Fatalf("%d bytes a second time: %d, %v", size, n, err)
		}
		if moved == size { // a busy system may not have taken all
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Advise(0, size, DontNeed); err != nil {
			t.Fatal(err)
		}
		if now := f.Bytes(); &now[0] != &b[0] || !bytes.Equal(b, want) {
			t.Errorf("%d bytes have changed", size)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.InHugePages(); err == nil {
			t.Error("no error after Close")
		}
	}
}

// A file whose path another one has taken stays mapped, as do small ones.
func TestNotInHugePages(t *testing.T) {
	want := pattern(2 * hugePage)
	path := write(t, want)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(write(t, make([]byte, 2*hugePage)), path); err != nil {
		t.Fatal(err)
	}
	if n, err := f.InHugePages(); n != 0 || err != nil || !bytes.Equal(f.Bytes(), want) {
		t.Errorf("a replaced file: %d, %v", n, err)
	}
	small, err := Open(write(t, pattern(5000)))
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	if n, err := small.InHugePages(); n != 0 || err != nil {
		t.Errorf("a small file: %d, %v", n, err)
	}
}
