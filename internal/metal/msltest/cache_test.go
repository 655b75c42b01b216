package msltest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// A file is made once it is wanted, whole, by however many want it.
func TestCached(t *testing.T) {
	name := hash(t.Name(), time.Now().String())
	var made atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			path, err := cached(name, func(path string) error {
				made.Add(1)
				return os.WriteFile(path, []byte("content"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "content" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wait.Wait()
	before := made.Load()
	path, err := cached(name, func(string) error { return errors.New("made again") })
	if err != nil || before < 1 {
		t.Error(before, err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	if _, err := cached(name, func(string) error { return errors.New("no") }); err == nil || err.Error() != "no" {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "new-*", name)); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"old", "new", "folder/old"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old", "folder"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	prune(dir, old.Add(time.Minute))
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); fmt.Sprint(left) != fmt.Sprint([]string{filepath.Join(dir, "new")}) {
		t.Errorf("%q are left", left)
	}
	prune(filepath.Join(dir, "nothing"), time.Now())
}

// One sentence says what to install.
func TestFindClang(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("scripts stand for compilers")
	}
	dir := t.TempDir()
	script := func(name, says string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("PATH", dir)
	t.Setenv("MLX_CLANG", "")
	if _, err := findClang(); err == nil || !strings.Contains(err.Error(), "install clang 17 or newer, as in apt-get install clang-19") {
		t.Error(err)
	}
	script("clang++", "Debian clang version 16.0.6")
	if _, err := findClang(); !errors.Is(err, errNoClang) {
		t.Error(err)
	}
	script("clang++", "Apple clang version 21.0.0 (clang-2100)")
	if c, err := findClang(); err != nil || c.Version != 21 {
		t.Error(c, err)
	}
	script("clang++-18", "Ubuntu clang version 18.1.3")
	script("clang++-19", "Debian clang version 19.1.7 (3)")
	if c, err := findClang(); err != nil || c.Version != 19 || filepath.Base(c.Path) != "clang++-19" {
		t.Error(c, err)
	}
	for _, c := range []struct{ says, want string }{
		{"g++ 13", "MLX_CLANG names no clang 17 or newer: " + filepath.Join(dir, "cc") + " is no clang"},
		{"clang version 14.0.0", "MLX_CLANG names no clang 17 or newer: " + filepath.Join(dir, "cc") + " is version 14"},
	} {
		t.Setenv("MLX_CLANG", script("cc", c.says))
		if _, err := findClang(); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	t.Setenv("MLX_CLANG", script("cc", "clang version 20.1.0"))
	if c, err := findClang(); err != nil || c.Version != 20 {
		t.Error(c, err)
	}
}

// What a launch may not be.
func TestLaunchCheck(t *testing.T) {
	right := Launch{Grid: [3]int{5, 1, 1}, Group: [3]int{1024, 1, 1}}
	if err := (Entry{MaxThreads: maxThreads}).Check(right); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		change func(*Launch)
		want   string
	}{
		{func(l *Launch) { l.Grid[1] = 0 }, "each size must be at least 1"},
		{func(l *Launch) { l.Group[2] = -1 }, "each size must be at least 1"},
		{func(l *Launch) { l.Group[1] = 2 }, "is 2048 threads: at most 1024 are possible"},
		{func(l *Launch) { l.Group = [3]int{maxGrid, maxGrid, maxGrid} }, "threads: at most 1024 are possible"},
		{func(l *Launch) { l.Threadgroup = []int{8} }, "threadgroup(0) of 8 bytes: the length must be a multiple of 16"},
		{func(l *Launch) { l.Threadgroup = make([]int, 9) }, "9 lengths of threadgroup memory"},
	} {
		l := right
		c.change(&l)
		if err := (Entry{MaxThreads: maxThreads}).Check(l); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// A crash of the compiler, or a message that is no message, is no fault of the source.
func TestTranslate(t *testing.T) {
	for _, c := range []struct {
		messages, want string
		blame          bool
	}{
		{"ld.lld: error: undefined symbol: x\n", "ld.lld: error: undefined symbol: x", false},
		{"a.metal:3:4: error: no member in 'vec<_Float16, 4>' (vector of 4 '_Float16' values)\n", "the kernel does not compile\na.metal:3: error: no member in 'vec<half, 4>' (vector of 4 'half' values)", true},
		{"a:1:1: warning: w\na:2:1: error: cannot convert 'float __attribute__((ext_vector_type(4)))' to 'unsigned int'\na:9:1: note: here\n/c/msl_math.h:1:1: note: there\n",
			"the kernel does not compile\na:2: error: cannot convert 'float4' to 'uint'\na:9: note: here", true},
		{"/c/msl_vector.h:7:1: error: static assertion failed due to requirement '2 == 4': the parts do not fill the vector\nb:5:1: note: in instantiation of function template specialization 'metal::make_vec<float, 4, int>' requested here\n",
			"the kernel does not compile\nb:5: error: the parts do not fill the vector", true},
	} {
		err := translate(&compileError{c.messages}, nil)
		if err == nil || err.Error() != c.want || errors.Is(err, gpu.ErrCompile) != c.blame {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := translate(&compileError{"a:1:1: error: x\n"}, func(message, []message) bool { return false }); err != nil {
		t.Error(err)
	}
}
