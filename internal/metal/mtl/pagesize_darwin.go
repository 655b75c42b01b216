//go:build cgo

package mtl

import "os"

func systemPageSize() int { return os.Getpagesize() }
