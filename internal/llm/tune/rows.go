package tune

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/llm"
)

// A Row is one example.
type Row struct {
	Tokens []int32
	// Offset is the index of the first token that is a target: what comes before is the
	// prompt, with MaskPrompt.
	Offset int
	// Keys is how many keys the JSON object has: mlx-lm sorts by it.
	Keys int
}

// DataOptions say how rows are read.
type DataOptions struct {
	// MaskPrompt counts the last message, or the completion, only.
	MaskPrompt bool
	// The keys of rows; "" stands for prompt, completion, text and messages.
	PromptFeature, CompletionFeature, TextFeature, ChatFeature string
}

func (o *DataOptions) fill() {
	for _, d := range []struct {
		key   *string
		value string
	}{{&o.PromptFeature, "prompt"}, {&o.CompletionFeature, "completion"}, {&o.TextFeature, "text"}, {&o.ChatFeature, "messages"}} {
		if *d.key == "" {
			*d.key = d.value
		}
	}
}

// rowReader makes tokens of rows.
type rowReader struct {
	o    DataOptions
	t    *llm.Tokenizer
	make func(d *template.Dict) (Row, error) // by the first row's kind
}

func (r *rowReader) row(line []byte) (Row, error) {
	v, err := template.DecodeJSON(line)
	if err != nil {
		return Row{}, err
	}
	d, ok := v.(*template.Dict)
	if !ok {
		return Row{}, errors.New("not a JSON object")
	}
	if r.make == nil {
		if r.make, err = r.kind(d); err != nil {
			return Row{}, err
		}
	}
	row, err := r.make(d)
	row.Keys = d.Len()
	return row, err
}

// kind tells by the keys of the first row what a row is, in mlx-lm's order.
func (r *rowReader) kind(d *template.Dict) (func(d *template.Dict) (Row, error), error) {
	has := func(key string) bool { _, ok := d.Get(key); return ok }
	switch {
	case has(r.o.PromptFeature) && has(r.o.CompletionFeature):
		return r.completion, nil
	case has(r.o.ChatFeature):
		return r.chat, nil
	case has(r.o.TextFeature):
		if r.o.MaskPrompt {
			return nil, errors.New("rows of plain text have no prompt to mask: use chat or completion rows, or leave mask_prompt out")
		}
		return r.text, nil
	}
	return nil, fmt.Errorf("a row needs the keys %q and %q, or %q, or %q; it has %s",
		r.o.PromptFeature, r.o.CompletionFeature, r.o.ChatFeature, r.o.TextFeature, keysOf(d))
}

func keysOf(d *template.Dict) string {
	var keys []string
	for k := range d.All() {
		keys = append(keys, fmt.Sprintf("%q", k))
	}
	if keys == nil {
		return "none"
	}
	return strings.Join(keys, ", ")
}

// stringOf is the text at a key.
func stringOf(d *template.Dict, key string) (string, error) {
	v, ok := d.Get(key)
	if !ok {
		return "", fmt.Errorf("the row has no %q, as the first one has", key)
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%q is not a string", key)
	}
	return s, nil
}

// text is the tokens of the text and EOS.
func (r *rowReader) text(d *template.Dict) (Row, error) {
	s, err := stringOf(d, r.o.TextFeature)
	if err != nil {
		return Row{}, err
	}
	ids, err := r.t.Prompt(llm.PromptOptions{Text: s, IgnoreChatTemplate: true})
	if err != nil {
		return Row{}, err
	}
	if eos, ok := r.t.TokenID(r.t.EOS()); ok && (len(ids) == 0 || ids[len(ids)-1] != eos) {
		ids = append(ids, eos)
	}
	return Row{Tokens: narrow(ids)}, nil
}

// completion is a chat of a prompt and its answer.
func (r *rowReader) completion(d *template.Dict) (Row, error) {
	prompt, err := stringOf(d, r.o.PromptFeature)
	if err != nil {
		return Row{}, err
	}
	answer, err := stringOf(d, r.o.CompletionFeature)
	if err != nil {
		return Row{}, err
	}
	return r.messages(template.NewList(template.Message("user", prompt), template.Message("assistant", answer)), d)
}

func (r *rowReader) chat(d *template.Dict) (Row, error) {
	v, ok := d.Get(r.o.ChatFeature)
	if !ok {
		return Row{}, fmt.Errorf("the row has no %q, as the first one has", r.o.ChatFeature)
	}
	list, ok := v.(*template.List)
	if !ok || len(list.Items) == 0 {
		return Row{}, fmt.Errorf("%q is not a list of messages", r.o.ChatFeature)
	}
	return r.messages(list, d)
}

// messages is a chat through the template. With MaskPrompt the last message counts: what
// the template makes of the others, and of the beginning of an assistant's turn, does not.
func (r *rowReader) messages(list *template.List, d *template.Dict) (Row, error) {
	if !r.t.HasChatTemplate() {
		return Row{}, errors.New("chat and completion rows need a chat template, which the model does not have")
	}
	o := llm.RenderOptions{Variables: r.t.ChatTemplate().Variables(nil)}
	if tools, ok := d.Get("tools"); ok {
		o.Tools = tools
	}
	ids, _, err := r.t.PromptMessages(list, o)
	if err != nil {
		return Row{}, err
	}
	row := Row{Tokens: narrow(ids)}
	if r.o.MaskPrompt {
		last := len(list.Items) - 1
		if m, ok := list.Items[last].(*template.Dict); ok {
			role, _ := m.Get("role")
			o.AddGenerationPrompt = role == "assistant"
		}
		before, _, err := r.t.PromptMessages(template.NewList(list.Items[:last]...), o)
		if err != nil {
			return Row{}, err
		}
		row.Offset = len(before)
	}
	return row, nil
}

func narrow(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
