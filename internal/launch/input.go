package launch

import (
	"io"
	"slices"
)

// Lines of input on their way to a rank: as many as the smallest pipe holds.
const (
	inputWindow = 2
	inputChunk  = 800 // bytes of input in a line; each is up to five there
)

// startInput passes standard input on to the ranks that read it.
func (r *run) startInput() {
	var readers []*session
	for _, s := range r.workers {
		if r.reads(s) {
			readers = append(readers, s)
		}
	}
	if len(readers) > 0 {
		go pumpInput(r.streams.In, readers)
	}
}

// reads says whether a rank reads standard input.
func (r *run) reads(s *session) bool {
	if r.streams.In == nil {
		return false
	}
	return r.options.Stdin == InputAll || r.options.Stdin == InputFirst && s.rank == 0
}

// pumpInput reads until the end of in, or until no rank reads any more. It waits for the
// slowest rank.
func pumpInput(in io.Reader, readers []*session) {
	buf := make([]byte, inputChunk)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			line := append(append([]byte{'d'}, octal(buf[:n])...), '\n')
			readers = slices.DeleteFunc(readers, func(s *session) bool { return !s.input(line) })
		}
		if err != nil {
			for _, s := range readers {
				s.input([]byte("e\n"))
			}
			return
		}
		if len(readers) == 0 {
			return
		}
	}
}

// input gives the rank a line, when it has read earlier ones; false when it will not.
func (s *session) input(line []byte) bool {
	select {
	case <-s.credit:
	case <-s.gone:
		return false
	case <-s.inputClosed:
		return false
	}
	return s.send(item{data: line})
}
