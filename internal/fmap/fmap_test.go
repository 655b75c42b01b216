package fmap

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31)
	}
	return b
}

func TestOpen(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
		want := pattern(n)
		f, err := Open(write(t, want))
		if err != nil {
			t.Fatal(err)
		}
		b := f.Bytes()
		if !bytes.Equal(b, want) || b == nil {
			t.Errorf("%d bytes: the mapping differs from the file", n)
		}
		if n > 0 {
			base := uintptr(unsafe.Pointer(&b[0]))
			if !f.Contains(base) || !f.Contains(base+uintptr(n)-1) || f.Contains(base+uintptr(n)) || f.Contains(base-1) {
				t.Errorf("%d bytes: Contains is wrong at an edge", n)
			}
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if f.Bytes() != nil || f.Contains(1) {
			t.Error("a closed file still has bytes")
		}
		if err := f.Advise(0, 0, Normal); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Advise on a closed file: %v", err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestAdvise(t *testing.T) {
	page := os.Getpagesize()
	want := pattern(3*page + 7)
	f, err := Open(write(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for a := Normal; a <= DontNeed; a++ {
		for _, r := range [][2]int{{0, len(want)}, {1, 1}, {page + 3, page}, {len(want), 0}} {
			if err := f.Advise(r[0], r[1], a); err != nil {
				t.Errorf("advice %d of %v: %v", a, r, err)
			}
		}
		if !bytes.Equal(f.Bytes(), want) {
			t.Fatalf("advice %d changed what is read", a)
		}
	}
	const maxInt = int(^uint(0) >> 1)
	for _, r := range [][2]int{{-1, 1}, {0, -1}, {0, len(want) + 1}, {len(want) + 1, 0}, {1, maxInt}, {maxInt, maxInt}} {
		if err := f.Advise(r[0], r[1], WillNeed); err == nil {
			t.Errorf("range %v gave no error", r)
		}
	}
	if err := f.Advise(0, 1, DontNeed+1); err == nil {
		t.Error("unknown advice gave no error")
	}
}

func registered(path string) bool {
	live.Lock()
	defer live.Unlock()
	for _, m := range live.maps {
		if m.path == path {
			return true
		}
	}
	return false
}

func TestUnreferencedFileIsUnmapped(t *testing.T) {
	path := write(t, pattern(100))
	func() {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.m.free != nil && !registered(path) {
			t.Error("the mapping is not registered")
		}
		runtime.KeepAlive(f)
	}()
	for range 1000 {
		runtime.GC()
		if !registered(path) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a file that nobody references stays mapped")
}

func TestGuardPassesThrough(t *testing.T) {
	want := errors.New("mine")
	if err := Guard(func() error { return want }); err != want {
		t.Errorf("Guard gave %v", err)
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Errorf("Guard gave %v", err)
	}
	for _, v := range []any{"text", want} {
		func() {
			defer func() {
				if got := recover(); got != v {
					t.Errorf("panic(%v) came out as %v", v, got)
				}
			}()
			_ = Guard(func() error { panic(v) })
		}()
	}
	defer func() {
		if _, ok := recover().(runtime.Error); !ok {
			t.Error("a nil dereference did not stay a panic")
		}
	}()
	var p *int
	_ = Guard(func() error { *p = 1; return nil })
}

func TestHolds(t *testing.T) {
	f, err := Open(write(t, pattern(5000)))
	if err != nil {
		t.Fatal(err)
	}
	b := f.Bytes()
	mapped := f.Contains(uintptr(unsafe.Pointer(&b[0]))) && Holds(b)
	if runtime.GOOS == "linux" && !mapped {
		t.Error("a mapped file is not held")
	}
	for _, part := range [][]byte{b[:1], b[4999:], b[1:4097]} {
		if Holds(part) != mapped {
			t.Errorf("%d bytes of the file: %v, all of it %v", len(part), !mapped, mapped)
		}
	}
	for _, other := range [][]byte{nil, {}, b[:0], make([]byte, 10), unsafe.Slice(&b[0], len(b)+1), []byte("constant")} {
		if Holds(other) {
			t.Errorf("%d other bytes are held", len(other))
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if Holds(b) {
		t.Error("a closed file is held")
	}
}
