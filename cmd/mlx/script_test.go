package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/hub/hubtest"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/bench"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

func TestMain(m *testing.M) {
	// The scripts run this binary under the name of the program. The tests must not
	// depend on the options of who runs them.
	if filepath.Base(os.Args[0]) != "mlx" {
		for _, v := range os.Environ() {
			if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "MLX_") && name != "MLX_SHARED" && name != "MLX_FULL" {
				os.Unsetenv(name)
			}
		}
	}
	testscript.Main(m, map[string]func(){"mlx": main})
}

// tinyTokenizer is the tokenizer that the tests of llm made for themselves.
var tinyTokenizer = filepath.Join("..", "..", "internal", "llm", "testdata")

func tinyIDs(t testing.TB, tokens ...string) []int {
	t.Helper()
	tok, err := llm.LoadTokenizer(tinyTokenizer)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int, len(tokens))
	for i, token := range tokens {
		var ok bool
		if ids[i], ok = tok.TokenID(token); !ok {
			t.Fatalf("no token %q", token)
		}
	}
	return ids
}

// speaker is the directory of a model that says ids one after the other.
func speaker(t testing.TB, changes llmtest.Config, ids ...int) string {
	t.Helper()
	config, tensors := llmtest.Says(ids...)
	dir := llmtest.Write(t, config.With(changes), tensors)
	data, err := os.ReadFile(filepath.Join(tinyTokenizer, "tokenizer.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	llmtest.WriteJSON(t, dir, "tokenizer_config.json", map[string]any{"bos_token": "<s>", "eos_token": "</s>"})
	return dir
}

var (
	sentence      = []string{"▁Once", "▁upon", "▁a", "▁time", ",", "▁there", "▁was", "."}
	sentenceNames = []string{"ONCE", "UPON", "A", "TIME", "COMMA", "THERE", "WAS", "DOT"}
	thinkTokens   = []string{"▁Once", "<0x3C>", "<0x74>", "<0x68>", "<0x69>", "<0x6E>", "<0x6B>", "<0x3E>", "▁a"} // <think> a
	// The euro sign and a smiling face in bytes.
	byteTokens = []string{"▁Once", "<0xE2>", "<0x82>", "<0xAC>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "."}
)

// randomModel has no tokenizer. context is what it says of itself.
func randomModel(t testing.TB, context int) string {
	c := llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": context})
	return llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32))
}

// otherModel has other weights than randomModel, and its vocabulary.
func otherModel(t testing.TB) string {
	c := llmtest.Tiny("llama")
	return llmtest.Write(t, c, llmtest.Random(t, c, 2, mlx.Float32))
}

// nanModel's second token makes NaN.
func nanModel(t testing.TB) string {
	c := llmtest.Tiny("llama")
	tensors := llmtest.Random(t, c, 1, mlx.Float32)
	for _, x := range tensors {
		if x.Name == "model.embed_tokens.weight" {
			row := 4 * 64
			u := math.Float32bits(float32(math.NaN()))
			x.Data[7*row], x.Data[7*row+1], x.Data[7*row+2], x.Data[7*row+3] = byte(u), byte(u>>8), byte(u>>16), byte(u>>24)
		}
	}
	return llmtest.Write(t, c, tensors)
}

func absolute(t *testing.T, path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// torchModel is the speaker with its weights in PyTorch's format.
func torchModel(t *testing.T) string {
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	path := filepath.Join(dir, "model.safetensors")
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	llmtest.WriteTorch(t, dir, "pytorch_model.bin", f.Tensors())
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestScripts(t *testing.T) {
	env := map[string]string{
		"SUCC":   speaker(t, nil, tinyIDs(t, sentence...)...),
		"EURO":   speaker(t, nil, tinyIDs(t, byteTokens...)...),
		"THINK":  speaker(t, nil, tinyIDs(t, thinkTokens...)...),
		"RANDOM": randomModel(t, 4096),
		"OTHER":  otherModel(t),
		"SHORT":  randomModel(t, 8),
		"NAN":    nanModel(t),
		"TORCH":  torchModel(t),
		"AWQ":    absolute(t, "../../internal/llm/models/testdata/parity-hub-quantized/qwen3-awq"),
	}
	h := hubtest.New(t, 1)
	h.Put("org/name", hubtest.Commit("1"), filesOf(t, env["SUCC"]), "v1")
	h.Put("org/torch", hubtest.Commit("2"), map[string][]byte{"config.json": []byte("{}"), "pytorch_model.bin": {1}})
	putDatasets(t, h)
	env["BYTES"] = oddBytes(t)
	env["HF_ENDPOINT"] = h.URL
	for i, id := range tinyIDs(t, sentence...) {
		env[sentenceNames[i]] = strconv.Itoa(id)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":      exits,
			"logits":     logitsShape,
			"sametokens": sameTokens,
			"distinct":   distinctTokens,
			"ids":        promptIDs,

			"benchmarked": benchmarked,
			"doctored":    doctored,
			"samerows":    sameRows,
			"rowis":       rowIs,
		},
		Setup: func(e *testscript.Env) error {
			for name, value := range env {
				e.Setenv(name, value)
			}
			e.Setenv("HF_HOME", filepath.Join(e.WorkDir, "hf"))
			return nil
		},
	})
}

// exits runs a command that must end with a status: exits 2 mlx generate --nix. On
// failure the program must have said why, in one sentence and with no trace.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("exit status %d, want %s", code, args[0])
	}
	stderr := ts.ReadFile("stderr")
	if code != 0 && (!strings.Contains(stderr, "mlx: ") || strings.Contains(stderr, "goroutine ")) {
		ts.Fatalf("bad report of a failure: %q", stderr)
	}
	if code != 0 && strings.Contains(stderr, "internal error") {
		ts.Fatalf("an internal error: %q", stderr)
	}
}

