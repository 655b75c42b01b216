package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// lineLimit is how much of a line is kept until its end; the rest of a longer one is
// written as it comes, while all other output waits.
var lineLimit = 16 << 20

// outputs are the launcher's two outputs. They share a lock and the line of the terminal
// where the cursor stands, since they may be one file.
type outputs struct {
	mu       sync.Mutex
	cursor   cursor
	out, err output
}

// cursor is the last line of a terminal, if a rank has begun one there and not ended it.
type cursor struct {
	line *lines // nil for none
	n    int    // how much of its prefix and bytes is shown
}

// output is one of the two. After an error it swallows what comes.
type output struct {
	mu       *sync.Mutex
	w        io.Writer
	terminal bool
	color    bool
	cursor   *cursor
	failed   func(error) // told once
	err      error
	tails    [][]byte // last lines without an end, written when all ranks are done
}

func (o *output) write(p []byte) {
	for len(p) > 0 && o.err == nil {
		n, err := o.w.Write(p)
		p = p[n:]
		switch {
		case errors.Is(err, syscall.EAGAIN): // somebody made the pipe non-blocking
			time.Sleep(2 * time.Millisecond)
		case err != nil:
			o.err = err
			o.failed(err)
		}
	}
}

// lines is one stream of one rank on its way to an output: whole lines with a prefix. On
// a terminal a line that has not ended is shown as well, after a moment: it may be a
// question, or an answer that comes word by word.
type lines struct {
	*output
	prefix  []byte
	direct  bool   // no lines: bytes as they come
	buf     []byte // a line without its end
	open    bool   // in the middle of a long line, with the lock
	waiting bool   // buf will be shown
}

// showAfter is when a line without an end is shown.
const showAfter = 150 * time.Millisecond

// eraseLine is for terminals.
const eraseLine = "\r\x1b[K"

// colors are the terminal's for prefixes: those that can be read on light and dark.
var colors = []int{32, 33, 34, 35, 36, 31}

// newLines makes the writer of a rank; alone says whether it is the only one.
func (o *output) newLines(rank int, prefix, alone bool) *lines {
	l := &lines{output: o}
	switch {
	case prefix && o.color:
		l.prefix = fmt.Appendf(nil, "\x1b[%dm[%d]\x1b[0m ", colors[rank%len(colors)], rank)
	case prefix:
		l.prefix = fmt.Appendf(nil, "[%d] ", rank)
	default:
		l.direct = alone
	}
	return l
}

// Write never fails: the job hears of errors.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if !l.open {
		l.mu.Lock()
	}
	defer func() {
		if !l.open {
			l.mu.Unlock()
		}
	}()
	if l.direct {
		l.write(p)
		return n, nil
	}
	if l.open {
		p = l.through(p)
	}
	if end := bytes.LastIndexByte(p, '\n') + 1; end > 0 {
		l.lines(p[:end])
		p = p[end:]
	}
	l.buf = append(l.buf, p...)
	switch {
	case len(l.buf) > lineLimit:
		l.aside(l, func() { l.write(l.unseen(nil)) })
		l.buf, l.open = nil, true
		*l.cursor = cursor{}
	case l.terminal && len(p) > 0 && l.cursor.line == l:
		l.show()
	case l.terminal && len(l.buf) > 0 && !l.waiting:
		l.waiting = true
		time.AfterFunc(showAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.waiting = false
			if len(l.buf) > 0 && l.cursor.line == nil {
				l.show()
			}
		})
	}
	return n, nil
}

// lines writes the end of the line in buf and the lines that follow, all of p.
func (l *lines) lines(p []byte) {
	l.aside(l, func() {
		end := bytes.IndexByte(p, '\n') + 1
		out := l.unseen(p[:end])
		for p = p[end:]; len(p) > 0; p = p[end:] {
			end = bytes.IndexByte(p, '\n') + 1
			out = append(append(out, l.prefix...), p[:end]...)
		}
		l.write(out)
		if l.cursor.line == l {
			*l.cursor = cursor{}
		}
	})
	l.buf = l.buf[:0]
}

