package llm

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	withBOS    = `{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
	withoutBOS = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
)

func withTemplate(t testing.TB, template string) *Tokenizer {
	t.Helper()
	files := tinyFiles(t)
	files[templateFile] = []byte(template)
	tok, err := ParseTokenizer(files)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// One BOS at most, at the beginning, whoever writes it.
func TestPromptBOS(t *testing.T) {
	plain := tinyTokenizer(t)
	for _, c := range []struct {
		name string
		tok  *Tokenizer
		o    PromptOptions
		bos  int
		text string // as it is decoded, special tokens too
	}{
		{"raw", plain, PromptOptions{Text: "Hello world"}, 1, "<s> Hello world"},
		{"raw with BOS", plain, PromptOptions{Text: "<s>Hello world"}, 1, "<s> Hello world"},
		{"template", withTemplate(t, withBOS), PromptOptions{Text: "Hello"}, 1,
			"<s><|im_start|> user\nHello<|im_end|><|im_start|> assistant\n"},
		{"template without BOS", withTemplate(t, withoutBOS), PromptOptions{Text: "Hello"}, 0,
			"<|im_start|> user\nHello<|im_end|><|im_start|> assistant\n"},
		{"system", withTemplate(t, withBOS), PromptOptions{Text: "Hello", System: "the cat"}, 1,
			"<s><|im_start|> system\nthe cat<|im_end|><|im_start|> user\nHello<|im_end|><|im_start|> assistant\n"},
		{"prefill", withTemplate(t, withBOS), PromptOptions{Text: "Hello", PrefillResponse: "Once upon "}, 1,
			"<s><|im_start|> user\nHello<|im_end|><|im_start|> assistant\nOnce upon"},
		{"prefill, no trim", withTemplate(t, withoutBOS), PromptOptions{Text: "Hello", PrefillResponse: "Once upon "}, 0,
			"<|im_start|> user\nHello<|im_end|><|im_start|> assistant\nOnce upon "},
		{"ignored", withTemplate(t, withBOS), PromptOptions{Text: "Hello", IgnoreChatTemplate: true}, 1, "<s> Hello"},
	} {
		ids, err := c.tok.Prompt(c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		n := 0
		for _, id := range ids {
			if id == 1 {
				n++
			}
		}
		if n != c.bos || n > 0 && ids[0] != 1 {
			t.Errorf("%s: %d BOS in %v, want %d at the beginning", c.name, n, ids, c.bos)
		}
		if got := c.tok.Decode(ids, false); got != c.text {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
	}
}

// A special token that a user spells is that token, in every path.
func TestPromptSpelledSpecials(t *testing.T) {
	for _, o := range []PromptOptions{{Text: "a</s>", IgnoreChatTemplate: true}, {Text: "a</s>"}} {
		ids, err := withTemplate(t, withBOS).Prompt(o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, id := range ids {
			if id == 2 {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%+v: %d times id 2 in %v", o, n, ids)
		}
	}
}

func TestPromptNeedsTemplate(t *testing.T) {
	config, err := ParseTemplateConfig(`{"x": 1}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]PromptOptions{
		"system prompt":             {Text: "a", System: "b"},
		"beginning of the response": {Text: "a", PrefillResponse: "b"},
		"chat template config":      {Text: "a", TemplateConfig: config},
	} {
		if _, err := tinyTokenizer(t).Prompt(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s without template: %v", name, err)
		}
		o.IgnoreChatTemplate = true
		if _, err := withTemplate(t, withBOS).Prompt(o); err == nil || !strings.Contains(err.Error(), "ignored") {
			t.Errorf("%s with ignored template: %v", name, err)
		}
	}
	for _, bad := range []string{"", "[1]", "{", `{"a":1} x`} {
		if _, err := ParseTemplateConfig(bad); err == nil {
			t.Errorf("config %q was taken", bad)
		}
	}
}

