//go:build (amd64 || arm64) && !purego && !race

package cpu

// pause tells the core n times that this thread only waits; n is above 0.
//
//go:noescape
func pause(n uint32)
