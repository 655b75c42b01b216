package launch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Job is a checked job.
type Job struct {
	options Options
	program program
	ranks   []rank
	dir     string
	environ []string // of shells and ssh here
	shell   string   // for the agents
	pace    pace
	connect int // connections to one host that may be in the making: sshd drops more than 10
}

// What the ranks are given to end, and when the connections are cut, after the first sign.
func (p pace) stop() []step {
	return []step{{0, "TERM"}, {p.grace, "KILL"}, {p.grace + p.cut, ""}}
}

func (p pace) interrupt(signal string) []step {
	return []step{{0, signal}, {p.grace * 2 / 3, "TERM"}, {p.grace, "KILL"}, {p.grace + p.cut, ""}}
}

func (p pace) kill() []step { return []step{{0, "KILL"}, {p.cut, ""}} }

// step is a signal at a time; the last step of a list cuts the connections.
type step struct {
	after  time.Duration
	signal string
}

// run is a job at work. All of it but the sessions' goroutines is in one goroutine.
type run struct {
	*Job
	ctx     context.Context
	streams Streams
	outputs outputs
	secret  string
	holders []*session // keep files
	workers []*session // the ranks
	events  chan event
	over    chan struct{}
	beat    *time.Ticker

	result   error
	built    map[string]string // the program for each system
	steps    []step            // what is left of the ending
	ended    time.Time
	stopping bool
	cut      time.Time // when the connections were
	isBuilt  bool
	cancel   context.CancelFunc // of building
}

// Run runs the job to its end. The error is a *RankError for the first rank that failed,
// *Interrupted after a signal, ErrOutputClosed, or says what went wrong with which host.
// When it returns, no rank runs any more.
func (j *Job) Run(ctx context.Context, s Streams) error {
	if _, err := os.Stat("/bin/sh"); err != nil {
		return errors.New("mlx launch needs a Unix system: there is no /bin/sh")
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &run{Job: j, ctx: ctx, streams: s, events: make(chan event), over: make(chan struct{}), cancel: cancel}
	defer cancel()
	defer close(r.over)
	if err := r.prepare(); err != nil {
		return err
	}
	defer r.closeLogs()
	r.beat = time.NewTicker(r.pace.beat)
	defer r.beat.Stop()
	if r.startUp() {
		r.startInput()
		r.until(func() bool { return !slices.ContainsFunc(r.workers, (*session).alive) }, 0, nil)
	}
	r.finish()
	return r.result
}

func (s *session) alive() bool { return !s.isGone }

// prepare makes the sessions, the secret and the log files.
func (r *run) prepare() error {
	key := make([]byte, 32)
	rand.Read(key)
	r.secret = hex.EncodeToString(key)
	for i, o := range []*output{&r.outputs.out, &r.outputs.err} {
		o.mu, o.cursor = &r.outputs.mu, &r.outputs.cursor
		if i == 0 {
			o.w, o.terminal = r.streams.Out, r.streams.OutTerminal
			// Not from this goroutine: it holds the lock.
			o.failed = func(err error) { go r.tell("output", err) }
		} else {
			o.w, o.terminal, o.failed = r.streams.Err, r.streams.ErrTerminal, func(error) {} // no place is left to tell it
		}
		o.color = o.terminal && !r.streams.NoColor
	}
	for _, k := range r.ranks {
		s := r.session(k.number, k.host)
		s.out = r.outputs.out.newLines(k.number, !r.options.NoPrefix, len(r.ranks) == 1)
		s.err = r.outputs.err.newLines(k.number, !r.options.NoPrefix, len(r.ranks) == 1)
		s.credit = make(chan struct{}, inputWindow)
		for range inputWindow {
			s.credit <- struct{}{}
		}
		s.inputClosed = make(chan struct{})
		r.workers = append(r.workers, s)
	}
	r.addHolders()
	if err := r.openLogs(); err != nil {
		r.closeLogs()
		return err
	}
	return nil
}

// addHolders makes the sessions that keep files: one on each other host, and one here
// where programs are built.
func (r *run) addHolders() {
	if r.program.build == nil && len(r.program.files) == 0 {
		return
	}
	var hosts []string
	if r.program.build != nil {
		hosts = append(hosts, "127.0.0.1")
	}
	for _, k := range r.ranks {
		if !IsLocal(k.host) && !slices.Contains(hosts, k.host) {
			hosts = append(hosts, k.host)
		}
	}
	for _, h := range hosts {
		r.holders = append(r.holders, r.session(-1, h))
	}
}

func (r *run) session(rank int, host string) *session {
	token := make([]byte, 16)
	rand.Read(token)
	s := &session{rank: rank, host: host, local: IsLocal(host), token: hex.EncodeToString(token), env: r.environ, events: r.events, over: r.over}
	limit := int(r.pace.silence / time.Second)
	if s.local {
		limit = 0 // a pipe tells at once
	}
	s.first = fmt.Sprintf("mlx_token=%s\nmlx_limit=%d\nmlx_every=%d\nmlx_grace=%d\n%smlx_begin\nEND\n",
		s.token, limit, r.pace.hostBeat/time.Second, r.pace.grace/(time.Second/10), agentText)
	if s.local {
		s.argv = []string{"/bin/sh", "-c", bootstrap(r.shell)}
	} else {
		s.argv = SSHCommand(r.options.SSHArgs, r.options.Timeout, host, bootstrap(r.shell))
	}
	return s
}

func (r *run) openLogs() error {
	dir := r.options.LogDir
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, s := range r.workers {
		for i, kind := range []string{"out", "err"} {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("rank-%d.%s", s.rank, kind)))
			if err != nil {
				return err
			}
			s.logs[i] = f
		}
	}
	return nil
}

