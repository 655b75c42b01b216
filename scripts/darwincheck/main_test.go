package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The module of the tests: a package that calls C and darwinkit.
const (
	goMod = "module planted\n\ngo 1.26.0\n\nrequire github.com/progrium/darwinkit v0.5.0\n"

	goFile = `package planted

// #include "add.h"
import "C"

import "github.com/progrium/darwinkit/objc"

func add(a, b int32) int32 { return int32(C.add(C.int32_t(a), C.int32_t(b))) }

func name(o objc.Object) string { return objc.Call[string](o, objc.Sel("name")) }
`
	header = "#include <stdint.h>\nint32_t add(int32_t a, int32_t b);\n"
	cFile  = "#include \"add.h\"\nint32_t add(int32_t a, int32_t b) { return a + b; }\n"

	testFile = `package planted

import "testing"

func TestAdd(t *testing.T) {
	if add(1, 2) != 3 {
		t.Fatal("1 + 2")
	}
}
`
)

func TestPlanted(t *testing.T) {
	clang := findClang()
	if out, err := exec.Command("go", "mod", "download", "github.com/progrium/darwinkit").CombinedOutput(); err != nil {
		t.Skipf("darwinkit is not here: %s", out)
	}
	for _, c := range []struct {
		name, file, old, new string
		want                 string // "" for no fault
		c                    bool   // found by clang only
	}{
		{name: "clean"},
		{"Go", "planted_darwin.go", "return int32(C", "return int64(C", "cannot use int64", false},
		{"a missing name", "planted_darwin.go", "objc.Sel(", "objc.Selector(", "cannot convert", false},
		{"darwinkit's result", "planted_darwin.go", "objc.Call[string]", "objc.Call[int]", "cannot use objc.Call", false},
		{"darwinkit's arguments", "planted_darwin.go", `objc.Sel("name")`, `"name"`, `cannot use "name"`, false},
		{"a type of C", "planted_darwin.go", "C.int32_t(b)", "C.int64_t(b)", "cannot use", true},
		{"a function that C lacks", "planted_darwin.go", "C.add", "C.sub", "C.sub", true},
		{"the preamble", "planted_darwin.go", `#include "add.h"`, `#include "gone.h"`, "gone.h", true},
		{"C", "add_darwin.c", "a + b", "a + c", "undeclared identifier 'c'", true},
		{"a warning of C", "add_darwin.c", "return", "int32_t c; return", "unused variable 'c'", true},
		{"a test", "planted_darwin_test.go", "add(1, 2)", "add(1)", "not enough arguments", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.c && clang == "" {
				t.Skip("there is no clang")
			}
			t.Parallel()
			dir := t.TempDir()
			files := map[string]string{"go.mod": goMod, "add.h": header, "add_darwin.c": cFile, "planted_darwin.go": goFile}
			if c.want == "" || strings.HasSuffix(c.file, "_test.go") { // else package testing would be checked each time
				files["planted_darwin_test.go"] = testFile
			}
			for name, text := range files {
				if name == c.file {
					if !strings.Contains(text, c.old) {
						t.Fatalf("%s has no %q", name, c.old)
					}
					text = strings.Replace(text, c.old, c.new, 1)
				}
				write(t, filepath.Join(dir, name), text)
			}
			sums, err := os.ReadFile(filepath.Join("..", "..", "go.sum"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "go.sum"), string(sums))

			var out strings.Builder
			wrong, err := checker{dir: dir, arch: "arm64", clang: clang}.run(&out, []string{"./..."})
			if err != nil {
				t.Fatal(err)
			}
			if (wrong > 0) != (c.want != "") || !strings.Contains(out.String(), c.want) {
				t.Errorf("%d faults, want %q:\n%s", wrong, c.want, out.String())
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Without clang what can be checked is, and the report says what is not.
func TestWithoutClang(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module planted\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "a_darwin.go"), "package planted\n\n// int f(void);\nimport \"C\"\n\nvar x string = C.f()\nvar y string = 1\n")
	var out strings.Builder
	wrong, err := checker{dir: dir, arch: "arm64"}.run(&out, []string{"./..."})
	if err != nil || wrong != 1 || !strings.Contains(out.String(), "there is no clang") {
		t.Errorf("%d faults, error %v, want 1:\n%s", wrong, err, out.String())
	}
}

func TestNoSuchPackage(t *testing.T) {
	var out strings.Builder
	if wrong, err := (checker{arch: "arm64"}).run(&out, []string{"./nosuch"}); err == nil && wrong == 0 {
		t.Errorf("a package that is not there passes:\n%s", out.String())
	}
}
