package llm

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// textShared is a path under the shared reference files, which are no part of the
// module; the test is skipped without them.
func textShared(t testing.TB, parts ...string) string {
	t.Helper()
	path := textSharedOptional(parts...)
	if path == "" {
		t.Skipf("no shared reference file %s", filepath.Join(parts...))
	}
	return path
}

// tinyFiles is a tokenizer made for tests: bytes are b+3, words have the mark ▁.
func tinyFiles(t testing.TB) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		TokenizerFile:       data,
		TokenizerConfigFile: []byte(`{"bos_token": "<s>", "eos_token": {"content": "</s>"}}`),
	}
}

func tinyTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := ParseTokenizer(tinyFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func tokenID(t testing.TB, tok *Tokenizer, token string) int {
	t.Helper()
	id, ok := tok.TokenID(token)
	if !ok {
		t.Fatalf("no token %q", token)
	}
	return id
}

func TestLoadTokenizer(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadTokenizer(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := LoadTokenizer(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("no directory: %v", err)
	}
	files := tinyFiles(t)
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(TokenizerFile, files[TokenizerFile])
	tok, err := LoadTokenizer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tok.BOS() != "" || tok.EOS() != "" || tok.HasChatTemplate() {
		t.Errorf("tokenizer.json alone: BOS %q, EOS %q, template %v", tok.BOS(), tok.EOS(), tok.HasChatTemplate())
	}
	write(TokenizerConfigFile, files[TokenizerConfigFile])
	if tok, err = LoadTokenizer(dir); err != nil || tok.BOS() != "<s>" || tok.EOS() != "</s>" {
		t.Errorf("with %s: %v", TokenizerConfigFile, err)
	}
	write("chat_template.jinja", []byte("x"))
	if tok, err = LoadTokenizer(dir); err != nil || !tok.HasChatTemplate() {
		t.Errorf("with chat_template.jinja: %v", err)
	}
	write(TokenizerConfigFile, nil)
	if _, err = LoadTokenizer(dir); err == nil || !strings.Contains(err.Error(), TokenizerConfigFile) {
		t.Errorf("empty %s: %v", TokenizerConfigFile, err)
	}
	write(TokenizerFile, []byte("{"))
	if _, err = LoadTokenizer(dir); err == nil || !strings.Contains(err.Error(), TokenizerFile) {
		t.Errorf("broken %s: %v", TokenizerFile, err)
	}
}

func TestTokenizerFixture(t *testing.T) {
	tok := tinyTokenizer(t)
	want := []int{1, tokenID(t, tok, "▁Once"), tokenID(t, tok, "▁upon"), tokenID(t, tok, "!"), 0xE2 + 3, 0x82 + 3, 0xAC + 3}
	got := tok.Encode("Once upon!€", true)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("ids %v, want %v", got, want)
	}
	if text := tok.Decode(got, true); text != "Once upon!€" {
		t.Errorf("decoded %q", text)
	}
}

func TestParseEOS(t *testing.T) {
	tok := tinyTokenizer(t)
	dot := tokenID(t, tok, ".")
	for _, c := range []struct {
		name                       string
		config, generation, tokens string // "" is no file
		want                       []int
		from, fault                string
	}{
		{name: "number", config: `{"eos_token_id": 2}`, want: []int{2}, from: ConfigFile},
		{name: "list", config: `{"eos_token_id": [2, 7, 2]}`, want: []int{2, 7}, from: ConfigFile},
		{name: "written as a float", config: `{"eos_token_id": [2.0, 7e0]}`, want: []int{2, 7}, from: ConfigFile},
		{name: "zero", config: `{"eos_token_id": 0}`, want: []int{0}, from: ConfigFile},
		{name: "generation list", config: `{"eos_token_id": 2}`, generation: `{"eos_token_id": [2, 9]}`, want: []int{2, 9}, from: GenerationConfigFile},
		{name: "generation number", config: `{"eos_token_id": 2}`, generation: `{"eos_token_id": 9}`, want: []int{9}, from: GenerationConfigFile},
		{name: "generation null", config: `{"eos_token_id": 2}`, generation: `{"eos_token_id": null}`, want: []int{2}, from: ConfigFile},
		{name: "generation empty", config: `{"eos_token_id": 2}`, generation: `{"eos_token_id": []}`, want: []int{2}, from: ConfigFile},
		{name: "nested", config: `{"text_config": {"eos_token_id": 5}}`, want: []int{5}, from: ConfigFile},
		{name: "token", config: `{"eos_token_id": null}`, tokens: `{"eos_token": "."}`, want: []int{dot}, from: TokenizerConfigFile},
		{name: "token object", config: `{}`, tokens: `{"eos_token": {"content": "."}}`, want: []int{dot}, from: TokenizerConfigFile},
		{name: "token null", config: `{}`, tokens: `{"eos_token": null}`},
		{name: "nothing", config: `{}`},
		{name: "no files"},
		{name: "unknown token", tokens: `{"eos_token": "<nix>"}`, fault: `"<nix>" is not a token`},
		{name: "text", config: `{"eos_token_id": "2"}`, fault: "config.json: eos_token_id must be"},
		{name: "infinite", config: `{"eos_token_id": 1e400}`, fault: "eos_token_id must be"},
		{name: "large", config: `{"eos_token_id": 4e9}`, fault: "eos_token_id must be"},
		{name: "negative", generation: `{"eos_token_id": [-1]}`, fault: "generation_config.json: eos_token_id must be"},
		{name: "half", config: `{"eos_token_id": 2.5}`, fault: "eos_token_id must be"},
		{name: "broken", config: `{"eos_token_id"`, fault: "config.json"},
		{name: "not an object", config: `[2]`, fault: "must hold a JSON object"},
	} {
		files := map[string][]byte{TokenizerFile: tinyFiles(t)[TokenizerFile]}
		for name, text := range map[string]string{ConfigFile: c.config, GenerationConfigFile: c.generation, TokenizerConfigFile: c.tokens} {
			if text != "" {
				files[name] = []byte(text)
			}
		}
		ids, from, err := ParseEOS(files)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.fault)
			}
			continue
		}
		if err != nil || from != c.from || len(ids) != len(c.want) || len(ids) > 0 && !reflect.DeepEqual(ids, c.want) {
			t.Errorf("%s: %v from %q, %v; want %v from %q", c.name, ids, from, err, c.want, c.from)
		}
	}
}

