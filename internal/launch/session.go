package launch

import (
	"bytes"
	_ "embed" // agent.sh
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

//go:embed agent.sh
var agentText string

// bootstrap is the command that ssh runs: a shell that reads the agent from its standard
// input up to a line END. It has no quotes but one pair of single ones, which all login
// shells read alike.
func bootstrap(shell string) string {
	return "exec " + shell + ` -c 'eval "$(while IFS= read -r l && [ "$l" != END ]; do printf "%s\n" "$l"; done)"'`
}

// pace are the times of the talk between launcher and hosts, and of an ending. Tests
// shorten them.
type pace struct {
	beat        time.Duration // how often a host hears of the launcher
	silence     time.Duration // after which a host gives the launcher up; whole seconds
	hostBeat    time.Duration // how often the launcher hears of a host; whole seconds
	hostSilence time.Duration // after which the launcher gives a host up
	grace       time.Duration // for programs between TERM and KILL; whole tenths
	cut         time.Duration // from KILL to the end of the connections
}

var usualPace = pace{
	beat: 2 * time.Second, silence: 12 * time.Second,
	hostBeat: 5 * time.Second, hostSilence: 20 * time.Second,
	grace: 3 * time.Second, cut: 1200 * time.Millisecond,
}

const (
	cutTime   = 500 * time.Millisecond // for a shell here to clean up
	drainTime = time.Second            // for output when a process is gone but its pipe is open
)

// SSHCommand is the command line that runs command on host with the options that the
// launcher needs; options of the user come first and so win. ssh asks nothing, and finds
// out within 15 seconds that the network is gone.
func SSHCommand(options []string, timeout time.Duration, host, command string) []string {
	connect := max(1, int(timeout/time.Second)-1)
	line := append([]string{"ssh"}, options...)
	return append(line, "-T", "-o", "BatchMode=yes", "-o", fmt.Sprintf("ConnectTimeout=%d", connect),
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
		"-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none", "--", host, command)
}

// An event is what a session tells the job.
type event struct {
	s    *session
	kind string // the agent's word, or gone, failed, output, built, input
	text string
	err  error
}

// session is one agent on one host, and the process that connects with it.
type session struct {
	rank  int // -1 for one that only keeps files
	host  string
	local bool
	token string
	argv  []string
	env   []string
	first string // what the shell reads: the agent
	cmd   *exec.Cmd

	in          *os.File
	queue       chan item
	out, err    io.Writer // the program's; nil for none
	logs        [2]*os.File
	streams     [2]stream
	events      chan<- event
	over        <-chan struct{} // the job does not listen any more
	exited      atomic.Bool
	gone        chan struct{}
	credit      chan struct{} // lines of input that may be sent
	inputClosed chan struct{} // the program reads no more

	mu     sync.Mutex
	noise  []byte // what ssh and the login said before the agent did
	closed bool   // the queue is

	// What the job knows of it.
	started, up, running, ended, done, isGone bool

	system string // uname -sm
	dir    string
	stored int
}

// stream is one of the two outputs of a session.
type stream struct {
	r     *os.File
	since atomic.Int64 // since when it waits for data, as UnixNano; 0 is not waiting
}

// ended is the since of a stream without a reader.
const ended = -1

// item is what is written to the agent: bytes, and perhaps a file after them.
type item struct {
	data []byte
	path string
	size int64
}

// start runs the shell or ssh. The agent's first word, hello, comes as an event.
func (s *session) start() error {
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Env = s.env
	s.cmd.SysProcAttr = detached()
	var files []*os.File
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	inR, inW, err := pipe()
	if err == nil {
		s.cmd.Stdin, s.in = inR, inW
		s.streams[0].r, s.cmd.Stdout, err = pipe3(pipe)
	}
	if err == nil {
		s.streams[1].r, s.cmd.Stderr, err = pipe3(pipe)
	}
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return err
	}
	for _, f := range []any{s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr} {
		f.(*os.File).Close()
	}
	s.started = true
	s.gone = make(chan struct{})
	s.queue = make(chan item, 64)
	s.queue <- item{data: []byte(s.first)}
	go s.writeQueue()
	go s.wait()
	return nil
}

// pipe3 is pipe with the type that exec.Cmd wants.
func pipe3(pipe func() (r, w *os.File, err error)) (*os.File, io.Writer, error) {
	r, w, err := pipe()
	return r, w, err
}

func (s *session) tell(kind, text string, err error) {
	select {
	case s.events <- event{s, kind, text, err}:
	case <-s.over:
	}
}

// send queues bytes for the agent; it does not wait, and says whether there was room.
func (s *session) send(it item) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	select {
	case s.queue <- it:
		return true
	default:
		return false
	}
}

// code sends shell code for the agent to run before the program does.
func (s *session) code(text string) bool {
	return s.send(item{data: []byte("x\n" + text + "\n" + s.token + "\n")})
}

// file sends a file, which the agent stores.
func (s *session) file(path, name, mode string, size int64) bool {
	code := fmt.Sprintf("x\nmlx_file %d %s %s\n%s\n", size, mode, quote(name), s.token)
	return s.send(item{data: []byte(code), path: path, size: size})
}

