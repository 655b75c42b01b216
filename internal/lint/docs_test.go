package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

// Limits of size. Functions aim at 60 lines; what must be longer is a table or a
// switch, and stays below the hard limit.
const (
	maxFile     = 600
	maxFunction = 90
)

// publicDirs are the packages that a user imports, as far as they exist.
var publicDirs = []string{".", "fast", "random", "nn", "optim", "tree"}

// sources calls f for each Go file of ours below the root.
func sources(t *testing.T, f func(path string)) {
	t.Helper()
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != dir && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") {
			f(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// short is path as a reader knows it.
func short(t *testing.T, path string) string {
	t.Helper()
	rel, err := filepath.Rel(root(t), path)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(rel)
}

func TestSizes(t *testing.T) {
	sources(t, func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > maxFile {
			t.Errorf("%s has %d lines, the limit is %d: split it", short(t, path), n, maxFile)
		}
		if strings.HasSuffix(path, "_test.go") {
			return // tables of cases may be long
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if n := files.Position(fn.End()).Line - files.Position(fn.Pos()).Line + 1; n > maxFunction {
					t.Errorf("%s: %s has %d lines, the limit is %d", short(t, path), fn.Name.Name, n, maxFunction)
				}
			}
		}
	})
}

// undocumented lists the exported names of a file that have no comment.
func undocumented(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && receiverExported(d) && !isKeywordMethod(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
						names = append(names, s.Name.Name)
					}
				case *ast.ValueSpec: // one comment may speak for a group
					for _, n := range s.Names {
						if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
							names = append(names, n.Name)
						}
					}
				}
			}
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	id, ok := t.(*ast.Ident)
	return !ok || id.IsExported()
}

// isKeywordMethod tells the methods ForX(*opt.Set) that make a value a keyword, where
// one comment per type is enough, and String, which needs none.
func isKeywordMethod(d *ast.FuncDecl) bool {
	return d.Recv != nil && (d.Name.Name == "String" || strings.HasPrefix(d.Name.Name, "For") && len(d.Type.Params.List) == 1)
}

// counterpart finds what a comment calls the same thing in MLX: mx.NAME, nn.NAME,
// a keyword as axis=, another word of Python, or that MLX has none.
var counterpart = regexp.MustCompile(`\b(mx|nn|optim|optimizers|utils|mlx\.core)\.[a-zA-Z_]|\b[a-z_]+=|\b\w+\.[a-z_]+\(|\btree_[a-z]|MLX|mlx-lm|mlx\.nn|Python`)

// alone lists exported functions, types, constants and variables whose comment, or
// that of their group, does not tell what they are in MLX. A type ...Option is a set of
// keywords, which tell it themselves.
func alone(file *ast.File) (names []string) {
	told := func(docs ...*ast.CommentGroup) bool {
		for _, d := range docs {
			if counterpart.MatchString(d.Text()) {
				return true
			}
		}
		return false
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() && !told(d.Doc) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && !strings.HasSuffix(s.Name.Name, "Option") && !told(d.Doc, s.Doc, s.Comment) {
						names = append(names, s.Name.Name)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && !told(d.Doc, s.Doc, s.Comment) {
						names = append(names, s.Names[0].Name)
					}
				}
			}
		}
	}
	return names
}

func TestPublicNamesAreDocumented(t *testing.T) {
	for _, dir := range publicDirs {
		paths, err := filepath.Glob(filepath.Join(root(t), dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range undocumented(file) {
				t.Errorf("%s: %s has no comment", short(t, path), name)
			}
			for _, name := range alone(file) {
				t.Errorf("%s: the comment of %s neither names its counterpart in MLX nor says that it is not in MLX", short(t, path), name)
			}
		}
	}
}

func TestUndocumentedCatches(t *testing.T) {
	const text = `package x
func A() {}
// B does.
func B() {}
func c() {}
type D int
// E is.
type E int
func (E) F() {}
func (E) ForOp(s *Set) {}
const ( G = 1; h = 2 )
// These are.
const ( I = 1; J = 2 )
type ( K int // k
	L int )
`
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(undocumented(file)), "[A D F G L]"; got != want {
		t.Errorf("undocumented: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(alone(file)), "[A B D E G I J K L]"; got != want {
		t.Errorf("alone: %s, want %s", got, want)
	}
	const told = "package x\n// A is mx.a.\nfunc A() {}\n// B is axis=.\ntype B int\n// C is ours (not in MLX).\nconst C = 1\n"
	if file, err = parser.ParseFile(token.NewFileSet(), "x.go", told, parser.ParseComments|parser.SkipObjectResolution); err != nil || len(alone(file)) > 0 {
		t.Errorf("alone: %s, %v", alone(file), err)
	}
}

// TestArrayMethodsAreListed keeps the comment of Array true: go doc shows no
// methods of an alias, so the comment names them.
func TestArrayMethodsAreListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root(t), "mlx.go"), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || len(g.Specs) != 1 || g.Tok != token.TYPE || g.Specs[0].(*ast.TypeSpec).Name.Name != "Array" {
			continue
		}
		for _, line := range strings.Split(g.Doc.Text(), "\n") {
			if names, code := strings.CutPrefix(line, "\t"); code {
				listed = append(listed, strings.Fields(names)...)
			}
		}
	}
	if len(listed) == 0 {
		t.Fatal("mlx.go: the comment of Array lists no methods")
	}
	var methods []string
	for typ, i := reflect.TypeFor[*mlx.Array](), 0; i < typ.NumMethod(); i++ {
		methods = append(methods, typ.Method(i).Name)
	}
	for _, m := range methods {
		if !slices.Contains(listed, m) {
			t.Errorf("method %s of Array is not in its comment", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(methods, m) {
			t.Errorf("the comment of Array lists %s, which is no method", m)
		}
	}
	slices.Sort(listed)
	if n := len(listed); n != len(slices.Compact(listed)) {
		t.Error("the comment of Array lists a method twice")
	}
}

// TestModelsReadNoLength: a traced step must not depend on how full a cache is, so
// models never ask (State.Len is for host logic).
func TestModelsReadNoLength(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root(t), "internal/llm/models/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, pos := range lenCalls(file) {
			t.Errorf("%s:%d: a model reads Len()", short(t, path), files.Position(pos).Line)
		}
	}
}

// lenCalls finds calls x.Len().
func lenCalls(file *ast.File) (at []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Len" && len(call.Args) == 0 {
				at = append(at, call.Pos())
			}
		}
		return true
	})
	return at
}

func TestLenCallsCatch(t *testing.T) {
	const text = "package m\nfunc f(c State) int { n := len(x); _ = c.Pos(); return c.Len() + n }\n"
	file, err := parser.ParseFile(token.NewFileSet(), "m.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(lenCalls(file)); got != 1 {
		t.Errorf("%d calls found, want 1", got)
	}
}
