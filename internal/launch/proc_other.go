//go:build !unix

package launch

import (
	"os"
	"syscall"
)

func detached() *syscall.SysProcAttr { return nil }

func attached() *syscall.SysProcAttr { return nil }

func killGroup(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
