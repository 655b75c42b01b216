package hub

import (
	"os"
	"syscall"
	"time"
)

// lastUsed is when a file was read last, as far as the file system notes it.
func lastUsed(info os.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Atimespec.Unix())
	}
	return info.ModTime()
}
