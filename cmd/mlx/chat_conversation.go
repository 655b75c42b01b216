package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/llm"
)

// turn is a message of a chat.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// conversation is a chat with a model.
type conversation struct {
	s     *streams
	o     *chatOptions
	m     *llm.Loaded
	draft *llm.Loaded // nil: none
	in    lines
	typed bool // by a person: failures do not end it

	sequence *llm.Sequence
	system   string
	turns    []turn // of user and assistant
	answers  uint64 // so far, for the seed
}

func newConversation(s *streams, o *chatOptions, m *llm.Loaded) (*conversation, error) {
	switch {
	case m.Tokenizer == nil:
		return nil, fmt.Errorf("%s has no %s, and a chat is of text", o.Model, llm.TokenizerFile)
	case !m.Tokenizer.HasChatTemplate():
		return nil, fmt.Errorf("%s has no chat template, so it is not made for chats; mlx generate goes on with a text", o.Model)
	}
	if err := m.Tokenizer.ChatTemplate().Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
	}
	sequence, err := m.NewSequenceOf(o.KV.options(o.from))
	if err != nil {
		return nil, err
	}
	c := &conversation{s: s, o: o, m: m, system: o.SystemPrompt, sequence: sequence}
	if _, err := c.generationOptions(); err != nil {
		return nil, err
	}
	in, isFile := s.in.(*os.File)
	out, outFile := s.err.(*os.File)
	if !isFile || !outFile || !s.errTTY || !term.IsTerminal(int(in.Fd())) {
		c.in = newPlainLines(s.in)
		return c, nil
	}
	path := o.HistoryFile
	if path == "" {
		path = historyPath(os.Getenv)
	}
	history := &lineHistory{}
	if path != "" {
		var err error
		if history, err = openHistory(path); err != nil {
			s.note("lines are not kept: %v", err)
		}
	}
	c.in, c.typed = &typedLines{in: in, out: out, history: history}, true
	return c, nil
}

// run reads messages and answers them, to the end of the input.
func (c *conversation) run(ctx context.Context) error {
	fmt.Fprintf(c.s.err, "[INFO] Starting chat session with %s.\n", c.o.Model)
	if c.typed {
		// Ctrl-C must not end the program between answers, nor a second one at their end.
		late := make(chan os.Signal, 1)
		signal.Notify(late, os.Interrupt)
		defer signal.Stop(late)
		c.listCommands()
	}
	for {
		text, err := message(c.in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errInterrupted):
			c.s.note("Ctrl-D or /quit ends the chat")
			continue
		case err != nil:
			return fmt.Errorf("standard input: %w", err)
		case strings.TrimSpace(text) == "":
			continue
		}
		done, err := c.take(ctx, text)
		switch {
		case done:
			return nil
		case err != nil && (!c.typed || c.s.closed()):
			return err
		case err != nil:
			c.s.note("%v", err)
		}
	}
}

// take does what a message says, or answers it.
func (c *conversation) take(ctx context.Context, text string) (done bool, err error) {
	if rest, ok := strings.CutPrefix(text, "//"); ok {
		return false, c.answer(ctx, "/"+rest)
	}
	switch {
	case text == "q":
		text = "/quit"
	case text == "r":
		text = "/reset"
	case text == "h":
		c.listCommands()
		return false, nil
	}
	if strings.HasPrefix(text, "/") {
		return c.command(ctx, text)
	}
	return false, c.answer(ctx, text)
}

// messages are the turns as a template takes them.
func (c *conversation) messages() *template.List {
	list := template.NewList()
	if c.system != "" {
		list.Items = append(list.Items, template.Message("system", c.system))
	}
	for _, t := range c.turns {
		list.Items = append(list.Items, template.Message(t.Role, t.Content))
	}
	return list
}

// prompt is the whole chat.
func (c *conversation) prompt() (ids []int, text string, err error) {
	config, err := c.o.config()
	if err != nil {
		return nil, "", err
	}
	variables := c.m.Tokenizer.ChatTemplate().Variables(config)
	return c.m.Tokenizer.PromptMessages(c.messages(), llm.RenderOptions{AddGenerationPrompt: true, Variables: variables})
}

