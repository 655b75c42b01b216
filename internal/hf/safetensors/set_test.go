package safetensors

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// modelDir writes files: a value that is a list of names separated by blanks is
// a shard with those tensors (of one byte), every other value is the content.
func modelDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, ".safetensors") {
			var tensors []Tensor
			for _, n := range strings.Fields(content) {
				tensors = append(tensors, Tensor{Name: n, DType: dtype.Uint8, Shape: []int{1}, Data: []byte(n[:1])})
			}
			err = Write(path, tensors, nil)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenDir(t *testing.T) {
	const weightMap = `{"metadata":{"total_size":3},"weight_map":{"c":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`
	for _, c := range []struct {
		name      string
		files     map[string]string
		names     []string
		shards    int
		unindexed []string
	}{
		{"one file", map[string]string{"model.safetensors": "b a", "adapters.safetensors": "x"}, []string{"a", "b"}, 1, nil},
		{"any name after model", map[string]string{"model_x.safetensors": "b", "model.safetensors": "a"}, []string{"a", "b"}, 2, nil},
		{"numbered without index", map[string]string{"model-00001-of-00002.safetensors": "", "model-00002-of-00002.safetensors": "a"}, []string{"a"}, 2, nil},
		{"index", map[string]string{IndexName: weightMap, "model-00001-of-00002.safetensors": "a",
			"model-00002-of-00002.safetensors": "b c", "model.safetensors": "a"}, []string{"a", "b", "c"}, 2, []string{"model.safetensors"}},
		{"index of one file", map[string]string{IndexName: `{"weight_map":{"a":"model.safetensors"},"x":[[]]}`, "model.safetensors": "a"}, []string{"a"}, 1, nil},
		{"subdirectory", map[string]string{IndexName: `{"weight_map":{"a":"w/s.safetensors"}}`, "w/s.safetensors": "a"}, []string{"a"}, 1, nil},
	} {
		s, err := OpenDir(modelDir(t, c.files))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(s.Names(), c.names) || len(s.Files) != c.shards || s.TotalBytes() != int64(len(c.names)) || !slices.Equal(s.Unindexed, c.unindexed) {
			t.Errorf("%s: names %q, %d files, %d bytes, unindexed %q", c.name, s.Names(), len(s.Files), s.TotalBytes(), s.Unindexed)
		}
		for _, n := range c.names {
			if w, ok := s.Tensor(n); !ok || w.Name != n || string(w.Data) != n {
				t.Errorf("%s: Tensor(%q) = %+v, %v", c.name, n, w, ok)
			}
		}
		if _, ok := s.Tensor("absent"); ok {
			t.Errorf("%s: an absent tensor was found", c.name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenDirErrors(t *testing.T) {
	index := func(weightMap string) string { return `{"weight_map":` + weightMap + `}` }
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing", map[string]string{"config.json": "{}"}, []string{"no safetensors found"}},
		{"other files only", map[string]string{"adapters.safetensors": "a"}, []string{"no safetensors found"}},
		{"missing shard", map[string]string{"model-00001-of-00003.safetensors": "a", "model-00003-of-00003.safetensors": "b"},
			[]string{"model-00002-of-00003.safetensors: the shard is missing"}},
		{"duplicate", map[string]string{"model.safetensors": "a", "model_2.safetensors": "a"}, []string{"model_2.safetensors", `tensor "a"`, "model.safetensors, too"}},
		{"index names a missing file", map[string]string{IndexName: index(`{"a":"m.safetensors"}`), "model.safetensors": "a"},
			[]string{IndexName, `"m.safetensors", which is missing`}},
		{"not in the shard", map[string]string{IndexName: index(`{"a":"model.safetensors","b":"model.safetensors"}`), "model.safetensors": "a"},
			[]string{IndexName, `tensor "b"`, "does not have it"}},
		{"in another shard", map[string]string{IndexName: index(`{"a":"m1.safetensors","b":"m1.safetensors","c":"m2.safetensors"}`), "m1.safetensors": "a", "m2.safetensors": "b c"},
			[]string{IndexName, `tensor "b"`, `in "m1.safetensors", but it is in`, "m2.safetensors"}},
		{"not in the index", map[string]string{IndexName: index(`{"a":"model.safetensors"}`), "model.safetensors": "a b"},
			[]string{"model.safetensors", `tensor "b"`, IndexName + " does not have it"}},
		{"duplicate beside an index", map[string]string{IndexName: index(`{"a":"m1.safetensors","b":"m2.safetensors"}`), "m1.safetensors": "a", "m2.safetensors": "a b"},
			[]string{"m2.safetensors", `tensor "a"`, "m1.safetensors, too"}},
		{"broken index", map[string]string{IndexName: `{"weight_map":`, "model.safetensors": "a"}, []string{IndexName, "JSON"}},
		{"no weight_map", map[string]string{IndexName: `{}`, "model.safetensors": "a"}, []string{IndexName, "weight_map is missing"}},
		{"empty weight_map", map[string]string{IndexName: index(`{}`), "model.safetensors": "a"}, []string{IndexName, "names no weights"}},
		{"broken shard", map[string]string{"model.safetensors": "a", "model.safetensors.bak": ""}, nil},
	} {
		dir := modelDir(t, c.files)
		if c.want == nil {
			c.want = []string{"model.safetensors", "cut short"}
			if err := os.Truncate(filepath.Join(dir, "model.safetensors"), 64); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenDir(dir)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range append(c.want, dir) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
		if errors.Is(err, ErrNoWeights) != (len(c.want) == 1 && c.want[0] == "no safetensors found") {
			t.Errorf("%s: ErrNoWeights: %v", c.name, err)
		}
	}
	if _, err := OpenDir(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}

func TestParseIndexRejects(t *testing.T) {
	for _, file := range []string{"../x.safetensors", "/etc/passwd", "a/../../x", "", ".", "..", "a/..", "./x.safetensors", `..\\x`, "a\\u0000b", `a\\..\\b`} {
		_, err := parseIndex([]byte(`{"weight_map":{"w":"`+file+`"}}`), "dir/index.json")
		if err == nil || !strings.Contains(err.Error(), "not a name inside") || !strings.HasPrefix(err.Error(), `dir/index.json: tensor "w"`) {
			t.Errorf("%q: %v", file, err)
		}
	}
	for data, want := range map[string]string{
		`{"weight_map":{"w":"a","w":"a"}}`:         "there twice",
		`{"weight_map":{"w":"a"},"weight_map":{}}`: "there twice",
		`{"weight_map":{"w":1}}`:                   "not a string",
		`{"weight_map":["w"]}`:                     "object",
		`{"weight_map":{"w":"a"}} x`:               "after the end",
		`[]`:                                       "object",
		``:                                         "ends",
		"{\"weight_map\":{\"\xff\":\"a\"}}":        "UTF-8",
		`{"x":` + strings.Repeat("[", 1<<20):       "nested deeper",
		`{"weight_map":{"w":"` + strings.Repeat("a", 9): "inside a string",
	} {
		if _, err := parseIndex([]byte(data), "i"); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "i: ") {
			t.Errorf("%.60q: %v", data, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":3},"weight_map":{"c":"model-00002-of-00002.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x"}}`))
	f.Add([]byte(`{"weight_map":{"\ud83d\ude00":"a/b"},"x":[1e5,null,{"y":false}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ix, err := parseIndex(data, "i")
		if err != nil {
			return
		}
		for _, e := range ix.entries {
			if !filepath.IsLocal(e.file) || !slices.Contains(ix.files, e.file) || !ix.has[e.tensor] {
				t.Errorf("entry %q", e)
			}
		}
	})
}
