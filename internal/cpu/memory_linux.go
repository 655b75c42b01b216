package cpu

import "golang.org/x/sys/unix"

// memorySize is the bytes of the machine's memory, or 0 when unknown.
func memorySize() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}
