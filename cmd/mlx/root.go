package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a command line, environment or config file that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// statusError is the end of another program, whose exit status is this one's.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// finishing are the commands that a signal lets end in order.
var finishing = []string{"generate", "cache-prompt", "lora", "fuse", "convert", "quantize"}

// run is the program: it returns the exit code.
func run(args []string, s *streams) (code int) {
	defer func() {
		if p := recover(); p != nil {
			s.note("internal error: %v; please report it at https://github.com/mlxgo/mlx/issues with the command (MLX_DEBUG=1 shows where)", p)
			if os.Getenv("MLX_DEBUG") == "1" {
				s.err.Write(debug.Stack())
			}
			code = exitFailure
		}
	}()
	// Without this a closed stdout would kill the process in the middle of a write.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal kills

	out := &output{Writer: s.out}
	s.out = out
	root := newRoot(s)
	root.SetArgs(args)
	started := false // what fails before is the command line
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		if !slices.Contains(finishing, cmd.Name()) {
			stop() // nothing to tell at the end: a signal just ends them
		}
		if err := simd.Err(); err != nil {
			return &usageError{err}
		}
		return nil
	}
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case s.closed() || err == nil && out.err == nil:
		return exitOK
	case errors.Is(err, errToldByFirst):
		return exitFailure
	case err == nil: // help does not tell
		err = out.err
	case errors.As(err, &usage) || !started:
		s.note("%v", err)
		fmt.Fprintf(s.err, "run %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	s.note("%v", err)
	if other, ok := errors.AsType[*statusError](err); ok {
		return other.status
	}
	return exitFailure
}

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "mlx",
		Short: "Run language models on this machine",
		Long: `Run language models on this machine.

Results go to standard output, all else to standard error. The exit status is 0,
1 for a failure, 2 for a wrong command line or configuration.

Every option can also come from the environment (--max-tokens from
MLX_MAX_TOKENS) and from a YAML file given by --config. A flag wins over the
environment, that over the file, that over the default.`,
		Example: `  mlx generate --prompt "Once upon a time"
  mlx chat
  mlx tokenize "Once upon a time"
  mlx version`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show, err := cmd.Flags().GetBool("version"); err != nil || !show {
				return cmd.Help()
			}
			_, err := fmt.Fprint(s.out, readBuild())
			return err
		},
	}
	root.Flags().Bool("version", false, "show what mlx version shows")
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	root.AddCommand(
		newGenerate(s, runGenerate),
		newChat(s, runChat),
		newCachePrompt(s, runCachePrompt),
		newLora(s, runLora),
		newFuse(s, runFuse),
		newBenchmark(s, runBenchmark),
		newLogits(s, runLogits),
		newTokenize(s, runTokenize),
		newModels(s),
		newInspect(s, runInspect),
		newChatTemplate(s, runChatTemplate),
		newQuantize(s, runConvert, runQuantizeMethod),
		newConvert(s, runConvert),
		newLaunch(s, runLaunch),
		newPerplexity(s, runPerplexity),
		newCompare(s, runCompare),
		newDistributedConfig(s, runDistributedConfig),
		newNetworkProbe(s),
		newDoctor(s, runDoctor),
		newVersion(s),
	)
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" { // cobra's own takes any argument for a wish for help
			cmd.Args = unknownCommand
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

// newHelp is cobra's help command, but an unknown topic is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show help for a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil {
				return &usageError{err}
			}
			if len(rest) > 0 {
				return unknownCommand(topic, rest)
			}
			return topic.Help()
		},
	}
}

// elsewhere are commands by the names that other programs have for them.
var elsewhere = map[string]string{
	"run": "chat", "list": "models", "ls": "models", "rm": "models rm", "show": "inspect",
	"pull": "generate --model org/name, which fetches,", "cache_prompt": "cache-prompt", "distributed_config": "distributed-config",
}

// unknownCommand is the root's check of arguments: what stands there is none of
// the commands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if name, ok := elsewhere[args[0]]; ok && !cmd.HasParent() {
		return usagef("unknown command %q; it is mlx %s here", args[0], name)
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usagef("unknown command %q%s", args[0], didYouMean(args[0], names, ""))
}

// noArgs refuses arguments; hint says what to do instead.
func noArgs(hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unexpected argument %q%s", args[0], hint)
		}
		return nil
	}
}

// flagError says in our words what pflag found wrong.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			return usagef("unknown flag -%s", name)
		}
		return usagef("unknown flag --%s%s", name, didYouMean(name, flagNames(cmd.Flags()), "--"))
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return badValue("--"+invalid.GetFlag().Name, invalid.GetFlag(), invalid.GetValue())
	}
	var missing *pflag.ValueRequiredError
	if errors.As(err, &missing) {
		return usagef("the flag --%s needs a value", missing.GetFlag().Name)
	}
	return &usageError{err}
}

// badValue names the place of a value that a flag does not take.
func badValue(place string, f *pflag.Flag, value string) error {
	kinds := map[string]string{
		"int": "a whole number", "uint64": "a whole number from 0 on", "float64": "a number", "bool": "true or false",
		"intSlice": "whole numbers with commas between them",
	}
	kind := kinds[f.Value.Type()]
	if kind == "" {
		kind = "a " + f.Value.Type()
	}
	return usagef("%s: %q is not %s", place, value, kind)
}

func flagNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// didYouMean is the question for the nearest of names, "" if none is near.
func didYouMean(word string, names []string, prefix string) string {
	best, least := "", 1+max(1, len(word)/3)
	for _, name := range names {
		if d := distance(strings.ToLower(word), name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s%s?", prefix, best)
}

// distance is the number of letters to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
