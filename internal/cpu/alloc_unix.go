//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cpu

import (
	"os"

	"golang.org/x/sys/unix"
)

// hugeMin is the bytes from which on memory is asked for in huge pages: the first write
// to each small page costs more than what is written.
const hugeMin = 8 << 20

// pages maps fresh zeroed pages, which the collector neither scans nor counts.
func pages(size int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil && size >= hugeMin {
		hugePages(b)
	}
	return b, os.NewSyscallError("mmap", err)
}

// unpages gives them back. The range is a whole mapping, which cannot fail.
func unpages(b []byte) { _ = unix.Munmap(b) }
