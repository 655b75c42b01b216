package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/hf/tokenizer"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// ggufTokenizer is what is read of tokenizer.json.
type ggufTokenizer struct {
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer json.RawMessage `json:"normalizer"`
	Pre        json.RawMessage `json:"pre_tokenizer"`
	Model      struct {
		Type          string            `json:"type"`
		Vocab         json.RawMessage   `json:"vocab"`
		Merges        []json.RawMessage `json:"merges"`
		Unknown       *string           `json:"unk_token"`
		ByteFallback  bool              `json:"byte_fallback"`
		IgnoreMerges  bool              `json:"ignore_merges"`
		EndOfWord     *string           `json:"end_of_word_suffix"`
		SubwordPrefix *string           `json:"continuing_subword_prefix"`
	} `json:"model"`

	vocab  map[string]int
	merges [][2]string
	tokens []string
	types  []int
}

// tokenizer adds the entries of tokenizer.json and of the files beside it. A model
// without one has no vocabulary in the file either: it takes ids only.
func (w *ggufWriter) tokenizer() error {
	raw, err := w.read("tokenizer.json")
	if err != nil {
		return err
	}
	if raw == nil {
		w.add("tokenizer.ggml.model", gguf.Text("none"))
		return nil
	}
	t := &ggufTokenizer{}
	if err := t.parse(raw, int(w.config.Vocab)); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	if t.Model.ByteFallback {
		err = w.spm(t)
	} else {
		err = w.bpe(t)
	}
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	core, err := tokenizer.Parse(raw)
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	return w.specials(t, core)
}

func (t *ggufTokenizer) parse(raw []byte, size int) error {
	if err := json.Unmarshal(raw, t); err != nil {
		return llm.JSONError(err)
	}
	if t.Model.Type != "BPE" && (t.Model.Type != "" || t.Model.Merges == nil) { // older files do not say it
		return fmt.Errorf("a model of the type %s cannot be written as GGUF, only BPE", t.Model.Type)
	}
	if s := t.Model.EndOfWord; s != nil && *s != "" {
		return errors.New("end_of_word_suffix cannot be written as GGUF")
	}
	if s := t.Model.SubwordPrefix; s != nil && *s != "" {
		return errors.New("continuing_subword_prefix cannot be written as GGUF")
	}
	if err := json.Unmarshal(t.Model.Vocab, &t.vocab); err != nil {
		return llm.JSONError(err)
	}
	for i, m := range t.Model.Merges {
		var pair [2]string
		var text string
		if json.Unmarshal(m, &text) == nil {
			at := strings.IndexByte(text[min(1, len(text)):], ' ') + 1
			if at <= 0 {
				return fmt.Errorf("merge %d is no pair", i)
			}
			pair = [2]string{text[:at], text[at+1:]}
		} else if err := json.Unmarshal(m, &pair); err != nil {
			return fmt.Errorf("merge %d is no pair", i)
		}
		t.merges = append(t.merges, pair)
	}
	return t.number(size)
}

// number lists the tokens by id. Ids that no token has are unused ones, as in llama.cpp.
func (t *ggufTokenizer) number(size int) error {
	t.tokens, t.types = make([]string, size), slices.Repeat([]int{foreign.GGUFUnused}, size)
	set := func(id int, text string, kind int) error {
		if id < 0 || id >= size {
			return fmt.Errorf("token %q has the id %d, and the model has %d", text, id, size)
		}
		t.tokens[id], t.types[id] = text, kind
		return nil
	}
	for text, id := range t.vocab {
		kind := foreign.GGUFNormal
		if t.Model.ByteFallback && isByteToken(text) {
			kind = foreign.GGUFByte
		}
		if err := set(id, text, kind); err != nil {
			return err
		}
	}
	for _, a := range t.Added {
		kind := foreign.GGUFUserDefined
		if a.Special {
			kind = foreign.GGUFControl
		}
		if u := t.Model.Unknown; u != nil && *u == a.Content {
			kind = foreign.GGUFUnknown
		}
		if err := set(a.ID, a.Content, kind); err != nil {
			return err
		}
	}
	for id, kind := range t.types {
		if kind == foreign.GGUFUnused {
			t.tokens[id] = fmt.Sprintf("[PAD%d]", id)
		}
	}
	return nil
}

// isByteToken reports whether a token is a byte: <0x0A>.
func isByteToken(s string) bool {
	return len(s) == 6 && strings.HasPrefix(s, "<0x") && s[5] == '>' && strings.Trim(s[3:5], "0123456789ABCDEF") == ""
}

