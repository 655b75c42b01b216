//go:build unix && !linux

package launch

import "syscall"

// detached is for shells and ssh: a session of their own, so that a Ctrl-C of the
// terminal reaches the launcher alone.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// attached is for helpers; there is no way to end them with the launcher.
func attached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
