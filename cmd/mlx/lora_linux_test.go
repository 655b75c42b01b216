package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullDisk runs on disks of several sizes: each run says in one sentence what failed,
// and goes on to the same files when there is room.
func TestFullDisk(t *testing.T) {
	r := newTuning(t)
	want := filepath.Join(t.TempDir(), "want")
	losses := r.run(want)
	sizes := map[string]int{}
	for name, data := range filesOf(t, want) {
		sizes[name] = len(data)
	}
	adapter, checkpoint := sizes["adapters.safetensors"], sizes[checkpointFile]
	disk := t.TempDir()
	mount := func(size int, flags uintptr) error {
		return unix.Mount("tmpfs", disk, "tmpfs", flags, fmt.Sprintf("size=%d", size))
	}
	failed := 0
	for i := range 5 {
		// Room for the first checkpoint, and for more and more of what comes then.
		if err := mount(2*checkpoint+8192+i*(adapter+checkpoint)/2, 0); err != nil {
			t.Skipf("no file system can be mounted: %v", err)
		}
		out := filepath.Join(disk, "out")
		cmd, _, stderr := r.command(out)
		err := cmd.Run()
		last := lastLine(stderr.String())
		if err != nil {
			failed++
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(last, "no space left on device") || !strings.Contains(last, out) || strings.Contains(stderr.String(), "goroutine") {
				t.Errorf("size %d: %v: %s", i, err, stderr)
			}
		}
		if err := mount(64<<20, unix.MS_REMOUNT); err != nil {
			t.Fatal(err)
		}
		r.sameLosses(losses, r.run(out, r.resume(out)...), false)
		r.sameAdapter(want, out)
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	if failed < 3 {
		t.Errorf("%d disks were full", failed)
	}
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}

// TestTuningTerminal sees the bar and the curve on a terminal.
func TestTuningTerminal(t *testing.T) {
	r := newTuning(t)
	master, slave := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 90}); err != nil {
		t.Fatal(err)
	}
	cmd, _, _ := r.command(filepath.Join(t.TempDir(), "out"), "--iters", "60")
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop()
	var seen bytes.Buffer
	for buf := make([]byte, 4096); ; {
		n, err := master.Read(buf)
		seen.Write(buf[:n])
		if err != nil { // the other end is closed
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, seen.String())
	}
	for _, want := range []string{"loss ", " tok/s ", " GB", "/60)", "Iter 4: Train loss", ". training loss, v validation loss, by iteration", "Saved final weights"} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("no %q in %q", want, seen.String())
		}
	}
	// A picture of the bar fits into a line.
	for _, picture := range strings.FieldsFunc(seen.String(), func(c rune) bool { return c == '\r' || c == '\n' }) {
		if n := len([]rune(picture)); strings.HasPrefix(picture, "loss ") && n > 90 {
			t.Errorf("%d columns: %q", n, picture)
		}
	}
}

// TestDamagedCheckpoint: one that is cut short or has another header is refused in words.
func TestDamagedCheckpoint(t *testing.T) {
	r := newTuning(t)
	out := filepath.Join(t.TempDir(), "out")
	r.run(out, "--iters", "6")
	path := filepath.Join(out, checkpointFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[20] ^= 0x40
	long := bytes.Clone(good)
	long[6] = 0x7f
	for name, data := range map[string][]byte{"empty": {}, "half": good[:len(good)/2], "one byte less": good[:len(good)-1], "in its header": good[:30], "flipped": flipped, "long header": long, "no state": bytes.Replace(good, []byte("draws"), []byte("drawz"), 1)} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		cmd, _, stderr := r.command(out, "--resume")
		err := cmd.Run()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || strings.Count(lastLine(stderr.String()), checkpointFile) != 1 || strings.Contains(stderr.String(), "goroutine") {
			t.Errorf("%s: %v: %s", name, err, stderr)
		}
	}
	if err := os.WriteFile(path, good, 0o666); err != nil {
		t.Fatal(err)
	}
	// A copy of the directory goes on, too.
	other := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(other, os.DirFS(out)); err != nil {
		t.Fatal(err)
	}
	r.sameLosses(r.run(out, "--resume"), r.run(other, "--resume"), true)
	r.sameAdapter(out, other)
}
