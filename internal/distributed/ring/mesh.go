package ring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A mesh is what a process's groups have together: its listeners and connections, and
// the first failure, which ends them all.
type mesh struct {
	identity
	cfg      Config
	patience time.Duration // for a handshake of a stranger
	names    []string      // "rank 1 (10.0.0.2:32323)"
	known    []addresses   // of each rank, where there is no secret
	doing    atomic.Pointer[string]
	broken   chan struct{} // closed by the first failure, and when all is closed
	work     sync.WaitGroup
	door     door

	mu        sync.Mutex
	err       error
	closed    bool
	groups    int
	listeners []net.Listener
	links     map[*link]struct{}
	controls  map[*control]struct{}
	dialed    map[[2]int]bool       // the controls, by rank and host
	left      map[int]chan struct{} // closed when nothing more will come
	polite    map[int]bool          // said good-bye
	arrived   map[channel]net.Conn
	awaited   map[channel]chan struct{}
}

func newMesh(cfg Config) (*mesh, error) {
	m := &mesh{
		identity: identity{rank: cfg.Rank, size: len(cfg.Hosts), job: jobOf(cfg.Hosts), secret: cfg.Secret},
		cfg:      cfg,
		patience: min(maxPatience, cfg.Timeout),
		broken:   make(chan struct{}),
		links:    map[*link]struct{}{},
		controls: map[*control]struct{}{},
		polite:   map[int]bool{},
		dialed:   map[[2]int]bool{},
		left:     map[int]chan struct{}{},
		arrived:  map[channel]net.Conn{},
		awaited:  map[channel]chan struct{}{},
	}
	if cfg.patience > 0 {
		m.patience = cfg.patience
	}
	for rank, list := range cfg.Hosts {
		name := fmt.Sprintf("rank %d", rank)
		if len(list) > 0 {
			name = fmt.Sprintf("rank %d (%s)", rank, list[0])
		}
		m.names = append(m.names, name)
		m.left[rank] = make(chan struct{})
	}
	m.does("start-up")
	if m.size == 1 {
		return m, nil
	}
	if len(cfg.Secret) == 0 {
		fmt.Fprintf(cfg.Stderr, "ring: warning: rank %d has no secret of its job: any process at an address of the hostfile may connect\n", m.rank)
		m.known = resolve(cfg.Hosts)
	}
	if err := m.listen(); err != nil {
		return nil, err
	}
	m.work.Add(1)
	go m.pulse()
	return m, nil
}

// jobOf is the same for all processes with one hostfile.
func jobOf(hosts [][]string) (job [16]byte) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", hosts))
	copy(job[:], sum[:])
	return job
}

// note tells of progress.
func (m *mesh) note(format string, args ...any) {
	if m.cfg.Verbose {
		fmt.Fprintf(m.cfg.Stderr, "ring: rank %d: %s\n", m.rank, fmt.Sprintf(format, args...))
	}
}

// does says what the process is in, for errors.
func (m *mesh) does(what string) { m.doing.Store(&what) }

func (m *mesh) during() string { return "during " + *m.doing.Load() }

// failure is the error that ended the mesh, if any.
func (m *mesh) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// fail ends the mesh for all its groups and tells the peers why. It returns the first
// failure.
func (m *mesh) fail(reason string) error { return m.abort(m.rank, reason) }

// abort is fail for a reason that rank origin found.
func (m *mesh) abort(origin int, reason string) error {
	m.mu.Lock()
	if m.err != nil || m.closed {
		defer m.mu.Unlock()
		if m.err == nil {
			return errClosed
		}
		return m.err
	}
	text := "ring: " + reason
	if origin != m.rank {
		text += fmt.Sprintf(" (told by rank %d)", origin)
	}
	m.err = errors.New(text)
	err := m.err
	close(m.broken)
	for l := range m.links {
		l.conn.SetDeadline(past)
	}
	var tell []*control
	for c := range m.controls {
		tell = append(tell, c)
	}
	m.mu.Unlock()
	m.note("%s", reason)
	for _, c := range tell {
		c.send(frameAbort, origin, reason)
	}
	return err
}

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)

var errClosed = errors.New("ring: the group is closed")

// verdictTime is how long an ended connection waits for the control connection to say
// why: both ends come in any order.
const verdictTime = time.Second

// blame turns a failed connection with peer into the mesh's failure.
func (m *mesh) blame(peer int, err error) error {
	select {
	case <-m.broken:
	case <-m.left[peer]:
		m.mu.Lock()
		polite := m.polite[peer]
		m.mu.Unlock()
		if polite {
			return m.fail(fmt.Sprintf("%s has left: it closed its group while rank %d was in %s", m.names[peer], m.rank, *m.doing.Load()))
		}
	case <-time.After(verdictTime):
	}
	return m.fail(fmt.Sprintf("%s %s %s", m.names[peer], ending(err), m.during()))
}

