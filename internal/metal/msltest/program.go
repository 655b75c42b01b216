package msltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// Mode says what a program is compiled for.
type Mode int

// The modes. Strict and Spaces check and give nothing to run; see the package comment.
const (
	Plain Mode = iota
	ASan
	TSan
	MSan
	Strict
	Spaces
)

func (m Mode) String() string {
	return [...]string{"plain", "asan", "tsan", "msan", "strict", "spaces"}[m]
}

// A Program is source that was expanded and rewritten.
type Program struct {
	name  string
	clang Clang
	unit  *unit
}

// Parse reads Metal source. name is its file's in messages. Only what the preprocessor
// refuses is an error here, wrapping [gpu.ErrCompile]; [Program.Lint], [Program.Check] and
// loading tell the rest.
func Parse(name, source string) (*Program, error) {
	clang, err := FindClang()
	if err != nil {
		return nil, err
	}
	expanded, err := expand(clang, fileName(name), source)
	if err != nil {
		return nil, err
	}
	return &Program{name: name, clang: clang, unit: rewrite(expanded)}, nil
}

// fileName makes a name fit for #line.
func fileName(name string) string {
	clean := strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, name)
	if clean == "" {
		return "kernel"
	}
	return clean
}

// expand runs the preprocessor. Its results are kept.
func expand(clang Clang, name, source string) (string, error) {
	dir, err := cppDir()
	if err != nil {
		return "", err
	}
	source = fmt.Sprintf("#line 1 %q\n%s", name, source)
	path, err := cached(hash(clang.id, cppHash(), source)+".i", func(path string) error {
		out, err := clang.run(source, "-E", "-x", "c++", "-std=c++17", "-nostdinc", "-undef",
			"-D__METAL__=1", "-D__METAL_VERSION__=310", "-D__METAL_MACOS__=1", "-D__HAVE_BFLOAT__=1", "-D__APPLE__=1",
			"-fno-caret-diagnostics", "-fno-color-diagnostics", "-I"+filepath.Join(dir, "stub"), "-")
		if err != nil {
			return translate(err, nil)
		}
		return os.WriteFile(path, out, 0o644)
	})
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// Entries lists the kernels, in order of the source.
func (p *Program) Entries() []Entry { return p.unit.entries }

// Constants lists the function constants.
func (p *Program) Constants() []Constant { return p.unit.constants }

// Lint lists what Metal's compiler would refuse though clang may not.
func (p *Program) Lint() []string { return p.unit.lint }

// entry finds a kernel by its host name.
func (p *Program) entry(name string) (Entry, error) {
	i := slices.IndexFunc(p.unit.entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}, fmt.Errorf("%s has no kernel %s", p.name, name)
	}
	return p.unit.entries[i], nil
}

// Check compiles in mode Strict or Spaces. The error wraps [gpu.ErrCompile].
func (p *Program) Check(mode Mode) error {
	args := append(p.flags(mode, gpu.Safe), "-fsyntax-only")
	var keep func(message, []message) bool
	if mode == Spaces {
		keep = mixesSpaces
	}
	_, err := p.compile(args, nil, ".ok", func(path string, args []string, code string) error {
		if _, err := p.clang.run(code, append(args, "-")...); err != nil {
			if err = translate(err, keep); err != nil {
				return err
			}
		}
		return os.WriteFile(path, nil, 0o644)
	})
	return err
}

// compile keeps the results of compilations with the library in front.
func (p *Program) compile(args, names []string, suffix string, build func(path string, args []string, code string) error) (string, error) {
	code := p.unit.code + p.unit.entryCode(names)
	key := hash(append([]string{p.clang.id, cppHash(), code}, args...)...)
	return cached(key+suffix, func(path string) error {
		pch, err := precompiled(p.clang, args)
		if err != nil {
			return err
		}
		return build(path, append(slices.Clone(args), "-include-pch", pch, "-x", "c++"), code)
	})
}

// precompiled gives the library, compiled for those flags.
func precompiled(clang Clang, args []string) (string, error) {
	dir, err := cppDir()
	if err != nil {
		return "", err
	}
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-shared" || a == "-c" || a == "-fsyntax-only" })
	key := hash(append([]string{clang.id, cppHash(), dir}, args...)...)
	return cached("msl-"+key+".pch", func(path string) error {
		_, err := clang.run("", append(args, "-Xclang", "-fno-pch-timestamp", "-x", "c++-header", filepath.Join(dir, "msl.h"), "-o", path)...)
		return err
	})
}

// flags are those of all compilations of a mode.
func (p *Program) flags(mode Mode, math gpu.Math) []string {
	args := []string{
		"-nostdinc", "-fPIC", "-ftls-model=initial-exec", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics",
		"-fno-delete-null-pointer-checks", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=on",
		"-Xclang", "-ffloat16-excess-precision=none", "-Xclang", "-fbfloat16-excess-precision=none",
		// Barriers and collectives are told apart by the place of the call: there must be no copies of one.
		"-Xclang", "-fconvergent-functions", "-mllvm", "-disable-tail-duplicate", "-mllvm", "-disable-early-taildup",
		"-mllvm", "-tail-dup-placement=0",
		"-fno-caret-diagnostics", "-fno-color-diagnostics", "-fno-elide-type", "-ferror-limit=20",
		"-Wno-everything", "-Werror=vla", "-Werror=return-type",
	}
	if runtime.GOARCH == "amd64" {
		args = append(args, "-march="+march())
	}
	switch math {
	case gpu.Relaxed:
		args = append(args, "-fassociative-math", "-freciprocal-math", "-fno-signed-zeros")
	case gpu.Fast:
		args = append(args, "-fassociative-math", "-freciprocal-math", "-fno-signed-zeros", "-ffinite-math-only")
	}
	switch mode {
	case Plain:
		// Locals that nobody set are NaN, or large: never what they happen to be. -O1 compiles no
		// faster: of 85 ms for a small kernel half is the linker.
		return append(args, "-std=c++17", "-O2", "-ftrivial-auto-var-init=pattern", "-fuse-ld="+linker(), "-nostdlib")
	case ASan:
		args = append(args, "-fsanitize=address,bounds", "-fno-sanitize-recover=bounds", "-fno-omit-frame-pointer")
	case TSan:
		args = append(args, "-fsanitize=thread")
	case MSan:
		args = append(args, "-fsanitize=memory", "-fno-omit-frame-pointer")
	case Strict:
		// Metal is C++14 with few additions; those of clang are allowed.
		return append(args, "-std=c++14", "-DMSL_STRICT", "-Werror=uninitialized", "-Werror=sometimes-uninitialized")
	case Spaces:
		return append(args, "-std=c++17", "-DMSL_SPACES")
	}
	return append(args, "-std=c++17", "-O1", "-g")
}

// march is the newest level of x86-64 that this machine has and the kernels gain from.
var march = sync.OnceValue(func() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "x86-64-v2"
	}
	for line := range strings.Lines(string(info)) {
		if flags, ok := strings.CutPrefix(line, "flags"); ok {
			have := strings.Fields(flags)
			for _, f := range []string{"avx2", "bmi2", "f16c", "fma", "movbe"} {
				if !slices.Contains(have, f) {
					return "x86-64-v2"
				}
			}
			return "x86-64-v3"
		}
	}
	return "x86-64-v2"
})
