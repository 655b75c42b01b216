package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// goBuild is a Go program that is built for each kind of host.
type goBuild struct {
	dir  string // where go build runs
	what string // its argument
	name string // of the program
}

// findBuild says whether word is a Go file or the directory of a Go package.
func findBuild(word string) (*goBuild, error) {
	info, err := os.Stat(word)
	switch {
	case strings.HasSuffix(word, ".go") && err != nil:
		return nil, err
	case err != nil || !info.IsDir() && !strings.HasSuffix(word, ".go"):
		return nil, nil // the hosts know where it is
	}
	path, err := filepath.Abs(word)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if files, err := filepath.Glob(filepath.Join(globEscape(path), "*.go")); err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s is a directory without Go files", word)
		}
		return &goBuild{dir: path, what: ".", name: filepath.Base(path)}, nil
	}
	base := filepath.Base(path)
	return &goBuild{dir: filepath.Dir(path), what: "./" + base, name: strings.TrimSuffix(base, ".go")}, nil
}

func globEscape(path string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(path)
}

// systems are what `uname -sm` says, and what Go calls it.
var systems = map[string][]string{
	"Linux x86_64":      {"GOOS=linux", "GOARCH=amd64"},
	"Linux aarch64":     {"GOOS=linux", "GOARCH=arm64"},
	"Linux arm64":       {"GOOS=linux", "GOARCH=arm64"},
	"Linux armv7l":      {"GOOS=linux", "GOARCH=arm", "GOARM=7"},
	"Linux armv6l":      {"GOOS=linux", "GOARCH=arm", "GOARM=6"},
	"Linux i686":        {"GOOS=linux", "GOARCH=386"},
	"Linux i386":        {"GOOS=linux", "GOARCH=386"},
	"Linux riscv64":     {"GOOS=linux", "GOARCH=riscv64"},
	"Linux ppc64le":     {"GOOS=linux", "GOARCH=ppc64le"},
	"Linux s390x":       {"GOOS=linux", "GOARCH=s390x"},
	"Linux loongarch64": {"GOOS=linux", "GOARCH=loong64"},
	"Darwin arm64":      {"GOOS=darwin", "GOARCH=arm64"},
	"Darwin x86_64":     {"GOOS=darwin", "GOARCH=amd64"},
	"FreeBSD amd64":     {"GOOS=freebsd", "GOARCH=amd64"},
	"FreeBSD arm64":     {"GOOS=freebsd", "GOARCH=arm64"},
}

// build makes the program for a system in the directory scratch, where it also keeps
// its temporary files, and gives its path.
func (b *goBuild) build(ctx context.Context, system, scratch string) (string, error) {
	env, ok := systems[system]
	if !ok {
		return "", fmt.Errorf("%s cannot be built for %q", b.name, system)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("building %s needs the go command, which is not in PATH", b.name)
	}
	place := filepath.Join(scratch, strings.ReplaceAll(system, " ", "-"))
	if err := os.Mkdir(place, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(place, b.name)
	cmd := exec.CommandContext(ctx, tool, "build", "-o", path, b.what)
	cmd.Dir = b.dir
	cmd.Env = append(slices.Concat(os.Environ(), env), "CGO_ENABLED=0", "GOTMPDIR="+place, "PWD="+b.dir)
	cmd.SysProcAttr = attached()
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = 2 * time.Second
	runtime.LockOSThread() // what attached asks for follows the thread
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("building %s for %s: %w\n%s", b.name, system, err, bytes.TrimSpace(out.Bytes()))
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o100 == 0 {
		return "", errors.Join(fmt.Errorf("%s is no program: it is not package main", b.what), err)
	}
	return path, nil
}