func TestPromptTemplateVariables(t *testing.T) {
	clock := func() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)) }
	for _, c := range []struct{ name, template, config, want string }{
		{"clock", "{{ strftime_now('%d %b %Y') }}", "", " 03 Feb 2026"},
		{"thinking, as mlx-lm passes it", "{{ enable_thinking }}", "", " False"},
		{"thinking, by the user", "{{ enable_thinking }}", `{"enable_thinking": true}`, " True"},
		{"undefined", "{% if date_string is not defined %}none{% endif %}", "", " none"},
		{"config", "{{ x | tojson }}", `{"x": {"z": "é<", "a": [null]}}`, ` {"z": "é<", "a": [null]}`},
		{"tokens", "{{ eos_token }}{{ unk_token is defined }}", "", "</s> False"},
	} {
		o := PromptOptions{Text: "a", Now: clock}
		if c.config != "" {
			config, err := ParseTemplateConfig(c.config)
			if err != nil {
				t.Fatal(err)
			}
			o.TemplateConfig = config
		}
		tok := withTemplate(t, c.template)
		ids, err := tok.Prompt(o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		// Decoding strips one blank at the beginning, the one that encoding put.
		if got := tok.Decode(ids, false); got != strings.TrimPrefix(c.want, " ") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ template, fault string }{
		{"{{ raise_exception('no system role') }}", "no system role"},
		{"{% if %}", "chat_template.jinja: template line 1"},
	} {
		tok := withTemplate(t, c.template)
		if _, err := tok.Prompt(PromptOptions{Text: "a"}); err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%q: error %v, want %q", c.template, err, c.fault)
		}
		if _, err := tok.Prompt(PromptOptions{Text: "a", IgnoreChatTemplate: true}); err != nil {
			t.Errorf("%q, ignored: %v", c.template, err)
		}
	}
	config, _ := ParseTemplateConfig(`{"messages": []}`)
	if _, err := withTemplate(t, withBOS).Prompt(PromptOptions{Text: "a", TemplateConfig: config}); err == nil {
		t.Error("messages in the config were taken")
	}
}

func TestPromptThinkingVocabulary(t *testing.T) {
	files := tinyFiles(t)
	var def map[string]any
	if err := json.Unmarshal(files[TokenizerFile], &def); err != nil {
		t.Fatal(err)
	}
	added := def["added_tokens"].([]any)
	for i, content := range []string{"<think>", "</think>"} {
		added = append(added, map[string]any{"id": 400 + i, "content": content, "special": false, "normalized": false,
			"single_word": false, "lstrip": false, "rstrip": false})
	}
	def["added_tokens"] = added
	files[TokenizerFile], _ = json.Marshal(def)
	files[templateFile] = []byte("{{ enable_thinking }}")
	tok, err := ParseTokenizer(files)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Prompt(PromptOptions{Text: "a"})
	if err != nil || tok.Decode(ids, false) != "True" {
		t.Errorf("enable_thinking is %q, %v", tok.Decode(ids, false), err)
	}
}

// The recorded prompts of story-10m: its template for the second one.
func TestPromptStory(t *testing.T) {
	tok, err := LoadTokenizer(textShared(t, "models", "story-10m"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(textShared(t, "models", "story-10m", "reference_greedy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ref map[string]struct{ IDs []int }
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	if len(ref) != 3 {
		t.Fatalf("%d references", len(ref))
	}
	for prompt, want := range ref {
		o := PromptOptions{Text: prompt, IgnoreChatTemplate: true}
		if user, ok := strings.CutPrefix(prompt, "<|im_start|>user\n"); ok {
			o = PromptOptions{Text: strings.TrimSuffix(user, "<|im_end|><|im_start|>assistant\n")}
		}
		ids, err := tok.Prompt(o)
		if err != nil || !reflect.DeepEqual(ids, want.IDs) {
			t.Errorf("%q: %v, %v; want %v", prompt, ids, err, want.IDs)
		}
	}
}
