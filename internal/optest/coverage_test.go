package optest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

// uncoveredGroups are groups of edge cases that no row checks, and why.
var (
	uncoveredGroups = map[string]string{
		"undefined": "what one processor happened to do",
	}
	// A call that the compiler refuses, and the program that shows it.
	refusedEdges = map[string]string{
		"matmul/at_scalar_error":             "matmul_number.go",
		"fast/sdpa_mask_string_error":        "attention_mask.go",
		"grad/not_array_error":               "grad_number.go",
		"grad/python_float_argument_error":   "grad_of_number.go",
		"io/save_safetensors_not_dict_error": "save_list.go",
	}
)

// ioUnpromised are recorded bytes of files that are not promised.
var ioUnpromised = map[string]string{
	"io/safetensors_bytes_of_view":    "the header's order and spaces are ours",
	"io/save_safetensors_complex":     "the header's order and spaces are ours",
	"io/save_safetensors_names_bytes": "the header's order and spaces are ours",
}

// above are the packages whose tests check recorded arrays and calls too, and how the
// arrays of which files are named there: what a submatch holds is a string in a test.
var above = []struct {
	file string // a golden file, or "edge"
	dirs []string
	key  *regexp.Regexp
}{
	{"nn", []string{"nn"}, regexp.MustCompile(`^(?:act|loss)\.(\w+)$|^(x|t|lab)$`)},
	{"nn", []string{"optim"}, regexp.MustCompile(`^opt\.(\w+)\.(?:w|loss)$|^sched\.(\w+)$|^(opt\.(?:X|Y|w0))$`)},
	{"layers", []string{"nn"}, regexp.MustCompile(`^init\.(.+)$|^default_init\.(.+\))\.|^(\w+)\.`)},
	{"random", []string{"random"}, regexp.MustCompile(`^\d+(\.global)$`)},
	{"edge", []string{"."}, regexp.MustCompile(`^(io/.*)$`)},
}

// stringsOf are the string constants of the tests of a package.
func stringsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					found[s] = true
				}
			}
			return true
		})
	}
	return found
}

// namedAbove reports whether a test of another package names a recorded array or call.
func namedAbove(t *testing.T, file, key string) bool {
	for _, a := range above {
		m := a.key.FindStringSubmatch(key)
		if a.file != file || m == nil {
			continue
		}
		name := strings.Join(m[1:], "") // one of them is not empty
		for _, dir := range a.dirs {
			if testStrings[dir] == nil {
				testStrings[dir] = stringsOf(t, dir)
			}
			for _, s := range []string{key, name, "%d" + name, "default_init." + name + "."} {
				if testStrings[dir][s] {
					return true
				}
			}
		}
	}
	return false
}

var testStrings = map[string]map[string]bool{}

func keysOf(t *testing.T, file string) []string {
	t.Helper()
	dir, ok := Shared()
	if !ok {
		t.Skip("no ../shared to compare with")
	}
	g, err := Open(filepath.Join(dir, "goldens", file+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(g))
}

// TestEveryRecordedKeyIsChecked: each array of the golden files is the input or the result
// of a row, or of a test of another package, or is on the list.
func TestEveryRecordedKeyIsChecked(t *testing.T) {
	for _, file := range []string{"ops", "nn", "layers", "fast", "random"} {
		checked := map[string]bool{}
		for _, c := range Cases {
			if c.File != file {
				continue
			}
			keys := c.Keys
			if keys == nil {
				keys = []string{c.Name}
			}
			for _, k := range append(slices.Clone(keys), c.In...) {
				checked[k] = true
			}
		}
		for _, k := range keysOf(t, file) {
			if !checked[k] && !namedAbove(t, file, k) {
				t.Errorf("%s: nothing checks %q", file, k)
			}
		}
	}
}

// TestEveryRecordedEdgeIsChecked: each id of edge.json has a row, a decision, a program
// that does not compile, or is on the list.
func TestEveryRecordedEdgeIsChecked(t *testing.T) {
	dir, ok := Shared()
	if !ok {
		t.Skip("no ../shared to compare with")
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, m := range []map[string]string{refusedEdges, ioUnpromised} {
		for id := range m {
			left[id] = true
		}
	}
	for id := range decided {
		left[id] = true
	}
	for _, c := range readEdges(t, filepath.Join(dir, "goldens", "edge.json")).Cases {
		group, _, _ := strings.Cut(c.ID, "/")
		_, row := edges[c.ID]
		switch {
		case left[c.ID]:
			delete(left, c.ID)
			if row {
				t.Errorf("%s has a row; take it off the list", c.ID)
			}
		case row || uncoveredGroups[group] != "" || namedAbove(t, "edge", c.ID):
		default:
			t.Errorf("nothing checks %s: %s", c.ID, c.Make)
		}
	}
	for id := range left {
		t.Errorf("%s is on a list, but was not recorded", id)
	}
	for id, program := range refusedEdges {
		if _, err := os.Stat(filepath.Join(root, "testdata", "wrong", program)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestDecided: where MLX is not followed the answer is the one that was decided.
func TestDecided(t *testing.T) {
	for id, d := range decided {
		t.Run(id, func(t *testing.T) {
			var got *mlx.Array
			err := mlx.Try(func() { got = d.got() })
			if err == nil {
				err = mlx.Eval(got)
			}
			if err != nil {
				t.Fatalf("%s: %v", d.why, err)
			}
			if err := Diff(got, d.want, F32); err != nil {
				t.Errorf("%s: %v", d.why, err)
			}
		})
	}
}

// TestTablesAreWhole: each recorded table of dtypes is one that the tests here go through.
func TestTablesAreWhole(t *testing.T) {
	tables := readTables(t)
	want := map[string][]string{
		"binary":        {"divide", "power", "maximum", "less", "floor_divide", "remainder", "bitwise_and", "left_shift", "logaddexp", "arctan2"},
		"binary_scalar": {"divide", "multiply", "power", "floor_divide", "equal", "maximum"},
	}
	for name, got := range map[string][]string{
		"binary": slices.Collect(maps.Keys(tables.Binary)), "binary_scalar": slices.Collect(maps.Keys(tables.BinaryScalar)),
	} {
		for _, op := range got {
			if !slices.Contains(want[name], op) {
				t.Errorf("no test goes through the table of %s %s", name, op)
			}
		}
	}
	for lit, v := range map[string]any{
		"True": true, "1": 1, "1.5": 1.5, "1j": 1i, "[]": []any{}, "[True]": []any{true},
		"[1, 2.5]": []any{1, 2.5}, "[True, 2]": []any{true, 2}, "[1, 2j]": []any{1, 2i},
	} {
		if got, want := mlx.NewArray(v).DType().String(), tables.Literal[lit]; got != want {
			t.Errorf("%s is %s, in MLX %s", lit, got, want)
		}
	}
	if len(tables.Literal) != 9 {
		t.Errorf("%d literals", len(tables.Literal))
	}
}
