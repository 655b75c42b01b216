//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
)

// ranksTest is a directory with rows, and the program as mlx.
type ranksTest struct {
	*testing.T
	dir, exe string
}

func newRanksTest(t *testing.T) ranksTest {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := ranksTest{t, t.TempDir(), ""}
	r.exe = filepath.Join(r.dir, "mlx")
	if err := os.Symlink(exe, r.exe); err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for i := range 12 {
		fmt.Fprintf(&rows, `{"text": "Once upon a time there were %d cats.%s"}`+"\n", i, strings.Repeat(" They saw a dog.", i%5))
	}
	for name, text := range map[string]string{
		"train": rows.String(), "valid": strings.Join(strings.SplitAfter(rows.String(), "\n")[:3], ""), "test": rows.String()[:60] + "\"}\n",
	} {
		r.write("data/"+name+".jsonl", text)
	}
	r.write("dropout.yaml", "lora_parameters: {rank: 4, scale: 2.0, dropout: 0.2}\n")
	return r
}

func (r ranksTest) write(name, text string) {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		r.Fatal(err)
	}
}

// command is mlx lora on n ranks, by the launcher if there are several.
func (r ranksTest) command(n int, flags ...string) *exec.Cmd {
	args := []string{"lora", "--model", "builtin", "--train", "--data", "data", "--num-layers", "2", "--threads", "1", "--config", "dropout.yaml"}
	if n > 1 {
		args = append([]string{"launch", "-n", fmt.Sprint(n), r.exe}, args...)
	}
	cmd := exec.Command(r.exe, append(args, flags...)...)
	cmd.Dir = r.dir
	return cmd
}

// run is what a command that succeeds writes to its outputs.
func (r ranksTest) run(n int, flags ...string) string {
	r.Helper()
	out, err := r.command(n, flags...).CombinedOutput()
	if err != nil {
		r.Fatalf("%d ranks: %v\n%s", n, err, out)
	}
	return string(out)
}

// fails is what one that fails says.
func (r ranksTest) fails(n int, flags ...string) string {
	r.Helper()
	out, err := r.command(n, flags...).CombinedOutput()
	if err == nil || strings.Contains(string(out), "goroutine ") {
		r.Fatalf("%d ranks: %v\n%s", n, err, out)
	}
	return string(out)
}

func (r ranksTest) read(name string) []byte {
	r.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.Fatal(err)
	}
	return data
}

// losses are the numbers of a report.
func (r ranksTest) losses(name string) (all []float64) {
	r.Helper()
	for line := range bytes.Lines(r.read(name)) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			r.Fatal(err)
		}
		for _, key := range []string{"train_loss", "val_loss"} {
			if v, ok := m[key].(float64); ok {
				all = append(all, v)
			}
		}
	}
	return all
}

// TestLoraRanks: losses and weights of 2 and 4 ranks are those of one process, also with
// accumulated gradients and a bound of their norm. A validation batch of 3 rows does not
// divide, and a test batch of one row leaves ranks without any.
func TestLoraRanks(t *testing.T) {
	r := newRanksTest(t)
	r.write("dropout.yaml", "lora_parameters: {rank: 4, scale: 2.0, dropout: 0.0}\n")
	flags := func(name string) []string {
		return []string{"--iters", "6", "--optimizer", "sgd", "--learning-rate", "1e-3", "--steps-per-report", "1", "--steps-per-eval", "3", "--save-every", "3", "--test",
			"--grad-accumulation-steps", "2", "--max-grad-norm", "0.5", "--dtype", "float32", "--adapter-path", name, "--report", name + ".jsonl"}
	}
	r.run(1, flags("one")...)
	want := r.losses("one.jsonl")
	weights, _, err := mlx.LoadAll(filepath.Join(r.dir, "one", "adapters.safetensors"))
	if err != nil || len(want) < 9 {
		t.Fatal(err, want)
	}
	for _, n := range []int{2, 4} {
		name := fmt.Sprint("ranks", n)
		out := r.run(n, flags(name)...)
		if strings.Contains(out, "[1] ") || !strings.Contains(out, "[0] Test loss ") {
			t.Errorf("others than rank 0 speak:\n%s", out)
		}
		got := r.losses(name + ".jsonl")
		if len(got) != len(want) {
			t.Fatalf("%d ranks: losses %v, want %v", n, got, want)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-5*want[i] {
				t.Errorf("%d ranks: loss %d is %v, want %v", n, i, got[i], want[i])
			}
		}
		all, _, err := mlx.LoadAll(filepath.Join(r.dir, name, "adapters.safetensors"))
		if err != nil || len(all) != len(weights) {
			t.Fatal(err, len(all))
		}
		for path, a := range weights {
			worst, size := mlx.Max(mlx.Abs(a.Sub(all[path]))), mlx.Max(mlx.Abs(a))
			if w, s := mlx.Item[float32](worst), mlx.Item[float32](size); !(w <= 1e-5*s) || s == 0 {
				t.Errorf("%d ranks: %s is off by %v of %v", n, path, w, s)
			}
		}
	}
}

