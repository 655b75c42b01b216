package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// rule stands before and after the text, as in mlx-lm.
const rule = "=========="

// result is what --json prints.
type result struct {
	PromptTokens []int            `json:"prompt_tokens"`
	Tokens       []int            `json:"tokens"` // with the EOS token that ended them
	Text         string           `json:"text"`   // without it
	Logprobs     []float32        `json:"logprobs"`
	FinishReason llm.FinishReason `json:"finish_reason"`
	Statistics   llm.Statistics   `json:"statistics"`
}

// printer shows a generation in one of three forms: with rules and statistics,
// the text alone, or JSON.
type printer struct {
	s       *streams
	json    bool
	verbose bool
}

func newPrinter(s *streams, o *generateOptions) *printer {
	quiet := strings.EqualFold(o.Verbose, "false") || strings.EqualFold(o.Verbose, "f")
	return &printer{s: s, json: o.JSON, verbose: !quiet && !o.JSON}
}

// print runs g. Text is written as it comes, each write in whole characters. A
// cancelled ctx is no error: the end looks as always.
func (p *printer) print(ctx context.Context, g *llm.Generation, prompt []int) error {
	if p.verbose {
		if _, err := io.WriteString(p.s.out, rule+"\n"); err != nil {
			return err
		}
	}
	r := result{PromptTokens: prompt, Tokens: []int{}, Logprobs: []float32{}}
	var text strings.Builder
	var last llm.Token
	for token, err := range g.Tokens(ctx) {
		if err != nil {
			p.breakLine(&text)
			return err
		}
		if token.ID >= 0 {
			r.Tokens = append(r.Tokens, token.ID)
			r.Logprobs = append(r.Logprobs, token.Logprob)
		}
		text.WriteString(token.Text)
		if !p.json && token.Text != "" {
			if _, err := io.WriteString(p.s.out, token.Text); err != nil {
				return err
			}
		}
		if token.Finish != "" {
			last = token
		}
	}
	r.Text, r.FinishReason, r.Statistics = text.String(), last.Finish, g.Statistics()
	if err := p.end(&r); err != nil {
		return err
	}
	p.explain(last)
	return nil
}

// breakLine ends a line of text that an error cuts short.
func (p *printer) breakLine(text *strings.Builder) {
	if !p.json && text.Len() > 0 {
		io.WriteString(p.s.out, "\n")
	}
}

// end writes what follows the text.
func (p *printer) end(r *result) error {
	var err error
	switch {
	case p.json:
		e := json.NewEncoder(p.s.out)
		e.SetEscapeHTML(false)
		err = e.Encode(r)
	case !p.verbose:
		_, err = io.WriteString(p.s.out, "\n")
	case r.Text == "" && r.FinishReason != llm.FinishCancelled:
		_, err = io.WriteString(p.s.out, "\n"+rule+"\nNo text generated for this prompt\n")
	default:
		t := r.Statistics
		_, err = fmt.Fprintf(p.s.out, "\n%s\nPrompt: %d tokens, %.3f tokens-per-sec\nGeneration: %d tokens, %.3f tokens-per-sec\nPeak memory: %.3f GB\n",
			rule, t.PromptTokens, t.PromptTPS, t.GenerationTokens, t.GenerationTPS, float64(t.PeakMemory)/1e9)
		if err == nil && t.CacheSaved > 0 {
			_, err = fmt.Fprintf(p.s.out, "Attention cache: %.3f MB, %.3f MB saved\n", float64(t.CacheMemory)/1e6, float64(t.CacheSaved)/1e6)
		}
		if err == nil && t.Draft != nil {
			_, err = fmt.Fprintf(p.s.out, "Draft: %s\n", draftText(t.Draft))
		}
	}
	return err
}

// explain tells of ends that the user may not expect.
func (p *printer) explain(last llm.Token) {
	switch {
	case last.Finish == llm.FinishCancelled:
		p.s.note("interrupted")
	case last.Finish == llm.FinishLength && strings.Contains(last.Detail, "context"):
		p.s.note("%s", last.Detail)
	}
}
