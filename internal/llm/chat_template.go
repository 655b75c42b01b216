package llm

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mlxgo/mlx/internal/hf/template"
)

// ChatTemplate makes the text of a chat. It does not change and may be used by many
// goroutines at once.
type ChatTemplate struct {
	// set has the templates of the model. One is parsed only when it is needed.
	set     *template.Set
	special *template.Dict // bos_token, eos_token, ... of tokenizer_config.json
	thinks  bool           // the vocabulary has tokens around thoughts
}

// LoadChatTemplate reads the chat template of the model in dir. There may be no
// tokenizer.json. Errors name the file.
func LoadChatTemplate(dir string) (*ChatTemplate, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() && !IsGGUF(dir) {
		return nil, fmt.Errorf("%s is not a directory", dir)
	}
	files, err := readTokenizerFiles(dir)
	if err != nil {
		return nil, err
	}
	c, err := ParseChatTemplate(files)
	if err == nil && files[TokenizerFile] != nil {
		var t *Tokenizer
		if t, err = ParseTokenizer(files); err == nil {
			c = t.chat
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return c, nil
}

// ParseChatTemplate makes a ChatTemplate of the contents of a model's files by their
// names: tokenizer_config.json, chat_template.jinja and chat_template.json, where the
// model has them. Others are not looked at.
func ParseChatTemplate(files map[string][]byte) (*ChatTemplate, error) {
	c := &ChatTemplate{special: template.NewDict()}
	var err error
	if config := files[TokenizerConfigFile]; config != nil {
		if c.special, err = template.SpecialTokens(config); err != nil {
			return nil, err
		}
	}
	c.set, err = template.ParseSet(files[TokenizerConfigFile], files[templateFile], files[templateJSONFile])
	if err != nil {
		return nil, err
	}
	return c, nil
}

// defaultTemplate is ChatML, which transformers took for models without a template.
const defaultTemplate = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
	"{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

// WithDefaultChatTemplate is t with ChatML for its chat template if the model has none.
// unknown are the tokens of ChatML that the vocabulary lacks: they are text to it.
func (t *Tokenizer) WithDefaultChatTemplate() (with *Tokenizer, unknown []string) {
	if t.HasChatTemplate() {
		return t, nil
	}
	set, err := template.ParseSet(nil, []byte(defaultTemplate), nil)
	if err != nil {
		panic(err) // a constant
	}
	with = t.copy()
	with.chat.set = set
	for _, token := range []string{"<|im_start|>", "<|im_end|>"} {
		if _, ok := t.TokenID(token); !ok {
			unknown = append(unknown, token)
		}
	}
	return with, unknown
}

// WithEOS is t with another eos_token, as the chat template gets it.
func (t *Tokenizer) WithEOS(token string) (*Tokenizer, error) {
	if _, ok := t.TokenID(token); !ok {
		return nil, fmt.Errorf("the EOS token %q is not a token of the tokenizer", token)
	}
	with := t.copy()
	with.chat.special = with.chat.special.Clone()
	with.chat.special.Set("eos_token", token)
	return with, nil
}

// copy shares all but the ChatTemplate.
func (t *Tokenizer) copy() *Tokenizer {
	chat, with := *t.chat, *t
	with.chat = &chat
	return &with
}

// RenderOptions are what a chat template gets beside the messages.
type RenderOptions struct {
	// AddGenerationPrompt begins the assistant's turn; ContinueFinalMessage leaves the
	// last message open. They exclude one another.
	AddGenerationPrompt, ContinueFinalMessage bool
	// Tools and Documents are lists of objects; nil is none.
	Tools, Documents template.Value
	// Variables are all further ones; nil for none. See [ChatTemplate.Variables].
	Variables *template.Dict
	// Now is the template's clock; nil is time.Now.
	Now func() time.Time
}

// Variables are those that mlx-lm passes always, with those of config in front of
// them: enable_thinking is whether the vocabulary has tokens around thoughts.
func (c *ChatTemplate) Variables(config *template.Dict) *template.Dict {
	out := template.NewDict()
	out.Set("enable_thinking", c.thinks)
	if config != nil {
		for k, v := range config.All() {
			out.Set(k.(string), v)
		}
	}
	return out
}

// Render applies the template to messages, a list of objects as template.Chat takes
// it. Tools and documents that there are none of are undefined: templates that loop
// over them without a question work then, which fail in transformers.
func (c *ChatTemplate) Render(messages template.Value, o RenderOptions) (string, error) {
	source, ok, err := c.set.Source("", o.Tools != nil)
	if err == nil && !ok {
		err = errors.New("the model has no chat template")
	}
	if err != nil {
		return "", err
	}
	tmpl, err := template.Parse(source)
	if err != nil {
		return "", c.fault(err)
	}
	text, err := tmpl.Chat(messages, template.ChatOptions{
		Tools:                o.Tools,
		Documents:            o.Documents,
		OmitAbsent:           true,
		AddGenerationPrompt:  o.AddGenerationPrompt,
		ContinueFinalMessage: o.ContinueFinalMessage,
		SpecialTokens:        c.special,
		Extra:                o.Variables,
		Options:              template.Options{Now: o.Now},
	})
	if err != nil {
		return "", c.fault(err)
	}
	return text, nil
}

// fault names the file of an error.
func (c *ChatTemplate) fault(err error) error { return fmt.Errorf("%s: %w", c.set.From(), err) }

// Check says what is wrong with the template, if there is one.
func (c *ChatTemplate) Check() error {
	source, ok, err := c.set.Source("", false)
	if err != nil || !ok {
		return err
	}
	if _, err := template.Parse(source); err != nil {
		return c.fault(err)
	}
	return nil
}

// ParseChat reads the JSON of a chat: a list of messages, or an object with the
// arguments of transformers' apply_chat_template by their names, of which messages is
// needed: tools, documents, add_generation_prompt, continue_final_message, and all
// others are variables of the template. list says that it was the first form, for
// which the options are left to the caller.
func ParseChat(data []byte) (messages template.Value, o RenderOptions, list bool, err error) {
	v, err := template.DecodeJSON(data)
	if err != nil {
		return nil, o, false, err
	}
	d, ok := v.(*template.Dict)
	if !ok {
		return v, o, true, nil
	}
	o.Variables = template.NewDict()
	for k, v := range d.All() {
		var flag *bool
		switch k {
		case "messages":
			messages = v
		case "tools":
			o.Tools = v
		case "documents":
			o.Documents = v
		case "add_generation_prompt":
			flag = &o.AddGenerationPrompt
		case "continue_final_message":
			flag = &o.ContinueFinalMessage
		default:
			o.Variables.Set(k.(string), v)
		}
		if flag != nil {
			if *flag, ok = v.(bool); !ok {
				return nil, o, false, fmt.Errorf("%s is not true or false", k)
			}
		}
	}
	if messages == nil {
		return nil, o, false, errors.New("the object has no messages")
	}
	return messages, o, false, nil
}
