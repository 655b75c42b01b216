package cpu

import "golang.org/x/sys/unix"

// memorySize is the bytes of the machine's memory, or 0 when unknown.
func memorySize() int64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(n)
}
