// Package fmap maps files read-only into memory, so that weights are read
// without a copy and shared between processes.
//
// The main type is [File]. [Guard] turns the fault of a page that cannot be
// read (the file was truncated under the mapping, the disk failed) into a
// [*FaultError] that names the file. The package does not write files and does
// not know their formats. Where the system has no mapping it reads the whole
// file instead, with the same meaning.
package fmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"unsafe"
)

// File is a read-only view of a file's bytes.
//
// The bytes live outside Go's heap: slices of them do not keep the mapping.
// Whoever holds such a slice must hold the *File too (and runtime.KeepAlive it
// past the last use where the compiler could see it dead). A File that nothing
// references any more is unmapped by the garbage collector if it was not closed.
type File struct {
	path    string
	mu      sync.RWMutex
	m       *mapping // nil once closed
	cleanup runtime.Cleanup
}

// mapping is what outlives the File until it is released: the cleanup's
// argument, so it must not point back at the File.
type mapping struct {
	path string
	info os.FileInfo
	data []byte
	own  bool               // bytes may be no more the file's, but memory of the process
	free func([]byte) error // nil when the bytes are on Go's heap
}

// Open maps the whole file at path. A directory or another thing that is not a
// regular file is an error; an empty file has no bytes.
func Open(path string) (*File, error) {
	// Before opening: to open a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	size := info.Size()
	if size != int64(int(size)) {
		return nil, fmt.Errorf("%s: %d bytes are more than this machine can address", path, size)
	}
	m := &mapping{path: path, info: info, data: []byte{}}
	if size > 0 {
		if m.data, m.free, err = mapFile(f, int(size)); err != nil {
			return nil, fmt.Errorf("%s: cannot map the file: %w", path, err)
		}
		if m.free != nil {
			register(m)
		}
	}
	file := &File{path: path, m: m}
	file.cleanup = runtime.AddCleanup(file, func(m *mapping) { _ = m.release() }, m)
	return file, nil
}

func regular(path string, info os.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("%s: is a directory, not a file", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: is not a regular file (%v)", path, info.Mode().Type())
	}
	return nil
}

// Path is the path that Open was given.
func (f *File) Path() string { return f.path }

// Bytes are the file's bytes; writing to them faults. They are valid until
// Close and while f is referenced. After Close it is nil.
func (f *File) Bytes() []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.m == nil {
		return nil
	}
	return f.m.data
}

// Contains reports whether addr lies in the mapping's bytes.
func (f *File) Contains(addr uintptr) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.m == nil {
		return false
	}
	_, ok := f.m.offset(addr)
	return ok
}

// Close unmaps the file. Reading slices of Bytes afterwards is a fault that no
// Guard explains: close only what nobody reads. A second Close does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		return nil
	}
	f.cleanup.Stop()
	m := f.m
	f.m = nil
	if err := m.release(); err != nil {
		return fmt.Errorf("%s: cannot unmap the file: %w", f.path, err)
	}
	return nil
}

// Advice tells the system how a range will be used.
type Advice uint8

// The advices. They change speed only, never what is read.
const (
	Normal     Advice = iota
	Sequential        // read in order, once: read ahead far, drop early
	Random            // do not read ahead
	WillNeed          // start reading now
	DontNeed          // drop the pages; later reads fetch them again
)

// Parse maps the file at path and gives its bytes to parse, where a page that cannot be
// read is an error. When parse fails, the file is unmapped.
func Parse(path string, parse func(data []byte) error) (*File, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := Guard(func() error { return parse(f.Bytes()) }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Release lets go of the pages that were read, which count as memory of the process;
// reading them again fetches them again. It is advice: nothing can fail.
func (f *File) Release() { _ = f.Advise(0, len(f.Bytes()), DontNeed) }

// Advise applies a to the n bytes from offset on, widened to whole pages. A
// range outside the file, or a closed File, is an error; where the system takes
// no advice it does nothing.
func (f *File) Advise(offset, n int, a Advice) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.m == nil {
		return fmt.Errorf("%s: advise: %w", f.path, os.ErrClosed)
	}
	size := len(f.m.data)
	if offset < 0 || n < 0 || offset > size || n > size-offset {
		return fmt.Errorf("%s: advise: range [%d, +%d) is outside the file's %d bytes", f.path, offset, n, size)
	}
	if a > DontNeed {
		return fmt.Errorf("%s: advise: unknown advice %d", f.path, a)
	}
	if n == 0 || f.m.free == nil || f.m.own {
		return nil
	}
	start := offset - offset%os.Getpagesize()
	if err := advise(f.m.data[start:offset+n], a); err != nil {
		return fmt.Errorf("%s: advise: %w", f.path, err)
	}
	return nil
}

func (m *mapping) release() error {
	if m.free == nil {
		return nil
	}
	unregister(m)
	return m.free(m.data)
}

// offset is where addr lies in the mapping.
func (m *mapping) offset(addr uintptr) (int, bool) {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
	if addr < base || addr-base >= uintptr(len(m.data)) {
		return 0, false
	}
	return int(addr - base), true
}

// live are the mappings that a fault may belong to.
var live struct {
	sync.Mutex
	maps []*mapping
}

func register(m *mapping) {
	live.Lock()
	defer live.Unlock()
	live.maps = append(live.maps, m)
}

func unregister(m *mapping) {
	live.Lock()
	defer live.Unlock()
	if i := slices.Index(live.maps, m); i >= 0 {
		live.maps = slices.Delete(live.maps, i, i+1)
	}
}

// Holds reports whether b is a part of a mapped file: bytes outside of Go's heap, on pages
// that hold nothing else.
func Holds(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	m, off := find(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	return m != nil && len(b) <= len(m.data)-off
}

// find gives the live mapping that holds addr, and addr's offset in it.
func find(addr uintptr) (*mapping, int) {
	live.Lock()
	defer live.Unlock()
	for _, m := range live.maps {
		if off, ok := m.offset(addr); ok {
			return m, off
		}
	}
	return nil, 0
}
