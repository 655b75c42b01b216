package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// errInterrupted is Ctrl-C while a line is typed.
var errInterrupted = errors.New("interrupted")

// lines are where messages come from. pasted says that more of the same message
// follows. io.EOF is the end.
type lines interface {
	next(prompt string) (line string, pasted bool, err error)
}

// plainLines are lines of a file or pipe.
type plainLines struct{ r *bufio.Reader }

func newPlainLines(r io.Reader) plainLines { return plainLines{bufio.NewReader(r)} }

func (p plainLines) next(string) (string, bool, error) {
	line, err := p.r.ReadString('\n')
	if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
		return "", false, err
	}
	return strings.TrimRight(line, "\r\n"), false, nil
}

// typedLines are lines of a terminal, which is in raw mode only while one is typed.
type typedLines struct {
	in, out *os.File
	history *lineHistory
	editor  *term.Terminal
	watch   *lastByte
}

// lastByte notes whether Ctrl-C was read: the editor calls it the end of the input.
type lastByte struct {
	io.Reader
	interrupted bool
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	for _, c := range p[:n] {
		l.interrupted = l.interrupted || c == 3
	}
	return n, err
}

func (t *typedLines) next(prompt string) (line string, pasted bool, err error) {
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return "", false, err
	}
	defer term.Restore(int(t.in.Fd()), state)
	defer t.restoreAt(state)()
	if t.editor == nil { // a line that Ctrl-C ended stays in its editor
		t.watch = &lastByte{Reader: t.in}
		t.editor = term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{t.watch, t.out}, prompt)
		t.editor.History = t.history
	}
	if width, height, err := term.GetSize(int(t.out.Fd())); err == nil && width > 0 {
		_ = t.editor.SetSize(width, height)
	}
	t.editor.SetPrompt(prompt)
	t.editor.SetBracketedPasteMode(true)
	defer t.editor.SetBracketedPasteMode(false)
	t.watch.interrupted = false
	line, err = t.editor.ReadLine()
	switch {
	case errors.Is(err, io.EOF) && t.watch.interrupted:
		t.editor = nil
		io.WriteString(t.out, "^C\r\n")
		return "", false, errInterrupted
	case errors.Is(err, io.EOF):
		io.WriteString(t.out, "\r\n")
	case errors.Is(err, term.ErrPasteIndicator):
		return line, true, nil
	}
	return line, false, err
}

// restoreAt gives the terminal back also when a signal ends the program; what it
// returns ends the watch.
func (t *typedLines) restoreAt(state *term.State) (stop func()) {
	c, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case <-c:
			_ = term.Restore(int(t.in.Fd()), state)
			os.Exit(exitFailure)
		case <-done:
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
	}
}

// message reads a message, of several lines if it is marked so.
func message(in lines) (string, error) {
	const prompt, more, quotes = ">> ", ".. ", `"""`
	line, pasted, err := in.next(prompt)
	if err != nil {
		return "", err
	}
	var text []string
	add := func(line string) (rest bool) {
		if cut, ok := strings.CutSuffix(line, `\`); ok && !pasted {
			text = append(text, cut)
			return true
		}
		text = append(text, line)
		return pasted
	}
	rest := false
	if quoted, ok := strings.CutPrefix(line, quotes); ok {
		add = func(line string) bool {
			cut, end := strings.CutSuffix(line, quotes)
			text = append(text, cut)
			return !end
		}
		if quoted == "" { // the text begins in the next line
			rest = true
		} else {
			rest = add(quoted)
		}
	} else {
		rest = add(line)
	}
	for rest {
		if line, pasted, err = in.next(more); errors.Is(err, io.EOF) {
			break // what there is counts
		} else if err != nil {
			return "", err
		}
		rest = add(line)
	}
	return strings.Join(text, "\n"), nil
}

// maxHistory is how many lines are kept.
const maxHistory = 1000

// lineHistory are the lines that were typed, the last one first, kept in a file.
type lineHistory struct {
	lines []string // oldest first
	file  *os.File // nil: nowhere
}

// openHistory reads a file of lines, and creates it.
func openHistory(path string) (*lineHistory, error) {
	h := &lineHistory{}
	data, err := os.ReadFile(path)
	if err == nil {
		for line := range strings.Lines(string(data)) {
			h.remember(strings.TrimRight(line, "\n"))
		}
	} else if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return h, err
	}
	h.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return h, err
}

// historyPath is where lines are kept by default.
func historyPath(getenv func(string) string) string {
	dir := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "mlx", "chat_history")
}

// remember reports whether the line is new.
func (h *lineHistory) remember(line string) bool {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return false
	}
	if h.lines = append(h.lines, line); len(h.lines) > maxHistory {
		h.lines = h.lines[len(h.lines)-maxHistory:]
	}
	return true
}

// Add is a line that was typed. A full disk is no reason to stop a chat.
func (h *lineHistory) Add(line string) {
	if h.remember(line) && h.file != nil {
		_, _ = h.file.WriteString(line + "\n")
	}
}

// Len is the number of lines.
func (h *lineHistory) Len() int { return len(h.lines) }

// At is a line, 0 the last.
func (h *lineHistory) At(i int) string { return h.lines[len(h.lines)-1-i] }