// close ends the agent's input, so that it ends.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && !s.closed {
		s.closed = true
		close(s.queue)
	}
}

// cut ends the connection at once; the agent finds out.
func (s *session) cut() {
	if s.started {
		s.close()
		s.in.SetWriteDeadline(time.Now())
		if !s.local {
			s.cmd.Process.Kill()
			return
		}
		// It cleans up when nothing holds it in a write.
		for i := range s.streams {
			s.streams[i].r.Close()
		}
		time.AfterFunc(cutTime, func() { s.cmd.Process.Kill() })
	}
}

func (s *session) writeQueue() {
	defer s.in.Close()
	for it := range s.queue {
		if _, err := s.in.Write(it.data); err != nil {
			break // who reads is gone, which is told elsewhere
		}
		if it.path == "" {
			continue
		}
		if err := s.writeFile(it); err != nil {
			break
		}
	}
	for range s.queue { // senders must not find it full
	}
}

// writeFile sends a file. What is wrong with the file is told, a lost connection not.
func (s *session) writeFile(it item) error {
	f, err := os.Open(it.path)
	if err != nil {
		s.tell("failed", "", err)
		return err
	}
	defer f.Close()
	n, err := io.Copy(s.in, io.LimitReader(f, it.size))
	if p, ok := errors.AsType[*os.PathError](err); ok && p.Path == it.path {
		s.tell("failed", "", err)
	}
	if err == nil && n < it.size {
		err = fmt.Errorf("%s became shorter while it was read", it.path)
		s.tell("failed", "", err)
	}
	return err
}

// wait tells when the process is gone and all of its output is read.
func (s *session) wait() {
	var pumps sync.WaitGroup
	pumps.Go(func() { s.pump(0) })
	pumps.Go(func() { s.pump(1) })
	err := s.cmd.Wait()
	s.exited.Store(true)
	for i := range s.streams {
		s.streams[i].r.SetReadDeadline(time.Now().Add(drainTime))
	}
	pumps.Wait()
	close(s.gone)
	s.tell("gone", "", err)
}

// pump reads an output to its end. When the process is gone, somebody else may have the
// pipe open: then the end is when nothing comes for a while.
func (s *session) pump(i int) {
	st := &s.streams[i]
	defer st.r.Close()
	m := newMarks(s.token)
	w := [2]io.Writer{s.out, s.err}[i]
	begun := false
	text := func(p []byte) { s.pass(i, w, p, begun) }
	mark := func(word string) {
		if i == 1 {
			begun = true
			kind, rest, _ := strings.Cut(word, " ")
			s.heard(kind, rest)
			return
		}
		begun = true
	}
	buf := make([]byte, 64<<10)
	for late := false; ; {
		if s.exited.Load() {
			late = true
			st.r.SetReadDeadline(time.Now().Add(drainTime))
		}
		st.since.Store(time.Now().UnixNano())
		n, err := st.r.Read(buf)
		st.since.Store(0)
		switch {
		case n == 0:
		case i == 0 && begun: // the agent says one word there
			text(buf[:n])
		default:
			m.feed(buf[:n], text, mark)
		}
		if i == 0 && begun && m.hold != nil {
			text(m.rest())
			m.hold = nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !late {
			continue
		}
		if err != nil {
			break
		}
	}
	if rest := m.rest(); len(rest) > 0 {
		text(rest)
	}
	if c, ok := w.(*lines); ok {
		c.Close()
	}
	st.since.Store(ended)
}

// pass hands on what the program wrote; before the agent begins it is noise.
func (s *session) pass(i int, w io.Writer, p []byte, begun bool) {
	if !begun {
		s.mu.Lock()
		s.noise = append(s.noise, p...)
		s.noise = s.noise[max(0, len(s.noise)-8192):]
		s.mu.Unlock()
		return
	}
	if f := s.logs[i]; f != nil {
		if _, err := f.Write(p); err != nil {
			s.tell("failed", "", err)
		}
	}
	if w != nil {
		w.Write(p)
	}
}

// heard is a word of the agent. Those about input are settled here, all else is the job's.
func (s *session) heard(kind, rest string) {
	switch kind {
	case "h":
	case "a":
		select {
		case s.credit <- struct{}{}:
		default:
		}
	case "c":
		close(s.inputClosed)
	default:
		s.tell(kind, rest, nil)
	}
}

// reason is the last that was said before the agent came up.
func (s *session) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last []string
	for line := range bytes.Lines(s.noise) {
		if text := strings.TrimSpace(string(line)); text != "" {
			last = append(last, text)
		}
	}
	return strings.Join(last[max(0, len(last)-3):], "; ")
}

// quiet is how long the outputs that have not ended wait for data; 0 if one of them is
// being passed on, or both have ended.
func (s *session) quiet(now time.Time) time.Duration {
	var quiet time.Duration
	for i := range s.streams {
		switch since := s.streams[i].since.Load(); since {
		case ended:
		case 0:
			return 0
		default:
			d := max(1, now.Sub(time.Unix(0, since)))
			if quiet == 0 || d < quiet {
				quiet = d
			}
		}
	}
	return quiet
}
