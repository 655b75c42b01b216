//go:build amd64 && !linux && !purego && !race

package simd

// permitTiles: how other systems give tiles is not known here.
func permitTiles() bool { return false }
