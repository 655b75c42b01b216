//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tuning is a short run with all that its state has: dropout, a schedule, sums of
// gradients, validations.
type tuning struct {
	t       *testing.T
	program string
	dir     string // of the data and the configuration
}

func newTuning(t *testing.T) *tuning {
	t.Helper()
	r := &tuning{t, program(t), t.TempDir()}
	model := speaker(t, nil, tinyIDs(t, sentence...)...)
	config := fmt.Sprintf(`model: %s
train: true
data: %s
iters: 24
batch_size: 2
num_layers: -1
grad_accumulation_steps: 2
steps_per_report: 4
steps_per_eval: 5
val_batches: 1
save_every: 3
learning_rate: 1e-2
optimizer: adamw
lora_parameters: {rank: 4, scale: 10.0, dropout: 0.2}
lr_schedule: {name: cosine_decay, arguments: [1e-2, 24], warmup: 3}
`, model, r.dir)
	for name, data := range map[string][]byte{"lora.yaml": []byte(config), "train.jsonl": jsonLines("text", 0, 14), "valid.jsonl": jsonLines("text", 3, 8)} {
		if err := os.WriteFile(filepath.Join(r.dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *tuning) command(out string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.Command(r.program, append([]string{"lora", "--config", filepath.Join(r.dir, "lora.yaml"), "--adapter-path", out}, args...)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// run runs to the end and returns the losses that it told.
func (r *tuning) run(out string, args ...string) map[string]string {
	r.t.Helper()
	cmd, stdout, stderr := r.command(out, args...)
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%v: %s", err, stderr)
	}
	return lossesOf(stdout.String())
}

// resume goes on if there is something to go on with.
func (r *tuning) resume(out string) []string {
	if _, err := os.Stat(filepath.Join(out, checkpointFile)); err == nil {
		return []string{"--resume"}
	}
	return nil
}

var lossLine = regexp.MustCompile(`(?m)^(Iter \d+: (?:Train|Val) loss) ([^,]+),`)

func lossesOf(text string) map[string]string {
	out := map[string]string{}
	for _, m := range lossLine.FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// sameAdapter checks that two runs wrote the same files, and that no parts are left.
func (r *tuning) sameAdapter(want, got string) {
	r.t.Helper()
	a, b := filesOf(r.t, want), filesOf(r.t, got)
	for _, files := range []map[string][]byte{a, b} {
		maps.DeleteFunc(files, func(name string, _ []byte) bool { return name == historyFile || name == "adapter_config.json" }) // speeds; the path
	}
	if x, y := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)); !slices.Equal(x, y) || len(x) < 11 {
		r.t.Errorf("files %v, want %v", y, x)
	}
	for name, data := range a {
		if !bytes.Equal(data, b[name]) {
			r.t.Errorf("%s differs", name)
		}
	}
}

// sameLosses checks that what a run told is what the undisturbed one did.
func (r *tuning) sameLosses(want, got map[string]string, all bool) {
	r.t.Helper()
	for line, loss := range got {
		if want[line] != loss {
			r.t.Errorf("%s %s, want %q", line, loss, want[line])
		}
	}
	if all && len(got) != len(want) {
		r.t.Errorf("%d losses, want %d", len(got), len(want))
	}
}

// TestKilledTuning kills a run at random moments, one that goes on too, until it is done:
// it writes and tells what an undisturbed one does. There are more moments with MLX_FULL.
func TestKilledTuning(t *testing.T) {
	moments := 3
	if os.Getenv("MLX_FULL") != "" {
		moments = 50
	}
	r := newTuning(t)
	want := filepath.Join(t.TempDir(), "want")
	began := time.Now()
	losses := r.run(want)
	whole := time.Since(began)
	rng := rand.New(rand.NewPCG(uint64(moments), 7))
	kills, between := 0, 0
	for kills < moments {
		out := filepath.Join(t.TempDir(), "out")
		told := map[string]string{}
		for done := false; !done; {
			cmd, stdout, stderr := r.command(out, r.resume(out)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := kills < moments
			if kill {
				time.Sleep(time.Duration((0.1 + 0.9*rng.Float64()) * float64(whole)))
				_ = cmd.Process.Kill() // it may have ended
				kills++
			}
			err := cmd.Wait()
			if done = err == nil; !done && !kill {
				t.Fatalf("after %d kills: %v: %s", kills, err, stderr)
			}
			if !done && len(r.resume(out)) > 0 {
				between++
			}
			got := lossesOf(stdout.String())
			r.sameLosses(losses, got, false)
			maps.Copy(told, got)
		}
		r.sameLosses(losses, told, true)
		r.sameAdapter(want, out)
	}
	t.Logf("%d kills in runs of %v, %d of them with a checkpoint", kills, whole, between)
}

// TestStoppedTuning stops a run by signals at each of its stages: it says how to go on,
// and goes on to the same files.
func TestStoppedTuning(t *testing.T) {
	r := newTuning(t)
	want := filepath.Join(t.TempDir(), "want")
	losses := r.run(want)
	for _, c := range []struct {
		name   string
		sig    syscall.Signal
		after  string // a line of what it tells
		stderr string
	}{
		{"loading", os.Interrupt.(syscall.Signal), "Loading pretrained model", "stopped (while loading, before anything was written; run the same command again|after iteration)"},
		{"beginning", syscall.SIGTERM, "Starting training", `stopped after iteration \d+ of 24; the same command with --resume goes on`},
		{"validation", syscall.SIGINT, "Iter 1: Val loss", `stopped after iteration \d+ of 24; the same command with --resume goes on`},
		{"steps", syscall.SIGTERM, "Iter 12: Saved", `stopped after iteration \d+ of 24; the same command with --resume goes on`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			cmd, _, _ := r.command(out)
			told := &signalAt{text: c.after, do: func() { _ = cmd.Process.Signal(c.sig) }}
			cmd.Stdout, cmd.Stderr = told, told
			err := cmd.Run()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if err == nil {
				t.Skip("the run was over before the signal came")
			}
			if !ok || exit.ExitCode() != 1 || !regexp.MustCompile(c.stderr).MatchString(told.String()) || strings.Contains(told.String(), "context canceled") {
				t.Fatalf("%v: %s", err, told.String())
			}
			got := lossesOf(told.String())
			maps.Copy(got, r.run(out, r.resume(out)...))
			r.sameLosses(losses, got, true)
			r.sameAdapter(want, out)
		})
	}
	t.Run("twice", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		cmd, _, _ := r.command(out)
		told := &signalAt{text: "Iter 3: Saved", do: func() {
			for range 2 {
				_ = cmd.Process.Signal(os.Interrupt)
				time.Sleep(time.Millisecond)
			}
		}}
		cmd.Stdout, cmd.Stderr = told, told
		_ = cmd.Run() // by the first signal or by the second
		got := lossesOf(told.String())
		maps.Copy(got, r.run(out, r.resume(out)...))
		r.sameLosses(losses, got, true)
		r.sameAdapter(want, out)
	})
}

// signalAt collects what a program tells, and does something once when it told a text.
type signalAt struct {
	told bytes.Buffer // not embedded: its ReadFrom would go past Write
	text string
	do   func()
}

func (s *signalAt) Write(p []byte) (int, error) {
	n, err := s.told.Write(p)
	if s.do != nil && strings.Contains(s.String(), s.text) {
		s.do()
		s.do = nil
	}
	return n, err
}

func (s *signalAt) String() string { return s.told.String() }

// TestTuningGoesOn raises --iters of a run that has ended, and asks one that has ended for
// nothing more.
func TestTuningGoesOn(t *testing.T) {
	r := newTuning(t)
	out := filepath.Join(t.TempDir(), "out")
	r.run(out, "--iters", "12")
	before := filesOf(t, out)
	cmd, stdout, stderr := r.command(out, "--iters", "12", "--resume")
	if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), "the run ended after iteration 12, so nothing is left to do; a larger --iters goes on") || len(lossesOf(stdout.String())) != 0 {
		t.Errorf("%v: %s%s", err, stdout, stderr)
	}
	for name, data := range filesOf(t, out) {
		if !bytes.Equal(data, before[name]) {
			t.Errorf("%s changed", name)
		}
	}
	cmd, stdout, stderr = r.command(out, "--iters", "24", "--resume", "--report", filepath.Join(r.dir, "curve.csv"))
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	got := slices.Sorted(maps.Keys(lossesOf(stdout.String())))
	want := []string{"Iter 15: Val loss", "Iter 16: Train loss", "Iter 20: Train loss", "Iter 20: Val loss", "Iter 24: Train loss", "Iter 24: Val loss"}
	if !slices.Equal(got, want) || !strings.HasSuffix(stdout.String(), fmt.Sprintf("Saved final weights to %s.\n", filepath.Join(out, "adapters.safetensors"))) {
		t.Errorf("%v, want %v: %s", got, want, stdout)
	}
	// The curve is that of the whole run.
	data, err := os.ReadFile(filepath.Join(r.dir, "curve.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{"1,,", "4,", "8,", "12,", "16,", "20,", "24,"} {
		if !strings.Contains(string(data), "\n"+start) {
			t.Errorf("no row %s in %s", start, data)
		}
	}
	if config, err := os.ReadFile(filepath.Join(out, "adapter_config.json")); err != nil || !bytes.Contains(config, []byte(`"iters": 24`)) {
		t.Errorf("%s, %v", config, err)
	}
}
