package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mlxgo/mlx"

// layers says who may import whom, bottom first: a package imports only packages of
// earlier lines, never of its own. A name is a path below internal; mlx is the root
// and mlx/X the public package X.
const layers = `
atomicfile opt fmap threefry cpu/simd cpu/lapack hf/shards metal/gpu metal/mtl/objcfake
dtype cpu/limits metal/msltest metal/mtl/objc
npy hf/safetensors hf/tokenizer hf/template hf/hub hf/dataset hf/gguf hf/torchfile launch/hostfile metal/mtl metal/emu
launch
launch/discover
tensor
tensor/linalg
tree tensor/fast tensor/fft tensor/random quant distributed
autodiff compile
cpu metal
distributed/reduce
distributed/local distributed/ring
nn
mlx
mlx/fast mlx/fft mlx/linalg mlx/random mlx/tree mlx/distributed
mlx/nn
mlx/optim
mlx/examples/all_sum mlx/examples/arrays mlx/examples/compile mlx/examples/custom_kernel mlx/examples/data_parallel mlx/examples/fast mlx/examples/grad mlx/examples/indexing mlx/examples/lazy mlx/examples/mlp mlx/examples/nn_quantize mlx/examples/quantize mlx/examples/random mlx/examples/saving mlx/examples/unified_memory mlx/examples/value_and_grad mlx/examples/vmap
llm/cache llm/sample llm/weights llm/peft
llm/foreign
llm
llm/models llm/bench llm/ruler llm/convert
llm/calibrate
llm/tune doctor
builtin
cmd/mlx
`

// testOnly packages may import anything, and no package may import them.
const testOnly = "mlx/examples mlx/scripts/darwincheck metal/mtl/whole optest lint amxemu llm/llmtest llm/llmtest/randommodel hf/hub/hubtest launch/nettest distributed/grouptest"

// below gives the packages that one layer may not import though they lie below it.
var below = map[string]string{"tensor": "hf/", "cpu/simd": "tensor"}

// onlyIn gives the packages that may import an outside module (by prefix).
var onlyIn = map[string]string{
	"github.com/spf13/":          "cmd/",
	"github.com/schollz/":        "cmd/",
	"github.com/sugarme/":        "none: it is imported by one test",
	"github.com/ebitengine/":     "none before there is a package that binds libraries",
	"github.com/progrium/":       "metal/mtl",
	"github.com/dlclark/regexp2": "hf/tokenizer",
	"github.com/rivo/uniseg":     "hf/tokenizer",
	"golang.org/x/text":          "hf/tokenizer",
	"golang.org/x/term":          "cmd/",
	"gonum.org/v1/gonum/":        "cpu/lapack",
}

// cgo names the packages that may use it: on macOS, and for the emulator of its kernels.
const cgo = "metal/mtl/objc metal/msltest metal/emu"

func mayUseCgo(name string) bool { return slices.Contains(strings.Fields(cgo), name) }

// pkg is what `go list -json` says about a package.
type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	CgoFiles   []string
	GoFiles    []string
}

// roomOf turns an import path into a name of the layers; ok is false outside of the
// module.
func roomOf(path string) (name string, ok bool) {
	switch rest, in := strings.CutPrefix(path, module+"/"); {
	case path == module:
		return "mlx", true
	case !in:
		return "", false
	case strings.HasPrefix(rest, "internal/"):
		return strings.TrimPrefix(rest, "internal/"), true
	case strings.HasPrefix(rest, "cmd/"):
		return rest, true
	default:
		return "mlx/" + rest, true
	}
}

// check lists what the packages do against the rules.
func check(pkgs []pkg) (faults []string) {
	level := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(layers), "\n") {
		for name := range strings.FieldsSeq(line) {
			level[name] = i
		}
	}
	free := map[string]bool{}
	for name := range strings.FieldsSeq(testOnly) {
		free[name] = true
	}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		name, _ := roomOf(p.ImportPath)
		own, known := level[name]
		if !known && !free[name] {
			fault("%s is in no layer: give it a line of layers_test.go", name)
		}
		if len(p.GoFiles) > 0 && strings.TrimSpace(p.Doc) == "" {
			fault("%s has no package comment", name)
		}
		if len(p.CgoFiles) > 0 && !mayUseCgo(name) {
			fault("%s uses cgo (%s)", name, p.CgoFiles[0])
		}
		for _, path := range p.Imports {
			for _, f := range importFaults(name, path) {
				fault("%s", f)
			}
			if in, ok := roomOf(path); ok && known {
				switch at, listed := level[in]; {
				case free[in]:
					fault("%s imports %s, which is for tests", name, in)
				case !listed:
					fault("%s imports %s, which is in no layer", name, in)
				case at >= own:
					fault("%s imports %s, which is not below it", name, in)
				}
			}
		}
	}
	return faults
}

