package tokenizer

import (
	"strings"
	"unicode/utf8"
)

const replacementChar = "\uFFFD"

// textSink collects the text at the end of a chain.
type textSink struct{ text []byte }

func (t *textSink) write(token string) { t.text = append(t.text, token...) }
func (t *textSink) close()             {}

// mapStage maps each token, of which it knows the place.
type mapStage struct {
	next sink
	f    func(i int, token string) string
	i    int
}

func (s *mapStage) write(token string) {
	s.next.write(s.f(s.i, token))
	s.i++
}

func (s *mapStage) close() { s.next.close() }

// wholeStage collects the parts of the one token and maps it at the end. With a
// limit, a token longer than that can not be changed by f and passes.
type wholeStage struct {
	next  sink
	f     func(string) string
	limit int
	text  strings.Builder
	over  bool
}

func (s *wholeStage) write(part string) {
	if s.over {
		s.next.write(part)
		return
	}
	s.text.WriteString(part)
	if s.limit > 0 && s.text.Len() > s.limit {
		s.over = true
		s.next.write(s.text.String())
	}
}

func (s *wholeStage) close() {
	if !s.over {
		s.next.write(s.f(s.text.String()))
	}
	s.next.close()
}

// byteLevelStage decodes byte-level tokens into one token of valid UTF-8; the
// bytes of an unfinished character wait.
type byteLevelStage struct {
	next sink
	held []byte
	out  []byte
}

func (s *byteLevelStage) write(token string) {
	held, ok := appendFromByteLevel(s.held, token)
	if !ok {
		held = append(held, token...)
	}
	s.flush(held, true)
}

func (s *byteLevelStage) flush(held []byte, partial bool) {
	out, rest := appendLossy(s.out[:0], held, partial)
	s.out = out
	s.held = append(held[:0], rest...)
	if len(out) > 0 {
		s.next.write(string(out))
	}
}

func (s *byteLevelStage) close() {
	s.flush(s.held, false)
	s.next.close()
}

// byteRunStage decodes runs of byte tokens. A run waits until it ends, since
// one bad byte spoils all of it, or until it is known to be bad.
type byteRunStage struct {
	next sink
	run  []byte
	good int // bytes of run that are whole characters
	bad  bool
}

func (s *byteRunStage) write(token string) {
	b, ok := parseByteToken(token)
	if !ok {
		s.end()
		s.next.write(token)
		return
	}
	if s.bad {
		s.next.write(replacementChar)
		return
	}
	s.run = append(s.run, b)
	for s.good < len(s.run) {
		rest := s.run[s.good:]
		if r, n := utf8.DecodeRune(rest); r != utf8.RuneError || n > 1 {
			s.good += n
			continue
		}
		if _, complete := badPrefix(rest); complete {
			s.spoil()
			s.bad = true
		}
		return
	}
}

// spoil writes the run as bad bytes.
func (s *byteRunStage) spoil() {
	for range s.run {
		s.next.write(replacementChar)
	}
	s.run, s.good = s.run[:0], 0
}

// end closes the run, if there is one.
func (s *byteRunStage) end() {
	if s.good == len(s.run) && s.good > 0 {
		s.next.write(string(s.run))
		s.run, s.good = s.run[:0], 0
	}
	s.spoil()
	s.bad = false
}

func (s *byteRunStage) close() {
	s.end()
	s.next.close()
}

// parseByteToken reads a token like <0xE2>. As in the Rust parser of numbers, a
// plus sign may stand for the first digit.
func parseByteToken(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	high, ok1 := hexDigit(token[3])
	low, ok2 := hexDigit(token[4])
	if token[3] == '+' {
		high, ok1 = 0, true
	}
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// literalStage replaces a text in one token that comes in parts. What waits is
// always a beginning of the text (Knuth, Morris and Pratt).
type literalStage struct {
	next          sink
	text, content string
	fail          []int // fail[i]: longest end of text[:i+1] that begins text
	held          int   // bytes of text that wait
	out           []byte
}

func newLiteralStage(next sink, text, content string) *literalStage {
	s := &literalStage{next: next, text: text, content: content, fail: make([]int, len(text))}
	for i, k := 1, 0; i < len(text); i++ {
		for k > 0 && text[k] != text[i] {
			k = s.fail[k-1]
		}
		if text[k] == text[i] {
			k++
		}
		s.fail[i] = k
	}
	return s
}

func (s *literalStage) write(part string) {
	out, k := s.out[:0], s.held
	for i := 0; i < len(part); i++ {
		c := part[i]
		for k > 0 && s.text[k] != c {
			shorter := s.fail[k-1]
			out = append(out, s.text[:k-shorter]...)
			k = shorter
		}
		if s.text[k] != c {
			out = append(out, c)
			continue
		}
		k++
		if k == len(s.text) {
			out = append(out, s.content...)
			k = 0
		}
	}
	s.out, s.held = out, k
	if len(out) > 0 {
		s.next.write(string(out))
	}
}

func (s *literalStage) close() {
	if s.held > 0 {
		s.next.write(s.text[:s.held])
	}
	s.next.close()
}

// stripStage strips one token that comes in parts: what the end may lose waits.
type stripStage struct {
	next sink
	stripDecoder
	begun bool
	held  int // times text
}

func (s *stripStage) write(part string) {
	for !s.begun && part != "" {
		if s.start == 0 || !strings.HasPrefix(part, s.text) {
			s.begun = true
			break
		}
		part = part[len(s.text):]
		s.start--
	}
	body := part
	tail := 0
	for strings.HasSuffix(body, s.text) {
		body = body[:len(body)-len(s.text)]
		tail++
	}
	if body != "" {
		s.release(s.held)
		s.next.write(body)
	}
	s.held += tail
	s.release(s.held - s.stop)
}

// release writes n of the held texts.
func (s *stripStage) release(n int) {
	if n > 0 {
		s.next.write(strings.Repeat(s.text, n))
		s.held -= n
	}
}

func (s *stripStage) close() { s.next.close() }

// lastStage maps the last token by another function than those before.
type lastStage struct {
	next        sink
	inner, last func(string) string
	held        string
	any         bool
}

func (s *lastStage) write(token string) {
	if s.any {
		s.next.write(s.inner(s.held))
	}
	s.held, s.any = token, true
}

func (s *lastStage) close() {
	if s.any {
		s.next.write(s.last(s.held))
	}
	s.next.close()
}

// ctcStage drops tokens equal to the one before and those that come out empty.
type ctcStage struct {
	next sink
	ctcDecoder
	previous string
	any      bool
}

func (s *ctcStage) write(token string) {
	if s.any && token == s.previous {
		return
	}
	s.previous, s.any = token, true
	token = strings.ReplaceAll(token, s.pad, "")
	if s.cleanup {
		token = strings.ReplaceAll(cleanUp(token), s.delimiter, " ")
	}
	if token != "" {
		s.next.write(token)
	}
}

func (s *ctcStage) close() { s.next.close() }
