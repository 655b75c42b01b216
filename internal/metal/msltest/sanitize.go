package msltest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// sanitizerFlags are those of linking, and the macro that tells the runtime.
var sanitizerFlags = map[Mode][]string{
	ASan: {"-fsanitize=address,bounds"},
	TSan: {"-fsanitize=thread", "-DMSL_TSAN"},
	MSan: {"-fsanitize=memory", "-DMSL_MSAN"},
}

// compileRuntime compiles a file of cpp that uses the system's headers.
func compileRuntime(clang Clang, suffix, file string, args ...string) (string, error) {
	dir, err := cppDir()
	if err != nil {
		return "", err
	}
	args = append([]string{"-std=c++17", "-O2", "-fPIC", "-ftls-model=initial-exec", "-fno-exceptions", "-fno-rtti", "-nostdlib++"}, args...)
	key := hash(append([]string{clang.id, cppHash()}, args...)...)
	base := strings.TrimSuffix(file, ".cpp")
	return cached("lib"+base+"-"+key+suffix, func(path string) error {
		_, err := clang.run("", append(args, filepath.Join(dir, file), "-o", path)...)
		return err
	})
}

// executable compiles some kernels for a sanitizer into a program that runs one dispatch.
func (p *Program) executable(mode Mode, names []string) (string, error) {
	extra := sanitizerFlags[mode]
	rt, err := compileRuntime(p.clang, "-"+mode.String()+".o", "runtime.cpp", append([]string{"-c"}, extra[1:]...)...)
	if err != nil {
		return "", err
	}
	run, err := compileRuntime(p.clang, "-"+mode.String()+".o", "run.cpp", append([]string{"-c"}, extra[1:]...)...)
	if err != nil {
		return "", err
	}
	kernels, err := p.compile(append(p.flags(mode, gpu.Safe), "-c"), names, ".o", func(path string, args []string, code string) error {
		_, err := p.clang.run(code, append(args, "-", "-o", path)...)
		return translate(err, nil)
	})
	if err != nil {
		return "", err
	}
	key := hash(rt, run, kernels)
	return cached(key+"."+mode.String(), func(path string) error {
		_, err := p.clang.run("", extra[0], "-fuse-ld="+linker(), kernels, rt, run, "-pthread", "-lm", "-o", path)
		return err
	})
}

// ErrSanitizer is wrapped when a sanitizer found something.
var ErrSanitizer = errors.New("the sanitizer found a fault")

// A SanitizedLaunch is a launch in a process of its own.
type SanitizedLaunch struct {
	Kernel    string
	Constants []gpu.Const
	Buffers   [][]byte // copied there and back; nil is none, and one slice given twice is one buffer
	Offsets   []int    // of arguments into their buffers; nil is none
	Launch             // without its Buffers
}

// RunSanitized runs one dispatch built for ASan, TSan or MSan. An error that wraps
// [ErrSanitizer] has the sanitizer's report.
func (p *Program) RunSanitized(mode Mode, l SanitizedLaunch) (Report, error) {
	if mode != ASan && mode != TSan && mode != MSan {
		return Report{}, fmt.Errorf("%v is no sanitizer", mode)
	}
	e, err := p.entry(l.Kernel)
	if err != nil {
		return Report{}, err
	}
	if err := l.check(e.MaxThreads); err != nil {
		return Report{}, fmt.Errorf("kernel %s: %w", e.Name, err)
	}
	constants, err := p.unit.constantList(e, l.Constants)
	if err != nil {
		return Report{}, err
	}
	program, err := p.executable(mode, []string{l.Kernel})
	if err != nil {
		return Report{}, err
	}
	dir, err := os.MkdirTemp("", "mlx-msl-")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(dir)
	args, files, err := l.write(dir)
	if err != nil {
		return Report{}, err
	}
	report, err := runSanitized(program, constants, append(l.args(), args...))
	if err != nil {
		return report, err
	}
	for i, path := range files {
		after, err := os.ReadFile(path)
		if err != nil {
			return report, err
		}
		copy(l.Buffers[i], after)
	}
	return report, nil
}

// write makes a file of each buffer. It gives the arguments of run.cpp, and the files by
// the first argument that has the buffer.
func (l SanitizedLaunch) write(dir string) (args []string, files map[int]string, err error) {
	files = map[int]string{}
	first := map[*byte]int{}
	for i, b := range l.Buffers {
		if len(b) == 0 {
			args = append(args, "-")
			continue
		}
		at, known := first[unsafe.SliceData(b)]
		if !known {
			at = i
			first[unsafe.SliceData(b)] = i
			files[i] = filepath.Join(dir, strconv.Itoa(i))
			if err := os.WriteFile(files[i], b, 0o600); err != nil {
				return nil, nil, err
			}
		}
		offset := 0
		if i < len(l.Offsets) {
			offset = l.Offsets[i]
		}
		args = append(args, fmt.Sprintf("%d:%s", offset, files[at]))
	}
	return args, files, nil
}

// args are those of run.cpp, but for the buffers.
func (l SanitizedLaunch) args() []string {
	args := []string{l.Kernel}
	for _, n := range append(l.Grid[:], l.Group[:]...) {
		args = append(args, strconv.Itoa(n))
	}
	args = append(args, strconv.Itoa(int(l.Order)), strconv.Itoa(int(l.Seed)), strconv.Itoa(max(l.Workers, 1)))
	lengths := "-"
	if len(l.Threadgroup) > 0 {
		lengths = strings.Trim(strings.ReplaceAll(fmt.Sprint(l.Threadgroup), " ", ","), "[]")
	}
	return append(args, lengths)
}

// What the sanitizers are asked for. Their exit status says that they found something.
var sanitizerOptions = []string{
	"TSAN_OPTIONS=halt_on_error=1 exitcode=66 history_size=2",
	"ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0:exitcode=66",
	"MSAN_OPTIONS=exitcode=66:poison_in_malloc=0",
	"UBSAN_OPTIONS=print_stacktrace=1",
}

func runSanitized(program, constants string, args []string) (Report, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), append(sanitizerOptions, "MSL_CONSTANTS="+constants)...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && bytes.Contains(messages.Bytes(), []byte("unexpected memory mapping")):
		return Report{}, errors.New("this sanitizer of an old clang does not run with so much randomness of addresses: sysctl vm.mmap_rnd_bits=28, or install a newer clang")
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		return Report{}, fmt.Errorf("it could not be run: %s", messages.Bytes())
	case errors.As(err, &exit):
		return Report{}, fmt.Errorf("%w (%v):\n%s", ErrSanitizer, err, messages.Bytes())
	case err != nil:
		return Report{}, err
	}
	var r Report
	line := 0
	_, err = fmt.Sscan(out.String(), &r.Threads, &r.Groups, &r.Switches, &r.Barriers, &r.Collectives,
		&r.DivergentBarriers, &r.DivergentCollectives, &r.IncompleteMatrices, &r.ThreadgroupBytes, &line)
	if err != nil {
		return Report{}, fmt.Errorf("what it did cannot be read from %q: %w", &out, err)
	}
	if line > 0 {
		fields := strings.SplitN(strings.TrimSpace(out.String()), " ", 11)
		r.Where = fmt.Sprintf("%s:%d", fields[10], line)
	}
	return r, nil
}
