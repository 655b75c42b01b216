package ring

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxGuests is how many handshakes may be under way. When more come, the oldest goes:
// those of the job take milliseconds.
const maxGuests = 64

// A door lets processes of the job in and keeps strangers out.
type door struct {
	mu     sync.Mutex
	guests []net.Conn // the oldest first
	closed bool
	seen   map[netip.Addr]string // why the last connection of an address was refused
}

// listen opens the listeners and the doors behind them.
func (m *mesh) listen() error {
	m.listeners = m.cfg.Listeners
	if len(m.listeners) == 0 {
		for _, a := range m.cfg.Hosts[m.rank] {
			l, err := net.Listen("tcp", a)
			if err != nil {
				for _, l := range m.listeners {
					l.Close()
				}
				return fmt.Errorf("rank %d cannot listen on %s: %w", m.rank, a, plain(err))
			}
			m.listeners = append(m.listeners, l)
		}
	}
	for _, l := range m.listeners {
		m.work.Add(1)
		go m.accept(l)
	}
	return nil
}

// accept lives as long as the mesh: peers come when they first need a connection.
func (m *mesh) accept(l net.Listener) {
	defer m.work.Done()
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // as too many open files
			m.note("cannot accept a connection: %v", plain(err))
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if oldest, ok := m.door.enter(c); !ok {
			c.Close()
			return
		} else if oldest != nil {
			oldest.Close()
		}
		m.work.Add(1)
		go func() {
			defer m.work.Done()
			if err := m.admit(c); err != nil {
				c.Close()
				m.door.refused(c, err)
				m.note("refused a connection from %v: %v", c.RemoteAddr(), plain(err))
			}
		}()
	}
}

// enter takes a guest and says who must go for it.
func (d *door) enter(c net.Conn) (oldest net.Conn, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, false
	}
	if len(d.guests) == maxGuests {
		oldest, d.guests = d.guests[0], d.guests[1:]
	}
	d.guests = append(d.guests, c)
	return oldest, true
}

// release says that a handshake is over.
func (d *door) release(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, g := range d.guests {
		if g == c {
			d.guests = append(d.guests[:i:i], d.guests[i+1:]...)
			return
		}
	}
}

// shut ends the handshakes under way.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, g := range d.guests {
		g.Close()
	}
}

// maxSeen bounds what is kept of strangers.
const maxSeen = 256

func (d *door) refused(c net.Conn, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil || len(d.seen) >= maxSeen {
		d.seen = map[netip.Addr]string{}
	}
	d.seen[addrOf(c.RemoteAddr())] = plain(err).Error()
}

// hint is what was refused from an address of rank, to explain why rank is missing.
func (d *door) hint(m *mesh, rank int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range resolve(m.cfg.Hosts[rank : rank+1])[0] {
		if why, ok := d.seen[a]; ok {
			return fmt.Sprintf("; a connection from %v was refused: %s", a, why)
		}
	}
	return ""
}

// admit runs the handshake of a connection that came in and files it.
func (m *mesh) admit(c net.Conn) error {
	defer m.door.release(c)
	if len(m.secret) == 0 && !m.expected(c) {
		return errors.New("its address is not in the hostfile, and there is no secret")
	}
	c.SetDeadline(time.Now().Add(m.patience))
	h, proof, err := m.receive(c)
	if err != nil {
		return err
	}
	if why := m.file(c, h.channel, proof); why != codeOK {
		refuse(c, why)
		return why.err()
	}
	return nil
}

// file welcomes a peer's connection and gives it to whom it is for.
func (m *mesh) file(c net.Conn, ch channel, proof []byte) code {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, twice := m.arrived[ch]
	switch {
	case m.closed || m.err != nil:
		return codeLeaving
	case ch.kind == kindControl:
		if welcome(c, proof) != nil {
			c.Close()
			return codeOK
		}
		m.newControl(c, ch.from)
		return codeOK
	case twice: // the peer gave the first one up
		old.Close()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive)
	}
	if welcome(c, proof) != nil {
		c.Close()
		return codeOK
	}
	c.SetDeadline(time.Time{})
	m.arrived[ch] = c
	if here, ok := m.awaited[ch]; ok {
		delete(m.awaited, ch)
		close(here)
	}
	return codeOK
}

// addresses are what a process may come from.
type addresses []netip.Addr

// resolve gives the addresses of each rank. A name that is not known gives none: who
// has it is refused, or cannot be reached either.
func resolve(hosts [][]string) []addresses {
	all := make([]addresses, len(hosts))
	for rank, list := range hosts {
		for _, a := range list {
			host, _, err := net.SplitHostPort(a)
			if err != nil {
				continue
			}
			ips, err := net.LookupIP(host)
			if err != nil {
				continue
			}
			for _, ip := range ips {
				if a, ok := netip.AddrFromSlice(ip); ok {
					all[rank] = append(all[rank], a.Unmap())
				}
			}
		}
	}
	return all
}

// expected says whether c comes from an address of the hostfile, or over a cable that
// ends at one of this process's: its other end need not be listed.
func (m *mesh) expected(c net.Conn) bool {
	remote, local := addrOf(c.RemoteAddr()), addrOf(c.LocalAddr())
	for _, list := range m.known {
		for _, a := range list {
			if a == remote {
				return true
			}
		}
	}
	cable, err := local.Prefix(30)
	return err == nil && local.Is4() && !local.IsLoopback() && cable.Contains(remote)
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
