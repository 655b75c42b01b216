package amxemu

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/cpu"
)

// envTracer holds the process id of the tracer.
const envTracer = "MLX_AMXEMU"

// Active says whether this process runs under the emulator.
func Active() bool { return os.Getenv(envTracer) == strconv.Itoa(os.Getppid()) }

// Rerun runs this test binary again under the emulator, with the tests that
// pattern (as of go test -run) names, and fails t unless they pass and none is
// skipped. There, [Active] is true. It skips t where ptrace is forbidden, and on
// a CPU that has tiles: some of the instructions would not trap.
func Rerun(t *testing.T, pattern string) Result {
	t.Helper()
	if Active() {
		t.Fatal("a test under the emulator starts the emulator")
	}
	args := []string{"-test.run=" + pattern, "-test.v", "-test.short=" + strconv.FormatBool(testing.Short())}
	if end, ok := t.Deadline(); ok {
		args = append(args, fmt.Sprint("-test.timeout=", time.Until(end)))
	}
	res, out := rerun(t, args...)
	if res.Exit != 0 || !regexp.MustCompile(`(?m)^--- PASS`).Match(out) || regexp.MustCompile(`(?m)^--- SKIP`).Match(out) {
		t.Fatalf("under the emulator, exit status %d:\n%s", res.Exit, out)
	}
	return res
}

func rerun(t *testing.T, args ...string) (Result, []byte) {
	t.Helper()
	if cpu.X86.HasAMXTile {
		t.Skip("this CPU has AMX itself")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	env := append(os.Environ(), fmt.Sprint(envTracer, "=", os.Getpid()))
	res, err := Run(append([]string{exe}, args...), env, out.Fd())
	if errors.Is(err, ErrForbidden) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return res, b
}
