package ring

import (
	"net"
	"syscall"
	"time"
)

// A link is one end of a connection with data. One goroutine writes and one reads.
type link struct {
	m    *mesh
	conn net.Conn
	peer int
	raw  syscall.RawConn

	// of the goroutine that reads
	in      []byte // where to
	got     int
	inErr   error
	spin    time.Duration // how long it pays to ask again before waiting
	readFn  func(fd uintptr) bool
	askFn   func(fd uintptr)
	asked   bool // what askFn found
	buf     []byte
	r, w    int        // what of buf is read and not yet used
	letters []letterOf // in the order in which they came

	// of the goroutine that writes
	out     []byte // a small frame, or what is left of it
	put     int
	outErr  error
	writeFn func(fd uintptr) bool
	rest    chan struct{} // closed when the rest of the last frame is written
	sent    uint64        // frames of sends
	taken   uint64        // frames of receives
}

func (m *mesh) newLink(c net.Conn, peer int) (*link, error) {
	l := &link{m: m, conn: c, peer: peer, spin: maxSpin}
	l.readFn, l.writeFn = l.tryRead, l.tryWrite
	l.askFn = func(fd uintptr) { l.asked = l.tryRead(fd) }
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetNoDelay(true)
		if n := m.cfg.SendBuffer; n > 0 {
			tcp.SetWriteBuffer(n)
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return nil, err
		}
		l.raw = raw
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		c.Close()
		return nil, m.err
	}
	m.links[l] = struct{}{}
	return l, nil
}

const (
	// maxSpin bounds asking for data again and again: what comes on a local network in
	// this time is there sooner than after a sleep.
	maxSpin = 50 * time.Microsecond
	minSpin = time.Microsecond
	// smallFrame is the longest frame that is written and read in one piece.
	smallFrame = 64<<10 + headerLen
)

// receive reads the frame that want describes into p. Letters that come before the
// frame of a collective are kept for Recv: who sent them need not have waited.
func (l *link) receive(want *header, p []byte, patient bool) error {
	for {
		h, err := l.header(len(p), patient)
		if err != nil {
			return err
		}
		letter := h.op == opSend && want.op != opSend && h.group == want.group
		if !letter {
			if h != *want {
				return l.m.fail(mismatch(l.peer, &h, l.m.rank, want))
			}
			return l.fill(p, patient)
		}
		b := make([]byte, h.length)
		if err := l.fill(b, patient); err != nil {
			return err
		}
		l.letters = append(l.letters, letterOf{h, b})
	}
}

// letterOf is a letter that came before its time.
type letterOf struct {
	header header
	data   []byte
}

// letter is receive for letters.
func (l *link) letter(want *header, p []byte) error {
	if len(l.letters) == 0 {
		return l.receive(want, p, false)
	}
	first := l.letters[0]
	l.letters = l.letters[1:]
	if first.header != *want {
		return l.m.fail(mismatch(l.peer, &first.header, l.m.rank, want))
	}
	copy(p, first.data)
	return nil
}

// header reads a header, with the n bytes after it if they are few: often one call to
// the system does. They stay in l.buf, which may then hold the start of another frame.
func (l *link) header(n int, patient bool) (h header, err error) {
	limit := headerLen + n
	if limit > smallFrame {
		limit = headerLen
	}
	if l.r == l.w {
		l.r, l.w = 0, 0
	}
	if l.r+limit > len(l.buf) {
		b := l.buf
		if limit > len(b) {
			b = make([]byte, limit)
		}
		l.r, l.w, l.buf = 0, copy(b, l.buf[l.r:l.w]), b
	}
	for l.w-l.r < headerLen {
		k, err := l.read(l.buf[l.w:l.r+limit], patient)
		if err != nil {
			return h, l.m.blame(l.peer, err)
		}
		l.w += k
	}
	if err := h.decode(l.buf[l.r:]); err != nil {
		return h, l.m.fail(l.m.names[l.peer] + ": " + err.Error())
	}
	l.r += headerLen
	return h, nil
}

// fill reads all of p; patient leaves out to spin.
func (l *link) fill(p []byte, patient bool) error {
	n := copy(p, l.buf[l.r:l.w])
	l.r += n
	for n < len(p) {
		k, err := l.read(p[n:], patient)
		if err != nil {
			return l.m.blame(l.peer, err)
		}
		n += k
	}
	return nil
}

// flush waits until the last frame is written.
func (l *link) flush() error {
	if l.rest != nil {
		<-l.rest
		l.rest = nil
	}
	if l.outErr != nil {
		return l.m.blame(l.peer, l.outErr)
	}
	return nil
}

// post writes a small frame. What the system does not take at once is written in the
// background, so that its reader may write first.
func (l *link) post(h *header, p []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	n := headerLen + len(p)
	if cap(l.out) < n {
		l.out = make([]byte, n)
	}
	l.out = l.out[:n]
	h.encode(l.out)
	copy(l.out[headerLen:], p)
	k, err := l.writeSome()
	if err != nil {
		l.outErr = err
		return l.m.blame(l.peer, err)
	}
	if k < n {
		l.background(l.out[k:])
	}
	return nil
}

// background writes b, which nobody else may change, while the caller goes on.
func (l *link) background(b []byte) {
	rest := make(chan struct{})
	l.rest = rest
	go func() {
		defer close(rest)
		_, l.outErr = l.conn.Write(b)
	}()
}

// write writes a frame of any size.
func (l *link) write(h *header, p []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	b := make([]byte, headerLen)
	h.encode(b)
	v := net.Buffers{b, p}
	if _, err := v.WriteTo(l.conn); err != nil {
		l.outErr = err
		return l.m.blame(l.peer, err)
	}
	return nil
}

// finish waits for what is still to be written.
func (l *link) finish() {
	if l.rest != nil {
		<-l.rest
	}
}
