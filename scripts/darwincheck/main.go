// Darwincheck checks on any system that Go packages build for macOS with cgo, where
// go vet cannot: without a Mac, its SDK and its linker.
//
//	go run ./scripts/darwincheck [-arch arm64] [-tags list] ./internal/metal/... ./...
//
// Go files, those with import "C" and tests included, are type-checked against the real
// sources of all that they import, darwinkit too. With clang the C that Go calls has its
// real types and C files are compiled for macOS, warnings being errors; both need C without
// Apple's headers. Without clang it says so and takes every C.name for right.
//
// The exit status is 1 if something is wrong and 2 if nothing could be checked.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	var c checker
	flag.StringVar(&c.arch, "arch", "arm64", "GOARCH of the Mac")
	flag.StringVar(&c.tags, "tags", "", "build tags, with commas between")
	flag.StringVar(&c.clang, "clang", findClang(), "the compiler of C; empty for none")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: darwincheck [flags] packages")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	wrong, err := c.run(os.Stdout, flag.Args())
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "darwincheck:", err)
		os.Exit(2)
	case wrong > 0:
		os.Exit(1)
	}
}

// findClang gives the first clang there is, or "".
func findClang() string {
	for _, name := range []string{"clang", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// A checker has the flags.
type checker struct {
	dir               string // where go list runs; "" is here
	arch, tags, clang string
}

// run checks packages, prints what is wrong and counts it.
func (c checker) run(out io.Writer, patterns []string) (wrong int, err error) {
	pkgs, err := c.list(patterns)
	if err != nil {
		return 0, err
	}
	scratch, err := os.MkdirTemp("", "darwincheck")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	l := newLoader(c, pkgs, scratch)
	ours, cgo, files := 0, 0, 0
	seen := map[string]bool{} // a file may be in a package and in its variant for tests
	for _, p := range pkgs {
		l.check(p)
		if !p.ours() {
			continue
		}
		ours++
		files += len(p.GoFiles) + len(p.CgoFiles)
		if len(p.CgoFiles) > 0 && p.ForTest == "" {
			cgo++
		}
		for _, fault := range append(p.faults, c.compile(p)...) {
			if !seen[fault] {
				seen[fault] = true
				wrong++
				fmt.Fprintln(out, fault)
			}
		}
	}
	with := "C by " + c.clang
	if c.clang == "" {
		with = "C not checked: there is no clang"
	}
	fmt.Fprintf(out, "darwin/%s: %d packages (%d with cgo), %d files, %d faults; %s\n", c.arch, ours, cgo, files, wrong, with)
	return wrong, nil
}
