//go:build amd64 && !purego && !race

package simd

import "encoding/binary"

//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// vendor is the maker of the CPU, "GenuineIntel" or "AuthenticAMD".
func vendor() string {
	_, b, c, d := cpuid(0, 0)
	var s []byte
	for _, r := range []uint32{b, d, c} {
		s = binary.LittleEndian.AppendUint32(s, r)
	}
	return string(s)
}
