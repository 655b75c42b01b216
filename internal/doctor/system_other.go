//go:build !linux && !darwin

package doctor

import "runtime"

// system is all that is known without asking the system.
func system() string { return runtime.GOOS + " " + runtime.GOARCH }