// ending is a connection's error as a verb.
func ending(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closed the connection"
	case errors.Is(err, net.ErrClosed):
		return "had its connection closed"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Sprintf("cannot be reached (%v)", err)
}

// dial connects to peer's address index, again and again until the deadline.
func (m *mesh) dial(ch channel, index int, deadline time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	go func() {
		select {
		case <-m.broken:
			cancel()
		case <-ctx.Done():
		}
	}()
	address := m.cfg.Hosts[ch.to][index]
	pause, begin := 5*time.Millisecond, time.Now()
	var told error // the last answer: it says more than silence after it
	for {
		c, err := m.dialOnce(ctx, ch, address, time.Until(deadline))
		if err == nil {
			return c, nil
		}
		if failure := m.failure(); failure != nil {
			return nil, failure
		}
		var r refusal
		answered := errors.As(err, &r) || errors.Is(err, errAlien)
		if answered {
			told = err
		}
		if answered && time.Since(begin) > refusalTime || time.Until(deadline) < pause {
			if told != nil {
				err = told
			}
			return nil, m.fail(fmt.Sprintf("rank %d cannot reach rank %d at %s: %v", m.rank, ch.to, address, plain(err)))
		}
		if pause < time.Second {
			m.note("waiting for rank %d at %s: %v", ch.to, address, plain(err))
		}
		select {
		case <-m.broken:
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// refusalTime is how long to ask again who refuses: it may be of a job that just ends.
const refusalTime = time.Second

// plain leaves out what net says about the addresses.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return err
}

func (m *mesh) dialOnce(ctx context.Context, ch channel, address string, patience time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: min(patience, maxPatience), KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := m.greet(c, ch, patience); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// keepAlive finds dead connections that wait for nothing.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 9}

// await returns the connection that a peer dials. Peers may come as late as they like
// while they live, but for a deadline that is not zero.
func (m *mesh) await(ch channel, deadline time.Time) (net.Conn, error) {
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	for {
		m.mu.Lock()
		c, ok := m.arrived[ch]
		if ok {
			delete(m.arrived, ch)
			m.mu.Unlock()
			return c, nil
		}
		here := make(chan struct{})
		m.awaited[ch] = here
		m.mu.Unlock()
		select {
		case <-here:
		case <-m.broken:
			return nil, m.failure()
		case <-m.left[ch.from]:
			return nil, m.blame(ch.from, io.EOF)
		case <-late:
			return nil, m.fail(fmt.Sprintf("%s did not connect to rank %d within %v%s", m.names[ch.from], m.rank, m.cfg.Timeout, m.door.hint(m, ch.from)))
		}
	}
}

// connect opens the connection ch at either end, and what watches over it.
func (m *mesh) connect(ch channel, index int, deadline time.Time) (*link, error) {
	var c net.Conn
	var err error
	if ch.from == m.rank {
		until := deadline
		if until.IsZero() {
			until = time.Now().Add(m.cfg.Timeout)
		}
		if err = m.watch(ch.to, index, until); err == nil {
			c, err = m.dial(ch, index, until)
		}
	} else {
		c, err = m.await(ch, deadline)
	}
	if err != nil {
		return nil, err
	}
	return m.newLink(c, ch.from+ch.to-m.rank)
}

// enter counts a group that uses the mesh.
func (m *mesh) enter() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups++
}

// leave takes the connections of a group, and the mesh itself after the last group.
func (m *mesh) leave(links []*link) {
	m.mu.Lock()
	for _, l := range links {
		delete(m.links, l)
	}
	m.groups--
	last := m.groups == 0
	m.mu.Unlock()
	for _, l := range links {
		l.conn.Close()
	}
	if last {
		m.shut()
	}
}

// shut says good-bye and closes everything.
func (m *mesh) shut() {
	m.mu.Lock()
	failed := m.err != nil
	m.closed = true
	if !failed {
		close(m.broken)
	}
	var tell []*control
	for c := range m.controls {
		tell = append(tell, c)
	}
	m.mu.Unlock()
	for _, c := range tell {
		if !failed {
			c.send(frameBye, m.rank, "")
		}
		c.conn.Close()
	}
	for _, l := range m.listeners {
		l.Close()
	}
	m.door.shut()
	m.work.Wait()
	for _, c := range m.arrived {
		c.Close()
	}
}
