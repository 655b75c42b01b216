package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// listOf is n token ids with commas between them.
func listOf(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, strconv.Itoa(3+i*i*7%90))
	}
	return strings.Join(out, ",")
}

// cached runs mlx cache-prompt and returns its file.
func cached(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prompt.safetensors")
	code, out, stderr := runHere(append([]string{"cache-prompt", "--prompt-cache-file", file}, args...)...)
	if code != 0 || !strings.HasPrefix(strings.Join(out, ""), "Processed ") {
		t.Fatalf("%v: exit status %d: %s%s", args, code, strings.Join(out, ""), stderr)
	}
	return file
}

// TestCachePromptTokens: a saved beginning gives the tokens of the whole, with every
// kind of cache; the model is the file's when none is named.
func TestCachePromptTokens(t *testing.T) {
	c := llmtest.Tiny("llama").With(llmtest.Config{"head_dim": 32})
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32))
	for _, kv := range [][]string{nil, {"--max-kv-size", "9"}, {"--kv-bits", "8", "--quantized-kv-start", "0"}, {"--kv-bits", "4", "--kv-group-size", "32", "--quantized-kv-start", "15"}} {
		rest := append([]string{"--max-tokens", "12"}, kv...)
		want := runJSON(t, append([]string{"--model", dir, "--prompt-tokens", listOf(0, 20)}, rest...)...)
		file := cached(t, append([]string{"--model", dir, "--prompt-tokens", listOf(0, 12), "--prefill-step-size", "5"}, kv...)...)
		got := runJSON(t, append([]string{"--prompt-cache-file", file, "--prompt-tokens", listOf(12, 20)}, rest...)...)
		if !slices.Equal(got.Tokens, want.Tokens) || got.Statistics.CachedTokens != 12 || got.Statistics.PromptTokens != 8 {
			t.Errorf("%v: %v, not %v (%+v)", kv, got.Tokens, want.Tokens, got.Statistics)
		}
		if saves := kv != nil && kv[0] == "--kv-bits" || len(kv) == 2; saves != (got.Statistics.CacheSaved > 0) {
			t.Errorf("%v: %d bytes saved", kv, got.Statistics.CacheSaved)
		}
	}
}

// TestCachePromptText: the prompt goes on with the text of the file, also inside a word.
func TestCachePromptText(t *testing.T) {
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	want := runJSON(t, "--model", dir, "--prompt", "Once upon a")
	for _, cut := range []int{2, 4, 5, 9, 10} {
		text := "Once upon a"
		got := runJSON(t, "--prompt-cache-file", cached(t, "--model", dir, "--prompt", text[:cut]), "--prompt", text[cut:])
		if got.Text != want.Text || got.Text == "" || !slices.Equal(got.PromptTokens, want.PromptTokens) {
			t.Errorf("cut at %d: %q of %v, not %q of %v", cut, got.Text, got.PromptTokens, want.Text, want.PromptTokens)
		}
	}
}

