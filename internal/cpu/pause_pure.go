//go:build (!amd64 && !arm64) || purego || race

package cpu

// pause has nothing to tell the core.
func pause(uint32) {}
