package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/launch/discover"
	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// distributedConfigOptions are the options of mlx distributed-config.
type distributedConfigOptions struct {
	Hosts          string   `mapstructure:"hosts"`
	Hostfile       string   `mapstructure:"hostfile"`
	Over           string   `mapstructure:"over"`
	OutputHostfile string   `mapstructure:"output-hostfile"`
	AutoSetup      bool     `mapstructure:"auto-setup"`
	NoAutoSetup    bool     `mapstructure:"no-auto-setup"`
	Dot            bool     `mapstructure:"dot"`
	Backend        string   `mapstructure:"backend"`
	Env            []string `mapstructure:"env"`
	Ignore         bool     `mapstructure:"ignore-unreachable"`
	SSHArg         []string `mapstructure:"ssh-arg"`
	Timeout        string   `mapstructure:"timeout"`
	Verbose        bool     `mapstructure:"verbose"`

	from sources
}

const distributedConfigLong = `Look at hosts and write the hostfile for mlx launch.

Each host is asked over ssh for its system, its version of mlx and its addresses. Then
the connections of the ring are measured, from each host to the next, and the table
tells how: by mlx on both hosts, or else by ping and ssh.

--over ethernet takes the network that all hosts share. --over thunderbolt, for Macs,
finds the ring that Thunderbolt cables make or tells which are missing, and shows the
commands that set up the interfaces; --auto-setup runs them. Interfaces that are set up
already stay as they are.

The backend ring is the only one that mlx runs. Hostfiles for jaccl and jaccl-ring are
for Python programs with MLX, started by mlx.launch.`

func newDistributedConfig(s *streams, runF func(context.Context, *streams, *distributedConfigOptions) error) *cobra.Command {
	o := &distributedConfigOptions{}
	cmd := &cobra.Command{
		Use:   "distributed-config",
		Short: "Check hosts and their network, and write a hostfile",
		Long:  distributedConfigLong,
		Example: `  mlx distributed-config --hosts 10.0.0.1,10.0.0.2 --over ethernet --output-hostfile hosts.json
  mlx distributed-config --hosts mac1,mac2,mac3 --auto-setup --output-hostfile hosts.json
  mlx distributed-config --hosts mac1,mac2,mac3 --dot | dot -Tsvg >cables.svg`,
		Args: noArgs("; the hosts are the value of --hosts, without blanks"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			// The context ends where the work begins, so that signals end most commands at once.
			ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err = runF(ctx, s, o)
			if ctx.Err() != nil {
				return &statusError{130, errors.New("interrupted")}
			}
			return err
		},
	}
	addDistributedConfigFlags(cmd.Flags())
	addConfig(cmd)
	return cmd
}

func addDistributedConfigFlags(f *pflag.FlagSet) {
	f.String("hosts", "127.0.0.1", "`HOSTS` with commas between them")
	f.String("hostfile", "", "JSON `FILE` with the hosts; those with addresses keep them")
	f.SetAnnotation("hostfile", notFromEnvironment, nil) // MLX_HOSTFILE is a rank's
	f.String("over", discover.Thunderbolt, "what joins the hosts: `thunderbolt` or ethernet")
	f.String("output-hostfile", "", "`FILE` to write; by default the hostfile is shown")
	f.Bool("auto-setup", false, "run the commands that set up Thunderbolt interfaces; sudo must not want a password")
	f.Bool("no-auto-setup", false, "show these commands (the default)")
	f.Bool("dot", false, "show the cables as a graph for Graphviz, nothing else")
	f.String("backend", discover.Ring, "how the ranks talk: `ring`, or jaccl or jaccl-ring for MLX in Python")
	f.StringArray("env", nil, "variable `K=V` for all ranks (may be repeated)")
	f.Bool("ignore-unreachable", false, "leave out hosts that do not answer")
	f.StringArray("ssh-arg", nil, "`ARGUMENT` for ssh (may be repeated)")
	f.String("timeout", "30s", "`DURATION` in which a host must answer")
	f.Bool("verbose", false, "tell what happens")
}

