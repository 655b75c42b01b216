//go:build !linux

package fmap

// InHugePages does nothing on this system.
func (f *File) InHugePages() (int, error) { return 0, nil }
