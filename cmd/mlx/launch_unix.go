//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreTerminalInput lets a launcher in the background find its standard input empty: a
// read of the terminal would stop it, and the hosts would take it for dead. The ranks have
// no terminal.
func ignoreTerminalInput() { signal.Ignore(syscall.SIGTTIN) }
