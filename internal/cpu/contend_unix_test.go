//go:build unix

package cpu

import (
	"os/exec"
	"syscall"
)

// detach gives the process its own session: the scheduler of Linux shares the
// cores between sessions, then between the threads of each.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
