//go:build unix

package launch

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newTestOutput(w io.Writer) *output {
	return &output{mu: new(sync.Mutex), cursor: new(cursor), w: w, failed: func(error) {}}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	o := newTestOutput(&b)
	zero, one := o.newLines(0, true, false), o.newLines(10, true, false)
	for _, s := range []string{"a", "b\ncd", "\n\n", "", "x"} {
		io.WriteString(zero, s)
		io.WriteString(one, s)
	}
	zero.Close()
	one.Close()
	o.finish()
	want := "[0] ab\n[10] ab\n[0] cd\n[0] \n[10] cd\n[10] \n[0] x\n[10] x\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	o.color = true
	l := o.newLines(1, true, false)
	io.WriteString(l, "a\n")
	l.Close()
	if want := "\x1b[33m[1]\x1b[0m a\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	// Without prefixes: whole lines, ends at the end; a single rank's bytes at once.
	b.Reset()
	zero, one = o.newLines(0, false, false), o.newLines(1, false, false)
	io.WriteString(zero, "a\nb")
	zero.Close()
	io.WriteString(one, "c")
	io.WriteString(one, "c\n")
	one.Close()
	o.finish()
	if want := "a\ncc\nb"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	io.WriteString(o.newLines(0, false, true), "Name? ")
	if b.String() != "Name? " {
		t.Errorf("%q", b.String())
	}
}

// The end of a very long line is not kept, and no other line gets into it.
func TestLongLine(t *testing.T) {
	for _, prefix := range []bool{true, false} {
		var b bytes.Buffer
		o := newTestOutput(&b)
		long, other := o.newLines(0, prefix, false), o.newLines(1, prefix, false)
		part := bytes.Repeat([]byte{'x'}, 1<<20)
		var wg sync.WaitGroup
		for range lineLimit>>20 + 3 {
			long.Write(part)
		}
		if len(long.buf) > 0 || !long.open {
			t.Fatalf("%d bytes are kept", len(long.buf))
		}
		wg.Go(func() { io.WriteString(other, "other\n") })
		time.Sleep(10 * time.Millisecond)
		io.WriteString(long, "end\nnext")
		wg.Wait()
		long.Close()
		o.finish()
		want := strings.Repeat("x", lineLimit+3<<20) + "end\n"
		lines := strings.SplitAfter(b.String(), "\n")
		if prefix {
			want = "[0] " + want
		}
		if lines[0] != want || len(lines) < 3 || !strings.Contains(b.String(), "other\n") || !strings.Contains(b.String(), "next") {
			t.Errorf("prefix %v: %d lines, the first has %d bytes", prefix, len(lines), len(lines[0]))
		}
		b.Reset()
		for range lineLimit>>20 + 1 {
			long.Write(part)
		}
		long.Close()
		io.WriteString(other, "free\n") // the lock is free again
		if !strings.HasSuffix(b.String(), "free\n") {
			t.Error("nothing after a long line without an end")
		}
	}
}

// A terminal shows a line that has not ended, and takes it aside for others.
func TestTerminalLines(t *testing.T) {
	var b buffer
	o := newTestOutput(&b)
	o.terminal = true
	zero, one := o.newLines(0, true, false), o.newLines(1, true, false)
	io.WriteString(zero, "Na")
	io.WriteString(zero, "me? ")
	if b.String() != "" {
		t.Errorf("%q at once", b.String())
	}
	b.await(t, "[0] Name? ", 1)
	io.WriteString(one, "a\nb\n")
	io.WriteString(zero, "x")
	o.say("told")
	io.WriteString(zero, "y\nz\n")
	io.WriteString(one, "end")
	one.Close()
	zero.Close()
	o.finish()
	want := "[0] Name? " + eraseLine + "[1] a\n[1] b\n" + "[0] Name? x" + eraseLine + "told\n[0] Name? x" + "y\n[0] z\n[1] end\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	if o.cursor.line != nil {
		t.Error("a line is left")
	}
	time.Sleep(showAfter + 20*time.Millisecond) // nothing is shown late
	if b.String() != want {
		t.Errorf("%q", b.String())
	}

	// Without prefixes; a line that grows long; the last one.
	b2 := new(buffer)
	o = newTestOutput(b2)
	o.terminal = true
	zero, one = o.newLines(0, false, false), o.newLines(1, false, false)
	io.WriteString(zero, "abc")
	b2.await(t, "abc", 1)
	big := strings.Repeat("x", lineLimit)
	io.WriteString(zero, big)
	io.WriteString(zero, "end\nlast")
	b2.await(t, "last", 1)
	zero.Close()
	io.WriteString(one, "1\n")
	one.Close()
	o.finish()
	if want := "abc" + big + "end\nlast" + eraseLine + "1\nlast"; b2.String() != want {
		t.Errorf("%.20q... %d bytes, want %d", b2.String(), len(b2.String()), len(want))
	}
}

