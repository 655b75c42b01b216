//go:build !purego && !race

package simd

import "syscall"

// permitTiles asks the system for tile data, for all threads of this process.
// It says no where it does not know tiles.
func permitTiles() bool {
	const reqXcompPerm, xtileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM
	_, _, e := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, reqXcompPerm, xtileData, 0)
	return e == 0
}
