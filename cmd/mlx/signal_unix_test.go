//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A signal ends the program as if nothing had happened, with what there is.
func TestSignal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "mlx")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	for i, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt} {
		dir := randomModel(t, 1<<30) // would go on until it is stopped
		cmd := exec.Command(link, "generate", "--model", dir, "--prompt-tokens", "5", "--json", "--max-tokens", "-1", "--ignore-eos", "--config", filepath.Join(dir, "fifo"))
		if i == 2 {
			cmd.Args = append(cmd.Args, "--draft-model", dir)
		}
		// Reading the config from a FIFO tells when the program is past its setup of
		// signals.
		if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &e
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fifo, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		fifo.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v: %s", sig, err, e.String())
		}
		var r result
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.FinishReason != "cancelled" || len(r.PromptTokens) != 1 {
			t.Errorf("%v: %q, %v", sig, out.String(), err)
		}
	}
}

// A program that waits for its input ends at the first signal.
func TestSignalInput(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "mlx")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"tokenize"}, {"generate", "--prompt", "-"}} {
		// As in TestSignal, a FIFO tells when the signals are set up.
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(link, append(args, "--config", fifo)...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v: no failure", args)
		}
	}
}