// spm writes BPE of characters as SentencePiece's, which llama.cpp merges by the scores
// of what is made: the order of a token's first merge.
func (w *ggufWriter) spm(t *ggufTokenizer) error {
	prefix, err := t.spacePrefix()
	if err != nil {
		return err
	}
	if err := t.complete(); err != nil {
		return err
	}
	order := map[string]int{}
	for _, m := range t.merges {
		made := m[0] + m[1]
		if _, ok := order[made]; !ok {
			order[made] = len(order)
		}
	}
	scores := make([]float32, len(t.tokens))
	rest := len(order)
	for id, kind := range t.types {
		switch at, made := order[t.tokens[id]]; {
		case kind == foreign.GGUFUnused:
			scores[id] = -1000
		case kind != foreign.GGUFNormal:
		case made:
			scores[id] = -float32(at)
		default: // characters: nothing is made into them
			scores[id] = -float32(rest)
			rest++
		}
	}
	w.add("tokenizer.ggml.model", gguf.Text("llama"))
	w.add("tokenizer.ggml.pre", gguf.Text("default"))
	w.add("tokenizer.ggml.tokens", gguf.Texts(t.tokens))
	w.add("tokenizer.ggml.scores", gguf.Numbers(gguf.Float32, scores))
	w.add("tokenizer.ggml.token_type", gguf.Numbers(gguf.Int32, t.types))
	w.add("tokenizer.ggml.add_space_prefix", gguf.Truth(prefix))
	return nil
}

// complete refuses merges that are not all pairs of tokens that make a token: llama.cpp
// merges every such pair.
func (t *ggufTokenizer) complete() error {
	have := make(map[[2]string]bool, len(t.merges))
	for _, m := range t.merges {
		have[m] = true
	}
	for id, text := range t.tokens {
		if t.types[id] != foreign.GGUFNormal {
			continue
		}
		for i := range text {
			_, left := t.vocab[text[:i]]
			_, right := t.vocab[text[i:]]
			if i > 0 && left && right && !have[[2]string{text[:i], text[i:]}] {
				return fmt.Errorf("%q and %q make a token and are not merged, which llama.cpp would do: this is no SentencePiece vocabulary", text[:i], text[i:])
			}
		}
	}
	return nil
}

// spacePrefix is whether a space goes before a text, by the normalizer or the
// pre-tokenizer; the forms are those that transformers writes of SentencePiece models.
func (t *ggufTokenizer) spacePrefix() (bool, error) {
	type part struct {
		Type    string `json:"type"`
		List    []part `json:"normalizers"`
		Prepend string `json:"prepend"`
		Content string `json:"content"`
		Scheme  string `json:"prepend_scheme"`
		Prefix  *bool  `json:"add_prefix_space"`
		Pattern struct {
			String string `json:"String"`
		} `json:"pattern"`
	}
	var n, pre part
	if !ggufNull(t.Normalizer) {
		if err := json.Unmarshal(t.Normalizer, &n); err != nil {
			return false, fmt.Errorf("normalizer: %w", llm.JSONError(err))
		}
	}
	if !ggufNull(t.Pre) {
		if err := json.Unmarshal(t.Pre, &pre); err != nil {
			return false, fmt.Errorf("pre_tokenizer: %w", llm.JSONError(err))
		}
	}
	list := n.List
	if n.Type != "" && n.Type != "Sequence" {
		list = []part{n}
	}
	prefix := false
	for _, p := range list {
		switch {
		case p.Type == "Prepend" && p.Prepend == "▁":
			prefix = true
		case p.Type == "Replace" && p.Pattern.String == " " && p.Content == "▁":
		default:
			return false, fmt.Errorf("the normalizer %s cannot be written as GGUF", p.Type)
		}
	}
	switch {
	case pre.Type == "", pre.Type == "Split" && pre.Pattern.String == " ": // spaces are gone by then
		return prefix, nil
	case pre.Type == "Metaspace":
		return pre.Scheme != "never" && (pre.Prefix == nil || *pre.Prefix), nil
	}
	return false, fmt.Errorf("the pre-tokenizer %s cannot be written as GGUF", pre.Type)
}

// bpe writes byte-level BPE.
func (w *ggufWriter) bpe(t *ggufTokenizer) error {
	name, ok := foreign.GGUFPreName(t.Pre, t.Model.IgnoreMerges)
	if !ok {
		return errors.New("the pre-tokenizer is none that llama.cpp has a name for, as far as known here")
	}
	merges := make([]string, len(t.merges))
	for i, m := range t.merges {
		merges[i] = m[0] + " " + m[1]
	}
	w.add("tokenizer.ggml.model", gguf.Text("gpt2"))
	w.add("tokenizer.ggml.pre", gguf.Text(name))
	w.add("tokenizer.ggml.tokens", gguf.Texts(t.tokens))
	w.add("tokenizer.ggml.token_type", gguf.Numbers(gguf.Int32, t.types))
	w.add("tokenizer.ggml.merges", gguf.Texts(merges))
	return nil
}

