package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// filesOf are the files of a directory.
func filesOf(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// testHub is a Hub with one small model, which the environment names, and an empty
// cache.
func testHub(t *testing.T, repo string) *hubtest.Hub {
	h := hubtest.New(t, 1)
	h.Put(repo, hubtest.Commit("1"), filesOf(t, speaker(t, nil, tinyIDs(t, sentence...)...)), "v1")
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_HOME", t.TempDir())
	return h
}

// hubForExamples returns what fills the cache with the model of the examples and a
// part of a file.
func hubForExamples(t *testing.T) (fill func()) {
	const repo = "mlx-community/Qwen3-0.6B-4bit"
	h := testHub(t, repo)
	files := filesOf(t, speaker(t, nil, tinyIDs(t, sentence...)...))
	files["chat_template.jinja"] = []byte("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %} Once")
	h.Put(repo, hubtest.Commit("1"), files, "v1")
	h.Put("mlx-community/Qwen3-0.6B-bf16", hubtest.Commit("3"), files, "main")
	return func() {
		c, err := hub.FromEnv(os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		s, err := hub.New(c, nil).Snapshot(t.Context(), repo, "", hub.Model)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir, "..", "..", "blobs", "0123.incomplete"), []byte("part"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// command runs the program in this process.
func command(t *testing.T, tty bool, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, e bytes.Buffer
	code = run(args, &streams{in: strings.NewReader(""), out: &out, err: &e, errTTY: tty})
	return out.String(), e.String(), code
}

// TestFetchView: a bar on a terminal, lines elsewhere, and nothing when all is there.
func TestFetchView(t *testing.T) {
	args := []string{"generate", "--model", "org/name", "-p", "a", "-m", "3", "--verbose", "false"}
	testHub(t, "org/name")
	text, stderr, code := command(t, false, args...)
	if code != 0 || !strings.Contains(stderr, "mlx: fetching org/name: 4 files, ") || strings.Count(stderr, "mlx: fetched ") != 4 || strings.Contains(stderr, "\r") {
		t.Errorf("%d: %q", code, stderr)
	}
	if again, stderr, code := command(t, true, args...); code != 0 || stderr != "" || again != text || text == "" {
		t.Errorf("%d: %q %q", code, again, stderr)
	}
	testHub(t, "org/name")
	if again, stderr, code := command(t, true, args...); code != 0 || !strings.Contains(stderr, "\rname ") || strings.Contains(stderr, "fetched") || again != text {
		t.Errorf("%d: %q", code, stderr)
	}
}

// TestNarrowBar: a bar stays in a line of its terminal.
func TestNarrowBar(t *testing.T) {
	for _, columns := range []int{20, 40, 80} {
		var e bytes.Buffer
		s := &streams{err: &e, errTTY: true, errColumns: columns}
		v := &fetchView{s: s, repo: "org/A-model-with-a-name-that-does-not-end"}
		v.Start(3, 123_456_789_012)
		prompt := s.progress(123456, 512)
		for i := range 2 {
			time.Sleep(barThrottle + 20*time.Millisecond)
			v.Add(12_345_678_901)
			prompt(i*512, 123456)
		}
		pictures := strings.FieldsFunc(e.String(), func(r rune) bool { return r == '\r' || r == '\n' })
		if len(pictures) < 4 {
			t.Errorf("%d columns: %q", columns, pictures)
		}
		for _, line := range pictures {
			if n := utf8.RuneCountInString(line); n > columns && (columns < barColumns || n > barColumns) {
				t.Errorf("%d columns: %d in %q", columns, n, line)
			}
		}
	}
}

// TestInspectFetchesHeaders: of weights on the Hub nothing is asked for but the beginning.
func TestInspectFetchesHeaders(t *testing.T) {
	h := testHub(t, "org/name")
	path := filepath.Join(t.TempDir(), "model.safetensors")
	tensor := safetensors.Tensor{Name: "x", DType: mlx.Float32, Shape: mlx.Shape{1 << 19}, Data: make([]byte, 4<<19)}
	if err := safetensors.Write(path, []safetensors.Tensor{tensor}, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h.Put("org/name", hubtest.Commit("9"), map[string][]byte{"config.json": []byte(`{"model_type": "llama"}`), "model.safetensors": data})
	h.Requests()
	if out, stderr, code := command(t, false, "inspect", "--model", "org/name"); code != 1 || !strings.Contains(out, "x       F32    [524288]") {
		t.Errorf("%d: %q %q", code, out, stderr)
	}
	n := 0
	for _, r := range h.Requests() {
		if strings.HasSuffix(r.Path, ".safetensors") {
			if n++; r.Range != "bytes=0-262143" {
				t.Errorf("%+v", r)
			}
		}
	}
	if n == 0 {
		t.Error("no headers were asked for")
	}
}

func TestFindModelStops(t *testing.T) {
	h := testHub(t, "org/name")
	h.Piece, h.Delay = 10, 50*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var e bytes.Buffer
	dir, err := findModel(ctx, &streams{err: &e}, "org/name", "", hub.Model)
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted; ") {
		t.Errorf("%q, %v", dir, err)
	}
}

// TestModels lists and removes.
func TestModels(t *testing.T) {
	h := testHub(t, "org/name")
	out, stderr, code := command(t, false, "models")
	if code != 0 || out != "" || !strings.Contains(stderr, "0 B in ") {
		t.Errorf("empty cache: %d %q %q", code, out, stderr)
	}
	if out, _, _ := command(t, false, "models", "--json"); out != "[]\n" {
		t.Errorf("empty cache: %q", out)
	}
	files := filesOf(t, speaker(t, nil, tinyIDs(t, sentence...)...))
	get := func(revision string) {
		t.Helper()
		if _, stderr, code := command(t, false, "tokenize", "--model", "org/name", "--revision", revision, "a"); code != 0 {
			t.Fatal(stderr)
		}
		if _, stderr, code := command(t, false, "generate", "--model", "org/name", "--revision", revision, "-p", "a", "-m", "1"); code != 0 {
			t.Fatal(stderr)
		}
	}
	get("v1")
	files["generation_config.json"] = []byte(`{"temperature":0.5}`)
	h.Put("org/name", hubtest.Commit("2"), files)
	get("main")
	out, _, code = command(t, false, "models", "--json")
	var list []cachedRepo
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || code != 0 || len(list) != 1 || len(list[0].Revisions) != 2 {
		t.Fatalf("%s %v", out, err)
	}
	total := int64(0)
	for _, data := range files {
		total += int64(len(data))
	}
	for _, v := range list[0].Revisions {
		freed, refs := int64(0), `["v1"]`
		if v.Commit == hubtest.Commit("2") {
			freed, refs = int64(len(files["generation_config.json"])), `["main"]`
		}
		if got, _ := json.Marshal(v.Refs); v.Freed != freed || string(got) != refs || len(v.Missing) > 0 {
			t.Errorf("%+v, want freed %d and refs %s", v, freed, refs)
		}
		if used, err := time.Parse(time.RFC3339, v.Used); err != nil || time.Since(used) > time.Hour {
			t.Errorf("last used %s, %v", v.Used, err)
		}
	}
	if list[0].Name != "org/name" || list[0].Size != total {
		t.Errorf("%+v, want %d bytes", list[0], total)
	}
	out, stderr, _ = command(t, false, "models")
	if strings.Contains(stderr, "any more") { // v1 and main are at both
		t.Errorf("%q", stderr)
	}
	for _, want := range []string{"MODEL", "\norg/name", "v1 " + hubtest.Commit("1")[:8], "main " + hubtest.Commit("2")[:8]} {
		if !strings.Contains(out, want) {
			t.Errorf("%q has no %q", out, want)
		}
	}
	files["config.json"] = append(files["config.json"], '\n')
	h.Put("org/name", hubtest.Commit("3"), files)
	get("main")
	if _, stderr, _ := command(t, false, "models"); !strings.Contains(stderr, "no branch or tag is at 1 revision any more, as org/name@"+hubtest.Commit("2")[:8]+": ") {
		t.Errorf("%q", stderr)
	}
	if _, stderr, code := command(t, false, "models", "rm", "-y", "org/name@"+hubtest.Commit("3")[:6]); code != 0 {
		t.Error(stderr)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, 2, "no NAME"},
		{[]string{"org/name"}, 2, "standard input is not a terminal"},
		{[]string{"org/nix", "-y"}, 1, "the cache has no org/nix"},
		{[]string{"org/name@v9", "-y"}, 1, `no revision "v9" of org/name`},
		{[]string{"--unfinished", "-y"}, 0, "nothing to remove"},
		{[]string{"org/name@" + hubtest.Commit("2")[:6], "-y"}, 0, "19 B are free"},
		{[]string{"org/name", "-y"}, 0, fmt.Sprintf("%s are free", hub.Bytes(total-19))},
	} {
		if _, stderr, code := command(t, false, append([]string{"models", "rm"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %q, want %d %q", c.args, code, stderr, c.code, c.want)
		}
	}
	if out, _, _ := command(t, false, "models", "--json"); out != "[]\n" {
		t.Errorf("after all is removed: %s", out)
	}
}
