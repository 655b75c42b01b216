//go:build linux && metalemu

package metal_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// again runs this test binary once more, with the environment as it is now.
func again() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
