package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/tokenizer/pretrained"
)

// These tests pin why github.com/sugarme/tokenizer, the best known tokenizer
// library in Go, is not the engine of this package. When one fails because the
// library got it right, the choice may be thought over.

const (
	sugarmeFile = "MLX_TEST_SUGARME_FILE" // tokenizer.json that the child loads
	sugarmeText = "MLX_TEST_SUGARME_TEXT" // text that the child encodes
	sugarmeOut  = "MLX_TEST_SUGARME_OUT"  // file where the child leaves its answer
)

// sugarmeAnswer is what became of loading and encoding.
type sugarmeAnswer struct {
	Panic  string
	Err    string
	Tokens []string
}

// TestSugarmeChild is the body of the child process of runSugarme.
func TestSugarmeChild(t *testing.T) {
	out := os.Getenv(sugarmeOut)
	if out == "" {
		t.Skip("runs as the child of other tests")
	}
	answer := encodeWithSugarme(os.Getenv(sugarmeFile), os.Getenv(sugarmeText))
	data, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func encodeWithSugarme(file, text string) (answer sugarmeAnswer) {
	defer func() {
		if r := recover(); r != nil {
			answer = sugarmeAnswer{Panic: fmt.Sprint(r)}
		}
	}()
	tok, err := pretrained.FromFile(file)
	if err != nil {
		return sugarmeAnswer{Err: err.Error()}
	}
	encoding, err := tok.EncodeSingle(text, false)
	if err != nil {
		return sugarmeAnswer{Err: err.Error()}
	}
	return sugarmeAnswer{Tokens: encoding.Tokens}
}

// runSugarme asks the library in a process of its own, since it prints to
// standard output and calls log.Fatal.
func runSugarme(t *testing.T, file, text string) sugarmeAnswer {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skipf("no path of the test binary: %v", err)
	}
	out := filepath.Join(t.TempDir(), "answer.json")
	cmd := exec.Command(exe, "-test.run=^TestSugarmeChild$")
	cmd.Env = append(os.Environ(), sugarmeFile+"="+file, sugarmeText+"="+text, sugarmeOut+"="+out)
	output, err := cmd.CombinedOutput()
	data, readErr := os.ReadFile(out)
	if errors.Is(readErr, os.ErrNotExist) {
		t.Fatalf("the child gave no answer: %v\n%s", err, output)
	}
	if readErr != nil {
		t.Fatal(readErr)
	}
	var answer sugarmeAnswer
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// byteLevelFile writes testdata/bytelevel.json with another pre-tokenizer.
func byteLevelFile(t *testing.T, preTokenizer any) string {
	t.Helper()
	data, err := os.ReadFile("testdata/bytelevel.json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if preTokenizer != nil {
		file["pre_tokenizer"] = preTokenizer
	}
	// Only the two tokens of a chat.
	file["added_tokens"] = file["added_tokens"].([]any)[:2]
	if data, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSugarmeSplitPatterns: look-ahead in a Split panics, on loading.
func TestSugarmeSplitPatterns(t *testing.T) {
	for name, expr := range map[string]string{"Llama 3": patternLlama3, "Qwen 2": patternQwen2} {
		t.Run(name, func(t *testing.T) {
			path := byteLevelFile(t, map[string]any{
				"type": "Sequence",
				"pretokenizers": []any{
					map[string]any{"type": "Split", "pattern": map[string]any{"Regex": expr}, "behavior": "Isolated", "invert": false},
					map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
				},
			})
			if answer := runSugarme(t, path, "hello world"); !strings.Contains(answer.Panic, `(?!\S)`) {
				t.Errorf("sugarme answers %+v, want a panic on the pattern", answer)
			}
			tok, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := tokensOf(tok, tok.Encode("hello world", false)); !slices.Equal(got, []string{"hello", "Ġworld"}) {
				t.Errorf("this package answers %q", got)
			}
		})
	}
}

// TestSugarmeDropsSpecialTokens: special tokens inside the text vanish.
func TestSugarmeDropsSpecialTokens(t *testing.T) {
	path := byteLevelFile(t, nil)
	const text = "<|im_start|>hello world<|im_end|>"
	tok, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"<|im_start|>", "hello", "Ġworld", "<|im_end|>"}
	if got := tokensOf(tok, tok.Encode(text, false)); !slices.Equal(got, want) {
		t.Errorf("this package answers %q, want %q", got, want)
	}
	answer := runSugarme(t, path, text)
	if want := []string{"hello", "Ġworld"}; !slices.Equal(answer.Tokens, want) {
		t.Errorf("sugarme answers %+v, want %q", answer, want)
	}
}

// tokensOf returns the tokens of ids.
func tokensOf(tok *Tokenizer, ids []int) []string {
	var tokens []string
	for _, id := range ids {
		token, _ := tok.Token(id)
		tokens = append(tokens, token)
	}
	return tokens
}