func (r *run) closeLogs() {
	for _, s := range r.workers {
		for _, f := range s.logs {
			if f == nil {
				continue
			}
			if err := f.Close(); err != nil && r.result == nil {
				r.result = err
			}
		}
	}
}

// tell is an event of the job itself.
func (r *run) tell(kind string, err error) {
	select {
	case r.events <- event{kind: kind, err: err}:
	case <-r.over:
	}
}

func (r *run) all() []*session { return slices.Concat(r.holders, r.workers) }

// verbose tells what the launcher does.
func (r *run) verbose(format string, args ...any) {
	if r.options.Verbose {
		r.outputs.err.say("mlx launch: " + fmt.Sprintf(format, args...))
	}
}

// fail ends the job with err, if it is not ending already.
func (r *run) fail(err error) {
	if r.result == nil && !r.stopping {
		r.result = err
		r.end(r.pace.stop())
	}
}

// end begins to end the ranks.
func (r *run) end(steps []step) {
	r.cancel()
	r.stopping, r.steps, r.ended = true, steps, time.Now()
	for _, s := range r.all() {
		switch {
		case s.started && !s.up:
			s.cut() // nothing runs there
		case s.started && !s.running:
			s.close()
		case !s.started:
			s.isGone = true
		}
	}
	r.nextStep()
}

// nextStep does what is due of the ending.
func (r *run) nextStep() {
	for len(r.steps) > 0 && time.Since(r.ended) >= r.steps[0].after {
		signal := r.steps[0].signal
		last := len(r.steps) == 1
		r.steps = r.steps[1:]
		for _, s := range r.all() {
			switch {
			case s.isGone:
			case last:
				s.cut()
			case s.running:
				s.send(item{data: []byte("k" + signal + "\n")})
			}
		}
		if last {
			r.cut = time.Now()
		}
	}
}

// until handles events until done says so; it gives false when the job is ending. After
// timeout, unless that is 0, late says why it fails.
func (r *run) until(done func() bool, timeout time.Duration, late func() error) bool {
	var timer <-chan time.Time
	if timeout > 0 {
		timer = time.After(timeout)
	}
	for !r.stopping && !done() {
		if r.next(timer) {
			r.fail(late())
		}
	}
	return !r.stopping
}

// next handles one event; it gives true when timer came first.
func (r *run) next(timer <-chan time.Time) bool {
	var due <-chan time.Time
	if len(r.steps) > 0 {
		due = time.After(time.Until(r.ended.Add(r.steps[0].after)))
	}
	select {
	case e := <-r.events:
		r.handle(e)
	case <-due:
		r.nextStep()
	case sig := <-r.streams.Signals:
		r.signal(sig)
	case <-r.contextDone():
		r.fail(r.ctx.Err())
	case <-r.beat.C:
		r.heartbeat()
	case <-timer:
		return true
	}
	return false
}

// contextDone is the context's end, as long as it matters.
func (r *run) contextDone() <-chan struct{} {
	if r.stopping {
		return nil
	}
	return r.ctx.Done()
}

