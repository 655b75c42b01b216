package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A control connection stands beside the connections with data from one process to an
// address of another, and takes the same way. Both ends write a sign of life every few
// seconds and always read, so silence there means that the peer or the network is dead,
// however long the peer computes and however full the other connections are. A failure
// is told as a frame, and so is a good-bye.
//
// TCP's own user time-out would not do: it also ends connections to a peer that is alive
// and does not read.
type control struct {
	m    *mesh
	conn net.Conn
	peer int

	mu   sync.Mutex // held while writing
	dead bool       // nothing more can be written
}

// The frames are magic 4, type 2, length 2, origin 4, text.
const (
	controlMagic  = 0x4c4d58c1
	controlHeader = 12
	maxText       = 1000
)

type frameType uint16

const (
	frameBeat frameType = iota
	frameAbort
	frameBye
)

// beat is the time between signs of life.
func (m *mesh) beat() time.Duration { return min(m.cfg.Timeout/6, maxBeat) }

// newControl starts a control connection; m.mu is held.
func (m *mesh) newControl(c net.Conn, peer int) {
	ctl := &control{m: m, conn: c, peer: peer}
	c.SetDeadline(time.Time{})
	m.controls[ctl] = struct{}{}
	m.work.Add(1)
	go ctl.read()
}

// watch has a control connection to the host of peer's address index.
func (m *mesh) watch(peer, index int, deadline time.Time) error {
	host := hostIndex(m.cfg.Hosts[peer], index)
	key := [2]int{peer, host}
	m.mu.Lock()
	done := m.dialed[key]
	m.dialed[key] = true
	m.mu.Unlock()
	if done {
		return nil
	}
	c, err := m.dial(channel{from: m.rank, to: peer, kind: kindControl, index: host}, host, deadline)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil || m.closed {
		c.Close()
		return m.err
	}
	m.newControl(c, peer)
	return nil
}

// hostIndex is the first address with the host of address index.
func hostIndex(list []string, index int) int {
	want, _, _ := net.SplitHostPort(list[index])
	for i, a := range list {
		if host, _, _ := net.SplitHostPort(a); host == want {
			return i
		}
	}
	return index
}

// send writes a frame. Who does not take it in time is found out by read.
func (c *control) send(t frameType, origin int, text string) {
	text = text[:min(len(text), maxText)]
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, controlHeader+len(text)), controlMagic)
	b = binary.LittleEndian.AppendUint16(b, uint16(t))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	b = binary.LittleEndian.AppendUint32(b, uint32(origin))
	b = append(b, text...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	c.conn.SetWriteDeadline(time.Now().Add(min(c.m.beat(), time.Second)))
	if _, err := c.conn.Write(b); err != nil {
		c.dead = true
	}
}

// read lives as long as the connection.
func (c *control) read() {
	m := c.m
	defer m.work.Done()
	t, origin, text, err := c.next()
	for ; err == nil && t == frameBeat; t, origin, text, err = c.next() {
	}
	m.mu.Lock()
	over := m.closed
	delete(m.controls, c)
	m.mu.Unlock()
	switch {
	case over || m.failure() != nil: // nobody asks any more
	case err == nil && t == frameBye:
		m.note("%s says good-bye", m.names[c.peer])
		m.mu.Lock()
		m.polite[c.peer] = true
		m.mu.Unlock()
		m.gone(c.peer)
	case err == nil:
		m.abort(origin, text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.fail(fmt.Sprintf("%s has been silent for %v %s: it or the network is down", m.names[c.peer], m.cfg.Timeout, m.during()))
	case errors.Is(err, errNoFrame):
		m.fail(fmt.Sprintf("%s %s %s", m.names[c.peer], ending(err), m.during()))
	default:
		// A program that has all it needs just ends. Only who still needs something of it
		// has lost it, and finds out where that should come.
		m.note("%s %s", m.names[c.peer], ending(err))
		m.gone(c.peer)
	}
	c.conn.Close()
}

// gone says that nothing more will come from a peer.
func (m *mesh) gone(peer int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.left[peer]; !isClosed(c) {
		close(c)
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// next reads a frame; the error of a silent peer is os.ErrDeadlineExceeded.
func (c *control) next() (t frameType, origin int, text string, err error) {
	var header [controlHeader]byte
	if err := c.fill(header[:]); err != nil {
		return 0, 0, "", err
	}
	t, origin, n, err := decodeControl(header[:])
	if err != nil {
		return 0, 0, "", err
	}
	b := make([]byte, n)
	if err := c.fill(b); err != nil {
		return 0, 0, "", err
	}
	return t, origin, printable(string(b)), nil
}

// printable keeps a peer's text on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

func decodeControl(b []byte) (t frameType, origin, n int, err error) {
	t = frameType(binary.LittleEndian.Uint16(b[4:]))
	n = int(binary.LittleEndian.Uint16(b[6:]))
	origin = int(binary.LittleEndian.Uint32(b[8:]))
	if binary.LittleEndian.Uint32(b) != controlMagic || t > frameBye || n > maxText {
		return 0, 0, 0, errNoFrame
	}
	return t, origin, n, nil
}

// fill reads all of b. If this process itself was stopped, the time is over though the
// peer's signs are there: so it tries once more before it gives up.
func (c *control) fill(b []byte) error {
	c.conn.SetReadDeadline(time.Now().Add(c.m.cfg.Timeout))
	n, err := io.ReadFull(c.conn, b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.conn.SetReadDeadline(time.Now().Add(2 * c.m.beat()))
		_, err = io.ReadFull(c.conn, b[n:])
	}
	return err
}

// pulse writes the signs of life.
func (m *mesh) pulse() {
	defer m.work.Done()
	ticker := time.NewTicker(m.beat())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-m.broken:
			return
		}
		m.mu.Lock()
		var all []*control
		for c := range m.controls {
			all = append(all, c)
		}
		m.mu.Unlock()
		for _, c := range all {
			c.send(frameBeat, m.rank, "")
		}
	}
}
