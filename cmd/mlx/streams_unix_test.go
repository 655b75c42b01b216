//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file whose reader goes away is a failure, other than standard output.
func TestOutGoesAway(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Skip(err)
	}
	go func() {
		if f, err := os.Open(fifo); err == nil {
			f.Close()
		}
	}()
	var out, e bytes.Buffer
	args := []string{"logits", "--model", "builtin", "--tokens", strings.Repeat("1,", 40) + "1", "--out", fifo} // more than a pipe holds
	if code := run(args, &streams{in: strings.NewReader(""), out: &out, err: &e}); code != exitFailure || !strings.Contains(e.String(), "broken pipe") {
		t.Errorf("exit status %d, %q", code, e.String())
	}
}
