package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// unescape turns the two letters \n and \t into newline and tab, as mlx-lm does.
func unescape(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, `\n`, "\n"), `\t`, "\t")
}

// promptSource is the flag that the prompt comes from: of the four the one that
// was set with the greatest force.
func (o *generateOptions) promptSource() (string, error) {
	best := "prompt"
	for _, name := range []string{"prompt-file", "prompt-tokens", "prompts"} {
		switch a, b := o.from[name], o.from[best]; {
		case a > b:
			best = name
		case a == b && a > fromDefault:
			return "", usagef("--%s and --%s exclude each other", best, name)
		}
	}
	return best, nil
}

// checkPrompt refuses options that the prompt's form leaves without meaning.
func (o *generateOptions) checkPrompt() error {
	source, err := o.promptSource()
	if err != nil {
		return err
	}
	if _, err := o.templateOptions(""); err != nil {
		return err
	}
	if o.IgnoreChatTemplate && o.DefaultTemplate && o.from["ignore-chat-template"] == o.from["use-default-chat-template"] {
		return usagef("--ignore-chat-template and --use-default-chat-template exclude each other")
	}
	against, force := "", fromDefault
	switch {
	case source == "prompts" && o.Prompts == "":
		return usagef("--prompts is empty")
	case source == "prompt-tokens":
		if len(o.PromptTokens) == 0 {
			return usagef("--prompt-tokens is empty")
		}
		against, force = source, o.from[source]
	case o.IgnoreChatTemplate:
		against, force = "ignore-chat-template", o.from["ignore-chat-template"]
	default:
		return nil
	}
	for _, name := range []string{"system-prompt", "prefill-response", "chat-template-config"} {
		if f := o.from[name]; f > fromDefault && f >= force {
			return usagef("--%s needs the chat template, which --%s leaves out", name, against)
		}
	}
	return nil
}

// readPrompt returns the prompt's text; "" for --prompt-tokens.
func (o *generateOptions) readPrompt(ctx context.Context, stdin io.Reader) (string, error) {
	source, err := o.promptSource()
	if err != nil {
		return "", err
	}
	switch {
	case source == "prompt-tokens":
		return "", nil
	case source == "prompt-file":
		data, err := os.ReadFile(o.PromptFile)
		return string(data), ofFlag("prompt-file", err)
	case o.Prompt == "-":
		data, err := readInput(ctx, "prompt", o.Prompt, stdin)
		return string(data), err
	}
	return unescape(o.Prompt), nil
}

// ofFlag names the flag that an error of a file is of; nil stays nil.
func ofFlag(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

// readInput reads the file that a flag names, or standard input for -.
func readInput(ctx context.Context, flag, name string, stdin io.Reader) ([]byte, error) {
	if name != "-" {
		data, err := os.ReadFile(name)
		return data, ofFlag(flag, err)
	}
	data, err := readAll(ctx, stdin)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return data, nil
}

// readAll is io.ReadAll until ctx ends, which an ended program leaves waiting.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	var data []byte
	done := make(chan error, 1)
	go func() {
		var err error
		data, err = io.ReadAll(r)
		done <- err
	}()
	select {
	case err := <-done:
		return data, err
	case <-ctx.Done():
		return nil, errors.New("interrupted")
	}
}

// prepareText gives m the chat template and the EOS token that are asked for, also by
// what saved was made with, which may be nil.
func (o *generateOptions) prepareText(s *streams, m *llm.Loaded, saved *llm.PromptFile) error {
	if saved != nil && saved.EOSToken != "" {
		if err := useEOS(m, saved.EOSToken); err != nil {
			return err
		}
		o.ExtraEOSToken = append(o.ExtraEOSToken, saved.EOSToken)
	}
	if o.DefaultTemplate && m.Tokenizer != nil {
		var unknown []string
		if m.Tokenizer, unknown = m.Tokenizer.WithDefaultChatTemplate(); len(unknown) > 0 {
			s.note("the default chat template is ChatML, and the tokenizer does not know %s", strings.Join(unknown, " and "))
		}
	}
	return nil
}

// useEOS gives the tokenizer of m another eos_token.
func useEOS(m *llm.Loaded, token string) (err error) {
	if m.Tokenizer == nil {
		return fmt.Errorf("there is no %s to look the EOS token %q up in", llm.TokenizerFile, token)
	}
	m.Tokenizer, err = m.Tokenizer.WithEOS(token)
	return err
}

// promptIDs are the tokens of the prompt for m.
func (o *generateOptions) promptIDs(m *llm.Loaded, text string) ([]int, error) {
	source, err := o.promptSource()
	if err != nil {
		return nil, err
	}
	if source == "prompt-tokens" {
		return o.PromptTokens, checkIDs("--prompt-tokens", o.PromptTokens, m.Model.Info().VocabSize)
	}
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("%s has no %s; --prompt-tokens needs none", o.Model, llm.TokenizerFile)
	}
	options, err := o.templateOptions(text)
	if err != nil {
		return nil, err
	}
	ids, err := m.Tokenizer.Prompt(options)
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("the prompt is empty, and the tokenizer adds nothing to it")
	}
	return ids, err
}

// templateOptions are text and what belongs to the chat template. What
// --ignore-chat-template overrides is left out: checkPrompt has compared them.
func (o *generateOptions) templateOptions(text string) (llm.PromptOptions, error) {
	out := llm.PromptOptions{Text: text, IgnoreChatTemplate: o.IgnoreChatTemplate}
	if o.ChatTemplateConfig != "" {
		config, err := llm.ParseTemplateConfig(o.ChatTemplateConfig)
		if err != nil {
			return out, usagef("--chat-template-config: %w", err)
		}
		out.TemplateConfig = config
	}
	if o.IgnoreChatTemplate {
		out.TemplateConfig = nil
		return out, nil
	}
	out.System, out.PrefillResponse = o.SystemPrompt, o.PrefillResponse
	return out, nil
}
