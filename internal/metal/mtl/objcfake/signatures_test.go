//go:build linux

package objcfake

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notInDarwinkit are methods that darwinkit v0.5.0 does not have, with where they are from.
var notInDarwinkit = map[string]string{
	"architecture":                         "MTLDevice, macOS 14",
	"setMathMode:":                         "MTLCompileOptions, macOS 15",
	"setMathFloatingPointFunctions:":       "MTLCompileOptions, macOS 15",
	"newResidencySetWithDescriptor:error:": "MTLDevice, macOS 15",
	"addResidencySet:":                     "MTLCommandQueue, macOS 15",
	"setInitialCapacity:":                  "MTLResidencySetDescriptor, macOS 15",
	"addAllocation:":                       "MTLResidencySet, macOS 15",
	"removeAllocation:":                    "MTLResidencySet, macOS 15",
	"requestResidency":                     "MTLResidencySet, macOS 15",
	"endResidency":                         "MTLResidencySet, macOS 15",
	"allocationCount":                      "MTLResidencySet, macOS 15",
}

// otherInDarwinkit are methods whose types darwinkit has otherwise than Apple's headers.
var otherInDarwinkit = map[string]string{
	"physicalMemory": "unsigned long long, which darwinkit reads as int64",
}

// The signatures of the fake are those that darwinkit generated from Apple's headers.
func TestSignatures(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/progrium/darwinkit").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skip("darwinkit is not in the module cache: go mod download")
	}
	known := readSignatures(t, filepath.Join(dir, "macos", "metal"), filepath.Join(dir, "macos", "foundation"))
	if len(known) < 1000 {
		t.Fatalf("darwinkit has %d selectors only", len(known))
	}
	r := Install(M3Max())
	defer r.Close()
	compared := 0
	for _, c := range r.classes {
		for _, methods := range []map[string]method{c.value.(*class).methods, c.class.methods} {
			for selector, m := range methods {
				theirs := known[selector]
				switch {
				case notInDarwinkit[selector] != "":
					if len(theirs) > 0 {
						t.Errorf("%s is in darwinkit", selector)
					}
				case len(theirs) == 0:
					t.Errorf("%s %s is not in darwinkit", c.value.(*class).name, selector)
				case !slices.Contains(theirs, m.signature) && otherInDarwinkit[selector] == "":
					t.Errorf("%s %s has the signature %s, in darwinkit %v", c.value.(*class).name, selector, m.signature, theirs)
				default:
					compared++
				}
			}
		}
	}
	if compared < 50 {
		t.Errorf("%d methods compared", compared)
	}
}

// readSignatures finds the messages that packages of darwinkit send.
func readSignatures(t *testing.T, dirs ...string) map[string][]string {
	t.Helper()
	known, kinds := map[string][]string{}, map[string]string{}
	var functions []*ast.FuncDecl
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					functions = append(functions, d)
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if s, ok := s.(*ast.TypeSpec); ok {
							if under, ok := s.Type.(*ast.Ident); ok {
								kinds[s.Name.Name] = under.Name
							}
						}
					}
				}
			}
		}
	}
	for _, f := range functions {
		if f.Body != nil {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if selector, signature := messageOf(n, f.Type.Params, kinds); selector != "" {
					known[selector] = append(known[selector], signature)
				}
				return true
			})
		}
	}
	return known
}

// messageOf reads objc.Call[T](receiver, objc.Sel("selector"), arguments...).
func messageOf(n ast.Node, params *ast.FieldList, kinds map[string]string) (selector, signature string) {
	c, ok := n.(*ast.CallExpr)
	if !ok || len(c.Args) < 2 {
		return "", ""
	}
	generic, ok := c.Fun.(*ast.IndexExpr)
	if !ok || nameOf(generic.X) != "Call" {
		return "", ""
	}
	sel, ok := c.Args[1].(*ast.CallExpr)
	if !ok || len(sel.Args) != 1 {
		return "", ""
	}
	text, ok := sel.Args[0].(*ast.BasicLit)
	if !ok {
		return "", ""
	}
	selector, _ = strconv.Unquote(text.Value)
	signature = letter(generic.Index, kinds)
	for _, a := range c.Args[2:] {
		kind := "@" // variables that hold an object
		for _, p := range params.List {
			for _, name := range p.Names {
				if name.Name == nameOf(a) {
					kind = letter(p.Type, kinds)
				}
			}
		}
		signature += kind
	}
	return selector, signature
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// letter is that of a type in darwinkit.
func letter(e ast.Expr, kinds map[string]string) string {
	if _, ok := e.(*ast.FuncType); ok {
		return "^" // a block
	}
	name := nameOf(e)
	if under, ok := kinds[name]; ok {
		name = under
	}
	switch name {
	case "uint", "uint64":
		return "Q"
	case "int", "int64":
		return "q"
	case "bool":
		return "B"
	case "float64", "TimeInterval":
		return "d"
	case "Pointer":
		return "^"
	case "Size":
		return "S"
	case "Void":
		return "v"
	}
	return "@"
}
