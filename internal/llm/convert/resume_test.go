package convert

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/quant"
)

// shardedModel is a model of 1.2 MB in 5 shards.
func shardedModel(t testing.TB) string {
	dir := t.TempDir()
	llmtest.WriteShards(t, dir, llmtest.Tiny("llama").With(llmtest.Config{"num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 256}), 5, 250_000)
	return dir
}

// sameFiles compares two directories, all bytes.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	read := func(dir string) map[string][]byte {
		out := map[string][]byte{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	x, y := read(a), read(b)
	if len(x) != len(y) || len(x) < 4 {
		t.Errorf("%d and %d files", len(x), len(y))
	}
	for name := range x {
		if !bytes.Equal(x[name], y[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func small() Options {
	return Options{Quantize: true, Scheme: quant.Scheme{GroupSize: 32}, shard: 60_000}
}

// interrupt converts until part of the bytes are done, in 1/10.
func interrupt(t *testing.T, dir, out string, part int64, o Options) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(done, total int64) {
		if done*10 >= total*part {
			cancel()
		}
	}
	_, err := tryConvert(ctx, dir, out, o)
	return err
}

// TestResume: a conversion that is interrupted anywhere ends with the bytes of one that is
// not, and until then there is no model.
func TestResume(t *testing.T) {
	dir := shardedModel(t)
	want := convertDir(t, dir, small())
	for part := range int64(10) {
		out := filepath.Join(t.TempDir(), "out")
		err := interrupt(t, dir, out, part, small())
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("part %d: %v", part, err)
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("part %d: the result is there: %v", part, err)
		}
		var stopped *Interrupted
		if part == 0 {
			if _, e := os.Stat(out + workSuffix); errors.As(err, &stopped) || !errors.Is(e, fs.ErrNotExist) {
				t.Errorf("nothing was done, but %v, %v", err, e)
			}
		} else if !errors.As(err, &stopped) || stopped.Done == 0 || !strings.Contains(err.Error(), "the same command goes on") {
			t.Errorf("part %d: %v", part, err)
		}
		if _, err := llm.Load(filepath.Join(out+workSuffix, resultName), llm.LoadOptions{New: models.New}); err == nil {
			t.Error("what is unfinished loads as a model")
		}
		r, err := tryConvert(context.Background(), dir, out, small())
		if err != nil {
			t.Fatal(err)
		}
		if stopped != nil && r.Kept != stopped.Done {
			t.Errorf("part %d: %d bytes were kept of %d", part, r.Kept, stopped.Done)
		}
		sameFiles(t, want, out)
		if _, err := os.Stat(out + workSuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the work directory stays: %v", err)
		}
	}
}

// TestComplete adds a file to a result before that is there: after an error the same call
// goes on, and what a run that was killed left of small files is in no result.
func TestComplete(t *testing.T) {
	dir := shardedModel(t)
	want := convertDir(t, dir, small())
	out := filepath.Join(t.TempDir(), "out")
	o := small()
	bad := errors.New("bad")
	o.Complete = func(dir string) error {
		for _, name := range []string{".config.json.1-0.tmp", "half.gguf", "sub"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o666); err != nil {
				return err
			}
		}
		return bad
	}
	var stopped *Interrupted
	if _, err := tryConvert(context.Background(), dir, out, o); !errors.Is(err, bad) || !errors.As(err, &stopped) || stopped.Done != stopped.Total {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the result is there: %v", err)
	}
	o.Complete = func(dir string) error {
		sameFiles(t, want, dir)
		return os.WriteFile(filepath.Join(dir, "whole.gguf"), []byte("whole"), 0o666)
	}
	if _, err := tryConvert(context.Background(), dir, out, o); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "whole.gguf")); err != nil || string(text) != "whole" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(out, "whole.gguf")); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, want, out)
}

