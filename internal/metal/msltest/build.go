package msltest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// Options of one compilation; Consts are the pipeline's function constants by index.
type Options struct {
	Consts   map[int]string
	Defines  []string
	Includes []string
	Mode     string // "" | "asan" | "tsan" | "strict" (bfloat as Metal has it, syntax only) | "as" (real address spaces, syntax only) | "ptx"
	Opt      string // -O2 when empty
	CacheDir string
	Only     []string // host names to keep; all when empty
}

var dir string

func clang() string {
	if c := os.Getenv("MLX_CLANG"); c != "" {
		return c
	}
	for _, c := range []string{"clang++-21", "clang++-20", "clang++-19", "clang++-18", "clang++-17", "clang++"} {
		if p, err := exec.LookPath(c); err == nil {
			return p
		}
	}
	return "clang++"
}
func run(name string, in []byte, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(in)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s: %v\n%s", filepath.Base(name), err, e.Bytes())
	}
	return o.Bytes(), nil
}

// Preprocess runs the preprocessor only, with the stub <metal_stdlib>.
func Preprocess(src string, o Options) (string, error) {
	a := []string{"-E", "-x", "c++", "-std=c++17", "-nostdinc", "-D__METAL_VERSION__=310", "-D__METAL__=1", "-D__METAL_MACOS__=1", "-I" + dir + "/stub"}
	for _, i := range o.Includes {
		a = append(a, "-I"+i)
	}
	for _, d := range o.Defines {
		a = append(a, "-D"+d)
	}
	b, err := run(clang(), []byte(src), append(a, "-")...)
	return string(b), err
}

var warn = []string{"-Wall", "-Wno-unknown-attributes", "-Wno-user-defined-literals", "-Wno-duplicate-decl-specifier", "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unused-but-set-variable", "-Wno-unused-const-variable", "-Wno-unknown-pragmas", "-Wno-pass-failed", "-Wno-c++20-extensions", "-Wno-unused-local-typedef", "-Wno-undefined-internal", "-Wno-psabi"}

func flags(o Options) []string {
	opt := o.Opt
	if opt == "" {
		opt = "-O2"
	}
	a := append([]string{"-x", "c++", "-std=c++17", opt, "-nostdinc", "-I" + dir, "-include", "msl.h", "-fno-exceptions", "-fno-rtti", "-ffp-contract=on", "-Xclang", "-ffloat16-excess-precision=none", "-Xclang", "-fbfloat16-excess-precision=none"}, warn...)
	if o.Mode != "ptx" {
		a = append(a, "-fPIC", "-ftls-model=initial-exec")
		if runtime.GOARCH == "amd64" {
			a = append(a, "-march=x86-64-v3")
		}
	}
	for _, d := range o.Defines {
		a = append(a, "-D"+d)
	}
	for k, v := range o.Consts {
		a = append(a, fmt.Sprintf("-DMSL_FC_%d=%s", k, v))
	}
	return a
}

// Compile builds MSL to a shared object (or an executable runner for asan/tsan,
// or PTX), cached by content, and returns its path.
func Compile(src string, o Options) (string, *Unit, error) {
	var err error
	if dir, err = cppDir(); err != nil {
		return "", nil, err
	}
	pp, err := Preprocess(src, o)
	if err != nil {
		return "", nil, err
	}
	u := Rewrite(pp, o.Mode == "ptx", o.Only...)
	keys := []string{o.Mode, o.Opt, strings.Join(o.Defines, " ") + u.CPP}
	for k, v := range o.Consts {
		keys = append(keys, fmt.Sprint(k, "=", v))
	}
	sort.Strings(keys[3:])
	keys = append(keys, cppHash())
	if o.CacheDir == "" {
		o.CacheDir, _ = cacheDir()
	}
	os.MkdirAll(o.CacheDir, 0o755)
	h := sha256.Sum256([]byte(strings.Join(keys, "\x00")))
	base := filepath.Join(o.CacheDir, fmt.Sprintf("%x", h[:12]))
	out := base + map[string]string{"": ".so", "asan": ".asan", "tsan": ".tsan", "ptx": ".ptx", "strict": ".ok", "as": ".as"}[o.Mode]
	if _, err := os.Stat(out); err == nil {
		return out, u, nil
	}
	cpp := base + "." + o.Mode + ".cpp"
	if err := os.WriteFile(cpp, []byte(u.CPP), 0o644); err != nil {
		return "", u, err
	}
	a := flags(o)
	tmp := out + fmt.Sprint(".", os.Getpid())
	switch o.Mode {
	case "":
		rt := filepath.Join(o.CacheDir, fmt.Sprintf("libmslrt-%x.so", sha256.Sum256([]byte(cppHash())))[:len("libmslrt-")+16]+".so")
		if _, e := os.Stat(rt); e != nil {
			if _, e := run(clang(), nil, "-std=c++17", "-O2", "-fPIC", "-ftls-model=initial-exec", "-shared", "-pthread", dir+"/msl_rt.cpp", "-o", rt+".tmp"); e != nil {
				return "", u, e
			}
			os.Rename(rt+".tmp", rt)
		}
		a = append(a, "-shared", cpp, "-x", "none", rt, "-Wl,-rpath,"+o.CacheDir, "-lm", "-o", tmp)
	case "asan", "tsan":
		san := map[string][]string{"asan": {"-fsanitize=address,bounds", "-fno-sanitize-recover=bounds", "-fno-omit-frame-pointer"}, "tsan": {"-fsanitize=thread", "-DMSL_TSAN"}}[o.Mode]
		ro := base + ".rt.o"
		// the runtime itself is not instrumented, or its own bookkeeping would be reported
		ra := []string{"-std=c++17", "-O2", "-fPIC", "-c", dir + "/msl_rt.cpp", "-o", ro}
		if o.Mode == "tsan" {
			ra = append(ra, "-DMSL_TSAN")
		}
		if _, e := run(clang(), nil, ra...); e != nil {
			return "", u, e
		}
		a = append(append(a, "-g"), san...)
		ko := base + ".k.o"
		if _, e := run(clang(), nil, append(a, "-c", cpp, "-o", ko)...); e != nil {
			return "", u, e
		}
		if _, e := run(clang(), nil, append([]string{"-std=c++17", "-O1", "-g", dir + "/msl_run.cpp", ko, ro, "-pthread", "-lm", "-o", tmp}, san...)...); e != nil {
			return "", u, e
		}
		return out, u, os.Rename(tmp, out)
	case "strict":
		a = append(a, "-DMSL_STRICT_BF16", "-fsyntax-only", cpp)
		if _, e := run(clang(), nil, a...); e != nil {
			return "", u, e
		}
		return out, u, os.WriteFile(out, nil, 0o644)
	case "as":
		a = append(a, "-DMSL_STRICT_AS", "-fsyntax-only", cpp)
		if _, e := run(clang(), nil, a...); e != nil {
			return "", u, e
		}
		return out, u, os.WriteFile(out, nil, 0o644)
	}
	if b, e := run(clang(), nil, a...); e != nil {
		return "", u, fmt.Errorf("%w%s", e, b)
	}
	return out, u, os.Rename(tmp, out)
}
