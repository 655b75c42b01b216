package llm

import (
	"errors"
	"fmt"
	"strings"
)

// queryMark stands for a user's text where the template's parts around it are wanted,
// as in mlx-lm.
const queryMark = "<query>"

// Beginning returns the ids of a prompt whose user's text goes on later: what the chat
// template puts after it is left out. Without a template it is [Tokenizer.Prompt].
func (t *Tokenizer) Beginning(o PromptOptions) ([]int, error) {
	if o.IgnoreChatTemplate || !t.HasChatTemplate() {
		return t.Prompt(o)
	}
	if o.PrefillResponse != "" {
		return nil, errors.New("a prompt that goes on has no response yet")
	}
	o.Text += queryMark
	text, err := t.render(o)
	if err != nil {
		return nil, err
	}
	at := strings.LastIndex(text, queryMark)
	if at < 0 {
		return nil, errors.New("the chat template changes the text of the user, so that a prompt cannot go on")
	}
	return t.Encode(text[:at], false), nil
}

// Continuation returns the ids of a prompt whose beginning, up to the user's text, is
// known already: without special tokens before it, and without what the chat template
// puts there.
func (t *Tokenizer) Continuation(o PromptOptions) ([]int, error) {
	if o.IgnoreChatTemplate || !t.HasChatTemplate() {
		if err := o.checkRaw(); err != nil {
			return nil, err
		}
		return t.Encode(o.Text, false), nil
	}
	marked := o
	marked.Text = queryMark
	before, err := t.render(marked)
	if err != nil {
		return nil, err
	}
	text, err := t.render(o)
	if err != nil {
		return nil, err
	}
	at := strings.Index(before, queryMark)
	if at < 0 || len(text) < at || text[:at] != before[:at] {
		return nil, fmt.Errorf("the chat template does not put the text of the user where it put %s", queryMark)
	}
	return t.Encode(text[at:], false), nil
}
