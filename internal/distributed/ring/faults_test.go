package ring

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// cut closes all connections of g without a word, as when its process is killed.
func cut(g distributed.Group) {
	m := g.(*group).m
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.listeners {
		l.Close()
	}
	for c := range m.controls {
		c.conn.Close()
	}
	for l := range m.links {
		l.conn.Close()
	}
}

// A process that is killed is named by all others, whatever they are in.
func TestKilledPeer(t *testing.T) {
	for _, n := range []int{1, 2_000_000} {
		groups := join(t, job(t, 4, 1))
		begin := time.Now()
		v := ints(0, n)
		errs := each(groups, func(g distributed.Group) error {
			if g.Rank() == 2 {
				time.Sleep(200 * time.Millisecond)
				cut(g)
				return nil
			}
			return g.AllReduce(distributed.Sum, dtype.Int32, slices.Clone(v))
		})
		for r, err := range errs {
			if r != 2 && (err == nil || !strings.Contains(err.Error(), groups[0].(*group).m.names[2]+" closed the connection during all_sum")) {
				t.Errorf("%d elements, rank %d: %v", n, r, err)
			}
			if r == 2 {
				continue
			}
			if again := groups[r].Barrier(); again == nil || err == nil || again.Error() != err.Error() {
				t.Errorf("rank %d has first %v, then %v", r, err, again)
			}
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("took %v", d)
		}
	}
}

// A relay stands before a process's address, and may stop to pass on anything.
type relay struct {
	l      net.Listener
	to     string
	mu     sync.Mutex
	silent bool
}

func (r *relay) serve() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		d, err := net.Dial("tcp", r.to)
		if err != nil {
			c.Close()
			continue
		}
		go r.pass(c, d)
		go r.pass(d, c)
	}
}

func (r *relay) pass(from, to net.Conn) {
	defer to.Close()
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		r.mu.Lock()
		silent := r.silent
		r.mu.Unlock()
		if silent {
			io.Copy(io.Discard, from)
			time.Sleep(time.Minute)
		}
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// relayed puts relays before the addresses of all processes.
func relayed(t *testing.T, n int) ([]Config, []*relay) {
	cfgs := job(t, n, 1)
	relays := make([]*relay, n)
	hosts := make([][]string, n)
	for r := range cfgs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		relays[r] = &relay{l: l, to: cfgs[0].Hosts[r][0]}
		hosts[r] = []string{l.Addr().String()}
		go relays[r].serve()
	}
	for r := range cfgs {
		cfgs[r].Hosts = hosts
		cfgs[r].Timeout = 2 * time.Second
	}
	return cfgs, relays
}

// When the network swallows everything there is an error after the time-out.
func TestSilence(t *testing.T) {
	cfgs, relays := relayed(t, 3)
	groups := join(t, cfgs)
	collectives(t, groups, []int{10, 50_000})
	begin := time.Now()
	errs := each(groups, func(g distributed.Group) error {
		if g.Rank() == 0 { // all around rank 2
			for _, i := range []int{0, 2} {
				relays[i].mu.Lock()
				relays[i].silent = true
				relays[i].mu.Unlock()
			}
		}
		for {
			if err := g.AllReduce(distributed.Sum, dtype.Int32, ints(g.Rank(), 1_000_000)); err != nil {
				return err
			}
		}
	})
	for r, err := range errs {
		if !strings.Contains(err.Error(), "has been silent for 2s during all_sum") {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	if d := time.Since(begin); d > 15*time.Second {
		t.Errorf("took %v", d)
	}
}

// Who computes longer than the time-out is not dead, though the others have filled all
// buffers on the way to it.
func TestSlowIsNotDead(t *testing.T) {
	cfgs := job(t, 3, 1)
	for r := range cfgs {
		cfgs[r].Timeout, cfgs[r].SendBuffer = time.Second, 4096
	}
	groups := join(t, cfgs)
	all(t, groups, func(g distributed.Group) error {
		if g.Rank() == 1 {
			time.Sleep(3500 * time.Millisecond)
		}
		v := ints(g.Rank(), 500_000)
		return g.AllReduce(distributed.Sum, dtype.Int32, v)
	})
	collectives(t, groups, []int{10})
}

// A mismatch is an error on all sides that names both, also for those who agree.
func TestMismatch(t *testing.T) {
	groups := join(t, job(t, 5, 1))
	for r, err := range each(groups, func(g distributed.Group) error {
		if g.Rank() == 3 {
			return g.AllGather(dtype.Int32, make([]byte, 20), make([]byte, 100))
		}
		return g.AllReduce(distributed.Sum, dtype.Float32, make([]byte, 40))
	}) {
		if err == nil || !strings.Contains(err.Error(), "all_sum of 10 float32") || !strings.Contains(err.Error(), "rank 3 ") ||
			!strings.Contains(err.Error(), "all_gather of 5 int32") {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}

// A process that goes without a word while the others compute is found out.
func TestLostBetweenCollectives(t *testing.T) {
	groups := join(t, job(t, 3, 1))
	cut(groups[1])
	time.Sleep(100 * time.Millisecond)
	for r, err := range each(groups, func(g distributed.Group) error {
		if g.Rank() == 1 {
			return fmt.Errorf("was cut")
		}
		return g.Barrier()
	}) {
		if r != 1 && (err == nil || !strings.Contains(err.Error(), "rank 1")) {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}
