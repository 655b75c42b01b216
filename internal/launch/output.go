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

// outputs are the launcher's two outputs. They share a lock, since they may be one file.
type outputs struct {
	mu       sync.Mutex
	out, err output
}

// output is one of them. After an error it swallows what comes.
type output struct {
	mu     *sync.Mutex
	w      io.Writer
	color  bool
	failed func(error) // told once
	err    error
	tails  [][]byte // last lines without an end, written when all ranks are done
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

// lines is one stream of one rank on its way to an output: whole lines with a prefix.
type lines struct {
	*output
	prefix []byte
	direct bool // no lines: bytes as they come
	buf    []byte
	open   bool // in the middle of a long line, with the lock
}

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
	if l.direct {
		l.mu.Lock()
		l.write(p)
		l.mu.Unlock()
		return n, nil
	}
	if l.open {
		p = l.through(p)
	}
	end := bytes.LastIndexByte(p, '\n') + 1
	if end > 0 {
		whole := l.buf
		if len(l.prefix) == 0 || len(whole) == 0 {
			l.buf = nil
		}
		whole = l.prefixed(whole, p[:end])
		l.buf = l.buf[:0]
		l.mu.Lock()
		l.write(whole)
		l.mu.Unlock()
	}
	l.buf = append(l.buf, p[end:]...)
	if len(l.buf) > lineLimit {
		l.mu.Lock()
		l.open = true
		l.write(l.prefix)
		l.write(l.buf)
		l.buf = nil
	}
	return n, nil
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
	l.mu.Unlock()
	return p[end:]
}

// prefixed is begin and the lines of p with the prefix before each.
func (l *lines) prefixed(begin, p []byte) []byte {
	if len(l.prefix) == 0 {
		return append(begin, p...)
	}
	out := make([]byte, 0, len(begin)+len(p)+8*len(l.prefix))
	for first := true; len(p) > 0; first = false {
		out = append(out, l.prefix...)
		if first {
			out = append(out, begin...)
		}
		end := bytes.IndexByte(p, '\n') + 1
		out = append(out, p[:end]...)
		p = p[end:]
	}
	return out
}

// Close writes a last line that has no end. With prefixes it gets one; without it waits
// for the end of all ranks, so that no other line follows on it.
func (l *lines) Close() {
	if !l.open {
		l.mu.Lock()
		if len(l.buf) > 0 && len(l.prefix) > 0 {
			l.write(append(l.prefixed(nil, append(l.buf, '\n')), nil...))
		} else if len(l.buf) > 0 {
			l.tails = append(l.tails, l.buf)
		}
	} else if len(l.prefix) > 0 {
		l.write([]byte{'\n'})
	}
	l.open, l.buf = false, nil
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
	if o.mu.TryLock() {
		defer o.mu.Unlock()
	}
	fmt.Fprintln(o.w, text)
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