// specials adds the special tokens and the chat template.
func (w *ggufWriter) specials(t *ggufTokenizer, core *tokenizer.Tokenizer) error {
	var config map[string]json.RawMessage
	files := map[string][]byte{}
	for _, name := range []string{"config.json", "generation_config.json", "tokenizer_config.json"} {
		raw, err := w.read(name)
		if err != nil {
			return err
		}
		if raw != nil {
			files[name] = raw
		}
	}
	if raw := files["tokenizer_config.json"]; raw != nil {
		if err := json.Unmarshal(raw, &config); err != nil {
			return fmt.Errorf("tokenizer_config.json: %w", llm.JSONError(err))
		}
	}
	ends, _, err := llm.ParseEOS(files)
	if err != nil {
		return err
	}
	plain, with := core.Encode("a", false), core.Encode("a", true)
	before := len(with) > 0 && len(plain) > 0 && with[0] != plain[0]
	after := len(with) > 0 && len(plain) > 0 && with[len(with)-1] != plain[len(plain)-1]
	eos := -1
	for _, s := range []struct{ name, key string }{{"bos", "bos_token"}, {"eos", "eos_token"}, {"unknown", "unk_token"}, {"padding", "pad_token"}} {
		id := t.special(config[s.key])
		if s.name == "bos" && before { // what the tokenizer adds
			id = with[0]
		}
		if id < 0 && s.name == "eos" && len(ends) > 0 {
			id = ends[0]
		}
		if id < 0 && s.name == "bos" {
			id = t.idIn(files["config.json"], "bos_token_id")
		}
		if id < 0 {
			continue
		}
		if s.name == "eos" {
			eos = id
		}
		w.add("tokenizer.ggml."+s.name+"_token_id", gguf.Number(gguf.Uint32, float64(id)))
	}
	for _, id := range ends { // one more that ends a turn
		if id != eos && id >= 0 && id < len(t.tokens) {
			w.add("tokenizer.ggml.eot_token_id", gguf.Number(gguf.Uint32, float64(id)))
			break
		}
	}
	w.add("tokenizer.ggml.add_bos_token", gguf.Truth(before))
	w.add("tokenizer.ggml.add_eos_token", gguf.Truth(after))
	return w.chatTemplate(config["chat_template"])
}

// special is the id of a token as tokenizer_config.json names it: a text, or an object
// with its content; -1 for none.
func (t *ggufTokenizer) special(raw json.RawMessage) int {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var o struct {
			Content string `json:"content"`
		}
		if json.Unmarshal(raw, &o) != nil {
			return -1
		}
		text = o.Content
	}
	if text == "" {
		return -1
	}
	return slices.Index(t.tokens, text)
}

// idIn is an id in a file, -1 for none that the vocabulary has.
func (t *ggufTokenizer) idIn(file []byte, key string) int {
	var all map[string]json.RawMessage
	var id int
	if json.Unmarshal(file, &all) != nil || ggufNull(all[key]) || json.Unmarshal(all[key], &id) != nil || id < 0 || id >= len(t.tokens) {
		return -1
	}
	return id
}

// chatTemplate adds the template: that of a file of its own goes first.
func (w *ggufWriter) chatTemplate(inConfig json.RawMessage) error {
	file, err := w.read("chat_template.jinja")
	if err != nil {
		return err
	}
	if file != nil {
		w.add("tokenizer.chat_template", gguf.Text(string(file)))
		return nil
	}
	if ggufNull(inConfig) {
		return nil
	}
	var text string
	if json.Unmarshal(inConfig, &text) == nil {
		w.add("tokenizer.chat_template", gguf.Text(text))
		return nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(inConfig, &named); err != nil {
		return fmt.Errorf("tokenizer_config.json: chat_template: %w", llm.JSONError(err))
	}
	var names []string
	for _, n := range named {
		key := "tokenizer.chat_template"
		if n.Name != "default" {
			key += "." + n.Name
			names = append(names, n.Name)
		}
		w.add(key, gguf.Text(n.Template))
	}
	if len(names) > 0 {
		w.add("tokenizer.chat_templates", gguf.Texts(names))
	}
	return nil
}