// options are discover's.
func (o *distributedConfigOptions) options(s *streams) (discover.Options, error) {
	out := discover.Options{
		Over: o.Over, Backend: o.Backend, Env: o.Env, SSHArgs: o.SSHArg,
		IgnoreUnreachable: o.Ignore, AutoSetup: o.AutoSetup && !o.NoAutoSetup, OnlyGraph: o.Dot,
		Log: func(format string, args ...any) {
			if o.Verbose {
				s.note(format, args...)
			}
		},
	}
	if o.AutoSetup && o.NoAutoSetup {
		return out, usagef("--auto-setup and --no-auto-setup exclude each other")
	}
	var err error
	if out.Timeout, err = duration(o.Timeout); err != nil {
		return out, usagef("--timeout: %v", err)
	}
	if o.Hostfile == "" {
		for _, name := range splitHosts(o.Hosts) {
			if err := hostfile.CheckHost(name); err != nil {
				return out, usagef("--hosts: %w", err)
			}
			out.Hosts = append(out.Hosts, hostfile.Host{SSH: name})
		}
		return out, nil
	}
	if o.from.set("hosts") {
		return out, usagef("--hosts and --hostfile exclude each other")
	}
	file, err := readHostfile(o.Hostfile)
	if err != nil {
		return out, err
	}
	out.Hosts, out.Env = file.Hosts, append(file.Envs, o.Env...)
	return out, nil
}

func runDistributedConfig(ctx context.Context, s *streams, o *distributedConfigOptions) error {
	options, err := o.options(s)
	if err != nil {
		return err
	}
	if err := options.Check(); err != nil {
		return &usageError{err}
	}
	if o.Backend != discover.Ring {
		s.note("mlx runs only the backend ring: a hostfile for %s is for Python programs with MLX", o.Backend)
	}
	r, err := discover.Run(ctx, options)
	if o.Dot && err == nil {
		_, err := fmt.Fprint(s.out, r.Graph.DOT())
		return err
	}
	printErr := errors.Join(o.printHosts(s, r), o.printSetup(s, r))
	for _, p := range r.Problems {
		s.note("%s", p)
	}
	if err = errors.Join(err, printErr); err != nil {
		return err
	}
	if len(r.Setup) > 0 {
		s.note("run these commands on the hosts, then this one again: it measures the connections")
	}
	if o.OutputHostfile == "" {
		_, err := fmt.Fprintf(s.out, "\nHostfile\n========\n%s", r.File.Encode())
		return err
	}
	if err := atomicfile.Write(o.OutputHostfile, true, func(f *os.File) error {
		_, err := f.Write(r.File.Encode())
		return err
	}); err != nil {
		return err
	}
	s.note("wrote %s: mlx launch --hostfile %[1]s PROGRAM", o.OutputHostfile)
	return nil
}

// printHosts is the table: a line for each address of a rank, with the connection from
// the rank before it.
func (o *distributedConfigOptions) printHosts(s *streams, r *discover.Result) error {
	if len(r.Hosts) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RANK\tHOST\tSYSTEM\tMLX\tADDRESS\tFROM\tLATENCY\tBANDWIDTH\tMEASURED")
	for i, h := range r.Hosts {
		version := h.Version
		if version == "" {
			version = "no mlx in PATH"
		}
		ips := h.Host.IPs
		if len(ips) == 0 {
			ips = []string{"-"}
		}
		for _, ip := range ips {
			from, latency, bandwidth, how := "-", "-", "-", "-"
			for _, l := range r.Links {
				if l.To == i && l.Address == ip {
					from, how = fmt.Sprint(l.From), l.How
					latency, bandwidth = latencyText(l.Speed.Latency), bandwidthText(l.Speed.Bandwidth)
				}
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i, visible(h.Host.SSH), visible(h.System), visible(version), visible(ip), from, latency, bandwidth, how)
		}
	}
	return w.Flush()
}

func latencyText(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond))
}

// bandwidthText is in bits, as networks are sold.
func bandwidthText(bytes float64) string {
	switch bits := 8 * bytes; {
	case bits == 0:
		return "-"
	case bits >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", bits/1e9)
	default:
		return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
	}
}

// printSetup shows the commands for each host.
func (o *distributedConfigOptions) printSetup(s *streams, r *discover.Result) error {
	for _, setup := range r.Setup {
		title := "Setup for " + visible(setup.Host)
		if _, err := fmt.Fprintf(s.out, "\n%s\n%s\n%s\n", title, strings.Repeat("=", len(title)), strings.Join(setup.Commands, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// newNetworkProbe is what distributed-config runs on the hosts.
func newNetworkProbe(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "network-probe",
		Short:  "Measure the network, for mlx distributed-config",
		Hidden: true,
		Args:   noArgs(""),
	}
	serve := cmd.Flags().String("serve", "", "listen on `ADDRESS`")
	connect := cmd.Flags().String("connect", "", "connect to `ADDRESS:PORT`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := context.WithoutCancel(cmd.Context())
		switch {
		case (*serve == "") == (*connect == ""):
			return usagef("network-probe needs --serve or --connect; mlx distributed-config runs it")
		case *serve != "":
			return discover.ServeProbe(ctx, *serve, s.in, s.out)
		}
		return discover.RunProbe(ctx, *connect, s.in, s.out)
	}
	return cmd
}