// TestCachePromptRefused: exit status and sentence.
func TestCachePromptRefused(t *testing.T) {
	random := randomModel(t, 64)
	file := cached(t, "--model", random, "--prompt-tokens", "5,6,7")
	other := speaker(t, nil, tinyIDs(t, sentence...)...)
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{1, "another model", "generate --model " + other + " --prompt-tokens 5 --prompt-cache-file " + file},
		{1, "no such file", "generate --model " + random + " --prompt-tokens 5 --prompt-cache-file nowhere"},
		{1, "cannot become one of 9 positions", "generate --json --prompt-tokens 5 --max-kv-size 9 --prompt-cache-file " + file},
		{1, "is no multiple of", "generate --json --model " + random + " --prompt-tokens 5 --kv-bits 8"},
		{1, "is no multiple of", "cache-prompt --model " + random + " --prompt-tokens 5 --kv-bits 4 --prompt-cache-file x"},
		{2, "--max-kv-size is 4", "generate --model " + random + " --prompt-tokens 5 --max-kv-size 4"},
		{2, "--kv-bits is 7", "generate --model " + random + " --prompt-tokens 5 --kv-bits 7"},
		{2, "--kv-group-size is 48", "generate --model " + random + " --prompt-tokens 5 --kv-bits 8 --kv-group-size 48"},
		{2, "--quantized-kv-start is -1", "generate --model " + random + " --prompt-tokens 5 --kv-bits 8 --quantized-kv-start -1"},
		{2, "--kv-group-size needs --kv-bits", "generate --model " + random + " --prompt-tokens 5 --kv-group-size 32"},
		{2, "--prompt-cache-file is missing", "cache-prompt --model " + random + " --prompt-tokens 5"},
		{2, "--prompt-cache-file and --prompts exclude each other", "generate --prompts x --prompt-cache-file " + file},
		{2, "needs --quantized-kv-start 0", "generate --prompts x --kv-bits 8"},
		{2, "there is no prompt", "cache-prompt --model " + random + " --prompt-cache-file x"},
	} {
		code, _, stderr := runHere(strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit status %d: %s", c.args, code, stderr)
		}
	}
}

// TestCachePromptEOS: --eos-token is the template's eos_token, here and in the generation
// that follows, and ends this.
func TestCachePromptEOS(t *testing.T) {
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	template := "{{ eos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o666); err != nil {
		t.Fatal(err)
	}
	ids := tinyIDs(t, "</s>", "▁time")
	for _, c := range []struct {
		args  []string
		first int
		last  int // 0: what the model says in the end
	}{{nil, ids[0], 0}, {[]string{"--eos-token", "▁time"}, ids[1], ids[1]}} {
		file := cached(t, append([]string{"--model", dir, "--prompt", "Once"}, c.args...)...)
		got := runJSON(t, "--prompt-cache-file", file, "--prompt", " upon a")
		if !slices.Contains(got.PromptTokens[:2], c.first) || got.Statistics.CachedTokens == 0 || got.FinishReason != "stop" {
			t.Errorf("%v: %+v", c.args, got)
		}
		if last := got.Tokens[len(got.Tokens)-1]; (last == ids[1]) != (c.last == ids[1]) {
			t.Errorf("%v: the last token is %d of %v", c.args, last, got.Tokens)
		}
	}
	code, _, stderr := runHere("cache-prompt", "--model", dir, "--prompt", "Once", "--eos-token", "<none>", "--prompt-cache-file", "x")
	if code != 1 || !strings.Contains(stderr, `the EOS token "<none>" is not a token`) {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}

// TestDefaultChatTemplate: ChatML where the model has no template.
func TestDefaultChatTemplate(t *testing.T) {
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	text := "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOnce<|im_end|>\n<|im_start|>assistant\n"
	want := runJSON(t, "--model", dir, "--prompt", text, "--ignore-chat-template", "--max-tokens", "1")
	args := []string{"--model", dir, "--prompt", "Once", "--system-prompt", "Be brief.", "--use-default-chat-template", "--max-tokens", "1"}
	got := runJSON(t, args...)
	if !slices.Equal(got.PromptTokens, want.PromptTokens[1:]) { // a template says itself whether there is a BOS
		t.Errorf("%v, not %v", got.PromptTokens, want.PromptTokens[1:])
	}
	if _, _, stderr := runHere(append([]string{"generate"}, args...)...); stderr != "" {
		t.Error(stderr)
	}
	file := filepath.Join(dir, "tokenizer.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), "<|im_", "<|my_")), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := runHere(append([]string{"generate"}, args...)...); !strings.Contains(stderr, "does not know <|im_start|> and <|im_end|>") {
		t.Error(stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte("{{ messages[1].content }}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := runJSON(t, args...); !slices.Equal(got.PromptTokens, tinyIDs(t, "▁Once")) {
		t.Errorf("the model's own template: %v", got.PromptTokens)
	}
	if code, _, stderr := runHere(append([]string{"generate", "--model", dir, "--ignore-chat-template"}, "--use-default-chat-template")...); code != 2 {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}