func TestEOSOfModel(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(textShared(t, "models", "story-10m"), GenerationConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	ids, from, err := ParseEOS(map[string][]byte{GenerationConfigFile: data})
	if err != nil || !reflect.DeepEqual(ids, []int{2, 4}) || from != GenerationConfigFile {
		t.Errorf("story-10m: %v from %q, %v", ids, from, err)
	}
}

func TestEOSSet(t *testing.T) {
	tok := tinyTokenizer(t)
	dot := tokenID(t, tok, ".")
	for _, c := range []struct {
		name  string
		base  []int
		extra []string
		tok   *Tokenizer
		want  []int
		fault string
	}{
		{name: "adds", base: []int{2}, extra: []string{"7", "."}, tok: tok, want: []int{2, 7, dot}},
		{name: "once", base: []int{2}, extra: []string{"2"}, tok: tok, want: []int{2}},
		{name: "id without tokenizer", extra: []string{"7"}, want: []int{7}},
		{name: "none", want: []int{}},
		{name: "text without tokenizer", extra: []string{"."}, fault: "tokenizer.json"},
		{name: "no token", extra: []string{"nix"}, tok: tok, fault: `"nix" is not a token`},
		{name: "outside", extra: []string{"100000"}, tok: tok, fault: "100000 is outside the vocabulary of 512"},
		{name: "negative", extra: []string{"-1"}, tok: tok, fault: "-1 is outside"},
		{name: "base outside", base: []int{512}, fault: "config.json: the EOS token 512 is outside the vocabulary of 512"},
	} {
		got, err := EOSSet(c.base, ConfigFile, c.extra, 512, c.tok)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.fault)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// textSharedOptional is textShared without skipping: "" without the files.
func textSharedOptional(parts ...string) string {
	root := os.Getenv("MLX_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