// importFaults are the rules about one import that the order does not tell.
func importFaults(name, path string) (faults []string) {
	if path == "C" && !mayUseCgo(name) {
		faults = append(faults, fmt.Sprintf("%s imports C: there is no cgo here", name))
	}
	in, inside := roomOf(path)
	if inside && strings.HasPrefix(name, "mlx/examples/") && !strings.HasPrefix(in, "mlx") {
		faults = append(faults, fmt.Sprintf("%s imports %s: an example imports what a user can", name, in))
	}
	if bad, ok := below[name]; ok && inside && strings.HasPrefix(in, bad) {
		faults = append(faults, fmt.Sprintf("%s imports %s, which it may never", name, in))
	}
	for prefix, home := range onlyIn {
		if strings.HasPrefix(path, prefix) && !strings.HasPrefix(name, home) {
			faults = append(faults, fmt.Sprintf("%s imports %s; allowed in: %s", name, path, home))
		}
	}
	return faults
}

// root is the directory of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = up
	}
}

func list(t *testing.T, goos, goarch, tags string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags="+tags, "-json=ImportPath,Doc,Imports,CgoFiles,GoFiles", "./...")
	cmd.Dir = root(t)
	// With cgo on, so that a file that needs it is seen.
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestLayers(t *testing.T) {
	for _, c := range []struct{ goos, goarch, tags string }{
		{"linux", "amd64", ""},
		{"linux", "arm64", "purego"},
		{"linux", "amd64", "invariants"},
		{"linux", "amd64", "metalemu"},
		{"darwin", "arm64", ""},
	} {
		t.Run(c.goos+"/"+c.goarch+","+c.tags, func(t *testing.T) {
			pkgs := list(t, c.goos, c.goarch, c.tags)
			if len(pkgs) < 10 {
				t.Fatalf("go list sees %d packages only", len(pkgs))
			}
			for _, f := range check(pkgs) {
				t.Error(f)
			}
		})
	}
}

// TestLayersCatch plants one violation of each rule.
func TestLayersCatch(t *testing.T) {
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			switch rest, public := strings.CutPrefix(n, "mlx/"); {
			case n == "mlx":
				paths = append(paths, module)
			case public:
				paths = append(paths, module+"/"+rest)
			case strings.Contains(n, ".") || n == "C" || strings.HasPrefix(n, "cmd/"):
				paths = append(paths, n)
			default:
				paths = append(paths, module+"/internal/"+n)
			}
		}
		return paths
	}
	for _, c := range []struct {
		name    string
		imports []string
		want    string // "" for none
	}{
		{"tensor", in("dtype", "opt"), ""},
		{"mlx", in("tensor", "cpu", "quant"), ""},
		{"llm", in("mlx", "mlx/nn", "llm/cache", "hf/tokenizer"), ""},
		{"optest", in("cpu", "mlx/random", "llm"), ""},
		{"tensor", in("cpu"), "tensor imports cpu, which is not below it"},
		{"tensor", in("tensor/fast"), "tensor imports tensor/fast, which is not below it"},
		{"quant", in("tensor/random"), "quant imports tensor/random, which is not below it"},
		{"tensor", in("hf/safetensors"), "tensor imports hf/safetensors, which it may never"},
		{"llm", in("llm/models"), "llm imports llm/models, which is not below it"},
		{"nn", in("mlx"), "nn imports mlx, which is not below it"},
		{"llm", in("nosuch"), "llm imports nosuch, which is in no layer"},
		{"llm", in("optest"), "llm imports optest, which is for tests"},
		{"llm", in("github.com/spf13/viper"), "llm imports github.com/spf13/viper; allowed in: cmd/"},
		{"llm/models", in("github.com/spf13/cobra"), "llm/models imports github.com/spf13/cobra; allowed in: cmd/"},
		{"cpu", in("C"), "cpu imports C: there is no cgo here"},
		{"metal/mtl/objc", in("C", "metal/mtl/objcfake", "github.com/progrium/darwinkit/objc"), ""},
		{"metal", in("C"), "metal imports C: there is no cgo here"},
		{"metal", in("github.com/progrium/darwinkit/objc"), "metal imports github.com/progrium/darwinkit/objc; allowed in: metal/mtl"},
		{"metal/mtl", in("metal/emu"), "metal/mtl imports metal/emu, which is not below it"},
		{"mlx/examples/grad", in("mlx", "mlx/nn", "mlx/optim"), ""},
		{"mlx/examples/grad", in("tensor"), "mlx/examples/grad imports tensor: an example imports what a user can"},
		{"attic", nil, "attic is in no layer: give it a line of layers_test.go"},
	} {
		p := pkg{ImportPath: in(c.name)[0], Doc: "Package x.", Imports: c.imports, GoFiles: []string{"x.go"}}
		got := check([]pkg{p})
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s importing %v: %q, want no fault", c.name, c.imports, got)
		case c.want != "" && (len(got) == 0 || got[0] != c.want):
			t.Errorf("%s importing %v: %q, want %q", c.name, c.imports, got, c.want)
		}
	}
	bare := pkg{ImportPath: module + "/internal/opt", GoFiles: []string{"x.go"}, CgoFiles: []string{"y.go"}}
	if got := check([]pkg{bare}); len(got) != 2 {
		t.Errorf("no comment and cgo: %q", got)
	}
}
