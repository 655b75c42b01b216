// Package launch starts one program on many machines, or many times on one, over the
// system's ssh: the ranks of a job. It gives each its number, the addresses of all and a
// secret of the job in variables and files, passes output on line by line, and ends all of
// them when one fails, when the user wants it, and when a host or the launcher itself goes
// away. On each host a small shell program (agent.sh) does the host's part of this and
// leaves nothing behind.
//
// Options say what to run, New checks them, and Job runs it. The package knows nothing of
// arrays, nor of how the ranks talk with each other.
package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// Input says which ranks read the launcher's standard input.
type Input string

// The values of Input. Ranks that do not read it see an empty one.
const (
	InputFirst Input = "0"
	InputAll   Input = "all"
	InputNone  Input = "none"
)

// Options are a job.
type Options struct {
	Hosts   []hostfile.Host // the machines; one without IPs is reached under its ssh name
	Repeat  int             // ranks on each of them
	Command []string        // the program and its arguments; a .py, a .go file and a Go package are run too
	Env     []string        // variables for all ranks, K=V
	Dir     string          // where they run; "" is the launcher's directory where a host has it
	Python  string          // runs .py files; "" is python3
	Copy    []string        // files for hosts that are not this machine

	Connections  int // of the ring, for each address
	StartingPort int // the first port of the ring; 0 is FirstPort or, on this machine alone, any free one
	SSHArgs      []string
	Timeout      time.Duration // for all hosts to come up

	Stdin    Input
	NoPrefix bool   // lines come as the ranks wrote them
	LogDir   string // gets each rank's outputs as files
	Verbose  bool
}

// Streams are what a job reads and writes.
type Streams struct {
	In       io.Reader // nil for none
	Out, Err io.Writer
	// What is a terminal gets coloured prefixes, unless NoColor, and shows lines that have
	// not ended.
	OutTerminal, ErrTerminal, NoColor bool
	// Signals are what the user does: the first is passed on to the ranks, the second
	// kills them.
	Signals <-chan os.Signal
}

// UsageError is a wrong option.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// RankError is a rank that failed: the first of its job.
type RankError struct {
	Rank   int
	Host   string
	Status int // its exit status; 128 and the signal's number if one killed it
}

func (e *RankError) Error() string {
	text := fmt.Sprintf("rank %d (%s): exited with status %d", e.Rank, e.Host, e.Status)
	if e.Status > 128 && e.Status < 128+65 {
		text += fmt.Sprintf(" (signal %d, %v)", e.Status-128, syscall.Signal(e.Status-128))
	}
	return text
}

// Interrupted is a signal that ended the job.
type Interrupted struct{ Signal os.Signal }

func (e *Interrupted) Error() string { return "ended by a signal: " + e.Signal.String() }

// Status is the exit status that a shell gives for it.
func (e *Interrupted) Status() int {
	if s, ok := e.Signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 130
}

// ErrOutputClosed says that the reader of standard output went away.
var ErrOutputClosed = errors.New("standard output is closed")

// New checks options and numbers the ranks. Wrong options are a *UsageError.
func New(o Options) (*Job, error) {
	if err := o.check(); err != nil {
		return nil, &UsageError{err}
	}
	j := &Job{options: o, environ: os.Environ(), shell: "/bin/sh", pace: usualPace, connect: 8}
	var err error
	if j.program, err = o.readProgram(); err != nil {
		return nil, &UsageError{err}
	}
	if j.ranks, err = o.plan(); err != nil {
		return nil, err
	}
	j.dir = o.Dir
	if j.dir == "" {
		if j.dir, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// program is what the ranks run: words, some of which stand for files.
type program struct {
	words []string
	build *goBuild   // makes the file that replaces words[0]
	files []copyFile // for other hosts; words that name them are replaced
}

// copyFile is a file for other hosts.
type copyFile struct {
	given string // by the user
	path  string // absolute
	name  string // in the directory of copies
	size  int64
	mode  string // for chmod
}

// readProgram looks at the command: what has to be built or copied, and who runs it.
func (o *Options) readProgram() (program, error) {
	p := program{words: o.Command}
	var err error
	if p.build, err = findBuild(o.Command[0]); err != nil {
		return p, err
	}
	python := o.Python
	if python == "" && p.build == nil && strings.HasSuffix(o.Command[0], ".py") {
		python = "python3"
	}
	if python != "" {
		if p.build != nil {
			return p, fmt.Errorf("--python is for Python, but %s is Go", o.Command[0])
		}
		p.words = append([]string{python}, p.words...)
	}
	names := map[string]string{}
	if p.build != nil {
		names[p.build.name] = o.Command[0]
	}
	for _, given := range o.Copy {
		f := copyFile{given: given, name: filepath.Base(given), mode: "600"}
		if f.path, err = filepath.Abs(given); err != nil {
			return p, err
		}
		info, err := os.Stat(given)
		if err != nil {
			return p, fmt.Errorf("--copy: %w", err)
		}
		if !info.Mode().IsRegular() {
			return p, fmt.Errorf("--copy: %s is not a regular file", given)
		}
		if other, twice := names[f.name]; twice {
			return p, fmt.Errorf("--copy: %s and %s have the same name", other, given)
		}
		names[f.name] = given
		f.size = info.Size()
		if info.Mode()&0o100 != 0 {
			f.mode = "700"
		}
		p.files = append(p.files, f)
	}
	return p, nil
}