// TestLoraRanksResume kills a rank of a run with dropout; the run that goes on ends with
// the bytes of one that nobody disturbed. With another number of ranks it is refused.
func TestLoraRanksResume(t *testing.T) {
	r := newRanksTest(t)
	flags := []string{"--iters", "12", "--optimizer", "adamw", "--learning-rate", "1e-3", "--steps-per-report", "1", "--steps-per-eval", "4", "--save-every", "3", "--grad-accumulation-steps", "2"}
	r.run(2, append(flags, "--adapter-path", "calm")...)
	flags = append(flags, "--adapter-path", "killed")
	ranks, out := r.ranks(2, flags...)
	deadline := time.Now().Add(time.Minute)
	for !bytes.Contains(r.soFar(out[0]), []byte("Iter 4: Train")) {
		if time.Now().After(deadline) {
			t.Fatalf("%s", r.soFar(out[0]))
		}
		time.Sleep(time.Millisecond)
	}
	ranks[1].Process.Kill()
	ranks[1].Wait()
	if err := ranks[0].Wait(); err == nil {
		t.Skip("the run was over before it could be killed")
	}
	if text := r.soFar(out[0]); !bytes.Contains(text, []byte("rank 1 (")) || !bytes.Contains(text, []byte("--resume goes on")) {
		t.Errorf("rank 0 says\n%s", text)
	}
	if text := r.fails(1, append(flags, "--resume")...); !strings.Contains(text, "the run was of 2 ranks and this is of 1 rank") {
		t.Error(text)
	}
	if text := r.run(2, append(flags, "--resume")...); !strings.Contains(text, "going on after iteration") {
		t.Error(text)
	}
	for _, name := range []string{"adapters.safetensors", "checkpoint.safetensors", "best_adapters.safetensors"} {
		if !bytes.Equal(r.read("calm/"+name), r.read("killed/"+name)) {
			t.Errorf("%s differs from that of an undisturbed run", name)
		}
	}
}

// ranks starts ranks without a launcher; the files have what they write.
func (r ranksTest) ranks(n int, flags ...string) (cmds []*exec.Cmd, out []string) {
	r.Helper()
	var hosts [][]string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			r.Fatal(err)
		}
		defer l.Close()
		hosts = append(hosts, []string{l.Addr().String()})
		l.Close()
	}
	text, err := json.Marshal(hosts)
	if err != nil {
		r.Fatal(err)
	}
	r.write("hosts.json", string(text))
	secret := filepath.Join(r.dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600); err != nil {
		r.Fatal(err)
	}
	for rank := range n {
		path := filepath.Join(r.dir, fmt.Sprint("out", rank))
		f, err := os.Create(path)
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		cmd := r.command(1, flags...)
		cmd.Env = append(os.Environ(), fmt.Sprint("MLX_RANK=", rank), "MLX_HOSTFILE="+filepath.Join(r.dir, "hosts.json"), "MLX_RING_SECRET_FILE="+secret)
		cmd.Stdout, cmd.Stderr = f, f
		if err := cmd.Start(); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { cmd.Process.Kill() })
		cmds, out = append(cmds, cmd), append(out, path)
	}
	return cmds, out
}

