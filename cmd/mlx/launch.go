package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/mlxgo/mlx/internal/launch"
	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// launchOptions are the options of mlx launch.
type launchOptions struct {
	Hosts       string   `mapstructure:"hosts"`
	RepeatHosts int      `mapstructure:"repeat-hosts"`
	Hostfile    string   `mapstructure:"hostfile"`
	Backend     string   `mapstructure:"backend"`
	Env         []string `mapstructure:"env"`
	Cwd         string   `mapstructure:"cwd"`
	Copy        []string `mapstructure:"copy"`
	Python      string   `mapstructure:"python"`
	PrintPython bool     `mapstructure:"print-python"`

	ConnectionsPerIP int      `mapstructure:"connections-per-ip"`
	StartingPort     int      `mapstructure:"starting-port"`
	SSHArg           []string `mapstructure:"ssh-arg"`
	Timeout          string   `mapstructure:"timeout"`

	Stdin    string `mapstructure:"stdin"`
	NoPrefix bool   `mapstructure:"no-prefix"`
	LogDir   string `mapstructure:"log-dir"`
	Verbose  bool   `mapstructure:"verbose"`
	DryRun   bool   `mapstructure:"dry-run"`

	from    sources
	command []string
}

const launchLong = `Run a program on several hosts, or several times on this one: the ranks of a job.

Hosts are reached with the system's ssh and your configuration, keys and known hosts;
it must not have to ask for anything. 127.0.0.1, localhost and ::1 are this machine.
Each rank finds its number in MLX_RANK and the addresses of all ranks in the file that
MLX_HOSTFILE names, as with mlx.launch, so Python programs of MLX can be launched too.

The program is looked for on each host. A .py file runs with python3 or --python; a .go
file or the directory of a Go package is built for each kind of host and copied there;
--copy brings other files along: an argument that names one is replaced by the copy's path.

Lines of output carry the number of their rank. When a rank fails, the others are ended
and its exit status is that of mlx launch. So they are on Ctrl-C, when this program dies
and when the network is gone. Nothing is left on the hosts. Options end at the program's
name; all that follows belongs to the program.`

