package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/llm"
)

// promptLine is a line of --prompts: one of Prompt, Messages and Tokens.
type promptLine struct {
	ID       json.RawMessage `json:"id"`
	Prompt   *string         `json:"prompt"`
	Messages json.RawMessage `json:"messages"`
	Tokens   []int           `json:"prompt_tokens"`

	number int // in the file, from 1
}

// promptResult is a line of what --prompts prints.
type promptResult struct {
	Index int             `json:"index"` // of the prompt, from 0
	ID    json.RawMessage `json:"id,omitempty"`
	result
}

// readPrompts reads the lines of --prompts.
func (o *generateOptions) readPrompts(ctx context.Context, stdin io.Reader) ([]promptLine, error) {
	data, err := readInput(ctx, "prompts", o.Prompts, stdin)
	if err != nil {
		return nil, err
	}
	lines, err := parsePrompts(data)
	if err == nil && len(lines) == 0 {
		err = errors.New("there are no prompts")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Prompts, err)
	}
	return lines, nil
}

// parsePrompts reads JSON lines: a string, or an object of promptLine.
func parsePrompts(data []byte) ([]promptLine, error) {
	var out []promptLine
	n := 0
	for text := range bytes.Lines(data) {
		n++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		line := promptLine{number: n}
		if err := line.parse(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, llm.JSONError(err))
		}
		out = append(out, line)
	}
	return out, nil
}

// parse reads the JSON of a line.
func (l *promptLine) parse(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, &l.Prompt)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	forms := 0
	for _, is := range []bool{l.Prompt != nil, l.Messages != nil, l.Tokens != nil} {
		if is {
			forms++
		}
	}
	if forms != 1 {
		return errors.New("one of prompt, messages and prompt_tokens must be there")
	}
	if l.Tokens != nil && len(l.Tokens) == 0 {
		return errors.New("prompt_tokens is empty")
	}
	return nil
}

// lineIDs are the tokens of a line.
func (o *generateOptions) lineIDs(m *llm.Loaded, line promptLine) ([]int, error) {
	if line.Tokens != nil {
		return line.Tokens, checkIDs("prompt_tokens", line.Tokens, m.Model.Info().VocabSize)
	}
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("%s has no %s; prompt_tokens need none", o.Model, llm.TokenizerFile)
	}
	if line.Prompt != nil {
		options, err := o.templateOptions(*line.Prompt)
		if err != nil {
			return nil, err
		}
		ids, err := m.Tokenizer.Prompt(options)
		if err == nil && len(ids) == 0 {
			err = errors.New("the prompt is empty, and the tokenizer adds nothing to it")
		}
		return ids, err
	}
	if o.IgnoreChatTemplate || o.SystemPrompt != "" || o.PrefillResponse != "" {
		return nil, errors.New("messages go through the chat template as they are: --ignore-chat-template, --system-prompt and --prefill-response are for prompts")
	}
	messages, err := template.DecodeJSON(line.Messages)
	if err != nil {
		return nil, err
	}
	options, err := o.templateOptions("")
	if err != nil {
		return nil, err
	}
	variables := m.Tokenizer.ChatTemplate().Variables(options.TemplateConfig)
	ids, _, err := m.Tokenizer.PromptMessages(messages, llm.RenderOptions{AddGenerationPrompt: true, Variables: variables})
	return ids, err
}

// runPrompts generates for all lines and prints a line of JSON for each, in their order.
func (o *generateOptions) runPrompts(ctx context.Context, s *streams, m *llm.Loaded, lines []promptLine) error {
	options, err := o.forModel(m, false)
	if err != nil {
		return err
	}
	prompts := make([][]int, len(lines))
	for i, line := range lines {
		if prompts[i], err = o.lineIDs(m, line); err != nil {
			return fmt.Errorf("%s: line %d: %w", o.Prompts, line.number, err)
		}
	}
	start := time.Now()
	results, err := llm.GenerateBatch(ctx, m, prompts, options, o.BatchSize)
	if err != nil {
		return samplingError(err)
	}
	out := bufio.NewWriter(s.out)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	early := map[int]promptResult{} // that wait for those before them
	printed, tokens := 0, 0
	for r, err := range results {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		tokens += r.Statistics.GenerationTokens
		early[r.Index] = newPromptResult(r, lines[r.Index], prompts[r.Index])
		for {
			next, ok := early[printed]
			if !ok {
				break
			}
			delete(early, printed)
			printed++
			if err := errors.Join(e.Encode(next), out.Flush()); err != nil {
				return err
			}
		}
	}
	if printed < len(lines) {
		s.note("interrupted: %d of %s", printed, plural(len(lines), "prompt"))
		return nil
	}
	took := time.Since(start).Seconds()
	s.note("%s, %s in %.1f s: %.1f tokens-per-sec", plural(printed, "prompt"), plural(tokens, "token"), took, float64(tokens)/took)
	return nil
}

func newPromptResult(r llm.BatchResult, line promptLine, prompt []int) promptResult {
	out := promptResult{Index: r.Index, ID: line.ID, result: result{PromptTokens: prompt, Tokens: []int{}, Logprobs: []float32{}, Statistics: r.Statistics}}
	var text strings.Builder
	for _, token := range r.Tokens {
		if token.ID >= 0 {
			out.Tokens = append(out.Tokens, token.ID)
			out.Logprobs = append(out.Logprobs, token.Logprob)
		}
		text.WriteString(token.Text)
		out.FinishReason = token.Finish
	}
	out.Text = text.String()
	return out
}
