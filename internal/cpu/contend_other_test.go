//go:build !unix

package cpu

import "os/exec"

// detach does nothing: there are no sessions.
func detach(*exec.Cmd) {}