// TestResumeDamaged: what the disk lost of finished tensors is written again.
func TestResumeDamaged(t *testing.T) {
	dir := shardedModel(t)
	want := convertDir(t, dir, small())
	for name, harm := range map[string]func(path string) error{
		"a byte": func(path string) error {
			text, err := os.ReadFile(path)
			if err == nil {
				text[len(text)-1] ^= 1
				err = os.WriteFile(path, text, 0o666)
			}
			return err
		},
		"cut":     func(path string) error { return os.Truncate(path, 100) },
		"removed": os.Remove,
	} {
		out := filepath.Join(t.TempDir(), "out")
		if err := interrupt(t, dir, out, 8, small()); err == nil {
			t.Fatal("not interrupted")
		}
		shards, err := filepath.Glob(filepath.Join(out+workSuffix, resultName, "model-00001-*"))
		if err != nil || len(shards) != 1 {
			t.Fatal(shards, err)
		}
		if err := harm(shards[0]); err != nil {
			t.Fatal(err)
		}
		var notes []string
		o := small()
		o.Note = func(text string) { notes = append(notes, text) }
		if _, err := tryConvert(context.Background(), dir, out, o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(notes, "\n"), "is written again") {
			t.Errorf("%s: notes %q", name, notes)
		}
		sameFiles(t, want, out)
	}
}

// TestResumeOther: another conversion does not take what is there for its own.
func TestResumeOther(t *testing.T) {
	dir := shardedModel(t)
	out := filepath.Join(t.TempDir(), "out")
	if err := interrupt(t, dir, out, 5, small()); err == nil {
		t.Fatal("not interrupted")
	}
	work := out + workSuffix
	refused := func(dir string, o Options, want string) {
		t.Helper()
		_, err := tryConvert(context.Background(), dir, out, o)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), work) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, change := range map[string]func(o *Options){
		"with --q-bits 4, not 8":              func(o *Options) { o.Scheme.Bits = 8 },
		"with --q-mode affine, not mxfp4":     func(o *Options) { o.Scheme = quant.Scheme{Mode: quant.MXFP4} },
		"--q-rounding mlx-metal, not mlx-cpu": func(o *Options) { o.Scheme.Rounding = quant.RoundCPU },
		"--quant-predicate none, not mixed":   func(o *Options) { o.Recipe = "mixed_3_4" },
		"--dtype the model's, not float16":    func(o *Options) { d := mlx.Float16; o.DType = &d },
		"--quantize true, not false":          func(o *Options) { o.Quantize = false },
		"with other options or files":         func(o *Options) { o.Rules, _ = ParseRules([]byte("lm_head: skip"), "x") },
	} {
		o := small()
		change(&o)
		refused(dir, o, want)
	}
	refused(shardedModel(t), small(), "of other weights")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "model-00002-of-00005.safetensors"), later, later); err != nil {
		t.Fatal(err)
	}
	refused(dir, small(), "of other weights")
	if err := os.WriteFile(filepath.Join(work, planName), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	refused(dir, small(), "is of no conversion that this program knows")
}

// TestTwoAtOnce: a second conversion to the same place is refused.
func TestTwoAtOnce(t *testing.T) {
	dir := shardedModel(t)
	out := filepath.Join(t.TempDir(), "out")
	var second error
	o := small()
	o.Progress = func(done, total int64) {
		if second == nil {
			_, second = tryConvert(context.Background(), dir, out, small())
		}
	}
	if _, err := tryConvert(context.Background(), dir, out, o); err != nil {
		t.Fatal(err)
	}
	if second == nil || !strings.Contains(second.Error(), "another conversion is at work") {
		t.Error(second)
	}
}

// TestRemove: sources go when they are done, and an interrupted conversion goes on
// without them.
func TestRemove(t *testing.T) {
	dir := shardedModel(t)
	want := convertDir(t, dir, small())
	out := filepath.Join(t.TempDir(), "out")
	o := small()
	removed := 0
	o.Remove = func(path string) error {
		removed++
		return os.Remove(path)
	}
	if err := interrupt(t, dir, out, 6, o); err == nil || removed == 0 || removed == 5 {
		t.Fatalf("%d files were removed: %v", removed, err)
	}
	before := removed
	left := Unfinished(out)
	if left == nil || !left.Removed || left.Dir != dir || left.Model != dir {
		t.Fatalf("%+v is left", left)
	}
	src, err := left.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	o.New, o.Model, o.Dir = models.New, dir, dir
	if _, err := Run(context.Background(), src, out, o); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, want, out)
	if removed != 5 || before == 5 {
		t.Errorf("%d files were removed, %d before", removed, before)
	}
	if _, err := tryConvert(context.Background(), dir, out+"2", small()); err == nil {
		t.Error("a model without weights converts")
	}
}

