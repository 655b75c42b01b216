//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package cpu

func pages(size int) ([]byte, error) { return make([]byte, size), nil }

func unpages([]byte) {}
