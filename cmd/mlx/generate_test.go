package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// writes records each write by itself.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// runHere runs the program inside the test.
func runHere(args ...string) (code int, out writes, stderr string) {
	var e bytes.Buffer
	code = run(args, &streams{in: strings.NewReader(""), out: &out, err: &e})
	return code, out, e.String()
}

// runJSON is the result of mlx generate --json.
func runJSON(t *testing.T, args ...string) result {
	t.Helper()
	code, out, stderr := runHere(append([]string{"generate", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("%v: exit status %d: %s", args, code, stderr)
	}
	var r result
	if err := json.Unmarshal([]byte(strings.Join(out, "")), &r); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return r
}

// Characters that are several tokens: whole in each write, and the same text in
// every form, also where the end cuts one.
func TestWritesAreCharacters(t *testing.T) {
	ids := tinyIDs(t, byteTokens...)
	dir := speaker(t, nil, ids...)
	broken := speaker(t, nil, tinyIDs(t, "▁a", "b", "<0xFF>", "c", "▁", "<0xE2>", ".")...)
	for _, c := range []struct {
		dir, start, n, text string
	}{
		{dir, "▁Once", "20", "€😀."},
		{dir, "▁Once", "3", "€"},
		{dir, "▁Once", "2", "\uFFFD\uFFFD"},
		{dir, "▁Once", "5", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"},
		{broken, "▁a", "20", "b\uFFFDc \uFFFD."},
	} {
		args := []string{"--model", c.dir, "--prompt-tokens", strings.Trim(strings.Join(strings.Fields(jsonIDs(tinyIDs(t, c.start))), ""), "[]"), "--max-tokens", c.n}
		r := runJSON(t, args...)
		if r.Text != c.text {
			t.Errorf("%v: text %q, want %q", args, r.Text, c.text)
		}
		code, out, _ := runHere(append([]string{"generate", "--verbose", "f"}, args...)...)
		if got := strings.Join(out, ""); code != 0 || got != c.text+"\n" {
			t.Errorf("%v: streamed %q, want %q", args, got, c.text)
		}
		for _, w := range out {
			if !utf8.ValidString(w) {
				t.Errorf("%v: write %q", args, w)
			}
		}
	}
}

func jsonIDs(ids []int) string {
	data, _ := json.Marshal(ids)
	return string(data)
}

func TestStreaming(t *testing.T) {
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	_, out, _ := runHere("generate", "--model", dir, "-p", "Once", "--verbose", "f")
	if want := "upon| a| time|,| there| was|.|\n"; strings.Join(out, "|") != want {
		t.Errorf("writes %q, want %q", strings.Join(out, "|"), want)
	}
}

// failing takes n bytes, then gives err; it can call something at its first write.
type failing struct {
	n     int
	err   error
	first func()
	buf   bytes.Buffer // not embedded: io.WriteString would find its method
}

func (w *failing) Write(p []byte) (int, error) {
	if w.first != nil && len(p) > 0 {
		w.first()
		w.first = nil
	}
	if w.err != nil && w.buf.Len()+len(p) > w.n {
		return 0, w.err
	}
	return w.buf.Write(p)
}

func TestOutputFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{{syscall.EPIPE, 0}, {syscall.ENOSPC, 1}} {
		for _, args := range [][]string{
			{"generate", "--model", "builtin", "--max-tokens", "20"},
			{"generate", "--model", "builtin", "--max-tokens", "20", "--json"},
			{"tokenize", "a"}, {"tokenize", "--decode", "426"}, {"version"}, {"version", "--json"}, {"--help"}, {"help", "chat"},
		} {
			var e bytes.Buffer
			n := 0
			if args[0] == "generate" && len(args) == 5 {
				n = 20
			}
			code := run(args, &streams{in: strings.NewReader(""), out: &failing{n: n, err: c.err}, err: &e})
			if code != c.code || (e.Len() > 0) != (code != 0) {
				t.Errorf("%v, %v: exit status %d, %q", args, c.err, code, e.String())
			}
		}
	}
}

// What a command does besides is done though nobody reads what it says.
func TestOutputFailsLate(t *testing.T) {
	testHub(t, "org/name")
	if _, stderr, code := command(t, false, "tokenize", "--model", "org/name", "a"); code != 0 {
		t.Fatal(stderr)
	}
	path := filepath.Join(t.TempDir(), "cache.safetensors")
	for _, args := range [][]string{
		{"cache-prompt", "--model", "builtin", "--prompt", "Once", "--prompt-cache-file", path},
		{"models", "rm", "--yes", "org/name"},
	} {
		var e bytes.Buffer
		if code := run(args, &streams{in: strings.NewReader(""), out: &failing{err: syscall.EPIPE}, err: &e}); code != 0 {
			t.Errorf("%v: exit status %d, %q", args, code, e.String())
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if out, _, _ := command(t, false, "models", "--json"); out != "[]\n" {
		t.Errorf("%q", out)
	}
}

func TestChatOutputFails(t *testing.T) {
	for err, code := range map[error]int{syscall.EPIPE: 0, syscall.ENOSPC: 1} {
		var e bytes.Buffer
		in := strings.NewReader("Hello\nHello\n")
		got := run([]string{"chat", "--model", "builtin", "--max-tokens", "3"}, &streams{in: in, out: &failing{n: 2, err: err}, err: &e})
		if got != code || strings.Count(e.String(), err.Error()) != code {
			t.Errorf("%v: exit status %d, %q", err, got, e.String())
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var e bytes.Buffer
	out := &failing{first: cancel}
	s := &streams{in: strings.NewReader(""), out: out, err: &e}
	root := newRoot(s)
	root.SetArgs([]string{"generate", "--model", "builtin", "--max-tokens", "-1", "--ignore-eos", "--temp", "0"})
	if err := root.ExecuteContext(ctx); err != nil {
		t.Fatal(err)
	}
	if text := out.buf.String(); !strings.Contains(text, "\n==========\n") || !strings.HasPrefix(text, "==========\n") {
		t.Errorf("output %q", text)
	}
	if !strings.Contains(e.String(), "interrupted") {
		t.Errorf("stderr %q", e.String())
	}
}

// However many tokens may run at once, memory is for the prompt's.
func TestPrefillStepSizes(t *testing.T) {
	ids := make([]int, 1100)
	for i := range ids {
		ids[i] = i % 96
	}
	args := []string{"--model", randomModel(t, 4096), "--prompt-tokens", strings.Trim(jsonIDs(ids), "[]"), "--max-tokens", "3", "--prefill-step-size"}
	want := runJSON(t, append(args, "100")...)
	for _, step := range []string{"1024", "2048", "5000000000", "9223372036854775807"} {
		if got := runJSON(t, append(args, step)...); !slices.Equal(got.Tokens, want.Tokens) || got.Statistics.PeakMemory > 10*want.Statistics.PeakMemory {
			t.Errorf("step %s: %v with %d bytes, not %v with %d", step, got.Tokens, got.Statistics.PeakMemory, want.Tokens, want.Statistics.PeakMemory)
		}
	}
}

// A prompt that is interrupted ends with the statistics of what was fed.
func TestCancelPrompt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, e bytes.Buffer
	root := newRoot(&streams{in: strings.NewReader(""), out: &out, err: &e})
	root.SetArgs([]string{"generate", "--model", "builtin"})
	if err := root.ExecuteContext(ctx); err != nil {
		t.Fatal(err)
	}
	if want := "==========\n\n==========\nPrompt: 0 tokens, 0.000 tokens-per-sec\nGeneration: 0 tokens, "; !strings.HasPrefix(out.String(), want) {
		t.Errorf("output %q, want %q first", out.String(), want)
	}
}

func TestPanicIsOneSentence(t *testing.T) {
	var e bytes.Buffer
	code := run([]string{"generate", "--model", "builtin"}, &streams{in: strings.NewReader(""), out: panicking{}, err: &e})
	if stderr := e.String(); code != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "internal error: ouch") {
		t.Errorf("exit status %d, %q", code, stderr)
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("ouch") }

// The recorded prompt of story-10m's chat template.
func TestBuiltinPrompt(t *testing.T) {
	r := runJSON(t, "--model", "builtin", "-p", "Tell me a story about a dog named Max.", "--max-tokens", "1")
	want := "[1,3,325,1089,15,1998,591,532,263,1017,664,263,516,431,556,1989,4,3,441,1983,655,673,15]"
	if got := jsonIDs(r.PromptTokens); got != want {
		t.Errorf("prompt %s, want %s", got, want)
	}
}

// Only the built-in model has sampling of its own.
func TestBuiltinSampling(t *testing.T) {
	args := []string{"--model", "builtin", "--prompt-tokens", "1,426", "--max-tokens", "12", "--seed", "3"}
	own := runJSON(t, args...)
	same := runJSON(t, append(args, "--temp", "0.7", "--top-p", "0.95")...)
	greedy := runJSON(t, append(args, "--temp", "0")...)
	if jsonIDs(own.Tokens) != jsonIDs(same.Tokens) {
		t.Errorf("own %v, set %v", own.Tokens, same.Tokens)
	}
	if jsonIDs(own.Tokens) == jsonIDs(greedy.Tokens) {
		t.Errorf("--temp 0 changes nothing: %v", greedy.Tokens)
	}
	dir := randomModel(t, 64)
	args = []string{"--model", dir, "--prompt-tokens", "5", "--max-tokens", "12"}
	if a, b := runJSON(t, args...), runJSON(t, append(args, "--temp", "0")...); jsonIDs(a.Tokens) != jsonIDs(b.Tokens) {
		t.Errorf("a directory is not greedy: %v, %v", a.Tokens, b.Tokens)
	}
}

// Every example of the help texts runs.
func TestExamples(t *testing.T) {
	fill := hubForExamples(t)
	t.Chdir(t.TempDir())
	llmtest.WriteJSON(t, ".", "chat.json", []map[string]string{{"role": "user", "content": "Hi"}})
	llmtest.WriteJSON(t, ".", "tools.json", []any{})
	filesForExamples(t)
	var visit func(cmd *cobra.Command)
	n := 0
	visit = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			visit(c)
		}
		for line := range strings.Lines(cmd.Example) {
			stdin := "Hi\n" // a chat waits for it
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "mlx distributed-config ") { // needs other machines
				continue
			}
			if left, right, ok := strings.Cut(line, " | "); ok {
				stdin, line = strings.Trim(strings.TrimPrefix(left, "echo "), `"'`)+"\n", right
			}
			words := shellWords(line)
			if words[0] != "mlx" {
				t.Errorf("example %q", line)
				continue
			}
			if words[1] == "models" {
				fill()
			}
			var out, e bytes.Buffer
			if code := run(words[1:], &streams{in: strings.NewReader(stdin), out: &out, err: &e}); code != 0 {
				t.Errorf("%s: exit status %d: %s", line, code, e.String())
			}
			silent := words[1] == "logits" || words[1] == "convert" && slices.Contains(words, "--adapter") // their result is files
			if out.Len() == 0 && !silent {
				t.Errorf("%s: no output", line)
			}
			n++
		}
	}
	visit(newRoot(stdStreams()))
	if n < 10 {
		t.Errorf("%d examples", n)
	}
}

// filesForExamples writes what the examples read beside models of the Hub.
func filesForExamples(t *testing.T) {
	t.Helper()
	story := strings.Repeat("Once upon a time there was a red ball. ", 80)
	rows := strings.Repeat(`{"text": "Once upon a time there was a red ball."}`+"\n", 4)
	for name, text := range map[string]string{
		"story.txt": story, "stories.txt": story + "<|endoftext|>" + story, "wiki.jsonl": strings.Repeat(rows, 80),
		"data/train.jsonl": rows, "data/valid.jsonl": rows, "data/test.jsonl": rows,
		"lora.yaml": "train: true\ndata: data\niters: 2\nnum_layers: 1\nadapter_path: other\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"convert", "--model", "builtin", "--mlx-path", "story-10m", "--dequantize"},
		{"quantize", "--model", "story-10m", "--mlx-path", "story-3bit", "--q-bits", "3"},
		{"lora", "--model", "builtin", "--train", "--data", "data", "--iters", "2", "--num-layers", "1"},
	} {
		if _, e, code := command(t, false, args...); code != 0 {
			t.Fatal(e)
		}
	}
}

// shellWords cuts a line at blanks outside double quotes.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// The progress of a long prompt, on a terminal only.
func TestProgress(t *testing.T) {
	ids := strings.TrimSuffix(strings.Repeat("5,6,", 40), ",")
	args := []string{"generate", "--model", randomModel(t, 128), "--prompt-tokens", ids, "--json", "--max-tokens", "1", "--prefill-step-size", "16"}
	for _, tty := range []bool{false, true} {
		var out, e bytes.Buffer
		if code := run(args, &streams{in: strings.NewReader(""), out: &out, err: &e, errTTY: tty}); code != 0 {
			t.Fatal(e.String())
		}
		if shown := strings.Contains(e.String(), "prompt"); shown != tty {
			t.Errorf("terminal %v: %q", tty, e.String())
		}
	}
}

// The EOS token of tokenizer_config.json, where no config has one.
func TestTokenizerEOS(t *testing.T) {
	dir := speaker(t, llmtest.Config{"eos_token_id": nil}, tinyIDs(t, "▁Once", "▁upon")...)
	r := runJSON(t, "--model", dir, "-p", "Once", "--max-tokens", "5")
	if r.FinishReason != "stop" || r.Text != "upon" { // by tokenizer_config.json
		t.Errorf("%+v", r)
	}
}