// TestRemoveDamaged: nothing is lost in silence when the result is damaged after its
// source went.
func TestRemoveDamaged(t *testing.T) {
	dir := shardedModel(t)
	out := filepath.Join(t.TempDir(), "out")
	o := small()
	o.Remove = os.Remove
	if err := interrupt(t, dir, out, 6, o); err == nil {
		t.Fatal("not interrupted")
	}
	shards, _ := filepath.Glob(filepath.Join(out+workSuffix, resultName, "model-00001-*"))
	if err := os.Truncate(shards[0], 100); err != nil {
		t.Fatal(err)
	}
	left := Unfinished(out)
	src, err := left.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	o.New, o.Model, o.Dir = models.New, dir, dir
	if _, err := Run(context.Background(), src, out, o); err == nil || !strings.Contains(err.Error(), "is damaged, and ") {
		t.Error(err)
	}
}

// TestNoSpace: a disk without room is refused before anything is written, one that fills
// up leaves what is done.
func TestNoSpace(t *testing.T) {
	dir := shardedModel(t)
	parent := t.TempDir()
	out := filepath.Join(parent, "out")
	o := small()
	o.free = func(string) (int64, error) { return 200_000, nil }
	_, err := tryConvert(context.Background(), dir, out, o)
	if err == nil || !strings.Contains(err.Error(), out+": no space left for the result: it needs ") || !strings.Contains(err.Error(), "200.0 kB are free") {
		t.Error(err)
	}
	if list, _ := os.ReadDir(parent); len(list) != 0 {
		t.Errorf("%v is left", list)
	}
}

// TestBadSources: one sentence, and nothing is written.
func TestBadSources(t *testing.T) {
	good := shardedModel(t)
	shard := "model-00002-of-00005.safetensors"
	for want, harm := range map[string]func(dir string) error{
		"cut short": func(dir string) error { return os.Truncate(filepath.Join(dir, shard), 100_000) },
		"missing":   func(dir string) error { return os.Remove(filepath.Join(dir, shard)) },
		"config.json": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o666)
		},
		"generation_config.json": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte("[]"), 0o666)
		},
		"tokenizer_config.json": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte("{"), 0o666)
		},
		"unexpected tensor": func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err == nil {
				text = bytes.Replace(text, []byte(`"num_hidden_layers":4`), []byte(`"num_hidden_layers":3`), 1)
				err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o666)
			}
			return err
		},
	} {
		dir, parent := t.TempDir(), t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		_, err := tryConvert(context.Background(), dir, filepath.Join(parent, "out"), small())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", want, err)
		}
		if list, _ := os.ReadDir(parent); len(list) != 0 {
			t.Errorf("%s: %v is left", want, list)
		}
	}
	for want, o := range map[string]Options{
		"7 bits is not supported":             {Quantize: true, Scheme: quant.Scheme{Bits: 7}},
		"not both":                            {Quantize: true, Dequantize: true},
		"only support 'affine'":               {Quantize: true, Scheme: quant.Scheme{Mode: quant.NVFP4}, Recipe: "mixed_2_6"},
		`there is no quantization recipe "x"`: {Quantize: true, Recipe: "x"},
	} {
		if _, err := tryConvert(context.Background(), good, filepath.Join(t.TempDir(), "out"), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestResumeIdentity: what is made of tensors in memory goes on with those only.
func TestResumeIdentity(t *testing.T) {
	dir, out := shardedModel(t), filepath.Join(t.TempDir(), "out")
	o := small()
	o.Identity = "one"
	if err := interrupt(t, dir, out, 5, o); err == nil {
		t.Fatal("it was not interrupted")
	}
	o.Identity = "other"
	if _, err := tryConvert(context.Background(), dir, out, o); err == nil || !strings.Contains(err.Error(), "unfinished conversion with other options or files") {
		t.Errorf("another identity: %v", err)
	}
	o.Identity = "one"
	if _, err := tryConvert(context.Background(), dir, out, o); err != nil {
		t.Error(err)
	}
}
