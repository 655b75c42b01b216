package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// sharedDir returns the folder of recorded references, which is not part of the
// repository: $MLX_SHARED, else ../shared beside the module.
func sharedDir(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("MLX_SHARED")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Skip("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared")
	}
	dir = filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("recorded references are not here: %v", err)
	}
	return dir
}

// streamed decodes ids one by one and checks the promises of a Detokenizer.
func streamed(t testing.TB, tok *Tokenizer, ids []int, skip bool) string {
	t.Helper()
	d := NewDetokenizer(tok, skip)
	var all strings.Builder
	piece := func(text string) {
		if !utf8.ValidString(text) {
			t.Errorf("streaming %v: piece %q is not valid UTF-8", ids, text)
		}
		all.WriteString(text)
	}
	for _, id := range ids {
		piece(d.Add(id))
	}
	piece(d.Finish())
	return all.String()
}

// TestReferences compares with ids and texts recorded from Hugging Face's Rust
// library, of real tokenizers.
func TestReferences(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(sharedDir(t, "tokenizers"), "*", "reference.json"))
	if err != nil || len(dirs) == 0 {
		t.Skipf("no references: %v", err)
	}
	if len(dirs) != 14 {
		t.Errorf("%d tokenizers", len(dirs))
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tok, err := Load(filepath.Join(dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var cases []struct {
				Text        string `json:"text"`
				IDs         []int  `json:"ids"`
				IDsSpecial  []int  `json:"ids_special"`
				Decoded     string `json:"decoded"`
				DecodedSkip string `json:"decoded_skip"`
			}
			if err := json.Unmarshal(data, &cases); err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%q, false) = %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Encode(c.Text, true); !slices.Equal(got, c.IDsSpecial) {
					t.Errorf("Encode(%q, true) = %v, want %v", c.Text, got, c.IDsSpecial)
				}
				if got := tok.Decode(c.IDs, false); got != c.Decoded {
					t.Errorf("Decode(%v, false) = %q, want %q", c.IDs, got, c.Decoded)
				}
				if got := tok.Decode(c.IDs, true); got != c.DecodedSkip {
					t.Errorf("Decode(%v, true) = %q, want %q", c.IDs, got, c.DecodedSkip)
				}
				if got := streamed(t, tok, c.IDs, false); got != c.Decoded {
					t.Errorf("streamed %v = %q, want %q", c.IDs, got, c.Decoded)
				}
				if got := streamed(t, tok, c.IDs, true); got != c.DecodedSkip {
					t.Errorf("streamed %v without special = %q, want %q", c.IDs, got, c.DecodedSkip)
				}
			}
			if len(cases) != 445 {
				t.Errorf("%d texts", len(cases))
			}
		})
	}
}

// TestStoryModels compares with the prompts and texts of two recorded
// generations; those begin without the space that separates them from the prompt.
func TestStoryModels(t *testing.T) {
	for _, name := range []string{"story-10m", "stories260k"} {
		t.Run(name, func(t *testing.T) {
			dir := sharedDir(t, "models", name)
			tok, err := Load(filepath.Join(dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "reference_greedy.json"))
			if err != nil {
				t.Fatal(err)
			}
			var cases map[string]struct {
				IDs    []int  `json:"ids"`
				Tokens []int  `json:"tokens"`
				Text   string `json:"text"`
			}
			if err := json.Unmarshal(data, &cases); err != nil {
				t.Fatal(err)
			}
			for prompt, c := range cases {
				if got := tok.Encode(prompt, true); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%q) = %v, want %v", prompt, got, c.IDs)
				}
				if got := streamed(t, tok, c.Tokens, true); got != c.Text {
					t.Errorf("text after %q: %q, want %q", prompt, got, c.Text)
				}
			}
		})
	}
	t.Run("bytes", func(t *testing.T) {
		tok, err := Load(filepath.Join(sharedDir(t, "models", "stories260k"), "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		ids := []int{403, 229, 133, 175, 243, 162, 155, 131, 426}
		if got := streamed(t, tok, ids, true); !strings.HasSuffix(got, "€😀.") || got != tok.Decode(ids, true) {
			t.Errorf("streamed %q, whole %q", got, tok.Decode(ids, true))
		}
	})
}
