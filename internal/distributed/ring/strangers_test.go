package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// dialTo opens a connection to rank's first address.
func dialTo(t testing.TB, cfgs []Config, rank int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", cfgs[0].Hosts[rank][0])
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// stranger is the identity of somebody who claims to be rank.
func stranger(cfgs []Config, rank int, secret []byte) *identity {
	return &identity{rank: rank, size: len(cfgs), job: jobOf(cfgs[0].Hosts), secret: secret}
}

// tap records the bytes of a connection in one direction.
type tap struct {
	net.Conn
	wrote bytes.Buffer
}

func (c *tap) Write(p []byte) (int, error) { c.wrote.Write(p); return c.Conn.Write(p) }

// Strangers of every kind come while collectives run: nobody gets in, and the job does
// not notice.
func TestStrangers(t *testing.T) {
	cfgs := job(t, 3, 1)
	var log syncBuffer
	cfgs[1].Verbose, cfgs[1].Stderr = true, &log
	cfgs[1].patience = 3 * time.Second
	groups := join(t, cfgs)
	stop := make(chan struct{})
	var visits sync.WaitGroup
	visit := func(name string, f func() error) {
		visits.Go(func() {
			if err := f(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	ch := channel{from: 0, to: 1, group: 99, kind: kindDirect}
	visit("random bytes", func() error {
		rng := rand.New(rand.NewPCG(5, 6))
		for range 20 {
			c := dialTo(t, cfgs, 1)
			b := make([]byte, 1000)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			c.Write(b)
			if n, _ := io.Copy(io.Discard, c); n != 0 {
				return fmt.Errorf("answered with %d bytes", n)
			}
		}
		return nil
	})
	visit("wrong secret", func() error {
		err := stranger(cfgs, 0, []byte("another secret, as long as that")).greet(dialTo(t, cfgs, 1), ch, 10*time.Second)
		return wantError(err, codeTexts[codeProof])
	})
	visit("no secret", func() error {
		err := stranger(cfgs, 0, nil).greet(dialTo(t, cfgs, 1), ch, 10*time.Second)
		return wantError(err, codeTexts[codeNeedsSecret])
	})
	visit("another job", func() error {
		id := stranger(cfgs, 0, testSecret)
		id.job[0]++
		return wantError(id.greet(dialTo(t, cfgs, 1), ch, 10*time.Second), codeTexts[codeJob])
	})
	visit("another rank", func() error {
		err := stranger(cfgs, 0, testSecret).greet(dialTo(t, cfgs, 1), channel{from: 0, to: 2}, 10*time.Second)
		return wantError(err, codeTexts[codeRank])
	})
	visit("replay", func() error {
		// an honest handshake, and the dialer's bytes once more
		c := &tap{Conn: dialTo(t, cfgs, 1)}
		if err := stranger(cfgs, 0, testSecret).greet(c, ch, 10*time.Second); err != nil {
			return err
		}
		again := dialTo(t, cfgs, 1)
		again.Write(c.wrote.Bytes())
		got, err := io.ReadAll(again)
		if len(got) != answerLen+verdictLen || code(binary.LittleEndian.Uint16(got[answerLen:])) != codeProof {
			return fmt.Errorf("got %d bytes, %v", len(got), err)
		}
		return nil
	})
	visit("slow", func() error {
		c := dialTo(t, cfgs, 1)
		start := time.Now()
		for i := range magic + strings.Repeat("x", 70) {
			if _, err := c.Write([]byte{(magic + strings.Repeat("\x01", 70))[i]}); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		io.Copy(io.Discard, c)
		if d := time.Since(start); d > 15*time.Second {
			return fmt.Errorf("held a connection for %v", d)
		}
		return nil
	})
	// more than there are places push the oldest out, so they come when the others have
	// gone; honest ones still get in
	many := func() error {
		for range 2 * maxGuests {
			dialTo(t, cfgs, 1)
		}
		ch := ch
		ch.index = 1
		return stranger(cfgs, 0, testSecret).greet(dialTo(t, cfgs, 1), ch, 5*time.Second)
	}
	go func() {
		visits.Wait()
		if err := many(); err != nil {
			t.Errorf("many: %v", err)
		}
		close(stop)
	}()
	for busy := true; busy; {
		select {
		case <-stop:
			busy = false
		default:
		}
		collectives(t, groups, []int{3, 100_000})
	}
	if text := log.String(); !strings.Contains(text, "does not speak this protocol") || !strings.Contains(text, "refused a connection from 127.0.0.1:") {
		t.Errorf("rank 1 tells: %s", text)
	}
}

func wantError(err error, text string) error {
	if err == nil || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("error %v, want %q", err, text)
	}
	return nil
}

// syncBuffer is a buffer of many writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs New for the given ranks and returns their errors.
func start(cfgs []Config) []error {
	errs := make([]error, len(cfgs))
	var wg sync.WaitGroup
	for i := range cfgs {
		wg.Go(func() {
			g, err := New(cfgs[i])
			if errs[i] = err; err == nil {
				g.Close()
			}
		})
	}
	wg.Wait()
	return errs
}

func TestWithoutSecret(t *testing.T) {
	cfgs := job(t, 2, 1)
	var log syncBuffer
	for r := range cfgs {
		cfgs[r].Secret, cfgs[r].Stderr = nil, &log
	}
	collectives(t, join(t, cfgs), []int{10})
	if got := strings.Count(log.String(), "no secret"); got != 2 {
		t.Errorf("%d warnings: %s", got, log.String())
	}
}

func TestOnlyKnownAddresses(t *testing.T) {
	m := &mesh{known: resolve([][]string{{"10.1.2.3:5"}, {"localhost:6", "[fd00::7]:7"}})}
	for _, c := range []struct {
		remote, local string
		want          bool
	}{
		{"10.1.2.3:999", "10.9.9.9:5", true},
		{"10.1.2.4:999", "10.9.9.9:5", false},
		{"127.0.0.1:999", "127.0.0.1:6", true},
		{"127.0.0.2:999", "127.0.0.1:6", false},
		{"[fd00::7]:1", "[fd00::8]:5", true},
		{"[fd00::9]:1", "[fd00::8]:5", false},
		{"[::ffff:10.1.2.3]:1", "10.9.9.9:5", true},
		{"192.168.5.1:77", "192.168.5.2:5", true}, // the other end of a cable
		{"192.168.5.5:77", "192.168.5.2:5", false},
	} {
		conn := addressed{remote: c.remote, local: c.local}
		if got := m.expected(conn); got != c.want {
			t.Errorf("from %s to %s: %v", c.remote, c.local, got)
		}
	}
}

// addressed is a connection that has addresses only.
type addressed struct {
	net.Conn
	remote, local string
}

func (a addressed) RemoteAddr() net.Addr { return tcpAddr(a.remote) }
func (a addressed) LocalAddr() net.Addr  { return tcpAddr(a.local) }

func tcpAddr(s string) net.Addr { a, _ := net.ResolveTCPAddr("tcp", s); return a }

func TestOneSideHasASecret(t *testing.T) {
	cfgs := job(t, 2, 1)
	cfgs[1].Secret = nil
	for r := range cfgs {
		cfgs[r].Timeout = 2 * time.Second
	}
	for r, err := range start(cfgs) {
		if err == nil || !strings.Contains(err.Error(), "secret of its job") {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}

// A Python process connects and sends its data, or accepts and waits.
func TestPythonProcess(t *testing.T) {
	for _, talks := range []bool{false, true} {
		cfgs := job(t, 2, 1)
		python := cfgs[1].Listeners[0]
		go func() {
			for {
				c, err := python.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if talks {
					c.Write(make([]byte, 4096))
				}
			}
		}()
		raw := dialTo(t, cfgs, 0)
		raw.Write(bytes.Repeat([]byte{0, 0, 128, 63}, 100))
		cfgs[0].Timeout = 2 * time.Second
		_, err := New(cfgs[0])
		if err == nil || !strings.Contains(err.Error(), "rank 1") || !strings.Contains(err.Error(), "is it a Python MLX process? A job cannot mix them") {
			t.Errorf("talks %v: %v", talks, err)
		}
		python.Close()
	}
}

func TestMissingProcess(t *testing.T) {
	cfgs := job(t, 4, 1)
	for r := range cfgs {
		cfgs[r].Timeout = time.Second
	}
	cfgs[2].Listeners[0].Close()
	begin := time.Now()
	for i, err := range start([]Config{cfgs[0], cfgs[1], cfgs[3]}) {
		if err == nil || !strings.Contains(err.Error(), "rank 2") || !strings.Contains(err.Error(), cfgs[0].Hosts[2][0]) {
			t.Errorf("process %d: %v", i, err)
		}
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// Processes may start in any order and late.
func TestLateStart(t *testing.T) {
	cfgs := job(t, 3, 1)
	addr := cfgs[1].Hosts[1][0]
	cfgs[1].Listeners[0].Close()
	cfgs[1].Listeners = nil // opens its own, later
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for r := range cfgs {
		wg.Go(func() {
			time.Sleep(time.Duration(r*r) * 100 * time.Millisecond)
			g, err := New(cfgs[r])
			if errs[r] = err; err == nil {
				errs[r] = g.AllReduce(distributed.Sum, dtype.Int32, ints(r, 5))
				g.Close()
			}
		})
	}
	wg.Wait()
	for r, err := range errs {
		if err != nil {
			t.Errorf("rank %d (%s): %v", r, addr, err)
		}
	}
}

func TestIPv6AndNames(t *testing.T) {
	for _, host := range []string{"::1", "localhost"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Logf("no %s here: %v", host, err)
			continue
		}
		l.Close()
		collectives(t, join(t, jobOn(t, host, 3, 2)), []int{7, 200_000})
	}
}

// With buffers of 4 KiB nothing wedges: nobody waits for a reader to read.
func TestTinyBuffers(t *testing.T) {
	cfgs := job(t, 5, 1)
	for r := range cfgs {
		cfgs[r].SendBuffer = 4096
	}
	collectives(t, join(t, cfgs), []int{3, 5000, 300_000})
}
