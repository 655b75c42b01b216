package msltest

import (
	"os"
	"path/filepath"
	"testing"
)

// needClang skips a test where there is no compiler.
func needClang(t testing.TB) {
	t.Helper()
	if _, err := FindClang(); err != nil {
		t.Skip(err)
	}
}

func readKernels(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(t testing.TB, source string) *Program {
	t.Helper()
	needClang(t)
	p, err := Parse("test.metal", source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
