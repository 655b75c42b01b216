package template

import (
	"fmt"
	"slices"
	"strings"
)

// Set holds the chat templates of a model by name, in the order of its files.
type Set struct {
	byName *Dict
	from   string
}

// ParseSet reads the chat templates of a model from the contents of its files,
// each nil when absent. In order of precedence: chat_template.jinja, the older
// chat_template.json ({"chat_template": ...}), and the key chat_template of
// tokenizer_config.json. In JSON a template is a text, or a list of
// {"name", "template"} objects. The texts are not parsed yet.
func ParseSet(tokenizerConfig, jinjaFile, jsonFile []byte) (*Set, error) {
	s := &Set{byName: NewDict()}
	if jinjaFile != nil {
		s.byName.Set("default", string(jinjaFile))
		s.from = "chat_template.jinja"
		return s, nil
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"chat_template.json", jsonFile}, {"tokenizer_config.json", tokenizerConfig}} {
		if f.data == nil {
			continue
		}
		d, err := decodeDict(f.name, f.data)
		if err != nil {
			return nil, err
		}
		v, _ := d.Get("chat_template")
		if v == nil {
			continue
		}
		if err := s.add(v); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		s.from = f.name + ": chat_template"
		return s, nil
	}
	return s, nil
}

func decodeDict(name string, data []byte) (*Dict, error) {
	v, err := DecodeJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d, ok := v.(*Dict)
	if !ok {
		return nil, fmt.Errorf("%s: must hold an object, not '%s'", name, typeName(v))
	}
	return d, nil
}

func (s *Set) add(v Value) error {
	if src, ok := v.(string); ok {
		s.byName.Set("default", src)
		return nil
	}
	// A dict of templates is how some configurations spell the list.
	if d, ok := v.(*Dict); ok {
		for name, src := range d.All() {
			if _, ok := src.(string); !ok {
				return fmt.Errorf("chat_template[%q] must be a string", name)
			}
		}
		s.byName = d
		return nil
	}
	list, ok := v.(*List)
	if !ok {
		return fmt.Errorf("chat_template must be a string or a list, not '%s'", typeName(v))
	}
	for i, e := range list.Items {
		d, _ := e.(*Dict)
		n, _ := d.Get("name")
		t, _ := d.Get("template")
		name, ok1 := n.(string)
		src, ok2 := t.(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("chat_template[%d] must have the strings name and template", i)
		}
		s.byName.Set(name, src)
	}
	return nil
}

// From is the file, and in JSON the key, that the templates are of; "" without any.
func (s *Set) From() string { return s.from }

// Names lists the templates.
func (s *Set) Names() []string {
	names := make([]string, 0, s.byName.Len())
	for k := range s.byName.All() {
		names = append(names, k.(string))
	}
	return names
}

// Source chooses a template: the one called name; with no name "tool_use" when
// tools are given and it exists, else "default". ok is false when the model
// has no chat template at all. An error names the templates there are.
func (s *Set) Source(name string, tools bool) (src string, ok bool, err error) {
	if s.byName.Len() == 0 {
		return "", false, nil
	}
	names := s.Names()
	switch {
	case name != "":
	case tools && slices.Contains(names, "tool_use"):
		name = "tool_use"
	default:
		name = "default"
	}
	v, found := s.byName.Get(name)
	if !found {
		return "", false, fmt.Errorf("the model has no chat template named %q; it has: %s", name, strings.Join(names, ", "))
	}
	return v.(string), true, nil
}

// specialTokenKeys are the tokens that transformers hands to templates.
var specialTokenKeys = []string{
	"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
}

// SpecialTokens reads the special tokens of a tokenizer_config.json: a text, or
// an object with the text as its content. Absent and null ones are left out.
func SpecialTokens(tokenizerConfig []byte) (*Dict, error) {
	cfg, err := decodeDict("tokenizer_config.json", tokenizerConfig)
	if err != nil {
		return nil, err
	}
	out := NewDict()
	for _, key := range specialTokenKeys {
		v, _ := cfg.Get(key)
		if v == nil {
			continue
		}
		if d, ok := v.(*Dict); ok {
			v, _ = d.Get("content")
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("tokenizer_config.json: %s must be a string or an object with content", key)
		}
		out.Set(key, s)
	}
	return out, nil
}
