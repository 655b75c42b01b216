package discover

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mlxgo/mlx/internal/launch"
)

// Link is the connection from a rank to the next one of the ring.
type Link struct {
	From, To int // indices of Result.Hosts
	Address  string
	Speed    Speed
	How      string // what was measured
}

// How links are measured.
const (
	byProbe = "TCP between the hosts"
	byPing  = "ping between the hosts"
	bySSH   = "ssh from here to the next host"
	byBoth  = "ping between the hosts, bandwidth of ssh from here to the next host"
)

// measure looks at the links of the ring, one after the other: two at once would take
// bandwidth from each other. A next host that cannot be reached is an error.
func (r *Result) measure(ctx context.Context, n *network, o *Options) error {
	if o.Backend == JACCL || o.Backend == JACCLRing || len(r.Hosts) < 2 {
		return nil // RDMA needs tools of its own
	}
	var faults []error
	for i := range r.Hosts {
		next := (i + 1) % len(r.Hosts)
		for _, ip := range r.Hosts[next].Host.IPs {
			l := Link{From: i, To: next, Address: ip}
			if err := r.measureLink(ctx, n, &l); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				faults = append(faults, err)
				continue
			}
			n.log("%s to %s (%s): %v, %.0f bytes/s: %s", r.Hosts[i].Host.SSH, r.Hosts[next].Host.SSH, ip, l.Speed.Latency, l.Speed.Bandwidth, l.How)
			r.Links = append(r.Links, l)
		}
	}
	return errors.Join(faults...)
}

func (r *Result) measureLink(ctx context.Context, n *network, l *Link) (err error) {
	from, to := &r.Hosts[l.From], &r.Hosts[l.To]
	if from.Version != "" && to.Version != "" {
		l.How = byProbe
		l.Speed, err = n.probe(ctx, from.Host.SSH, to.Host.SSH, l.Address)
		old, ok := errors.AsType[*noProbe](err)
		if !ok {
			return err
		}
		r.problem("%v: install the same mlx there to measure the network between hosts", old)
	}
	pinged := false
	if slices.Contains(from.commands, "ping") {
		if l.Speed.Latency, err = n.ping(ctx, from, l.Address); err != nil {
			return fmt.Errorf("%s does not reach %s by %s: %w: is there a firewall, or are they on different networks?", from.Host.SSH, to.Host.SSH, l.Address, err)
		}
		pinged = true
	}
	if launch.IsLocal(to.Host.SSH) { // what goes through a pipe tells nothing
		if l.How = byPing; !pinged {
			l.How = "not measured: there is no mlx on " + from.Host.SSH + ", and no ping"
		}
		return nil
	}
	s, err := n.throughSSH(ctx, to.Host.SSH)
	if err != nil {
		return err
	}
	l.Speed.Bandwidth, l.How = s.Bandwidth, byBoth
	if !pinged {
		l.Speed.Latency, l.How = s.Latency, bySSH
	}
	return nil
}

// noProbe is a host whose mlx has none.
type noProbe struct{ host, said string }

func (e *noProbe) Error() string { return fmt.Sprintf("%s: its mlx has no probe (%s)", e.host, e.said) }

// probe measures with mlx on both hosts.
func (n *network) probe(ctx context.Context, from, to, ip string) (s Speed, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout+probeLimit)
	defer cancel()
	token := rand.Text()
	server := n.command(ctx, to, "exec mlx network-probe --serve "+ip)
	var said bytes.Buffer
	server.Stderr = &said
	in, err := server.StdinPipe()
	if err != nil {
		return s, err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := server.Start(); err != nil {
		return s, err
	}
	defer func() {
		in.Close()
		go discard(out)
		server.Wait()
	}()
	if _, err := io.WriteString(in, token+"\n"); err != nil && ctx.Err() != nil {
		return s, err
	}
	port, err := readPort(out)
	if err != nil {
		in.Close()
		discard(out)
		server.Wait()
		// A wrong command line has another exit status than an address that is not there.
		if server.ProcessState.ExitCode() == 2 {
			return s, &noProbe{to, lastLines(said.String())}
		}
		return s, fmt.Errorf("%s cannot listen on %s: %s", to, ip, lastLines(said.String()))
	}
	client := n.command(ctx, from, "exec mlx network-probe --connect "+net.JoinHostPort(ip, port))
	client.Stdin = strings.NewReader(token + "\n")
	text, err := output(ctx, client)
	if client.ProcessState != nil && client.ProcessState.ExitCode() == 2 {
		return s, &noProbe{from, err.Error()}
	}
	if err != nil {
		return s, fmt.Errorf("%s does not reach %s by %s: %w: is there a firewall, or are they on different networks?", from, to, net.JoinHostPort(ip, port), err)
	}
	if err := json.Unmarshal([]byte(lastLine(text)), &s); err != nil {
		return s, fmt.Errorf("%s: the probe says %.100q", from, text)
	}
	return s, nil
}