func (r ranksTest) soFar(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	return data
}

// TestLoraRanksStop: a signal to one rank stops all after the same iteration, and rank 0
// saves; the run goes on to the bytes of an undisturbed one.
func TestLoraRanksStop(t *testing.T) {
	r := newRanksTest(t)
	flags := []string{"--iters", "10", "--learning-rate", "1e-3", "--steps-per-report", "1", "--val-batches", "0"}
	r.run(2, append(flags, "--adapter-path", "calm")...)
	flags = append(flags, "--adapter-path", "stopped")
	ranks, out := r.ranks(2, flags...)
	deadline := time.Now().Add(time.Minute)
	for !bytes.Contains(r.soFar(out[0]), []byte("Iter 2: Train")) {
		if time.Now().After(deadline) {
			t.Fatalf("%s", r.soFar(out[0]))
		}
		time.Sleep(time.Millisecond)
	}
	ranks[1].Process.Signal(os.Interrupt)
	err0, err1 := ranks[0].Wait(), ranks[1].Wait()
	if err0 == nil && err1 == nil {
		t.Skip("the run was over before the signal came")
	}
	text := r.soFar(out[0])
	if err0 == nil || err1 == nil || !bytes.Contains(text, []byte("stopped after iteration")) || len(r.soFar(out[1])) > 0 {
		t.Errorf("%v: %s\n%v: %s", err0, text, err1, r.soFar(out[1]))
	}
	r.run(2, append(flags, "--resume")...)
	if !bytes.Equal(r.read("calm/adapters.safetensors"), r.read("stopped/adapters.safetensors")) {
		t.Error("the adapter differs from that of an undisturbed run")
	}
}

// TestLoraRanksRefuse: what is wrong on one rank ends all, and is told once.
func TestLoraRanksRefuse(t *testing.T) {
	r := newRanksTest(t)
	once := func(text, want string) {
		t.Helper()
		if strings.Count(text, want) != 1 {
			t.Errorf("want %q once:\n%s", want, text)
		}
	}
	once(r.fails(2, "--batch-size", "3"), "The batch size must be divisible by the number of workers: --batch-size is 3, and there are 2 ranks")
	once(r.fails(2, "--data", "none"), "there is no directory none, and it is no dataset of the Hub")
	once(r.fails(2, "--resume"), "nothing was stopped")
	once(r.fails(2, "--iters", "9", "--learning-rate", "1e30", "--adapter-path", "wild"), "not a finite number")

	// Each rank has a directory of its own.
	each := func(more int) string {
		t.Helper()
		script := r.exe + ` lora --model builtin --train --data data$MLX_RANK --num-layers 1 --iters $((2 + MLX_RANK * MORE)) --adapter-path each`
		cmd := exec.Command(r.exe, "launch", "-n", "2", "sh", "-c", script)
		cmd.Dir = r.dir
		cmd.Env = append(os.Environ(), fmt.Sprint("MORE=", more))
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("no failure:\n%s", out)
		}
		return string(out)
	}
	rows := string(r.read("data/train.jsonl"))
	r.write("data0/train.jsonl", rows)
	r.write("data1/train.jsonl", strings.Replace(rows, "3 cats", "4 cats", 1))
	once(each(0), "[0] mlx: rank 1: data1/train.jsonl does not have the rows that it has on rank 0")
	once(each(1), "[0] mlx: rank 1: iters is 3, and 2 on rank 0")
	r.write("data1/train.jsonl", rows+"{")
	once(each(0), "[0] mlx: rank 1: data1/train.jsonl:13: JSON")
}

// TestLoraRanksDocs runs the example of docs/lora.md.
func TestLoraRanksDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "lora.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Several machines\n")
	_, block, _ := strings.Cut(section, "\n```sh\n")
	script, _, ok := strings.Cut(block, "```\n")
	if !ok {
		t.Fatal("docs/lora.md has no example")
	}
	r := newRanksTest(t)
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "PATH="+r.dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "going on after iteration 4") {
		t.Errorf("%v\n%s", err, out)
	}
}