// unseen is what the terminal does not show yet of the prefix, buf and more.
func (l *lines) unseen(more []byte) []byte {
	out := append(append(bytes.Clone(l.prefix), l.buf...), more...)
	if l.cursor.line == l {
		out = out[l.cursor.n:]
	}
	return out
}

// show shows buf, as far as it has come.
func (l *lines) show() {
	l.write(l.unseen(nil))
	*l.cursor = cursor{l, len(l.prefix) + len(l.buf)}
}

// aside takes a line without an end off the terminal while write writes; not the line of
// self.
func (o *output) aside(self *lines, write func()) {
	other := o.cursor.line
	if other == nil || other == self || !o.terminal {
		write()
		return
	}
	other.write([]byte(eraseLine))
	*o.cursor = cursor{}
	write()
	other.show()
}

// through writes p to the end of the long line and gives what follows it.
func (l *lines) through(p []byte) []byte {
	end := bytes.IndexByte(p, '\n') + 1
	if end == 0 {
		l.write(p)
		return nil
	}
	l.write(p[:end])
	l.open = false
	return p[end:]
}

// Close writes a last line that has no end. With prefixes it gets one; without it waits
// for the end of all ranks, so that no other line follows on it.
func (l *lines) Close() {
	switch {
	case l.open:
		l.open = false
		if len(l.prefix) > 0 {
			l.write([]byte{'\n'})
		}
	default:
		l.mu.Lock()
		if len(l.buf) > 0 && len(l.prefix) > 0 {
			l.lines([]byte{'\n'})
		} else if len(l.buf) > 0 {
			l.tails = append(l.tails, bytes.Clone(l.buf))
			if l.cursor.line == l {
				l.write([]byte(eraseLine))
				*l.cursor = cursor{}
			}
		}
	}
	l.buf = nil
	l.mu.Unlock()
}

// finish writes the tails.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.tails {
		o.write(t)
	}
	o.tails = nil
}

// say writes a line of the launcher itself; it does not wait for a blocked output.
func (o *output) say(text string) {
	if !o.mu.TryLock() {
		fmt.Fprintln(o.w, text)
		return
	}
	defer o.mu.Unlock()
	o.aside(nil, func() { fmt.Fprintln(o.w, text) })
}

// marks finds the agent's lines in a stream: \x01, the token, a space, text, a newline,
// anywhere, and perhaps over several reads.
type marks struct {
	begin []byte
	hold  []byte // what may be part of one
}

func newMarks(token string) *marks { return &marks{begin: []byte("\x01" + token + " ")} }

// feed takes the next bytes of the stream, and gives what is not the agent's to text.
func (m *marks) feed(p []byte, text func([]byte), mark func(string)) {
	if len(m.hold) > 0 {
		p = append(m.hold, p...)
		m.hold = nil
	}
	for len(p) > 0 {
		at := bytes.Index(p, m.begin)
		if at < 0 {
			keep := partial(p, m.begin)
			if keep < len(p) {
				text(p[:len(p)-keep])
			}
			m.hold = bytes.Clone(p[len(p)-keep:])
			return
		}
		if at > 0 {
			text(p[:at])
		}
		p = p[at:]
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			m.hold = bytes.Clone(p)
			return
		}
		mark(string(p[len(m.begin):end]))
		p = p[end+1:]
	}
}

// rest is what was held back at the end of the stream.
func (m *marks) rest() []byte { return m.hold }

// partial is the length of the longest end of p that begins begin.
func partial(p, begin []byte) int {
	for n := min(len(p), len(begin)-1); n > 0; n-- {
		if bytes.HasSuffix(p, begin[:n]) {
			return n
		}
	}
	return 0
}
