package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// generateOptions are the options of mlx generate, by the flags' names.
type generateOptions struct {
	modelOptions `mapstructure:",squash"`

	Prompt             string `mapstructure:"prompt"`
	PromptFile         string `mapstructure:"prompt-file"`
	PromptTokens       []int  `mapstructure:"prompt-tokens"`
	Prompts            string `mapstructure:"prompts"`
	BatchSize          int    `mapstructure:"batch-size"`
	SystemPrompt       string `mapstructure:"system-prompt"`
	PrefillResponse    string `mapstructure:"prefill-response"`
	IgnoreChatTemplate bool   `mapstructure:"ignore-chat-template"`
	DefaultTemplate    bool   `mapstructure:"use-default-chat-template"`
	ChatTemplateConfig string `mapstructure:"chat-template-config"`

	MaxTokens     int      `mapstructure:"max-tokens"`
	Stop          []string `mapstructure:"stop"`
	ExtraEOSToken []string `mapstructure:"extra-eos-token"`
	IgnoreEOS     bool     `mapstructure:"ignore-eos"`

	PromptCacheFile string `mapstructure:"prompt-cache-file"`

	Sampling samplingOptions `mapstructure:",squash"`
	KV       kvOptions       `mapstructure:",squash"`
	Draft    draftOptions    `mapstructure:",squash"`

	Verbose string `mapstructure:"verbose"`
	JSON    bool   `mapstructure:"json"`

	from sources
}

const generateLong = `Continue a prompt, or answer it when the model has a chat template.

The text appears as it is made, between two lines of "=", and statistics follow;
--verbose false prints the text alone, --json one object with the token ids
instead. Generation ends at an EOS token, a stop string, after --max-tokens or
when the model's context is full. Ctrl-C ends it with the statistics so far and
exit status 0; a second one kills.

The prompt is --prompt (where \n and \t stand for newline and tab, and - for
standard input), the contents of --prompt-file, or --prompt-tokens. A special
token that it spells, such as <s>, becomes this token. A model with a chat
template gets the prompt as the user's message, unless --ignore-chat-template.

--prompts runs many prompts, --batch-size at a time, and prints the object of --json for
each as a line, in their order. A line of FILE is a JSON string, or an object with
prompt, messages (a list for the chat template) or prompt_tokens, and maybe an id that
comes back. All have the same options. Each gives what it gives alone, but for tokens
that are almost as likely as others: steps of several rows round differently, and
--batch-size 1 does not.

With --temp 0 the likeliest token is taken, and the options that filter (top-p,
min-p, top-k, xtc) have nothing to do. The penalties look at the tokens so
far, the prompt's too, --repetition-context-size back at most.

--prompt-cache-file continues what mlx cache-prompt has read: the prompt is what
follows, and the answer is the same as with all of the text in --prompt.

With --max-kv-size a token attends to so many others at most, the first 4 and the
last; --kv-bits stores what attention remembers in fewer bits. Both save memory.
With --prompts, --kv-bits needs --quantized-kv-start 0.

A --draft-model guesses tokens, which the model judges together: the tokens are those
without it, sampled ones too, and how many guesses were right is in the statistics. Both
must have the same vocabulary.

Without --model it is the built-in model, a small teller of children's stories.
Its own defaults are --temp 0.7 --top-p 0.95.`

func newGenerate(s *streams, runF func(context.Context, *streams, *generateOptions) error) *cobra.Command {
	o := &generateOptions{}
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Continue or answer a prompt",
		Long:  generateLong,
		Example: `  mlx generate --prompt "Tell me a story about a dog named Max."
  mlx generate --prompt "Once upon a time" --ignore-chat-template --seed 7
  echo "Once upon a time" | mlx generate --prompt - --max-tokens 20
  mlx generate --model mlx-community/Qwen3-0.6B-4bit --prompt "Why is the sky blue?"
  mlx generate --model builtin --prompt "Lily wanted a red ball" --temp 0 --stop . --verbose false
  mlx generate --model builtin --prompt-tokens 1,426,439,263,401 --max-tokens 5 --json
  echo '{"id": 1, "prompt": "Once upon a time"}' | mlx generate --prompts - --max-tokens 20`,
		Args: noArgs("; the prompt goes into --prompt, and options with several values are repeated"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return runF(cmd.Context(), s, o)
		},
	}
	addGenerateFlags(cmd.Flags())
	addSamplingFlags(cmd.Flags())
	addConfig(cmd)
	return cmd
}

func addGenerateFlags(f *pflag.FlagSet) {
	addModelFlags(f)
	f.StringP("prompt", "p", "hello", "the prompt `TEXT`; - reads standard input")
	f.String("prompt-file", "", "`FILE` with the prompt")
	f.IntSlice("prompt-tokens", nil, "the prompt as token `IDS` with commas between them: needs no tokenizer, adds no BOS")
	f.String("prompts", "", "`FILE` with a prompt a line, as JSON; - reads standard input")
	f.Int("batch-size", 8, "most prompts of --prompts that run together")
	f.String("system-prompt", "", "system message `TEXT` for the chat template")
	f.String("prefill-response", "", "`TEXT` that the answer begins with")
	f.Bool("ignore-chat-template", false, "take the prompt as it is, with the tokenizer's own special tokens")
	f.Bool("use-default-chat-template", false, "take ChatML for the chat template of a model that has none")
	f.String("chat-template-config", "", "`JSON` object with variables for the chat template, as '{\"enable_thinking\": false}'")
	f.IntP("max-tokens", "m", 100, "most tokens to generate; -1 is no limit but the context")
	f.StringArray("stop", nil, "end before this `TEXT`, with \\n and \\t as in --prompt (may be repeated)")
	f.StringArray("extra-eos-token", nil, "id or text of one more `TOKEN` that ends the generation (may be repeated)")
	f.Bool("ignore-eos", false, "go on after EOS tokens")
	f.String("verbose", "true", "false or f prints the text alone; all else is true, as in mlx-lm")
	f.Bool("json", false, "print a JSON object with ids, text, log-probabilities and statistics instead")
	addRunFlags(f)
	f.String("prompt-cache-file", "", "prompt cache `FILE` of mlx cache-prompt or mlx-lm")
	addKVFlags(f)
	addDraftFlags(f)
}