// logitsShape checks a file of mlx logits: logits FILE ROWS VOCABULARY.
func logitsShape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: logits FILE ROWS VOCABULARY")
	}
	f, err := safetensors.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	x, ok := f.Tensor("logits")
	want := fmt.Sprintf("F32 [%s %s]", args[1], args[2])
	if got := fmt.Sprint(x.RawDType, " ", x.Shape); !ok || got != want || len(f.Tensors()) != 1 {
		ts.Fatalf("the file has %s, want %s", got, want)
	}
}

// generated is a file with the JSON of mlx generate.
func generated(ts *testscript.TestScript, file string) result {
	var r result
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &r))
	return r
}

// sameTokens compares the tokens of two runs: sametokens FILE FILE.
func sameTokens(ts *testscript.TestScript, neg bool, args []string) {
	a, b := generated(ts, args[0]).Tokens, generated(ts, args[1]).Tokens
	if slices.Equal(a, b) == neg {
		ts.Fatalf("tokens %v and %v", a, b)
	}
}

// rowsOf are the lines of mlx generate --prompts.
func rowsOf(ts *testscript.TestScript, file string) []promptResult {
	var rows []promptResult
	for line := range strings.Lines(ts.ReadFile(file)) {
		var r promptResult
		ts.Check(json.Unmarshal([]byte(line), &r))
		if r.Index != len(rows) || len(r.Tokens) == 0 || len(r.Tokens) != len(r.Logprobs) || r.FinishReason == "" || r.Statistics.GenerationTokens != len(r.Tokens) {
			ts.Fatalf("%s: row %d is %+v", file, len(rows), r)
		}
		rows = append(rows, r)
	}
	return rows
}

// sameRows compares the tokens of two runs with --prompts: samerows FILE FILE.
func sameRows(ts *testscript.TestScript, neg bool, args []string) {
	a, b := rowsOf(ts, args[0]), rowsOf(ts, args[1])
	if len(a) != len(b) || len(a) == 0 || neg {
		ts.Fatalf("%d and %d rows", len(a), len(b))
	}
	for i := range a {
		if !slices.Equal(a[i].Tokens, b[i].Tokens) || a[i].Text != b[i].Text || a[i].FinishReason != b[i].FinishReason {
			ts.Fatalf("row %d: %+v and %+v", i, a[i], b[i])
		}
	}
}

// rowIs compares a row with a single run, all bits: rowis FILE ROW FILE.
func rowIs(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	row, alone := rowsOf(ts, args[0])[n], generated(ts, args[2])
	if neg || !slices.Equal(row.Tokens, alone.Tokens) || !slices.Equal(row.Logprobs, alone.Logprobs) {
		ts.Fatalf("%+v and %+v", row, alone)
	}
}

// distinctTokens checks that no token came twice: distinct FILE.
func distinctTokens(ts *testscript.TestScript, neg bool, args []string) {
	seen := map[int]bool{}
	for _, id := range generated(ts, args[0]).Tokens {
		if seen[id] {
			ts.Fatalf("token %d came twice", id)
		}
		seen[id] = true
	}
}

// promptIDs compares the ids on standard output with the prompt of a run: ids FILE.
func promptIDs(ts *testscript.TestScript, neg bool, args []string) {
	want, err := parseIDs(ts.ReadFile("stdout"))
	ts.Check(err)
	if got := generated(ts, args[0]).PromptTokens; !slices.Equal(got, want) {
		ts.Fatalf("prompt %v, want %v", got, want)
	}
}

// benchmarked checks the JSON of mlx benchmark on standard output: benchmarked PROMPT
// GENERATION CONTEXT BATCH TRIALS are the lengths that it must have measured.
func benchmarked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: benchmarked PROMPT GENERATION CONTEXT BATCH TRIALS")
	}
	var n [5]int
	for i, arg := range args {
		var err error
		n[i], err = strconv.Atoi(arg)
		ts.Check(err)
	}
	r := benchmarkResult{Report: &bench.Report{}}
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.DisallowUnknownFields()
	ts.Check(d.Decode(&r))
	if d.More() {
		ts.Fatalf("more than one object")
	}
	o := r.Options
	if got := [5]int{o.PromptTokens, o.GenerationTokens, o.Context, o.BatchSize, o.NumTrials}; got != n {
		ts.Fatalf("options %v, want %v", got, n)
	}
	if m := r.Machine; m.Cores < 1 || m.Threads < 1 || m.SIMD == "" || m.Go == "" || o.Model == "" {
		ts.Fatalf("machine %+v", m)
	}
	if r.Prefill.Tokens != n[0] || r.Decode.Tokens != n[1] || len(r.Trials) != n[4] || len(r.Decode.TPS.Values) != n[4] || r.Limits != nil {
		ts.Fatalf("report %+v", r.Report)
	}
	if (r.Long != nil) != (n[2] > 0) || r.Long != nil && r.Long.Context != n[2] || (r.Batch != nil) != (n[3] > 1) || r.Batch != nil && r.Batch.Size != n[3] {
		ts.Fatalf("long %+v, batch %+v", r.Long, r.Batch)
	}
}
