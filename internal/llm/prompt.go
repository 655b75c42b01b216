package llm

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mlxgo/mlx/internal/hf/template"
)

// PromptOptions are a prompt and how to make tokens of it.
type PromptOptions struct {
	// Text is what the user says: a chat message, or the text to be continued.
	Text string
	// System is the system message; "" for none.
	System string
	// IgnoreChatTemplate encodes Text as it is, though the model has a template.
	IgnoreChatTemplate bool
	// PrefillResponse begins the answer: its turn stays open after this text. ""
	// leaves the beginning to the model.
	PrefillResponse string
	// TemplateConfig are further variables of the template, such as
	// enable_thinking; nil for none.
	TemplateConfig *template.Dict
	// Now is the template's clock; nil is time.Now.
	Now func() time.Time
}

// ParseTemplateConfig reads the JSON object of PromptOptions.TemplateConfig.
func ParseTemplateConfig(text string) (*template.Dict, error) {
	v, err := template.DecodeJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	d, ok := v.(*template.Dict)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return d, nil
}

// Prompt returns the ids of a prompt. Every command comes here, or to PromptMessages.
//
// A model with a chat template gets the rendered messages, which hold the special
// tokens already, so that none are added. Other text gets those that
// tokenizer.json adds, but if it begins with the BOS token none at all. Either way
// a special token that a user spells is that token, as in Hugging Face's
// libraries.
//
// Options that only a template can follow are an error without one, and so is
// what the template itself refuses.
func (t *Tokenizer) Prompt(o PromptOptions) ([]int, error) {
	if o.IgnoreChatTemplate || !t.HasChatTemplate() {
		if err := o.checkRaw(); err != nil {
			return nil, err
		}
		bos := t.BOS()
		return t.Encode(o.Text, bos == "" || !strings.HasPrefix(o.Text, bos)), nil
	}
	text, err := t.render(o)
	if err != nil {
		return nil, err
	}
	return t.Encode(text, false), nil
}

// PromptMessages is [Tokenizer.Prompt] for the messages of a chat, a list of objects; it
// returns the rendered text too.
func (t *Tokenizer) PromptMessages(messages template.Value, o RenderOptions) (ids []int, text string, err error) {
	if text, err = t.chat.Render(messages, o); err != nil {
		return nil, "", err
	}
	return t.Encode(text, false), text, nil
}

// checkRaw refuses what a prompt without template would drop.
func (o *PromptOptions) checkRaw() error {
	why := "which the model does not have"
	if o.IgnoreChatTemplate {
		why = "which is to be ignored"
	}
	switch {
	case o.System != "":
		return fmt.Errorf("a system prompt needs a chat template, %s", why)
	case o.PrefillResponse != "":
		return fmt.Errorf("a beginning of the response needs a chat template, %s", why)
	case o.TemplateConfig.Len() > 0:
		return fmt.Errorf("a chat template config needs a chat template, %s", why)
	}
	return nil
}

// render applies the chat template to the messages of o.
func (t *Tokenizer) render(o PromptOptions) (string, error) {
	messages := template.NewList()
	if o.System != "" {
		messages.Items = append(messages.Items, template.Message("system", o.System))
	}
	messages.Items = append(messages.Items, template.Message("user", o.Text))
	if o.PrefillResponse != "" {
		messages.Items = append(messages.Items, template.Message("assistant", o.PrefillResponse))
	}
	return t.chat.Render(messages, RenderOptions{
		AddGenerationPrompt:  o.PrefillResponse == "",
		ContinueFinalMessage: o.PrefillResponse != "",
		Variables:            t.chat.Variables(o.TemplateConfig),
		Now:                  o.Now,
	})
}

// thinkTags are pairs of tokens around thoughts.
var thinkTags = [][2]string{
	{"<think>", "</think>"},
	{"<longcat_think>", "</longcat_think>"},
	{"<|channel>", "<channel|>"},
}

// thinks reports whether the vocabulary has a pair of tokens around thoughts.
func (t *Tokenizer) thinks() bool {
	_, _, ok := t.thinkPair()
	return ok
}

func (t *Tokenizer) thinkPair() (open, close string, ok bool) {
	for _, pair := range thinkTags {
		_, begin := t.TokenID(pair[0])
		_, end := t.TokenID(pair[1])
		if begin && end {
			return pair[0], pair[1], true
		}
	}
	return "", "", false
}

// ThinkTags are the texts that begin and end a model's thoughts: those of the
// vocabulary, else <think> and </think>.
func (t *Tokenizer) ThinkTags() (open, close string) {
	if open, close, ok := t.thinkPair(); ok {
		return open, close
	}
	return thinkTags[0][0], thinkTags[0][1]
}
