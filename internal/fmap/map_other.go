//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package fmap

import (
	"io"
	"os"
)

// mapFile reads the file onto Go's heap: this system has no mapping here.
func mapFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, err
	}
	return data, nil, nil
}

func advise([]byte, Advice) error { return nil }
