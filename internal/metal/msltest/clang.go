package msltest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A Clang is a compiler that was found.
type Clang struct {
	Path    string
	Version int // 19

	id string // what it says of itself, to tell builds of one version apart
}

const (
	oldestClang = 17
	newestClang = 21
)

var errNoClang = errors.New("clang 17 or newer is needed to run Metal kernels on the CPU: install clang 17 or newer, as in apt-get install clang-19, or name one in MLX_CLANG")

// FindClang gives the compiler that MLX_CLANG names, or the newest on the path.
var FindClang = sync.OnceValues(findClang)

func findClang() (Clang, error) {
	if name := os.Getenv("MLX_CLANG"); name != "" {
		c, err := tryClang(name)
		if err != nil {
			return Clang{}, fmt.Errorf("MLX_CLANG names no clang 17 or newer: %w", err)
		}
		return c, nil
	}
	for v := newestClang; v >= oldestClang; v-- {
		if c, err := tryClang(fmt.Sprintf("clang++-%d", v)); err == nil {
			return c, nil
		}
	}
	if c, err := tryClang("clang++"); err == nil {
		return c, nil
	}
	return Clang{}, errNoClang
}

var versionLine = regexp.MustCompile(`clang version (\d+)\.`)

func tryClang(name string) (Clang, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return Clang{}, err
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return Clang{}, fmt.Errorf("%s --version: %w", path, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Clang{}, fmt.Errorf("%s is no clang", path)
	}
	version, err := strconv.Atoi(string(m[1]))
	if err != nil || version < oldestClang {
		return Clang{}, fmt.Errorf("%s is version %s", path, m[1])
	}
	return Clang{Path: path, Version: version, id: hash(path, string(out))}, nil
}

// run gives what the compiler writes. Its messages are the error.
func (c Clang) run(input string, args ...string) ([]byte, error) {
	cmd := exec.Command(c.Path, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && messages.Len() > 0 {
			return nil, &compileError{messages.String()}
		}
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	return out.Bytes(), nil
}

// A compileError is what a compiler said about a source.
type compileError struct{ messages string }

func (e *compileError) Error() string { return strings.TrimSpace(e.messages) }