// lastLine is the last line that is not empty: a login may print others before.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// readPort waits for the server's line.
func readPort(out io.Reader) (string, error) {
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if port, ok := strings.CutPrefix(line, probeReady+" "); ok {
			port = strings.TrimSpace(port)
			_, err := strconv.ParseUint(port, 10, 16)
			return port, err
		}
		if err != nil {
			return "", err
		}
	}
}

// ping is the mean time that a host's own ping tells.
func (n *network) ping(ctx context.Context, from *Found, ip string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	line := "exec ping -c 3 -W 2 " // seconds
	if strings.HasPrefix(from.System, "Darwin") {
		line = "exec ping -c 3 -t 5 "
	}
	out, err := output(ctx, n.command(ctx, from.Host.SSH, line+ip+" 2>&1"))
	if err != nil {
		if said := lastLines(out); said != "" {
			err = errors.New(said)
		}
		return 0, err
	}
	return parsePing(out)
}

// parsePing reads the mean of ping's last line, as Linux, macOS and busybox write it:
//
//	rtt min/avg/max/mdev = 0.045/0.060/0.071/0.011 ms
//	round-trip min/avg/max/stddev = 0.045/0.060/0.071/0.011 ms
func parsePing(text string) (time.Duration, error) {
	for line := range strings.Lines(text) {
		_, values, ok := strings.Cut(line, "min/avg/max")
		if !ok {
			continue
		}
		_, values, _ = strings.Cut(values, "= ")
		parts := strings.Split(values, "/")
		if len(parts) < 3 || !strings.Contains(line, " ms") {
			continue
		}
		ms, err := strconv.ParseFloat(parts[1], 64)
		if err == nil && ms >= 0 && ms < 1e6 {
			return time.Duration(ms * float64(time.Millisecond)), nil
		}
	}
	return 0, fmt.Errorf("ping says %.200q", text)
}

// throughSSH measures from here to a host: pings through cat, then a stream.
func (n *network) throughSSH(ctx context.Context, host string) (s Speed, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout+probeLimit)
	defer cancel()
	// What a login prints ends with the first line of the script.
	mark := rand.Text()
	cmd := n.command(ctx, host, "echo "+mark+"; exec cat")
	in, out, err := startPiped(cmd)
	if err != nil {
		return s, err
	}
	r := bufio.NewReader(out)
	err = skipTo(r, mark)
	var times []time.Duration
	for i := 0; i < 10 && err == nil; i++ {
		begin := time.Now()
		if _, err = io.WriteString(in, "p\n"); err == nil {
			_, err = r.ReadString('\n')
		}
		times = append(times, time.Since(begin))
	}
	in.Close()
	discard(r)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return s, fmt.Errorf("%s: measuring through ssh: %w", host, err)
	}
	slices.Sort(times)
	s.Latency = times[len(times)/2]
	s.Bandwidth, err = n.streamSSH(ctx, host, mark)
	if err != nil {
		return s, fmt.Errorf("%s: measuring through ssh: %w", host, err)
	}
	return s, nil
}

// streamSSH is how many bytes a second go through ssh. They are random: ssh may compress.
func (n *network) streamSSH(ctx context.Context, host, mark string) (float64, error) {
	cmd := n.command(ctx, host, "echo "+mark+"; exec wc -c")
	in, out, err := startPiped(cmd)
	if err != nil {
		return 0, err
	}
	r := bufio.NewReader(out)
	err = skipTo(r, mark)
	block := make([]byte, 1<<18)
	rand.Read(block)
	begin, sent := time.Now(), 0
	for err == nil && time.Since(begin) < probeTime {
		var m int
		m, err = in.Write(block)
		sent += m
	}
	in.Close()
	count, _ := r.ReadString('\n')
	took := time.Since(begin)
	discard(r)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return 0, err
	}
	if strings.TrimSpace(count) != strconv.Itoa(sent) {
		return 0, fmt.Errorf("%d bytes were sent, and wc -c says %.50q", sent, count)
	}
	return float64(sent) / took.Seconds(), nil
}

// startPiped starts a command with both pipes.
func startPiped(cmd *exec.Cmd) (io.WriteCloser, io.Reader, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return in, out, cmd.Start()
}

// skipTo reads to the line that is the mark.
func skipTo(r *bufio.Reader, mark string) error {
	for {
		line, err := r.ReadString('\n')
		if strings.TrimSpace(line) == mark {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