// busyWriter is a pipe that somebody made non-blocking.
type busyWriter struct {
	b     bytes.Buffer
	turns int
}

func (w *busyWriter) Write(p []byte) (int, error) {
	w.turns++
	if w.turns%2 == 0 {
		return 0, syscall.EAGAIN
	}
	n := min(3, len(p))
	w.b.Write(p[:n])
	if n < len(p) {
		return n, syscall.EAGAIN
	}
	return n, nil
}

func TestNonBlockingOutput(t *testing.T) {
	var w busyWriter
	o := newTestOutput(&w)
	o.failed = func(err error) { t.Error(err) }
	io.WriteString(o.newLines(0, true, false), "a long line\n")
	if w.b.String() != "[0] a long line\n" {
		t.Errorf("%q", w.b.String())
	}
}

func TestMarks(t *testing.T) {
	stream := "\x01abc\x01tok\x01token hello x\ny\x01token z\n\x01token \n\x01tok"
	for size := 1; size <= len(stream); size++ {
		m := newMarks("token")
		var text strings.Builder
		var words []string
		for rest := []byte(stream); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			m.feed(rest[:min(size, len(rest))], func(p []byte) { text.Write(p) }, func(w string) { words = append(words, w) })
		}
		text.Write(m.rest())
		if got := text.String(); got != "\x01abc\x01toky\x01tok" || fmt.Sprintf("%q", words) != `["hello x" "z" ""]` {
			t.Errorf("size %d: %q, %q", size, got, words)
		}
	}
}

// Whatever a program writes around the agent's words comes through, cut anywhere.
func FuzzMarks(f *testing.F) {
	f.Add([]byte("a\x01token b"), []byte("\x01tok"), "hello x", uint8(3))
	f.Add([]byte{}, []byte("\n"), "", uint8(1))
	f.Fuzz(func(t *testing.T, before, after []byte, word string, size uint8) {
		const token = "0123456789abcdef"
		if strings.Contains(word, "\n") || bytes.Contains(before, []byte(token)) || bytes.Contains(after, []byte(token)) {
			return
		}
		stream := slices.Concat(before, []byte("\x01"+token+" "+word+"\n"), after)
		m := newMarks(token)
		var text []byte
		var words []string
		n := int(size) + 1
		for len(stream) > 0 {
			k := min(n, len(stream))
			m.feed(stream[:k], func(p []byte) { text = append(text, p...) }, func(w string) { words = append(words, w) })
			stream = stream[k:]
		}
		text = append(text, m.rest()...)
		if !bytes.Equal(text, append(bytes.Clone(before), after...)) || len(words) != 1 || words[0] != word {
			t.Fatalf("%q, %q", text, words)
		}
	})
}

func TestQuote(t *testing.T) {
	var words []string
	for c := 1; c < 256; c++ {
		s := string([]byte{byte(c)})
		words = append(words, s, "a"+s, s+"a", s+"\n", "-"+s, s+s, "%d"+s+`\n`+s)
	}
	words = append(words, "", "\n\n", "é\n\n", "-é", "%s é %%", `\101é`, "é'\"$x`id`")
	for name, shell := range shells(t) {
		parts := append(strings.Fields(shell), "-c", `printf '%s\0' `+quoteAll(words))
		out, err := exec.Command(parts[0], parts[1:]...).Output()
		if err != nil {
			t.Fatal(name, err)
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if len(got) != len(words) {
			t.Fatalf("%s: %d words, want %d", name, len(got), len(words))
		}
		for i := range words {
			if got[i] != words[i] {
				t.Errorf("%s: %q, want %q", name, got[i], words[i])
			}
		}
	}
	if got := quote("don't"); got != `'don'\''t'` {
		t.Error(got)
	}
}

// A host is quiet when its outputs are, not when they have ended or wait for a reader.
func TestQuiet(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	for _, c := range []struct {
		out, err int64
		want     time.Duration
	}{
		{at(time.Minute), at(time.Second), time.Second}, {at(time.Second), at(time.Minute), time.Second},
		{0, at(time.Minute), 0}, {at(time.Minute), 0, 0},
		{ended, at(time.Minute), time.Minute}, {ended, 0, 0}, {ended, ended, 0},
	} {
		var s session
		s.streams[0].since.Store(c.out)
		s.streams[1].since.Store(c.err)
		if got := s.quiet(now); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}
