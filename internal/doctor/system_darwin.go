package doctor

import (
	"runtime"
	"syscall"
)

// system is the version of macOS.
func system() string {
	version, err := syscall.Sysctl("kern.osproductversion")
	if err != nil {
		return "macOS " + runtime.GOARCH
	}
	return "macOS " + version + " " + runtime.GOARCH
}
