package discover

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mlxgo/mlx/internal/launch"
)

// The probe measures a connection between two hosts: mlx runs on both, one serves and the
// other connects. The server's first line on standard output is probeReady and its port.
// Both read a token from their standard input, so that strangers measure nothing, and the
// server ends with its input.
//
// The client begins with probeMagic and the token; the server answers with one byte. Then
// come commands: p and 4 bytes, which come back; b, a length of 8 bytes and as many bytes,
// which a byte acknowledges.
const (
	probeMagic  = "mlxprob1"
	probeReady  = "mlx-probe-1"
	tokenLength = 26 // of rand.Text
	probePings  = 50
	probeTime   = 500 * time.Millisecond
	probeBlock  = 1 << 20
	longest     = 64 << 20         // of b
	probeLimit  = 20 * time.Second // for all of it
	helloLimit  = 3 * time.Second  // for the first bytes of who connects
)

// Speed is what was measured of a connection.
type Speed struct {
	Latency   time.Duration // for a small message to go and come back: the median
	Bandwidth float64       // bytes a second; 0 is not measured
}

// ServeProbe is the server's part, on an address of this host. It takes the port of the
// ring, where a firewall would stop the job too, or another if that is taken.
func ServeProbe(ctx context.Context, addr string, in io.Reader, out io.Writer) error {
	input := bufio.NewReader(in)
	token, err := readToken(input)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(launch.FirstPort)))
	if err != nil {
		if l, err = net.Listen("tcp", net.JoinHostPort(addr, "0")); err != nil {
			return err
		}
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	done := make(chan error, 1)
	go accept(ctx, l, token, done)
	go func() {
		discard(input)
		cancel()
	}()
	if _, err := fmt.Fprintf(out, "%s %d\n", probeReady, l.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func readToken(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	token := strings.TrimSpace(line)
	if len(token) != tokenLength {
		return "", errors.Join(errors.New("the first line of standard input is no token"), err)
	}
	return token, nil
}

// accept serves who knows the token and tells the end of that; others are hung up on.
func accept(ctx context.Context, l net.Listener, token string, done chan<- error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			c.SetDeadline(time.Now().Add(helloLimit))
			hello := make([]byte, len(probeMagic)+tokenLength)
			if _, err := io.ReadFull(c, hello); err != nil || subtle.ConstantTimeCompare(hello, []byte(probeMagic+token)) != 1 {
				return
			}
			c.SetDeadline(time.Now().Add(probeLimit))
			err := serve(c)
			select {
			case done <- err:
			default:
			}
		}()
	}
}

// serve obeys the client until it hangs up.
func serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, probeBlock)
	if _, err := c.Write([]byte{'.'}); err != nil {
		return err
	}
	for {
		command, err := r.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case command == 'p':
			var ping [4]byte
			if _, err = io.ReadFull(r, ping[:]); err == nil {
				_, err = c.Write(ping[:])
			}
		case command == 'b':
			var n [8]byte
			if _, err = io.ReadFull(r, n[:]); err == nil {
				_, err = io.CopyN(io.Discard, r, int64(min(binary.BigEndian.Uint64(n[:]), longest)))
			}
			if err == nil {
				_, err = c.Write([]byte{'.'})
			}
		default:
			return fmt.Errorf("unknown command %q of the probe", command)
		}
		if err != nil {
			return err
		}
	}
}

// RunProbe is the client's part: it measures the way to a server and prints the Speed as
// JSON.
func RunProbe(ctx context.Context, addr string, in io.Reader, out io.Writer) error {
	token, err := readToken(bufio.NewReader(in))
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	c.SetDeadline(time.Now().Add(probeLimit))
	s, err := measure(c, token)
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	return json.NewEncoder(out).Encode(s)
}

// measure sends pings, and then blocks for a while.
func measure(c net.Conn, token string) (s Speed, err error) {
	reply := make([]byte, 4)
	if _, err := io.WriteString(c, probeMagic+token); err != nil {
		return s, err
	}
	if _, err := io.ReadFull(c, reply[:1]); err != nil {
		return s, fmt.Errorf("what listens there is no probe of this run: %w", err)
	}
	var times []time.Duration
	for range probePings {
		begin := time.Now()
		if _, err := c.Write([]byte("pping")); err != nil {
			return s, err
		}
		if _, err := io.ReadFull(c, reply); err != nil {
			return s, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	s.Latency = times[len(times)/2]

	block := make([]byte, probeBlock)
	// The first lengths are short, so that a slow connection ends in time.
	begin, sent := time.Now(), uint64(0)
	for n := uint64(1 << 16); time.Since(begin) < probeTime; n = min(2*n, longest) {
		if _, err := c.Write(binary.BigEndian.AppendUint64([]byte{'b'}, n)); err != nil {
			return s, err
		}
		for left := n; left > 0; {
			part := min(left, uint64(len(block)))
			if _, err := c.Write(block[:part]); err != nil {
				return s, err
			}
			left -= part
		}
		if _, err := io.ReadFull(c, reply[:1]); err != nil {
			return s, err
		}
		sent += n
	}
	s.Bandwidth = float64(sent) / time.Since(begin).Seconds()
	return s, nil
}