// check refuses what cannot be meant, before the model is loaded.
func (o *generateOptions) check() error {
	if o.MaxTokens == 0 || o.MaxTokens < -1 {
		return usagef("--max-tokens is %d: it must be above 0, or -1 for no limit", o.MaxTokens)
	}
	if o.BatchSize < 1 {
		return usagef("--batch-size is %d: it must be above 0", o.BatchSize)
	}
	for _, stop := range o.Stop {
		if stop == "" {
			return usagef("--stop is empty")
		}
	}
	if err := o.checkRun(); err != nil {
		return err
	}
	if err := o.checkPrompt(); err != nil {
		return err
	}
	if err := o.KV.check(o.from, o.PromptCacheFile != ""); err != nil {
		return err
	}
	if err := o.Draft.check(o.from, o.KV.MaxKVSize); err != nil {
		return err
	}
	if source, _ := o.promptSource(); source == "prompts" {
		if o.Draft.DraftModel != "" {
			return usagef("--draft-model and --prompts exclude each other: a draft is for one prompt at a time")
		}
		if err := o.checkBatch(); err != nil {
			return err
		}
	}
	_, err := o.Sampling.options(o.from, false)
	return err
}

// runGenerate loads the model and lets it speak.
func runGenerate(ctx context.Context, s *streams, o *generateOptions) error {
	saved, err := o.openPromptCache()
	if err != nil {
		return err
	}
	if saved != nil {
		defer saved.Close()
	}
	if err := o.begin(s); err != nil {
		return err
	}
	if err := o.Draft.begin(); err != nil {
		return err
	}
	source, err := o.promptSource()
	if err != nil {
		return err
	}
	text, lines := "", []promptLine(nil)
	if source == "prompts" {
		lines, err = o.readPrompts(ctx, s.in)
	} else {
		text, err = o.readPrompt(ctx, s.in)
	}
	if err != nil {
		return err
	}
	m, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	if err := o.prepareText(s, m, saved); err != nil {
		return err
	}
	if source == "prompts" {
		return o.runPrompts(ctx, s, m, lines)
	}
	return o.runPrompt(ctx, s, m, saved, text)
}

// runPrompt generates for one prompt, which may follow a saved beginning.
func (o *generateOptions) runPrompt(ctx context.Context, s *streams, m *llm.Loaded, saved *llm.PromptFile, text string) error {
	prompt, past, err := o.continued(m, saved, text)
	if err != nil {
		return err
	}
	options, err := o.forModel(m, !o.JSON)
	if err != nil {
		return err
	}
	if options.Draft, err = o.Draft.load(ctx, s, m, o.modelOptions); err != nil {
		return err
	}
	options.DraftTokens = o.Draft.NumDraftTokens
	options.Progress = s.progress(len(prompt), o.PrefillStepSize)
	var g *llm.Generation
	if past != nil {
		g, err = past.Generate(prompt, options)
	} else {
		g, err = llm.Generate(m, prompt, options)
	}
	if err != nil {
		return samplingError(err)
	}
	return newPrinter(s, o).print(ctx, g, prompt)
}

// forModel are the options of the generation by m; needsText is whether ids do not do.
func (o *generateOptions) forModel(m *llm.Loaded, needsText bool) (llm.Options, error) {
	var out llm.Options
	if m.Tokenizer == nil && needsText {
		return out, errors.New("the model has no tokenizer.json, so there is no text to print; --json prints token ids")
	}
	eos, err := llm.EOSSet(m.Config.EOS, m.Config.EOSFrom, o.ExtraEOSToken, m.Model.Info().VocabSize, m.Tokenizer)
	if err != nil {
		return out, err
	}
	sampling, err := o.Sampling.options(o.from, o.Model == builtinModel)
	if err != nil {
		return out, err
	}
	// mlx-lm lets XTC never drop a newline or EOS.
	if sampling.XTCProbability > 0 {
		sampling.XTCSpecial = append(sampling.XTCSpecial, eos...)
		if m.Tokenizer != nil {
			sampling.XTCSpecial = append(sampling.XTCSpecial, m.Tokenizer.Encode("\n", true)...)
		}
	}
	for _, stop := range o.Stop {
		out.Stop = append(out.Stop, unescape(stop))
	}
	out.MaxTokens = o.MaxTokens
	out.Sampling = sampling
	out.EOS, out.IgnoreEOS = eos, o.IgnoreEOS
	out.PrefillStep = o.PrefillStepSize
	out.KV = o.KV.options(o.from)
	return out, nil
}

// samplingError says with the flag's name which sampling option is out of range.
func samplingError(err error) error {
	var option *sample.OptionError
	if errors.As(err, &option) {
		return usagef("--%s is %v: %s", strings.ReplaceAll(option.Field, "_", "-"), option.Value, option.Reason)
	}
	return err
}
