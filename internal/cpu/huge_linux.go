package cpu

import "golang.org/x/sys/unix"

// hugePages asks for huge pages; where there are none, small ones do.
func hugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
