//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package cpu

func hugePages([]byte) {}
