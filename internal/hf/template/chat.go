package template

import (
	"errors"
	"fmt"
	"strings"
)

// ChatOptions is what a chat template gets besides the messages, as
// transformers' apply_chat_template passes it. The zero value is the default.
type ChatOptions struct {
	// Tools is a list of tool descriptions (dicts); nil means none, which
	// templates tell from an empty list.
	Tools Value
	// Documents is a list of dicts for retrieval; nil means none.
	Documents Value
	// OmitAbsent leaves tools and documents undefined where they are nil.
	// transformers passes None then, at which templates fail that loop over
	// tools without a question; other engines leave them out.
	OmitAbsent bool
	// AddGenerationPrompt asks for the beginning of the assistant's turn.
	AddGenerationPrompt bool
	// ContinueFinalMessage leaves the last message open: the text ends with
	// its content. It excludes AddGenerationPrompt.
	ContinueFinalMessage bool
	// SpecialTokens are bos_token, eos_token and so on; the function
	// SpecialTokens reads them from a tokenizer_config.json. Missing ones are
	// undefined.
	SpecialTokens *Dict
	// Extra are further variables (chat_template_kwargs), such as
	// enable_thinking. They win over SpecialTokens.
	Extra *Dict
	// Options holds the clock and the limits.
	Options
}

// Message makes a message, which is a dict, of a role and text.
func Message(role, content string) *Dict {
	d := NewDict()
	d.Set("role", role)
	d.Set("content", content)
	return d
}

// Chat renders messages, a list of dicts that have a role and usually content
// (text, null or a list of parts), tool_calls and so on. The messages are not
// changed. Errors are those of Render, and for options that exclude one
// another or input of the wrong shape.
func (t *Template) Chat(messages Value, o ChatOptions) (string, error) {
	list, err := dicts("messages", messages)
	if err != nil {
		return "", err
	}
	final := ""
	if o.ContinueFinalMessage {
		if o.AddGenerationPrompt {
			return "", errors.New("chat: ContinueFinalMessage and AddGenerationPrompt exclude one another")
		}
		if list, final, err = openFinal(list); err != nil {
			return "", err
		}
	}
	vars, err := o.vars(list)
	if err != nil {
		return "", err
	}
	text, err := t.Render(vars, o.Options)
	if err != nil || !o.ContinueFinalMessage {
		return text, err
	}
	return cutFinal(text, final)
}

// dicts checks that v is a list (or tuple) of dicts.
func dicts(what string, v Value) (*List, error) {
	items, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("chat: %s must be a list, not '%s'", what, typeName(v))
	}
	for i, m := range items {
		if _, ok := m.(*Dict); !ok {
			return nil, fmt.Errorf("chat: %s[%d] must be an object, not '%s'", what, i, typeName(m))
		}
	}
	return &List{items}, nil
}

func (o ChatOptions) vars(messages *List) (*Dict, error) {
	vars := NewDict()
	vars.merge(o.SpecialTokens)
	vars.merge(o.Extra)
	for _, name := range []string{"messages", "tools", "documents", "add_generation_prompt"} {
		if _, ok := o.Extra.Get(name); ok {
			return nil, fmt.Errorf("chat: %q is not an extra variable: it has an option of its own", name)
		}
	}
	vars.Set("messages", messages)
	for _, list := range []struct {
		name string
		v    Value
	}{{"tools", o.Tools}, {"documents", o.Documents}} {
		if list.v != nil {
			if _, err := dicts(list.name, list.v); err != nil {
				return nil, err
			}
		} else if o.OmitAbsent {
			continue
		}
		vars.Set(list.name, list.v)
	}
	vars.Set("add_generation_prompt", o.AddGenerationPrompt)
	return vars, nil
}

// finalTag marks the end of the last message's content while the template
// runs. The blank at its end shows whether the template trims content.
const finalTag = "CONTINUE_FINAL_MESSAGE_TAG "

// openFinal returns a copy of messages whose last content ends in finalTag,
// and that content as it was. Of a content of parts the last text counts.
func openFinal(messages *List) (*List, string, error) {
	n := len(messages.Items)
	if n == 0 {
		return nil, "", errors.New("chat: there is no final message to continue")
	}
	last := messages.Items[n-1].(*Dict).Clone()
	content, _ := last.Get("content")
	text, ok := asString(content)
	if ok {
		last.Set("content", text+finalTag)
	} else {
		parts, _ := sequence(content)
		parts = append([]Value(nil), parts...)
		for i := len(parts) - 1; i >= 0 && !ok; i-- {
			part, isDict := parts[i].(*Dict)
			if !isDict {
				continue
			}
			v, _ := part.Get("text")
			if text, ok = asString(v); ok {
				part = part.Clone()
				part.Set("text", text+finalTag)
				parts[i] = part
			}
		}
		last.Set("content", &List{parts})
	}
	if !ok {
		return nil, "", errors.New("chat: the final message has no text to continue")
	}
	items := append([]Value(nil), messages.Items...)
	items[n-1] = last
	return &List{items}, text, nil
}

// cutFinal ends the text where the final message's content ends. A template
// that trims content trims the end here too.
func cutFinal(text, final string) (string, error) {
	i := strings.LastIndex(text, strings.TrimRight(finalTag, " "))
	if i < 0 || !strings.Contains(text, strings.Trim(final, pySpace)) {
		return "", errors.New("chat: the template does not write the final message as it is, so it cannot be continued")
	}
	if strings.HasPrefix(text[i:], finalTag) {
		return text[:i], nil
	}
	return strings.TrimRight(text[:i], pySpace), nil
}
