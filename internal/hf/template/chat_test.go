package template

import (
	"errors"
	"strings"
	"testing"
)

const chatML = `{% if messages[0].role == 'tool' %}{{ raise_exception('no tool first') }}{% endif %}
{% if tools %}
<tools>
{% for t in tools %}
{{ t | tojson }}
{% endfor %}
</tools>
{% endif %}
{% for m in messages %}
{{ '<|' + m.role + '|>' }}{% if m.content is string %}{{ m.content }}{% elif m.content is none %}(null){% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}[{{ p.type }}]{% endif %}{% endfor %}{% endif %}
{% for c in m.tool_calls or [] %}<call>{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}</call>{% endfor %}
{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}`

func chat(t *testing.T, src, messages string, o ChatOptions) (string, error) {
	t.Helper()
	tmpl, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON([]byte(messages))
	if err != nil {
		t.Fatal(err)
	}
	return tmpl.Chat(v, o)
}

func decode(t *testing.T, s string) Value {
	t.Helper()
	v, err := DecodeJSON([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestChat(t *testing.T) {
	eos := NewDict()
	eos.Set("eos_token", "</s>")
	off := NewDict()
	off.Set("enable_thinking", false)
	over := NewDict()
	over.Set("eos_token", "!")
	for _, c := range []struct {
		name, messages, want string
		o                    ChatOptions
	}{
		{"text", `[{"role":"user","content":"hi"}]`, "<|user|>hi</s>\n<|assistant|>", ChatOptions{AddGenerationPrompt: true}},
		{"thinking", `[{"role":"user","content":"hi"}]`, "<|user|>hi</s>\n<|assistant|><think></think>", ChatOptions{AddGenerationPrompt: true, Extra: off}},
		{"extra wins", `[{"role":"user","content":"hi"}]`, "<|user|>hi!\n", ChatOptions{Extra: over}},
		{"null content, arguments as object and text",
			`[{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":{"z":"<é>","a":1.0}}},{"function":{"arguments":"{\"z\": 1}"}}]}]`,
			"<|assistant|>(null)<call>{\"z\": \"<é>\", \"a\": 1.0}</call><call>{\"z\": 1}</call></s>\n", ChatOptions{}},
		{"parts", `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}]`,
			"<|user|>a[image]b</s>\n", ChatOptions{}},
		{"tools in order", `[{"role":"user","content":"x"}]`,
			"<tools>\n{\"type\": \"function\", \"b\": 1, \"a\": \"ü<\"}\n</tools>\n<|user|>x</s>\n",
			ChatOptions{Tools: decode(t, `[{"type":"function","b":1,"a":"ü<"}]`)}},
		{"no tools", `[{"role":"user","content":"x"}]`, "<|user|>x</s>\n", ChatOptions{Tools: decode(t, `[]`)}},
		{"continue", `[{"role":"user","content":"x"},{"role":"assistant","content":"The sky "}]`,
			"<|user|>x</s>\n<|assistant|>The sky ", ChatOptions{ContinueFinalMessage: true}},
		{"continue parts", `[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"image"}]}]`,
			"<|assistant|>ab", ChatOptions{ContinueFinalMessage: true}},
	} {
		c.o.SpecialTokens = eos
		got, err := chat(t, chatML, c.messages, c.o)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestChatToolsNone(t *testing.T) {
	const src = "{{ tools is defined }} {{ tools is none }} {{ documents is none }} {{ bos_token is defined }}"
	for _, c := range []struct {
		want string
		o    ChatOptions
	}{
		{"True True True False", ChatOptions{}},
		{"False False False False", ChatOptions{OmitAbsent: true}},
		{"True False True False", ChatOptions{Tools: NewList()}},
	} {
		if got, err := chat(t, src, "[]", c.o); err != nil || got != c.want {
			t.Errorf("got %q, %v; want %q", got, err, c.want)
		}
	}
}

func TestContinueTrimmed(t *testing.T) {
	const src = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"
	got, err := chat(t, src, `[{"role":"user","content":"The sky"},{"role":"assistant","content":" The sky "}]`, ChatOptions{ContinueFinalMessage: true})
	if want := "[The sky][The sky"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	m := NewList(Message("assistant", "x"))
	tmpl, _ := Parse(src)
	if _, err := tmpl.Chat(m, ChatOptions{ContinueFinalMessage: true}); err != nil {
		t.Error(err)
	}
	if v, _ := m.Items[0].(*Dict).Get("content"); v != "x" {
		t.Errorf("the message changed to %q", v)
	}
}

func TestChatErrors(t *testing.T) {
	bad := NewDict()
	bad.Set("messages", nil)
	for _, c := range []struct {
		src, messages, want string
		o                   ChatOptions
	}{
		{chatML, `[{"role":"tool"}]`, "template line 1: no tool first", ChatOptions{}},
		{chatML, `{}`, "chat: messages must be a list, not 'dict'", ChatOptions{}},
		{chatML, `[1]`, "chat: messages[0] must be an object, not 'int'", ChatOptions{}},
		{chatML, `[]`, "chat: tools[0] must be an object, not 'str'", ChatOptions{Tools: NewList("x")}},
		{chatML, `[]`, `chat: "messages" is not an extra variable: it has an option of its own`, ChatOptions{Extra: bad}},
		{chatML, `[]`, "chat: ContinueFinalMessage and AddGenerationPrompt exclude one another", ChatOptions{ContinueFinalMessage: true, AddGenerationPrompt: true}},
		{chatML, `[]`, "chat: there is no final message to continue", ChatOptions{ContinueFinalMessage: true}},
		{chatML, `[{"role":"a","content":null}]`, "chat: the final message has no text to continue", ChatOptions{ContinueFinalMessage: true}},
		{"x", `[{"role":"a","content":"y"}]`, "chat: the template does not write the final message as it is, so it cannot be continued", ChatOptions{ContinueFinalMessage: true}},
	} {
		_, err := chat(t, c.src, c.messages, c.o)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.messages, err, c.want)
		}
	}
	_, err := chat(t, chatML, `[{"role":"tool"}]`, ChatOptions{})
	var raised *RaisedError
	if !errors.As(err, &raised) || raised.Message != "no tool first" {
		t.Errorf("got %v", err)
	}
}

func TestSelect(t *testing.T) {
	const list = `{"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"},{"name":"rag","template":"R"}]}`
	for _, c := range []struct {
		config, jinja, json, name string
		tools                     bool
		want                      string
		ok                        bool
		err                       string
	}{
		{config: `{"chat_template":"S"}`, want: "S", ok: true},
		{config: `{"chat_template":"S"}`, jinja: "J", json: `{"chat_template":"O"}`, want: "J", ok: true},
		{config: `{"chat_template":"S"}`, json: `{"chat_template":"O"}`, want: "O", ok: true},
		{config: `{"chat_template":null}`},
		{config: `{}`},
		{config: list, want: "D", ok: true},
		{config: list, tools: true, want: "T", ok: true},
		{config: list, tools: true, name: "rag", want: "R", ok: true},
		{config: `{"chat_template":"S"}`, tools: true, want: "S", ok: true},
		{config: list, name: "x", err: `the model has no chat template named "x"; it has: default, tool_use, rag`},
		{config: `{"chat_template":[{"name":"a","template":"A"}]}`, err: `the model has no chat template named "default"; it has: a`},
		{config: `{"chat_template":{"default":"M"}}`, want: "M", ok: true},
		{config: `{"chat_template":5}`, err: "tokenizer_config.json: chat_template must be a string or a list, not 'int'"},
		{config: `{"chat_template":[{"name":"a"}]}`, err: "tokenizer_config.json: chat_template[0] must have the strings name and template"},
		{config: `[]`, err: "tokenizer_config.json: must hold an object, not 'list'"},
		{config: `{`, err: "tokenizer_config.json: JSON at byte 1: unexpected EOF"},
	} {
		file := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		src, ok, err := "", false, error(nil)
		s, err := ParseSet(file(c.config), file(c.jinja), file(c.json))
		if err == nil {
			src, ok, err = s.Source(c.name, c.tools)
		}
		if src != c.want || ok != c.ok || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%+v: got %q, %v, %v", c, src, ok, err)
		}
	}
	for _, files := range [][3]string{{"{}", "J", ""}, {"{}", "", `{"chat_template":"O"}`}, {list, "", ""}, {"{}", "", ""}} {
		var data [3][]byte
		for i, text := range files {
			if text != "" {
				data[i] = []byte(text)
			}
		}
		s, err := ParseSet(data[0], data[1], data[2])
		want := map[string]string{"J": "chat_template.jinja", "O": "chat_template.json: chat_template", "D": "tokenizer_config.json: chat_template"}
		src, _, _ := s.Source("", false)
		if err != nil || s.From() != want[src] {
			t.Errorf("%q is from %q, %v", src, s.From(), err)
		}
	}
}

func TestSpecialTokens(t *testing.T) {
	d, err := SpecialTokens([]byte(`{"pad_token":null,"eos_token":{"content":"</s>","lstrip":false},"bos_token":"<s>","x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := encodeJSON(d); s != `{"bos_token": "<s>", "eos_token": "</s>"}` {
		t.Errorf("got %s", s)
	}
	if _, err := SpecialTokens([]byte(`{"bos_token":5}`)); err == nil || !strings.Contains(err.Error(), "bos_token") {
		t.Errorf("got %v", err)
	}
}
