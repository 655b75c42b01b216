package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	return master, slave
}

// person types at a terminal and waits for what it shows.
type person struct {
	t    *testing.T
	file *os.File
	seen string // and not yet waited for
}

func (p *person) sees(text string) {
	p.t.Helper()
	for buf := make([]byte, 4096); !strings.Contains(p.seen, text); {
		n, err := p.file.Read(buf)
		if p.seen += string(buf[:n]); err != nil {
			p.t.Fatalf("waiting for %q: %v after %q", text, err, p.seen)
		}
	}
	p.seen = p.seen[strings.Index(p.seen, text)+len(text):]
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.file.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// A chat on a terminal: editing, the history, Ctrl-C at an answer and at a line.
func TestChatTerminal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "mlx")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	// After its sentence this model goes on for ever: nothing is an EOS token.
	model := speaker(t, llmtest.Config{"eos_token_id": 5, "max_position_embeddings": 1 << 30}, tinyIDs(t, sentence...)...)
	template := "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %} Once"
	if err := os.WriteFile(filepath.Join(model, "chat_template.jinja"), []byte(template), 0o666); err != nil {
		t.Fatal(err)
	}
	master, slave := openTerminal(t)
	cmd := exec.Command(link, "chat", "--model", model, "--max-tokens", "-1", "--history-file", filepath.Join(dir, "history"))
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop() // what is waited for may never come
	p := &person{t: t, file: master}
	p.sees("The command list:")
	p.sees(">> ")
	p.types("Hellx\x7fo\r")
	p.sees("there was.")
	p.types("\x03") // the answer
	p.sees("the answer was stopped")
	p.sees(">> ")
	if err := cmd.Process.Signal(os.Interrupt); err != nil { // as a Ctrl-C that came late
		t.Fatal(err)
	}
	p.types("half a line\x03")
	p.sees("Ctrl-D or /quit ends the chat")
	p.sees(">> ")
	p.types("/set max-tokens 3\r")
	p.sees("max-tokens is 3")
	p.sees(">> ")
	p.types("\x1b[A\x1b[A\r") // the line before the last
	p.sees("upon a time")
	p.sees("reused")
	p.sees(">> ")
	p.types("\x1b[200~/x\rtwo\x1b[201~\r") // pasted
	p.sees("there is no command /x; two")
	p.sees(">> ")
	p.types("\x04")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "history"))
	if err != nil || !strings.HasPrefix(string(data), "Hello\n/set max-tokens 3\nHello\n") {
		t.Errorf("history %q, %v", data, err)
	}
}
