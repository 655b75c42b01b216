package template

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sharedFile reads a file of the shared folder and skips the test without it.
func sharedFile(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{sharedDir(t)}, elem...)...))
	if err != nil {
		t.Skipf("no shared reference: %v", err)
	}
	return b
}

// sharedDir is $MLX_SHARED, or ../shared beside the module.
func sharedDir(t testing.TB) string {
	if d := os.Getenv("MLX_SHARED"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared")
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no go.mod above the test")
		}
		dir = up
	}
}

// TestReference renders real chat templates and compares with Python's jinja2,
// which was given no tools where a case has none. With transformers' tools=None
// the same must come out, but for the three templates that loop over None.
func TestReference(t *testing.T) {
	v, err := DecodeJSON(sharedFile(t, "chat-templates", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	ref := v.(*Dict)
	get := func(d *Dict, k string) *Dict { v, _ := d.Get(k); d, _ = v.(*Dict); return d }
	now, _ := ref.Get("now")
	clock, err := time.Parse("2006-01-02T15:04:05", now.(string))
	if err != nil {
		t.Fatal(err)
	}
	total, refused := 0, 0
	for name, renders := range get(ref, "templates").All() {
		src := sharedFile(t, "chat-templates", name.(string))
		tmpl, perr := Parse(string(src))
		for key, input := range get(ref, "cases").All() {
			want := get(renders.(*Dict), key.(string))
			wantText, wantOK := want.Get("text")
			o := ChatOptions{SpecialTokens: get(ref, "tokens"), Extra: NewDict(), OmitAbsent: true}
			o.Now = func() time.Time { return clock }
			var messages Value
			for k, v := range input.(*Dict).All() {
				switch k {
				case "messages":
					messages = v
				case "tools":
					o.Tools = v
				case "add_generation_prompt":
					o.AddGenerationPrompt = v.(bool)
				default:
					o.Extra.Set(k.(string), v)
				}
			}
			got, err := "", perr
			if perr == nil {
				got, err = tmpl.Chat(messages, o)
			}
			total++
			o.OmitAbsent = false
			none, noneErr := "", perr
			if perr == nil {
				none, noneErr = tmpl.Chat(messages, o)
			}
			if noneErr != nil && err == nil && strings.Contains(noneErr.Error(), "'NoneType' object is not iterable") {
				refused++
			} else if none != got {
				t.Errorf("%s, %s: with tools None %q, %v", name, key, none, noneErr)
			}
			if wantOK != (err == nil) || wantOK && got != wantText {
				t.Errorf("%s, %s:\n got %q, %v\nwant %q (fails: %v)", name, key, got, err, wantText, !wantOK)
			}
		}
	}
	if total != 715 || refused != 28 {
		t.Errorf("%d renders, %d of them refused for tools None; want 715 and 28", total, refused)
	}
}

func TestStoryModel(t *testing.T) {
	cfg := sharedFile(t, "models", "story-10m", "tokenizer_config.json")
	set, err := ParseSet(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, ok, err := set.Source("", false)
	if err != nil || !ok {
		t.Fatalf("Source: %v, %v", ok, err)
	}
	tmpl, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := SpecialTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tmpl.Chat(NewList(Message("user", " Tell me a story. ")), ChatOptions{SpecialTokens: tokens, AddGenerationPrompt: true})
	want := "<s><|im_start|>user\nTell me a story.<|im_end|><|im_start|>assistant\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
