package msltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// linker is lld where there is one, which is quicker, and otherwise the system's.
var linker = sync.OnceValue(func() string {
	if _, err := exec.LookPath("ld.lld"); err == nil {
		return "lld"
	}
	if c, err := FindClang(); err == nil {
		if real, err := filepath.EvalSymlinks(c.Path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(real), "ld.lld")); err == nil {
				return "lld"
			}
		}
	}
	return "bfd"
})
