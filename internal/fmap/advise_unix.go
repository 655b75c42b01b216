//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fmap

import (
	"os"

	"golang.org/x/sys/unix"
)

func advise(pages []byte, a Advice) error {
	how := [...]int{
		Normal:     unix.MADV_NORMAL,
		Sequential: unix.MADV_SEQUENTIAL,
		Random:     unix.MADV_RANDOM,
		WillNeed:   unix.MADV_WILLNEED,
		DontNeed:   unix.MADV_DONTNEED,
	}[a]
	return os.NewSyscallError("madvise", unix.Madvise(pages, how))
}
