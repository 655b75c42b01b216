package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// chatOptions are the options of mlx chat.
type chatOptions struct {
	modelOptions `mapstructure:",squash"`

	SystemPrompt       string `mapstructure:"system-prompt"`
	ChatTemplateConfig string `mapstructure:"chat-template-config"`
	Thinking           string `mapstructure:"thinking"`
	HistoryFile        string `mapstructure:"history-file"`

	MaxTokens     int      `mapstructure:"max-tokens"`
	Stop          []string `mapstructure:"stop"`
	ExtraEOSToken []string `mapstructure:"extra-eos-token"`

	Sampling samplingOptions `mapstructure:",squash"`
	KV       kvOptions       `mapstructure:",squash"`
	Draft    draftOptions    `mapstructure:",squash"`

	from sources
	// set changes an option by its flag's name, as /set does.
	set func(name, value string) error
}

const chatLong = `Chat with a model that has a chat template.

Each line is a message; one that ends in \ goes on in the next line, and """ begins
and ends a message of several lines. Lines that begin with / are commands, /help
shows them; q, r and h are mlx-lm's. A message may begin with //, of which one stays.
Ctrl-C stops an answer, Ctrl-D or /quit ends the program.

On a terminal lines can be edited, the arrows bring back earlier ones, and
--history-file keeps them. Else lines are read as they are, the answers alone go to
standard output, and the first failure ends the program.

The model remembers the earlier turns and runs the new tokens only. Statistics follow
each answer on standard error: "reused" are the tokens that were remembered. What a
model thinks between <think> and </think> is dim on a terminal; --thinking hide leaves
it out.

Random numbers start at --seed and one more in each turn, so that a chat with the same
messages has the same answers.

Without --model it is the built-in model, whose defaults are --temp 0.7 --top-p 0.95.`

func newChat(s *streams, runF func(context.Context, *streams, *chatOptions) error) *cobra.Command {
	o := &chatOptions{}
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Chat with a model",
		Long:  chatLong,
		Example: `  mlx chat
  mlx chat --model mlx-community/Qwen3-0.6B-4bit --system-prompt "Be brief."
  echo "Tell me a story about a dog named Max." | mlx chat --max-tokens 50`,
		Args: noArgs("; the chat begins when the model is loaded"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.bind(cmd); err != nil {
				return err
			}
			o.set = func(name, value string) error { return o.change(cmd, name, value) }
			return runF(context.WithoutCancel(cmd.Context()), s, o) // answers catch signals themselves
		},
	}
	addChatFlags(cmd.Flags())
	addSamplingFlags(cmd.Flags())
	cmd.Flags().Lookup("seed").Usage = "seed of the random numbers"
	addConfig(cmd)
	return cmd
}

func addChatFlags(f *pflag.FlagSet) {
	addModelFlags(f)
	f.String("system-prompt", "", "system message `TEXT`")
	f.String("chat-template-config", "", "`JSON` object with variables for the chat template, as '{\"enable_thinking\": false}'")
	f.String("thinking", "dim", "what to do with thoughts: `dim`, show or hide")
	f.String("history-file", "", "`FILE` that keeps the lines of a terminal (default mlx/chat_history in $XDG_STATE_HOME or ~/.local/state)")
	f.IntP("max-tokens", "m", 256, "most tokens of an answer; -1 is no limit but the context")
	f.StringArray("stop", nil, "end an answer before this `TEXT`, with \\n and \\t for newline and tab (may be repeated)")
	f.StringArray("extra-eos-token", nil, "id or text of one more `TOKEN` that ends an answer (may be repeated)")
	addKVFlags(f)
	addRunFlags(f)
	addDraftFlags(f)
}

// bind reads the options and refuses what cannot be meant. The model stays that of the
// first time: it may be the default, which no flag tells.
func (o *chatOptions) bind(cmd *cobra.Command) error {
	model := o.Model
	var err error
	if o.from, err = bind(cmd, o); err != nil {
		return err
	}
	if model != "" {
		o.Model = model
	}
	return o.check()
}

func (o *chatOptions) check() error {
	if o.MaxTokens == 0 || o.MaxTokens < -1 {
		return usagef("--max-tokens is %d: it must be above 0, or -1 for no limit", o.MaxTokens)
	}
	switch o.Thinking {
	case "dim", "show", "hide":
	default:
		return usagef("--thinking: %q is not dim, show or hide", o.Thinking)
	}
	for _, stop := range o.Stop {
		if stop == "" {
			return usagef("--stop is empty")
		}
	}
	if err := o.KV.check(o.from, false); err != nil {
		return err
	}
	if err := o.Draft.check(o.from, o.KV.MaxKVSize); err != nil {
		return err
	}
	if err := o.checkRun(); err != nil {
		return err
	}
	if _, err := o.config(); err != nil {
		return err
	}
	_, err := o.sampling()
	return err
}

// sampling is as mlx generate's, with mlx_lm.chat's seed 0.
func (o *chatOptions) sampling() (out sample.Options, err error) {
	out, err = o.Sampling.options(o.from, o.Model == "" || o.Model == builtinModel)
	if out.Seed == nil {
		out.Seed = new(uint64)
	}
	return out, err
}

func (o *chatOptions) config() (*template.Dict, error) {
	if o.ChatTemplateConfig == "" {
		return nil, nil
	}
	config, err := llm.ParseTemplateConfig(o.ChatTemplateConfig)
	if err != nil {
		return nil, usagef("--chat-template-config: %w", err)
	}
	return config, nil
}

// changeable are the options that /set may change, beside those of sampling.
var changeable = []string{"max-tokens", "stop", "thinking", "chat-template-config"}

// changeableNames are all options that /set may change.
func changeableNames() []string {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.SortFlags = false
	addSamplingFlags(f)
	return append(flagNames(f), changeable...)
}

// change sets the flag of an option, or leaves all as it was with an error.
func (o *chatOptions) change(cmd *cobra.Command, name, value string) error {
	f := cmd.Flags().Lookup(name)
	old, was := f.Value.String(), f.Changed
	list, isList := f.Value.(pflag.SliceValue)
	var items []string
	var err error
	if isList {
		items = list.GetSlice()
		err = list.Replace(strings.Fields(value))
		f.Changed = true
	} else {
		err = cmd.Flags().Set(name, value)
	}
	if err == nil {
		if err = o.bind(cmd); err == nil {
			return nil
		}
	} else {
		err = badValue("/set "+name, f, value)
	}
	if isList {
		_ = list.Replace(items)
	} else {
		_ = f.Value.Set(old)
	}
	f.Changed = was
	return errors.Join(err, o.bind(cmd)) // the old options were good
}

func runChat(ctx context.Context, s *streams, o *chatOptions) error {
	if err := o.begin(s); err != nil {
		return err
	}
	if err := o.Draft.begin(); err != nil {
		return err
	}
	m, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	c, err := newConversation(s, o, m)
	if err != nil {
		return err
	}
	if c.draft, err = o.Draft.load(ctx, s, m, o.modelOptions); err != nil {
		return err
	}
	return c.run(ctx)
}

// untilInterrupt is a context that Ctrl-C ends; a second one kills, but not a chat that
// is typed.
func untilInterrupt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
