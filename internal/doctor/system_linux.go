package doctor

import (
	"os"
	"runtime"
	"strings"
)

// system is the distribution's name and the kernel's version.
func system() string {
	name := "Linux"
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				name = strings.Trim(v, `"'`)
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		name += ", Linux " + strings.TrimSpace(string(text))
	}
	return name + " " + runtime.GOARCH
}