func newLaunch(s *streams, runF func(context.Context, *streams, *launchOptions) error) *cobra.Command {
	o := &launchOptions{}
	cmd := &cobra.Command{
		Use:   "launch [FLAGS] [--] PROGRAM [ARGUMENTS]",
		Short: "Run a program on several hosts",
		Long:  launchLong,
		Example: `  mlx launch -n 4 -- echo hello
  mlx launch --dry-run --hosts 10.0.0.1,10.0.0.2 train.py --epochs 3
  mlx launch --copy chat.json --env WHO=me -- cat chat.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(cmd, args); err != nil {
				return err
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // signals are for the ranks
		},
	}
	cmd.SetFlagErrorFunc(launchFlagError)
	addLaunchFlags(cmd.Flags())
	addConfig(cmd)
	return cmd
}

// launchFlagError knows the flags that mlx.launch has for other backends.
func launchFlagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if name := unknown.GetSpecifiedName(); name == "mpi-arg" || name == "nccl-port" {
			return usagef("--%s is for a backend that is not available; there is: ring", name)
		}
	}
	return flagError(cmd, err)
}

func addLaunchFlags(f *pflag.FlagSet) {
	f.SetInterspersed(false)
	f.String("hosts", "127.0.0.1", "`HOSTS` with commas between them")
	f.IntP("repeat-hosts", "n", 1, "ranks on each host")
	f.String("hostfile", "", "JSON `FILE` with the hosts, as mlx distributed-config writes it")
	f.SetAnnotation("hostfile", notFromEnvironment, nil) // MLX_HOSTFILE is a rank's
	f.String("backend", "ring", "how the ranks talk: `ring`")
	f.StringArray("env", nil, "variable `K=V` for all ranks (may be repeated)")
	f.String("cwd", "", "`DIRECTORY` where the ranks run; by default this one where a host has it")
	f.StringArray("copy", nil, "`FILE` for the other hosts (may be repeated)")
	f.String("python", "", "interpreter `PROGRAM` that runs the program")
	f.Bool("print-python", false, "show which interpreter runs .py files")
	f.Int("connections-per-ip", 1, "connections of the ring to each address")
	f.IntP("starting-port", "p", launch.FirstPort, "first port of the ring; each rank, address and connection has the next")
	f.StringArray("ssh-arg", nil, "`ARGUMENT` for ssh (may be repeated)")
	f.String("timeout", "30s", "`DURATION` in which all hosts must come up")
	f.String("stdin", "0", "which rank reads standard input: `0`, all or none")
	f.Bool("no-prefix", false, "lines without the number of their rank")
	f.String("log-dir", "", "`DIRECTORY` for files with the output of each rank")
	f.Bool("verbose", false, "tell what happens")
	f.Bool("dry-run", false, "show what would run where")
}

// parse binds the options and takes the program from args. After "--hosts a," the next
// argument goes on with the list, and flags may follow.
func (o *launchOptions) parse(cmd *cobra.Command, args []string) error {
	flags := cmd.Flags()
	for dashed := cmd.ArgsLenAtDash() == 0; flags.Changed("hosts"); {
		hosts := flags.Lookup("hosts").Value.String()
		if !strings.HasSuffix(hosts, ",") {
			break
		}
		if dashed || len(args) == 0 {
			return usagef("--hosts %s ends with a comma", hosts)
		}
		if err := flags.Set("hosts", hosts+args[0]); err != nil {
			return err
		}
		if strings.HasSuffix(args[0], ",") {
			args = args[1:]
			continue
		}
		if err := flags.Parse(args[1:]); err != nil {
			return launchFlagError(cmd, err)
		}
		args, dashed = flags.Args(), flags.ArgsLenAtDash() == 0
	}
	var err error
	if o.from, err = bind(cmd, o); err != nil {
		return err
	}
	o.command = args
	return nil
}

// runLaunch runs the job.
func runLaunch(ctx context.Context, s *streams, o *launchOptions) error {
	if o.PrintPython {
		return o.printPython(s)
	}
	options, err := o.options()
	if err != nil {
		return err
	}
	options.Env = append(terminalSize(), options.Env...)
	job, err := launch.New(options)
	if err != nil {
		if usage, ok := errors.AsType[*launch.UsageError](err); ok {
			return &usageError{usage.Err}
		}
		return err
	}
	if o.DryRun {
		return job.DryRun(s.out)
	}
	signals, stop := catchSignals()
	defer stop()
	err = job.Run(ctx, launch.Streams{
		In: launchInput(s.in), Out: s.out, Err: s.err, Signals: signals,
		OutTerminal: s.outTTY, ErrTerminal: s.errTTY, NoColor: os.Getenv("NO_COLOR") != "",
	})
	var failed *launch.RankError
	var interrupted *launch.Interrupted
	switch {
	case errors.Is(err, launch.ErrOutputClosed):
		return nil // as head does
	case errors.As(err, &failed):
		return &statusError{failed.Status, err}
	case errors.As(err, &interrupted):
		return &statusError{interrupted.Status(), err}
	}
	return err
}

// options are the job's.
func (o *launchOptions) options() (launch.Options, error) {
	out := launch.Options{
		Repeat: o.RepeatHosts, Command: o.command, Dir: o.Cwd, Python: o.Python, Copy: o.Copy,
		Connections: o.ConnectionsPerIP, SSHArgs: o.SSHArg,
		Stdin: launch.Input(o.Stdin), NoPrefix: o.NoPrefix, LogDir: o.LogDir, Verbose: o.Verbose,
	}
	if len(o.command) == 0 {
		return out, usagef("there is no program to run: put it after the flags")
	}
	if !slices.Contains([]launch.Input{launch.InputFirst, launch.InputAll, launch.InputNone}, out.Stdin) {
		return out, usagef("--stdin is %q: it must be 0, all or none", o.Stdin)
	}
	if o.from.set("starting-port") {
		out.StartingPort = o.StartingPort
		if o.StartingPort == 0 {
			return out, usagef("--starting-port is 0: it must be from 1 to 65535")
		}
	}
	var err error
	if out.Timeout, err = duration(o.Timeout); err != nil {
		return out, usagef("--timeout: %v", err)
	}
	backend := o.Backend
	if o.Hostfile != "" {
		if o.from.set("hosts") {
			return out, usagef("--hosts and --hostfile exclude each other")
		}
		file, err := readHostfile(o.Hostfile)
		if err != nil {
			return out, err
		}
		out.Hosts, out.Env = file.Hosts, file.Envs
		if file.Backend != "" && !o.from.set("backend") {
			backend = file.Backend
		}
	} else if out.Hosts, err = launch.Addressed(splitHosts(o.Hosts)); err != nil {
		return out, usagef("--hosts: %w", err)
	}
	out.Env = append(slices.Clip(out.Env), o.Env...)
	if backend != "ring" {
		return out, usagef("the backend %q is not available; there is: ring", backend)
	}
	return out, nil
}

func readHostfile(path string) (*hostfile.File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--hostfile: %w", err)}
	}
	file, err := hostfile.Parse(data)
	if err != nil {
		return nil, usagef("--hostfile %s: %w", path, err)
	}
	return file, nil
}

// splitHosts takes a list apart; blanks beside commas do not count.
func splitHosts(list string) []string {
	hosts := strings.Split(list, ",")
	for i := range hosts {
		hosts[i] = strings.TrimSpace(hosts[i])
	}
	return hosts
}

// duration reads 30s, 1m30s, or a number of seconds.
func duration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration above 0, as 30s or 2m", text)
	}
	return d, nil
}

// printPython shows who runs .py files here.
func (o *launchOptions) printPython(s *streams) error {
	name := o.Python
	if name == "" {
		name = "python3"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, path)
	return err
}

// terminalSize are COLUMNS and LINES for the ranks, which have no terminal.
func terminalSize() []string {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if columns, lines, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return []string{fmt.Sprintf("COLUMNS=%d", columns), fmt.Sprintf("LINES=%d", lines)}
		}
	}
	var size []string
	for _, name := range []string{"COLUMNS", "LINES"} {
		if v := os.Getenv(name); v != "" {
			size = append(size, name+"="+v)
		}
	}
	return size
}

// catchSignals are the signals for the ranks. Standard output that is closed must be an
// error of a write, but not for the ranks, which would inherit an ignored signal.
func catchSignals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 4)
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	catch := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		catch = append(catch, syscall.SIGHUP)
	}
	signal.Notify(signals, catch...)
	ignoreTerminalInput()
	return signals, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		signal.Ignore(syscall.SIGPIPE)
	}
}

// launchInput is in, or nil if that is the null device.
func launchInput(in io.Reader) io.Reader {
	f, ok := in.(*os.File)
	if !ok {
		return in
	}
	info, err := f.Stat()
	null, err2 := os.Stat(os.DevNull)
	if err != nil || err2 == nil && os.SameFile(info, null) {
		return nil
	}
	return in
}
