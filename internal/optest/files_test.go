package optest

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

var update = flag.Bool("update", false, "cut testdata/golden from ../shared/goldens again")

// golden files of this repository, and which keys of the recorded file they keep
// (nil for all).
var kept = map[string]*regexp.Regexp{
	"random":      nil,
	"samplers":    nil,
	"fast":        nil,
	"ops":         nil,
	"nn":          nil,
	"layers":      nil,
	"sampling1":   nil,
	"quantize_fp": nil,
	// The inputs, and each number of bits, group size and dtype at least once.
	"quantize_affine": regexp.MustCompile(`^[wx]\.|^float32\.b(4\.g64|8\.g128)\.|^bfloat16\.b(2\.g32|3\.g64|5\.g32)\.|^float16\.b(4\.g32|6\.g128)\.`),
}

// TestGoldenFiles: the files here are the recorded ones, or cuts of them.
func TestGoldenFiles(t *testing.T) {
	shared, ok := Shared()
	if !ok {
		t.Skip("no ../shared to compare with")
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"random", "samplers", "fast", "ops", "nn", "layers", "sampling1", "quantize_fp", "quantize_affine"} {
		from, err := safetensors.Open(filepath.Join(shared, "goldens", name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		var keep []safetensors.Tensor
		for _, x := range from.Tensors() {
			if re := kept[name]; re == nil || re.MatchString(x.Name) {
				keep = append(keep, x)
			}
		}
		path := filepath.Join(root, "testdata", "golden", name+".safetensors")
		if *update {
			if err := safetensors.Write(path, keep, nil); err != nil {
				t.Fatal(err)
			}
		}
		here, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		if len(here.Tensors()) != len(keep) {
			t.Errorf("%s has %d arrays, want %d: run with -update", name, len(here.Tensors()), len(keep))
		}
		for _, x := range keep {
			y, ok := here.Tensor(x.Name)
			if !ok || y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) || string(y.Data) != string(x.Data) {
				t.Errorf("%s: %s differs from what was recorded", name, x.Name)
			}
		}
	}
	checkEdges(t, shared, root)
}

// checkEdges keeps the dtype tables and the cases that have a row of edges.
func checkEdges(t *testing.T, shared, root string) {
	all := readEdges(t, filepath.Join(shared, "goldens", "edge.json"))
	var cut edgeFile
	cut.MLX, cut.Commit, cut.DTypeTables = all.MLX, all.Commit, all.DTypeTables
	for _, c := range all.Cases {
		if _, ok := edges[c.ID]; ok {
			cut.Cases = append(cut.Cases, c)
		}
	}
	text, err := json.MarshalIndent(cut, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	path := filepath.Join(root, "testdata", "golden", "edge.json")
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if here, err := os.ReadFile(path); err != nil || string(here) != string(text) {
		t.Errorf("edge.json is not the cut of the recorded file (%v): run with -update", err)
	}
}
