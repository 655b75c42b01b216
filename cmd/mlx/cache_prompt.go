package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/llm"
)

const cachePromptLong = `Read a prompt and save what the model remembers of it, so that mlx generate
--prompt-cache-file goes on from there without reading it again.

The prompt is given as to mlx generate. With a chat template it is the beginning of
the user's message, which the prompt of mlx generate continues.

The file has mlx-lm's format. It belongs to the model and tokenizer that made it.`

// cachePromptOptions are those of mlx generate that make a prompt, and one more.
type cachePromptOptions struct {
	generateOptions `mapstructure:",squash"`
	EOSToken        string `mapstructure:"eos-token"`
}

func newCachePrompt(s *streams, runF func(context.Context, *streams, *cachePromptOptions) error) *cobra.Command {
	o := &cachePromptOptions{}
	cmd := &cobra.Command{
		Use:   "cache-prompt",
		Short: "Read a prompt and save the attention cache",
		Long:  cachePromptLong,
		Example: `  mlx cache-prompt --prompt "Once upon a time" --ignore-chat-template --prompt-cache-file story.safetensors
  mlx generate --prompt-cache-file story.safetensors --prompt ", there was"`,
		Args: noArgs("; the prompt goes into --prompt"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.from, err = bind(cmd, o); err != nil {
				return err
			}
			if err := o.checkCachePrompt(); err != nil {
				return err
			}
			return runF(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	addModelFlags(f)
	f.StringP("prompt", "p", "", "the prompt `TEXT`; - reads standard input")
	f.String("prompt-file", "", "`FILE` with the prompt")
	f.IntSlice("prompt-tokens", nil, "the prompt as token `IDS` with commas between them: needs no tokenizer, adds no BOS")
	f.String("system-prompt", "", "system message `TEXT` for the chat template")
	f.Bool("ignore-chat-template", false, "take the prompt as it is, with the tokenizer's own special tokens")
	f.String("chat-template-config", "", "`JSON` object with variables for the chat template, as '{\"enable_thinking\": false}'")
	f.String("eos-token", "", "`TOKEN` that is the EOS token of the chat template, and ends the generation that follows (default the tokenizer's)")
	f.String("prompt-cache-file", "", "prompt cache `FILE` to write")
	addKVFlags(f)
	addRunFlags(f)
	addConfig(cmd)
	return cmd
}

// checkCachePrompt is check for mlx cache-prompt.
func (o *cachePromptOptions) checkCachePrompt() error {
	switch {
	case o.PromptCacheFile == "":
		return usagef("--prompt-cache-file is missing: the FILE to write")
	case !o.from.set("prompt") && !o.from.set("prompt-file") && !o.from.set("prompt-tokens"):
		return usagef("there is no prompt: give --prompt, --prompt-file or --prompt-tokens")
	}
	if err := o.checkRun(); err != nil {
		return err
	}
	if err := o.checkPrompt(); err != nil {
		return err
	}
	return o.KV.check(o.from, false)
}

// beginning are the tokens of the prompt for m, and how they were made.
func (o *cachePromptOptions) beginning(m *llm.Loaded, text string) ([]int, llm.PromptInfo, error) {
	info := llm.PromptInfo{Model: o.Model, EOSToken: o.EOSToken}
	source, err := o.promptSource()
	if err != nil || source == "prompt-tokens" || m.Tokenizer == nil {
		ids, err := o.promptIDs(m, text)
		return ids, info, err
	}
	options, err := o.templateOptions(text)
	if err != nil {
		return nil, info, err
	}
	ids, err := m.Tokenizer.Beginning(options)
	info.Prompt, info.TemplateConfig = &options, o.ChatTemplateConfig
	return ids, info, err
}

// runCachePrompt reads the prompt and writes the file.
func runCachePrompt(ctx context.Context, s *streams, o *cachePromptOptions) error {
	if err := atomicfile.Check(o.PromptCacheFile); err != nil {
		return ofFlag("prompt-cache-file", err)
	}
	if err := o.begin(s); err != nil {
		return err
	}
	text, err := o.readPrompt(ctx, s.in)
	if err != nil {
		return err
	}
	m, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	if o.EOSToken != "" {
		if err := useEOS(m, o.EOSToken); err != nil {
			return err
		}
	}
	ids, info, err := o.beginning(m, text)
	if err != nil {
		return err
	}
	q, err := m.NewSequenceOf(o.KV.options(o.from))
	if err != nil {
		return err
	}
	start := time.Now()
	if err := q.Read(ctx, ids, o.PrefillStepSize, s.progress(len(ids), o.PrefillStepSize)); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted: nothing is saved")
		}
		return err
	}
	rate, peak := float64(len(ids))/time.Since(start).Seconds(), float64(mlx.PeakMemory())/1e9
	if err := q.Save(o.PromptCacheFile, info); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "Processed %6d tokens (%6.2f tok/s)\nPeak memory: %.3f GB\n", len(ids), rate, peak); err != nil {
		return err
	}
	if bytes, saved := q.Bytes(); saved > 0 {
		_, err = fmt.Fprintf(s.out, "Attention cache: %.3f MB, %.3f MB saved\n", float64(bytes)/1e6, float64(saved)/1e6)
	}
	return err
}
