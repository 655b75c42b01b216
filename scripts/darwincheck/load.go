package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A pkg is what go list says about a package, and what was found.
type pkg struct {
	ImportPath, Dir, Name, ForTest string
	GoFiles, CgoFiles, CFiles      []string
	CgoCFLAGS                      []string
	Imports                        []string
	ImportMap                      map[string]string
	Standard, DepOnly              bool
	Error                          *struct{ Err string }
	Module                         *struct{ GoVersion string }

	checked bool
	types   *types.Package
	faults  []string
}

// ours says whether a package was asked for, as such or as its variant for tests.
func (p *pkg) ours() bool {
	return (!p.DepOnly || p.ForTest != "") && !p.Standard && !p.isTestMain()
}

// isTestMain says whether it is the program that go test writes.
func (p *pkg) isTestMain() bool { return strings.HasSuffix(p.ImportPath, ".test") }

// list gives the packages with all they import, the imported ones first.
func (c checker) list(patterns []string) (pkgs []*pkg, err error) {
	args := []string{"list", "-e", "-deps", "-test", "-tags=" + c.tags,
		"-json=ImportPath,Dir,Name,ForTest,GoFiles,CgoFiles,CFiles,CgoCFLAGS,Imports,ImportMap,Standard,DepOnly,Error,Module", "--"}
	cmd := exec.Command("go", append(args, patterns...)...)
	cmd.Dir = c.dir
	cmd.Env = c.environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("no packages match %s", strings.Join(patterns, " "))
	}
	return pkgs, nil
}

// environ is that of go's tools for macOS.
func (c checker) environ() []string {
	return append(os.Environ(), "GOOS=darwin", "GOARCH="+c.arch, "CGO_ENABLED=1")
}

// A loader type-checks packages.
type loader struct {
	checker
	scratch string
	fset    *token.FileSet
	pkgs    map[string]*pkg
}

func newLoader(c checker, pkgs []*pkg, scratch string) *loader {
	l := &loader{checker: c, scratch: scratch, fset: token.NewFileSet(), pkgs: map[string]*pkg{}}
	for _, p := range pkgs {
		l.pkgs[p.ImportPath] = p
	}
	return l
}

// check type-checks a package after those it imports. Of other's packages only the
// declarations are checked.
func (l *loader) check(p *pkg) *types.Package {
	if p.checked {
		return p.types
	}
	p.checked = true
	if p.ImportPath == "unsafe" {
		p.types = types.Unsafe
		return p.types
	}
	if p.isTestMain() {
		return nil
	}
	if p.Error != nil {
		p.fault("%s: %s", p.ImportPath, strings.TrimSpace(p.Error.Err))
	}
	files, translated := l.parse(p)
	config := types.Config{
		Importer:         importer{l, p},
		FakeImportC:      !translated,
		IgnoreFuncBodies: !p.ours(),
		Sizes:            types.SizesFor("gc", l.arch),
		Error:            func(err error) { p.fault("%v", err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	path, _, _ := strings.Cut(p.ImportPath, " ")
	p.types, _ = config.Check(path, l.fset, files, nil) // errors went to Error
	return p.types
}

// parse gives the files of a package; translated says whether cgo has put the types of C
// into them.
func (l *loader) parse(p *pkg) (files []*ast.File, translated bool) {
	paths := p.paths(p.GoFiles)
	switch {
	case len(p.CgoFiles) == 0 || !p.ours() || l.clang == "":
		paths = append(paths, p.paths(p.CgoFiles)...)
	default:
		generated, err := l.cgo(p)
		if err != nil {
			p.fault("%v", err)
			paths = append(paths, p.paths(p.CgoFiles)...)
			break
		}
		paths = append(paths, generated...)
		translated = true
	}
	for _, path := range paths {
		f, err := parser.ParseFile(l.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			p.fault("%v", err)
		}
		if f != nil {
			files = append(files, f)
		}
	}
	return files, translated
}

func (p *pkg) paths(names []string) (paths []string) {
	for _, n := range names {
		paths = append(paths, filepath.Join(p.Dir, n))
	}
	return paths
}

func (p *pkg) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// An importer gives the packages that one imports.
type importer struct {
	l *loader
	p *pkg
}

// Import is that of types.Importer.
func (i importer) Import(path string) (*types.Package, error) {
	if to, ok := i.p.ImportMap[path]; ok {
		path = to
	}
	p := i.l.pkgs[path]
	if p == nil {
		return nil, fmt.Errorf("go list gives no package %s", path)
	}
	if t := i.l.check(p); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("package %s cannot be checked", path)
}
