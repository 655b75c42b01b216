package hub

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
)

// tree writes files and, where a text begins with "->", links.
func tree(t *testing.T, dir string, entries map[string]string) {
	t.Helper()
	for name, text := range entries {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o777)
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = errors.Join(err, os.Symlink(target, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o666))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// pythonCache is a cache as huggingface_hub leaves it: org/name at two commits that
// share the weights, with files that mlx does not want, names that do not exist, a
// download that was cut, and a data set beside it.
func pythonCache(t *testing.T) (dir string, files map[string][]byte) {
	files = map[string][]byte{"config.json": []byte(`{"a":1}`), "model.safetensors": random(1, 500), "README.md": []byte("# x"), "sub/vocab.json": []byte("{}")}
	blob := func(name string) string { return hubtest.Blob(name, files[name]) }
	old := hubtest.Blob("config.json", []byte(`{"a":0}`))
	dir = t.TempDir()
	tree(t, dir, map[string]string{
		"version.txt": "1",
		".locks/models--org--name/" + blob("model.safetensors") + ".lock":     "",
		"models--org--name/refs/main":                                         commit1,
		"models--org--name/refs/refs/pr/3":                                    commit2,
		"models--org--name/.no_exist/" + commit1 + "/generation_config.json":  "",
		"models--org--name/blobs/" + blob("config.json"):                      string(files["config.json"]),
		"models--org--name/blobs/" + old:                                      `{"a":0}`,
		"models--org--name/blobs/" + blob("model.safetensors"):                string(files["model.safetensors"]),
		"models--org--name/blobs/" + blob("README.md"):                        string(files["README.md"]),
		"models--org--name/blobs/" + blob("sub/vocab.json"):                   string(files["sub/vocab.json"]),
		"models--org--name/blobs/" + strings.Repeat("ab", 32) + ".incomplete": "0123456789",
		"models--org--name/snapshots/" + commit1 + "/config.json":             "->../../blobs/" + blob("config.json"),
		"models--org--name/snapshots/" + commit1 + "/model.safetensors":       "->../../blobs/" + blob("model.safetensors"),
		"models--org--name/snapshots/" + commit1 + "/README.md":               "->../../blobs/" + blob("README.md"),
		"models--org--name/snapshots/" + commit1 + "/sub/vocab.json":          "->../../../blobs/" + blob("sub/vocab.json"),
		"models--org--name/snapshots/" + commit2 + "/config.json":             "->../../blobs/" + old,
		"models--org--name/snapshots/" + commit2 + "/model.safetensors":       "->../../blobs/" + blob("model.safetensors"),
		"models--gpt2/snapshots/" + commit1 + "/config.json":                  `{"not":"a link"}`,
		"models--gpt2/snapshots/" + commit1 + "/model.safetensors":            "->../../blobs/gone",
		"datasets--org--name/snapshots/" + commit1 + "/x.json":                "{}",
	})
	return dir, files
}

// TestPythonCache uses what Python fetched, and adds what it did not.
func TestPythonCache(t *testing.T) {
	h := hubtest.New(t, 1)
	dir, files := pythonCache(t)
	h.Put(repo, commit1, files)
	c, r := client(h, dir)
	want := filepath.Join(dir, "models--org--name", "snapshots", commit1)
	for _, offline := range []bool{true, false} {
		c.Offline = offline
		if s, err := c.Snapshot(t.Context(), repo, "", Model); err != nil || s.Dir != want {
			t.Errorf("offline %v: %+v, %v", offline, s, err)
		}
	}
	c.Offline = true
	if s, err := c.Snapshot(t.Context(), repo, "refs/pr/3", Model); err != nil || s.Commit != commit2 {
		t.Errorf("%+v, %v", s, err)
	}
	c.Offline = false
	if n := len(h.Requests()); n != 1 || r.files != 0 {
		t.Errorf("%d requests, %d files", n, r.files)
	}
	// One more file that Python was not asked for.
	files["tokenizer.json"] = random(3, 100)
	if _, err := c.Snapshot(t.Context(), repo, "", Model); err != nil || r.files != 1 {
		t.Fatal(err, r.files)
	}
	for name, data := range files {
		if got, err := os.ReadFile(filepath.Join(want, name)); err != nil || string(got) != string(data) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScan(t *testing.T) {
	dir, files := pythonCache(t)
	repos, err := Scan(dir)
	if err != nil || len(repos) != 2 || repos[0].Name != "gpt2" || repos[1].Name != repo {
		t.Fatalf("%+v, %v", repos, err)
	}
	var all int64
	for _, data := range files {
		all += int64(len(data))
	}
	r := repos[1]
	if r.Size != all+7+10 || r.Unfinished != 10 || len(r.Revisions) != 2 || len(r.leftover) != 1 {
		t.Fatalf("%+v", r)
	}
	for _, v := range r.Revisions {
		refs, size, n, freed := []string{"main"}, all, 4, all-500
		if v.Commit == commit2 {
			refs, size, n, freed = []string{"refs/pr/3"}, 507, 2, 7
		}
		if !slices.Equal(v.Refs, refs) || v.Size != size || v.Files != n || r.Freed(v) != freed || v.Used.IsZero() {
			t.Errorf("%+v, want %v %d %d", v, refs, size, n)
		}
	}
	if v := repos[0].Revisions[0]; v.Size != 16 || !slices.Equal(v.Missing, []string{"model.safetensors"}) {
		t.Errorf("%+v", v)
	}
	if repos, err := Scan(filepath.Join(dir, "nix")); err != nil || len(repos) != 0 {
		t.Errorf("%v, %v", repos, err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestRemove(t *testing.T) {
	weights := hubtest.Blob("model.safetensors", random(1, 500))
	for _, c := range []struct {
		names      []string
		unfinished bool
		freed      int64
		gone, stay []string
	}{
		{[]string{repo + "@main"}, false, 12, []string{"snapshots/" + commit1, "refs/main", ".no_exist/" + commit1},
			[]string{"snapshots/" + commit2 + "/config.json", "blobs/" + weights, "refs/refs/pr/3", "blobs/" + strings.Repeat("ab", 32) + ".incomplete"}},
		{[]string{repo + "@" + commit2[:5]}, false, 7, []string{"snapshots/" + commit2, "refs/refs/pr/3"},
			[]string{"snapshots/" + commit1 + "/config.json", "blobs/" + weights, "refs/main"}},
		{[]string{repo + "@main", repo + "@refs/pr/3", repo + "@main"}, false, 519, []string{"snapshots/" + commit1, "snapshots/" + commit2, "blobs/" + weights},
			[]string{"blobs/" + strings.Repeat("ab", 32) + ".incomplete"}},
		{[]string{repo}, false, 529, []string{""}, nil},
		{nil, true, 10, []string{"blobs/" + strings.Repeat("ab", 32) + ".incomplete"}, []string{"blobs/" + weights, "snapshots/" + commit1, "snapshots/" + commit2}},
	} {
		dir, _ := pythonCache(t)
		repos, err := Scan(dir)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := PlanRemoval(repos, c.names)
		if c.unfinished {
			plan = []*Removal{PlanUnfinished(repos[1])}
		}
		if err != nil || len(plan) != 1 || plan[0].Freed != c.freed {
			t.Errorf("%v: %+v, %v", c.names, plan, err)
			continue
		}
		// While a file comes nothing is removed.
		lock, err := tryLock(filepath.Join(dir, ".locks", "models--org--name", weights+".lock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := plan[0].Remove(); err == nil || !strings.Contains(err.Error(), "another program downloads org/name") {
			t.Errorf("%v: %v", c.names, err)
		}
		lock.Close()
		before := repos[1].Size
		if err := plan[0].Remove(); err != nil {
			t.Error(err)
		}
		base := filepath.Join(dir, "models--org--name")
		for _, name := range c.gone {
			if exists(filepath.Join(base, name)) {
				t.Errorf("%v: %s is there", c.names, name)
			}
		}
		for _, name := range c.stay {
			if !exists(filepath.Join(base, name)) {
				t.Errorf("%v: %s is gone", c.names, name)
			}
		}
		after := int64(0)
		if repos, err = Scan(dir); err != nil {
			t.Fatal(err)
		}
		for _, r := range repos {
			if r.Name == repo {
				after = r.Size
			}
		}
		if before-after != c.freed {
			t.Errorf("%v: freed %d, promised %d", c.names, before-after, c.freed)
		}
		if !exists(filepath.Join(dir, "models--gpt2")) || !exists(filepath.Join(dir, "datasets--org--name")) {
			t.Errorf("%v: others are gone", c.names)
		}
	}
}

// TestRemoveLate: a revision that came after the plan keeps its files.
func TestRemoveLate(t *testing.T) {
	dir, files := pythonCache(t)
	repos, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := PlanRemoval(repos, []string{repo + "@main"})
	if err != nil {
		t.Fatal(err)
	}
	late := hubtest.Commit("3")
	tree(t, dir, map[string]string{"models--org--name/snapshots/" + late + "/README.md": "->../../blobs/" + hubtest.Blob("README.md", files["README.md"])})
	if err := plan[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "models--org--name", "snapshots", late, "README.md")); err != nil {
		t.Error(err)
	}
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	tree(t, home, map[string]string{".cache/huggingface/token": " hf_file\n", "tok": "hf_other", "bad": "a\nb"})
	for _, c := range []struct {
		env  map[string]string
		want Config
		err  string
	}{
		{nil, Config{DefaultEndpoint, home + "/.cache/huggingface/hub", "hf_file", home + "/.cache/huggingface/token", false}, ""},
		{map[string]string{"XDG_CACHE_HOME": home + "/xdg", "HF_TOKEN": " hf_env\n"}, Config{DefaultEndpoint, home + "/xdg/huggingface/hub", "hf_env", "HF_TOKEN", false}, ""},
		{map[string]string{"HF_HOME": "$HOME/h", "XDG_CACHE_HOME": "/no", "HF_TOKEN_PATH": "~/tok", "HF_ENDPOINT": "http://mirror:8080/x//"},
			Config{"http://mirror:8080/x", home + "/h/hub", "hf_other", home + "/tok", false}, ""},
		{map[string]string{"HUGGINGFACE_HUB_CACHE": "/c", "HF_HUB_OFFLINE": "on"}, Config{DefaultEndpoint, "/c", "hf_file", home + "/.cache/huggingface/token", true}, ""},
		{map[string]string{"HUGGINGFACE_HUB_CACHE": "/c", "HF_HUB_CACHE": "~/d/${HOME}", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"},
			Config{DefaultEndpoint, home + "/d" + home, "", "HF_HUB_DISABLE_IMPLICIT_TOKEN", true}, ""},
		{map[string]string{"HF_HOME": "/nowhere", "HF_HUB_OFFLINE": "0"}, Config{DefaultEndpoint, "/nowhere/hub", "", "/nowhere/token", false}, ""},
		{map[string]string{"HF_ENDPOINT": "huggingface.co"}, Config{}, `HF_ENDPOINT: "huggingface.co" is not a URL`},
		{map[string]string{"HF_TOKEN_PATH": home + "/bad"}, Config{}, "characters that no token has"},
		{map[string]string{"HF_TOKEN_PATH": home}, Config{}, "the Hub's token: "},
	} {
		got, err := FromEnv(func(name string) string {
			if v, ok := c.env[name]; ok || name != "HOME" {
				return v
			}
			return home
		})
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "a\nb") {
				t.Errorf("%v: %v, want %q", c.env, err, c.err)
			}
		case err != nil || got != c.want:
			t.Errorf("%v: %+v, want %+v; %v", c.env, got, c.want, err)
		}
	}
}

// Without HOME the home directory is the system's word for it, never a directory "~".
func TestNoHome(t *testing.T) {
	c, err := FromEnv(func(string) string { return "" })
	if err == nil && (!filepath.IsAbs(c.Cache) || strings.Contains(c.Cache, "~")) || err != nil && !strings.Contains(err.Error(), "HF_HOME is another place") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 5_300_000_000: "5.3 GB", 1 << 62: "4.6 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
