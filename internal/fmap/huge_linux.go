package fmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	hugePage = 2 << 20
	readPart = 16 << 20 // bytes of a read
	readers  = 4        // most threads that read
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
// speed at which weights can be read. It takes as much memory as the file has, and
// does nothing, giving false, where the system has no huge pages, the file is smaller
// than one, or another file has taken its path.
func (f *File) InHugePages() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.m
	if m == nil {
		return false, fmt.Errorf("%s: %w", f.path, os.ErrClosed)
	}
	if m.own || len(m.data) < hugePage || !hugePages() {
		return m.own, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false, nil // the mapping still has it
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !os.SameFile(info, m.info) || info.Size() != int64(len(m.data)) {
		return false, nil
	}
	base, err := reserve(len(m.data), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.path, os.NewSyscallError("mmap", err))
	}
	data := unsafe.Slice((*byte)(base), len(m.data))
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE)
	if err := readAll(file, data); err != nil {
		_ = unmap(data)
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	err = unix.Mprotect(data, unix.PROT_READ)
	if err == nil {
		n := pages(len(data))
		_, err = unix.MremapPtr(base, n, unsafe.Pointer(unsafe.SliceData(m.data)), n, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
	}
	if err != nil {
		_ = unmap(data)
		return false, fmt.Errorf("%s: %w", f.path, os.NewSyscallError("mremap", err))
	}
	m.own = true
	return true, nil
}

// readAll reads the whole file with a few threads.
func readAll(f *os.File, data []byte) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(readers, runtime.GOMAXPROCS(0)))
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil {
				at := int(next.Add(readPart)) - readPart
				if at >= len(data) {
					return
				}
				_, errs[i] = f.ReadAt(data[at:min(at+readPart, len(data))], int64(at))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// hugePages reports whether the system gives huge pages to who asks for them.
func hugePages() bool {
	b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	return err == nil && !bytes.Contains(b, []byte("[never]"))
}
