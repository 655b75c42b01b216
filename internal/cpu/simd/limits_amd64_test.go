//go:build amd64 && unix && !purego && !race

package simd

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// Both widths of the loops end where the memory does.
func TestLimitsAtGuardPage(t *testing.T) {
	for _, n := range []int{ReadBlock, 5 * ReadBlock, 1 << 16} {
		b := guarded(t, n)
		if cpu.X86.HasAVX512F {
			readZ(ptr(b), n)
		}
		if cpu.X86.HasAVX2 {
			readY(ptr(b), n)
		}
		readGo(b)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		fmaY(3)
	}
}
