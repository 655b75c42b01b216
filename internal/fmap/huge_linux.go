package fmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	hugePage = 2 << 20
	readPart = 32 << 20 // bytes that move at a time

	// To find free huge pages, the system may have to move others first: more than a
	// second for each GB, where 0.3 is usual, is too much.
	minPatience    = 100 * time.Millisecond
	bytesPerSecond = 1 << 30
)

// mapFile maps a file at a multiple of a huge page, so that its bytes can move into
// huge pages later.
func mapFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	base, err := reserve(size, unix.PROT_NONE)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	if _, err := unix.MmapPtr(int(f.Fd()), 0, base, uintptr(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		_ = unix.MunmapPtr(base, pages(size))
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return unsafe.Slice((*byte)(base), size), unmap, nil
}

func unmap(data []byte) error {
	return os.NewSyscallError("munmap", unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(data)), pages(len(data))))
}

// reserve is anonymous memory for size bytes at a multiple of a huge page.
func reserve(size, prot int) (unsafe.Pointer, error) {
	n := pages(size)
	p, err := unix.MmapPtr(-1, 0, nil, n+hugePage, prot, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	head := -uintptr(p) % hugePage
	base := unsafe.Add(p, head)
	if head > 0 {
		err = unix.MunmapPtr(p, head)
	}
	return base, errors.Join(err, unix.MunmapPtr(unsafe.Add(base, n), hugePage-head))
}

// pages rounds size up to whole pages.
func pages(size int) uintptr {
	p := os.Getpagesize()
	return uintptr((size + p - 1) / p * p)
}

// InHugePages reads the file into huge pages of the process's own at the addresses of
// its bytes, which change for nobody: small pages of a mapping cost a fifth of the
// speed at which weights can be read. It gives the bytes that moved: none where the
// system has no huge pages, the file is smaller than one, or another file has taken
// its path; and not all where the system takes long to find free huge pages. What
// moved takes as much memory as it has bytes. Others may read the bytes meanwhile.
func (f *File) InHugePages() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.m
	if m == nil {
		return 0, fmt.Errorf("%s: %w", f.path, os.ErrClosed)
	}
	if m.own || len(m.data) < hugePage || !hugePages() {
		return 0, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return 0, nil // the mapping still has it
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !os.SameFile(info, m.info) || info.Size() != int64(len(m.data)) {
		return 0, nil
	}
	m.own = true
	n, err := m.move(file)
	if err != nil {
		return n, fmt.Errorf("%s: %w", f.path, err)
	}
	return n, nil
}

// move moves one part after another, until patience ends.
func (m *mapping) move(file *os.File) (int, error) {
	patience := minPatience + time.Duration(len(m.data))*time.Second/bytesPerSecond
	start, at := time.Now(), 0
	for at < len(m.data) && time.Since(start) < patience {
		part := m.data[at:min(at+readPart, len(m.data))]
		if err := movePart(part, file, at); err != nil {
			return at, err
		}
		at += len(part)
	}
	return at, nil
}

// movePart puts what the file has from at on into huge pages, and these in the place
// of part.
func movePart(part []byte, file *os.File, at int) error {
	base, err := reserve(len(part), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	data := unsafe.Slice((*byte)(base), len(part))
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE)
	if _, err = file.ReadAt(data, int64(at)); err == nil {
		if err = unix.Mprotect(data, unix.PROT_READ); err == nil {
			n := pages(len(part))
			_, err = unix.MremapPtr(base, n, unsafe.Pointer(unsafe.SliceData(part)), n, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
			err = os.NewSyscallError("mremap", err)
		}
	}
	if err != nil {
		_ = unmap(data)
	}
	return err
}

// hugePages reports whether the system gives huge pages to who asks for them.
func hugePages() bool {
	b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	return err == nil && !bytes.Contains(b, []byte("[never]"))
}
