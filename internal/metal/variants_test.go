package metal

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

var kernelFunction = regexp.MustCompile(`\[\[kernel[^\n]*\]\] void (\w+)\(`)

// Every function of every file has a variant, and no variant is there twice or names what
// is not there.
func TestVariantsAreAll(t *testing.T) {
	missing := map[string]bool{}
	files, err := fs.Glob(kernelFiles, "kernels/*.metal")
	if err != nil || len(files) < 10 {
		t.Fatalf("files %v: %v", files, err)
	}
	for _, f := range files {
		text, err := kernelFiles.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(f, "kernels/"), ".metal")
		for _, m := range kernelFunction.FindAllStringSubmatch(string(text), -1) {
			missing[name+"."+m[1]] = true
		}
	}
	all := len(missing)
	seen := map[string]bool{}
	for _, v := range Variants() {
		if seen[v.File+" "+v.Name] {
			t.Errorf("%s %s is there twice", v.File, v.Name)
		}
		seen[v.File+" "+v.Name] = true
	}
	for _, s := range instances() {
		if _, err := s.source(); err != nil {
			t.Error(err)
		}
		delete(missing, s.file+"."+s.fn)
	}
	if all < 30 {
		t.Errorf("only %d functions were found", all)
	}
	for name := range missing {
		t.Errorf("no variant of %s is compiled by mlx doctor: see Variants", name)
	}
}
