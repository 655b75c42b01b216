package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/llm"
)

// chatTemplateOptions are the options of mlx chat-template.
type chatTemplateOptions struct {
	Model     string `mapstructure:"model"`
	Revision  string `mapstructure:"revision"`
	Messages  string `mapstructure:"messages"`
	Tools     string `mapstructure:"tools"`
	Generate  bool   `mapstructure:"add-generation-prompt"`
	Continue  bool   `mapstructure:"continue-final-message"`
	Variables string `mapstructure:"chat-template-config"`
	Now       string `mapstructure:"now"`

	from sources
}

const chatTemplateLong = `Print the text that the model's chat template makes of messages, with the special
tokens that it writes and nothing more; on a terminal a newline follows.

--messages is a JSON file, - is standard input. It holds a list of messages, as
[{"role": "user", "content": "Hi"}], of which comes what mlx generate feeds to the
model: the answer's beginning follows (--add-generation-prompt), and enable_thinking
is set if the vocabulary has tokens for it. Or it holds an object with the arguments
of transformers' apply_chat_template: messages, tools, documents,
add_generation_prompt, continue_final_message, and all others as variables of the
template; then defaults are those of transformers, and nothing is added. Options that
are given win.

The model needs no weights, and a tokenizer.json only for enable_thinking.`

func newChatTemplate(s *streams, runF func(context.Context, *streams, *chatTemplateOptions) error) *cobra.Command {
	o := &chatTemplateOptions{}
	cmd := &cobra.Command{
		Use:   "chat-template",
		Short: "Print what the chat template makes of messages",
		Long:  chatTemplateLong,
		Example: `  echo '[{"role": "user", "content": "Hi"}]' | mlx chat-template --messages -
  mlx chat-template --model mlx-community/Qwen3-0.6B-4bit --messages chat.json --tools tools.json`,
		Args: noArgs("; the messages go into --messages"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			if !o.from.set("messages") {
				return usagef("--messages is missing")
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.String("model", builtinModel, modelUsage)
	addRevision(f)
	f.String("messages", "", "JSON `FILE` with the messages; - reads standard input")
	f.String("tools", "", "JSON `FILE` with a list of tools")
	f.Bool("add-generation-prompt", true, "begin the answer")
	f.Bool("continue-final-message", false, "leave the last message open, and do not begin the answer")
	f.String("chat-template-config", "", "`JSON` object with variables for the template, as '{\"enable_thinking\": false}'")
	f.String("now", "", "`TIME` for templates that write the date, as 2026-11-23T09:30:00 (default the present)")
	addConfig(cmd)
	return cmd
}

func runChatTemplate(ctx context.Context, s *streams, o *chatTemplateOptions) error {
	messages, options, err := o.read(ctx, s.in)
	if err != nil {
		return err
	}
	dir, err := findModel(ctx, s, o.Model, o.Revision, hub.Text)
	if err != nil {
		return err
	}
	t, err := loadChatTemplate(dir)
	if err != nil {
		return err
	}
	if options.Variables == nil {
		config, err := o.config()
		if err != nil {
			return err
		}
		options.Variables = t.Variables(config)
	}
	text, err := t.Render(messages, options)
	if err != nil {
		return err
	}
	if s.outTTY {
		text += "\n"
	}
	_, err = io.WriteString(s.out, text)
	return err
}

func loadChatTemplate(dir string) (*llm.ChatTemplate, error) {
	if dir != builtinModel {
		return llm.LoadChatTemplate(dir)
	}
	t, err := loadTokenizer(dir)
	if err != nil {
		return nil, err
	}
	return t.ChatTemplate(), nil
}

// config is the value of --chat-template-config, nil for none.
func (o *chatTemplateOptions) config() (*template.Dict, error) {
	if o.Variables == "" {
		return nil, nil
	}
	config, err := llm.ParseTemplateConfig(o.Variables)
	if err != nil {
		return nil, usagef("--chat-template-config: %w", err)
	}
	return config, nil
}

// read reads the files and settles the options. Variables stay nil where the
// messages are a list.
func (o *chatTemplateOptions) read(ctx context.Context, stdin io.Reader) (template.Value, llm.RenderOptions, error) {
	var options llm.RenderOptions
	data, err := readInput(ctx, "messages", o.Messages, stdin)
	if err != nil {
		return nil, options, err
	}
	messages, options, list, err := llm.ParseChat(data)
	if err != nil {
		return nil, options, fmt.Errorf("%s: %w", o.Messages, err)
	}
	config, err := o.config()
	if err != nil {
		return nil, options, err
	}
	if config != nil && !list {
		for k, v := range config.All() {
			options.Variables.Set(k.(string), v)
		}
	}
	if list || o.from.set("continue-final-message") {
		options.ContinueFinalMessage = o.Continue
	}
	if list || o.from.set("add-generation-prompt") {
		options.AddGenerationPrompt = o.Generate
	}
	if o.from.set("add-generation-prompt") && o.Generate && options.ContinueFinalMessage {
		return nil, options, usagef("--add-generation-prompt and --continue-final-message exclude each other")
	}
	options.AddGenerationPrompt = options.AddGenerationPrompt && !options.ContinueFinalMessage
	if o.Tools != "" {
		data, err := os.ReadFile(o.Tools)
		if err != nil {
			return nil, options, ofFlag("tools", err)
		}
		if options.Tools, err = template.DecodeJSON(data); err != nil {
			return nil, options, fmt.Errorf("%s: %w", o.Tools, err)
		}
	}
	if o.Now != "" {
		now, err := time.ParseInLocation("2006-01-02T15:04:05", o.Now, time.Local)
		if err != nil {
			return nil, options, usagef("--now: %q is not a time as 2026-11-23T09:30:00", o.Now)
		}
		options.Now = func() time.Time { return now }
	}
	return messages, options, nil
}