// generationOptions are those of the next answer.
func (c *conversation) generationOptions() (llm.Options, error) {
	var out llm.Options
	eos, err := llm.EOSSet(c.m.Config.EOS, c.m.Config.EOSFrom, c.o.ExtraEOSToken, c.m.Model.Info().VocabSize, c.m.Tokenizer)
	if err != nil {
		return out, err
	}
	if out.Sampling, err = c.o.sampling(); err != nil {
		return out, err
	}
	if out.Sampling.XTCProbability > 0 {
		out.Sampling.XTCSpecial = append(append(out.Sampling.XTCSpecial, eos...), c.m.Tokenizer.Encode("\n", true)...)
	}
	seed := *out.Sampling.Seed + c.answers
	out.Sampling.Seed = &seed
	for _, stop := range c.o.Stop {
		out.Stop = append(out.Stop, unescape(stop))
	}
	out.MaxTokens, out.EOS, out.PrefillStep = c.o.MaxTokens, eos, c.o.PrefillStepSize
	out.Draft, out.DraftTokens, out.KV = c.draft, c.o.Draft.NumDraftTokens, c.o.KV.options(c.o.from)
	return out, nil
}

// answer takes a message of the user. If there is no answer the message is forgotten.
func (c *conversation) answer(ctx context.Context, text string) error {
	c.turns = append(c.turns, turn{"user", text})
	answer, err := c.speak(ctx)
	if err != nil || answer == "" {
		c.turns = c.turns[:len(c.turns)-1]
		return err
	}
	c.turns = append(c.turns, turn{"assistant", answer})
	return nil
}

// speak generates the next answer and shows it.
func (c *conversation) speak(ctx context.Context) (string, error) {
	ids, prompt, err := c.prompt()
	if err != nil {
		return "", err
	}
	options, err := c.generationOptions()
	if err != nil {
		return "", err
	}
	options.Progress = c.s.progress(len(ids), c.sequence.Len()+options.PrefillStep)
	g, err := c.sequence.Generate(ids, options)
	if limit := c.m.Model.Info().MaxContext; err != nil && limit > 0 && len(ids) > limit {
		return "", fmt.Errorf("%w; /reset begins a new chat", err)
	}
	if err != nil {
		return "", samplingError(err)
	}
	ctx, stop := untilInterrupt(ctx)
	defer stop()
	answer, last, err := c.show(ctx, g, c.view(prompt))
	if err != nil {
		return "", err
	}
	c.answers++
	c.report(g.Statistics(), last)
	return answer, nil
}

// view shows an answer to prompt, which may have begun a thought already.
func (c *conversation) view(prompt string) *answerView {
	v := &answerView{write: func(text string) error {
		_, err := io.WriteString(c.s.out, text)
		return err
	}}
	v.open, v.close = c.m.Tokenizer.ThinkTags()
	v.inside = strings.HasSuffix(strings.TrimSpace(prompt), v.open)
	v.hide = c.o.Thinking == "hide"
	v.dim = c.o.Thinking == "dim" && c.s.outTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return v
}

// show writes the answer as it comes, and a newline.
func (c *conversation) show(ctx context.Context, g *llm.Generation, v *answerView) (answer string, last llm.Token, err error) {
	var text strings.Builder
	for token, failure := range g.Tokens(ctx) {
		if failure != nil {
			err = failure
			break
		}
		text.WriteString(token.Text)
		if err = v.add(token.Text); err != nil {
			break
		}
		last = token
	}
	if end := v.end(); err == nil {
		err = end
	}
	if end := v.write("\n"); err == nil {
		err = end
	}
	return text.String(), last, err
}

// report writes statistics as mlx-lm, and why the answer ended, if it was cut.
func (c *conversation) report(t llm.Statistics, last llm.Token) {
	line := fmt.Sprintf("  %d tokens · %.1f tok/s · prompt %.1f tok/s · peak %.2f GB", t.GenerationTokens, t.GenerationTPS, t.PromptTPS, float64(t.PeakMemory)/1e9)
	if t.CachedTokens > 0 {
		line += fmt.Sprintf(" · %d reused", t.CachedTokens)
	}
	if t.CacheSaved > 0 {
		line += fmt.Sprintf(" · cache %.2f MB, %.2f saved", float64(t.CacheMemory)/1e6, float64(t.CacheSaved)/1e6)
	}
	if t.Draft != nil {
		line += " · draft: " + draftText(t.Draft)
	}
	if c.typed && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		line = dim + line + plain
	}
	fmt.Fprintln(c.s.err, line)
	switch {
	case last.Finish == llm.FinishCancelled:
		c.s.note("the answer was stopped")
	case last.Finish == llm.FinishLength && strings.Contains(last.Detail, "context"):
		c.s.note("%s; /reset begins a new chat", last.Detail)
	case last.Finish == llm.FinishLength:
		c.s.note("the answer was cut at %d tokens; /set max-tokens changes this", c.o.MaxTokens)
	}
}
