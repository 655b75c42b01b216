package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// target is clang's name of the oldest macOS that Metal is supported on.
func (c checker) target() string {
	arch := map[string]string{"amd64": "x86_64"}[c.arch]
	if arch == "" {
		arch = c.arch
	}
	// Freestanding: clang's own headers only, of the system that is not here.
	return "--target=" + arch + "-apple-macos14"
}

// cgo translates the files with import "C" and gives those it wrote, which have C's types.
func (l *loader) cgo(p *pkg) (paths []string, err error) {
	dir, err := os.MkdirTemp(l.scratch, "cgo")
	if err != nil {
		return nil, err
	}
	args := append([]string{"tool", "cgo", "-objdir", dir, "-importpath", p.ImportPath, "--", "-I", p.Dir}, p.CgoCFLAGS...)
	cmd := exec.Command("go", append(args, p.CgoFiles...)...)
	cmd.Dir = p.Dir
	cmd.Env = append(l.environ(), "CC="+l.clang+" "+l.target()+" -ffreestanding")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: cgo: %w\n%s", p.ImportPath, err, strings.TrimSpace(string(out)))
	}
	paths = []string{filepath.Join(dir, "_cgo_gotypes.go")}
	for _, name := range p.CgoFiles {
		paths = append(paths, filepath.Join(dir, strings.TrimSuffix(name, ".go")+".cgo1.go"))
	}
	return paths, nil
}

// compile lists what clang says of the C files of a package.
func (c checker) compile(p *pkg) (faults []string) {
	if c.clang == "" || p.ForTest != "" {
		return nil
	}
	flags := append([]string{c.target(), "-ffreestanding", "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", p.Dir}, p.CgoCFLAGS...)
	for _, path := range p.paths(p.CFiles) {
		out, err := exec.Command(c.clang, append(slices.Clone(flags), path)...).CombinedOutput()
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: clang: %v\n%s", path, err, strings.TrimSpace(string(out))))
		}
	}
	return faults
}