// signal passes the user's signal on; the second one kills.
func (r *run) signal(sig os.Signal) {
	if r.stopping {
		r.end(r.pace.kill())
		return
	}
	r.result = &Interrupted{sig}
	name := map[os.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP"}[sig]
	if name == "" {
		name = "INT"
	}
	r.end(r.pace.interrupt(name))
}

// heartbeat tells the hosts that the launcher is there, and looks whether they are.
func (r *run) heartbeat() {
	// Before that, ssh may wait for other ranks that share its connection.
	over := !slices.ContainsFunc(r.workers, func(s *session) bool { return !s.done && !s.isGone })
	for _, s := range r.all() {
		if over && s.done && !s.isGone && s.quiet(time.Now()) > drainTime {
			s.cmd.Process.Kill() // somebody else holds the connection open
		}
		if s.local || !s.up || s.isGone {
			continue
		}
		if len(s.queue) == 0 {
			s.send(item{data: []byte("h\n")})
		}
		if s.quiet(time.Now()) > r.pace.hostSilence {
			r.fail(fmt.Errorf("%s: nothing was heard of the host for %v", s.name(), r.pace.hostSilence))
			s.cut()
		}
	}
}

// name is who a session is for the user.
func (s *session) name() string {
	if s.rank < 0 {
		return s.host
	}
	return fmt.Sprintf("rank %d (%s)", s.rank, s.host)
}

// handle takes an event.
func (r *run) handle(e event) {
	s := e.s
	switch e.kind {
	case "output":
		if errors.Is(e.err, syscall.EPIPE) || errors.Is(e.err, io.ErrClosedPipe) {
			e.err = ErrOutputClosed
		}
		r.fail(e.err)
	case "built":
		r.isBuilt = true
		if e.err != nil {
			r.fail(e.err)
		}
	case "hello":
		r.hello(s, e.text)
	case "stored":
		s.stored++
	case "run":
		s.running = true
	case "exit":
		r.exited(s, e.text)
	case "missing":
		s.ended = true
		r.fail(fmt.Errorf("%s: there is no program %q", s.name(), r.words(s)[0]))
	case "nodir":
		s.ended = true
		r.fail(fmt.Errorf("%s: there is no directory %q", s.name(), r.options.Dir))
	case "fail":
		s.ended = true
		r.fail(fmt.Errorf("%s: %s", s.name(), e.text))
	case "done":
		s.done = true
	case "failed":
		r.fail(fmt.Errorf("%s: %w", s.name(), e.err))
	case "gone":
		s.isGone = true
		s.close()
		r.lost(s, e.err)
	}
}

// hello is an agent that came up.
func (r *run) hello(s *session, text string) {
	words := strings.SplitN(text, " ", 3)
	if len(words) != 3 {
		r.fail(fmt.Errorf("%s: bad answer %q", s.host, text))
		return
	}
	s.up, s.system, s.dir = true, words[0]+" "+words[1], words[2]
	r.verbose("%s is up: %s", s.name(), s.system)
	if noise := s.reason(); noise != "" {
		r.verbose("%s said: %s", s.host, noise)
	}
	if r.stopping {
		s.close()
	}
}

// exited is the end of a rank's program.
func (r *run) exited(s *session, text string) {
	var status int
	if _, err := fmt.Sscan(text, &status); err != nil {
		status = -1
	}
	if s.ended {
		return
	}
	s.ended, s.running = true, false
	r.verbose("%s exited with status %d", s.name(), status)
	if status != 0 {
		r.fail(&RankError{Rank: s.rank, Host: s.host, Status: status})
	}
}

// lost is the end of a session; before its program's end it is a failure.
func (r *run) lost(s *session, err error) {
	if s.ended || r.stopping || s.rank < 0 && s.closed && !slices.ContainsFunc(r.workers, (*session).alive) {
		return
	}
	how := "ended"
	if err != nil {
		how = err.Error()
	}
	what := "ssh"
	if s.local {
		what = "its shell"
	}
	switch why := s.reason(); {
	case s.up:
		r.fail(fmt.Errorf("%s: the connection was lost: %s: %s", s.name(), what, how))
	case why != "":
		r.fail(fmt.Errorf("%s did not come up: %s", s.host, why))
	default:
		r.fail(fmt.Errorf("%s did not come up: %s: %s", s.host, what, how))
	}
}

// finish waits until nothing runs: files are removed when all ranks are gone.
func (r *run) finish() {
	for slices.ContainsFunc(r.workers, (*session).alive) && !r.givenUp() {
		r.next(r.soon())
	}
	if r.cut.IsZero() {
		r.outputs.out.finish()
		r.outputs.err.finish()
	}
	for _, s := range r.holders {
		s.close()
	}
	if !r.stopping {
		r.steps, r.ended = []step{{5 * time.Second, ""}}, time.Now() // a host that does not end
	}
	for slices.ContainsFunc(r.holders, (*session).alive) && !r.givenUp() {
		r.next(r.soon())
	}
}

// soon is a timer for looking whether to give up.
func (r *run) soon() <-chan time.Time { return time.After(200 * time.Millisecond) }

// givenUp says that the connections were cut and even that does not help: an output
// that nobody reads.
func (r *run) givenUp() bool {
	return !r.cut.IsZero() && time.Since(r.cut) > 700*time.Millisecond
}
