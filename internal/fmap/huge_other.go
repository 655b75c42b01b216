//go:build !linux

package fmap

// InHugePages does nothing on this system, and gives false.
func (f *File) InHugePages() (bool, error) { return false, nil }
