package ring

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Send is Group.Send. It returns when the system or the peer has the data: of what
// nobody takes within a moment it leaves a copy to be written in the background, once
// for each peer, so that processes that all send before they receive go on.
func (g *group) Send(d dtype.DType, v []byte, to int) error {
	h, err := g.address(d, v, to, "sent to")
	if err != nil {
		return err
	}
	g.m.does(fmt.Sprintf("%v to rank %d", h, g.members[to]))
	defer g.idle()
	l, err := g.outbound(to)
	if err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	h.seq = l.sent
	l.sent++
	return l.sendAll(h, v)
}

// Recv is Group.Recv.
func (g *group) Recv(d dtype.DType, v []byte, from int) error {
	h, err := g.address(d, v, from, "received from")
	if err != nil {
		return err
	}
	g.m.does(fmt.Sprintf("recv of %d %v from rank %d", len(v)/d.Size(), d, g.members[from]))
	defer g.idle()
	l, err := g.incoming(from)
	if err != nil {
		return err
	}
	h.seq = l.taken
	l.taken++
	for at := 0; at < len(v) || at == 0; at += maxPiece {
		p := v[at:min(at+maxPiece, len(v))]
		h.length = uint32(len(p))
		if err := l.letter(h, p); err != nil {
			return err
		}
		h.part++
	}
	return nil
}

// maxPiece is the longest piece of a send; its length must fit its header.
const maxPiece = 1 << 30

// address checks the arguments of Send and Recv.
func (g *group) address(d dtype.DType, v []byte, peer int, what string) (*header, error) {
	if err := whole(d, v); err != nil {
		return nil, err
	}
	switch {
	case peer < 0 || peer >= g.Size():
		return nil, fmt.Errorf("ring: rank %d is none of the group's 0 to %d", peer, g.Size()-1)
	case peer == g.rank:
		return nil, fmt.Errorf("ring: nothing can be %s the process itself, rank %d", what, peer)
	}
	if err := g.usable(); err != nil {
		return nil, err
	}
	return &header{op: opSend, dtype: d, group: g.id, bytes: uint64(len(v))}, nil
}

// outbound is the link to rank to. Neighbours use that of the collectives, so that who
// waits for a letter sees that the other is in a collective instead.
func (g *group) outbound(to int) (*link, error) {
	n := g.Size()
	next, before := (g.rank+1)%n == to, (to+1)%n == g.rank
	if next || before {
		if err := g.open(time.Time{}); err != nil {
			return nil, err
		}
		if next {
			return g.right[0], nil
		}
		return g.left[0], nil
	}
	return g.other(g.direct, g.m.rank, g.members[to], to)
}

// incoming is the link from rank from.
func (g *group) incoming(from int) (*link, error) {
	n := g.Size()
	before, next := (from+1)%n == g.rank, (g.rank+1)%n == from
	if next || before {
		if err := g.open(time.Time{}); err != nil {
			return nil, err
		}
		if before {
			return g.left[0], nil
		}
		return g.right[0], nil
	}
	return g.other(g.inbound, g.members[from], g.m.rank, from)
}

// other is a link that stands between processes that are no neighbours: who sends
// dials.
func (g *group) other(links map[int]*link, from, to, key int) (*link, error) {
	if l, ok := links[key]; ok {
		return l, nil
	}
	l, err := g.m.connect(channel{from: from, to: to, group: g.id, kind: kindDirect}, 0, time.Time{})
	if err == nil {
		links[key] = l
	}
	return l, err
}

// moment is how long Send lets a peer take the data before it keeps a copy.
const moment = 5 * time.Millisecond

// sendAll writes a send's frames. The goroutine that writes reads v until Send returns,
// and then a copy of what is left.
func (l *link) sendAll(h *header, v []byte) error {
	if len(v) <= smallFrame-headerLen {
		h.length = uint32(len(v))
		return l.post(h, v)
	}
	return l.sendLarge(h, v)
}

func (l *link) sendLarge(h *header, v []byte) error {
	var bufs net.Buffers
	for at := 0; at < len(v); at += maxPiece {
		p := v[at:min(at+maxPiece, len(v))]
		h.length = uint32(len(p))
		b := make([]byte, headerLen)
		h.encode(b)
		h.part++
		bufs = append(bufs, b, p)
	}
	for {
		l.conn.SetWriteDeadline(time.Now().Add(moment))
		if err := l.m.failure(); err != nil {
			return err
		}
		n, err := bufs.WriteTo(l.conn)
		l.conn.SetWriteDeadline(time.Time{})
		if failure := l.m.failure(); failure != nil {
			// the deadline that wakes writers may be the one just taken away
			l.conn.SetDeadline(past)
			return failure
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			l.outErr = err
			return l.m.blame(l.peer, err)
		case n == 0:
			l.background(bytes.Join(bufs, nil))
			return nil
		}
	}
}
