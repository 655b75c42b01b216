package foreign

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/hf/gguf"
)

// Token types of tokenizer.ggml.token_type.
const (
	GGUFNormal = 1 + iota
	GGUFUnknown
	GGUFControl
	GGUFUserDefined
	GGUFUnused
	GGUFByte
)

// ggufVocab is the tokenizer's part of a file.
type ggufVocab struct {
	model  string   // tokenizer.ggml.model
	tokens []string // by id, each once, valid UTF-8
	types  []int
	scores []float64 // of SPM, else nil
	pre    *GGUFPre  // of BPE, else nil
	ids    map[string]int
}

// readVocab is the vocabulary; fs.ErrNotExist if the file has none.
func (m *ggufModel) readVocab() (*ggufVocab, error) {
	m.vocabOnce.Do(func() { m.vocab, m.vocabErr = m.newVocab() })
	return m.vocab, m.vocabErr
}

func (m *ggufModel) newVocab() (*ggufVocab, error) {
	v := &ggufVocab{}
	var err error
	if v.model, err = m.text("tokenizer.ggml.model"); err != nil {
		return nil, err
	}
	switch v.model {
	case "", "none", "no_vocab":
		return nil, fs.ErrNotExist
	case "llama", "gpt2":
	default:
		return nil, fmt.Errorf("tokenizer.ggml.model %q is not supported, only llama and gpt2", v.model)
	}
	if err := m.readTokens(v); err != nil {
		return nil, err
	}
	if v.model == "llama" {
		return v, m.readScores(v)
	}
	name, err := m.text("tokenizer.ggml.pre")
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = "default"
	}
	var ok bool
	if v.pre, ok = ggufPreOf(name); !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre %q is not supported", name)
	}
	return v, nil
}

// readTokens reads texts and types. A text that tokenizer.json cannot hold, since it is
// no UTF-8 or there is one like it, gets a name that no text has.
func (m *ggufModel) readTokens(v *ggufVocab) error {
	const key, typeKey = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
	list, ok := m.file.Value(key)
	if !ok {
		return fmt.Errorf("%s is missing", key)
	}
	texts, err := list.Texts()
	if err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	v.ids = make(map[string]int, list.Len())
	for i, b := range texts {
		s := string(b)
		if _, twice := v.ids[s]; twice || !utf8.Valid(b) {
			s = fmt.Sprintf("\x00%d", i)
		}
		v.ids[s] = i
		v.tokens = append(v.tokens, s)
	}
	v.types = slices.Repeat([]int{GGUFNormal}, len(v.tokens))
	types, ok := m.file.Value(typeKey)
	if !ok {
		return nil
	}
	all, err := types.Floats()
	if err != nil {
		return fmt.Errorf("%s %w", typeKey, err)
	}
	if len(all) != len(v.tokens) {
		return fmt.Errorf("%s has %d entries for %d tokens", typeKey, len(all), len(v.tokens))
	}
	for i, t := range all {
		v.types[i] = int(t)
	}
	return nil
}

func (m *ggufModel) readScores(v *ggufVocab) error {
	const key = "tokenizer.ggml.scores"
	list, ok := m.file.Value(key)
	if !ok {
		return fmt.Errorf("%s is missing", key)
	}
	var err error
	if v.scores, err = list.Floats(); err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	if len(v.scores) != len(v.tokens) {
		return fmt.Errorf("%s has %d entries for %d tokens", key, len(v.scores), len(v.tokens))
	}
	return nil
}

// tokenizerFile is tokenizer.json.
func (m *ggufModel) tokenizerFile() ([]byte, error) {
	v, err := m.readVocab()
	if err != nil {
		return nil, err
	}
	t := map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": v.added()}
	bos, eos, err := m.around(v)
	if err != nil {
		return nil, err
	}
	if v.model == "llama" {
		err = m.spm(t, v)
		t["post_processor"] = v.template(bos, eos)
	} else {
		err = m.bpe(t, v)
		level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
		t["post_processor"] = map[string]any{"type": "Sequence", "processors": []any{level, v.template(bos, eos)}}
	}
	if err != nil {
		return nil, err
	}
	return marshalGGUF(t)
}

// added are the tokens that are found in a text before all else.
func (v *ggufVocab) added() []any {
	list := []any{}
	for id, kind := range v.types {
		if kind != GGUFControl && kind != GGUFUserDefined && kind != GGUFUnknown || v.tokens[id] == "" {
			continue
		}
		list = append(list, map[string]any{"id": id, "content": v.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
			"normalized": false, "special": kind != GGUFUserDefined})
	}
	return list
}

// around are the tokens that are put around a text, -1 for none.
func (m *ggufModel) around(v *ggufVocab) (bos, eos int, err error) {
	bos, eos = -1, -1
	for _, w := range []struct {
		which     string
		id        *int
		otherwise bool
	}{{"bos", &bos, v.model == "llama" || v.pre.bos}, {"eos", &eos, false}} {
		add, err := m.truth("tokenizer.ggml.add_"+w.which+"_token", w.otherwise)
		if err != nil {
			return bos, eos, err
		}
		if id, ok := m.tokenID(w.which); ok && add {
			*w.id = id
		}
	}
	return bos, eos, nil
}

// template is the post-processor that adds them.
func (v *ggufVocab) template(bos, eos int) map[string]any {
	single, specials := []any{}, map[string]any{}
	add := func(id int) {
		if id < 0 {
			return
		}
		name := v.tokens[id]
		single = append(single, map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}})
		specials[name] = map[string]any{"id": name, "ids": []int{id}, "tokens": []string{name}}
	}
	sequence := func(id string) map[string]any {
		return map[string]any{"Sequence": map[string]any{"id": id, "type_id": 0}}
	}
	add(bos)
	single = append(single, sequence("A"))
	add(eos)
	return map[string]any{"type": "TemplateProcessing", "single": single, "pair": append(slices.Clone(single), sequence("B")), "special_tokens": specials}
}

// spm is SentencePiece's BPE as Hugging Face has it: characters, merged in the order of
// the scores of what they make; what is no token becomes bytes.
func (m *ggufModel) spm(t map[string]any, v *ggufVocab) error {
	prefix, err := m.truth("tokenizer.ggml.add_space_prefix", true)
	if err != nil {
		return err
	}
	replace := func(from, to string) map[string]any {
		return map[string]any{"type": "Replace", "pattern": map[string]any{"String": from}, "content": to}
	}
	normalizers := []any{replace(" ", "▁")}
	decoders := []any{replace("▁", " "), map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"}}
	if prefix {
		normalizers = []any{map[string]any{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")}
		decoders = append(decoders, map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	t["normalizer"] = map[string]any{"type": "Sequence", "normalizers": normalizers}
	t["pre_tokenizer"] = nil
	t["decoder"] = map[string]any{"type": "Sequence", "decoders": decoders}
	var unknown any
	if id, ok := m.tokenID("unknown"); ok {
		unknown = v.tokens[id]
	} else if i := slices.Index(v.types, GGUFUnknown); i >= 0 {
		unknown = v.tokens[i]
	}
	t["model"] = map[string]any{"type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": v.ids, "merges": v.scoredMerges()}
	return nil
}

// scoredMerges are the pairs of tokens that make a token, those of the highest score
// first, and of one token in the order of the ids of the parts. Source: transformers
// convert_slow_tokenizer.py, generate_merges.
func (v *ggufVocab) scoredMerges() [][2]string {
	order := make([]int, 0, len(v.tokens))
	for id, kind := range v.types {
		if kind == GGUFNormal {
			order = append(order, id)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := v.scores[a], v.scores[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	merges := [][2]string{}
	for _, id := range order {
		word, first := v.tokens[id], len(merges)
		for i := range word {
			if i == 0 {
				continue
			}
			_, left := v.ids[word[:i]]
			_, right := v.ids[word[i:]]
			if left && right {
				merges = append(merges, [2]string{word[:i], word[i:]})
			}
		}
		slices.SortFunc(merges[first:], func(a, b [2]string) int {
			if d := v.ids[a[0]] - v.ids[b[0]]; d != 0 {
				return d
			}
			return v.ids[a[1]] - v.ids[b[1]]
		})
	}
	return merges
}

// bpe is byte-level BPE.
func (m *ggufModel) bpe(t map[string]any, v *ggufVocab) error {
	const key = "tokenizer.ggml.merges"
	list, ok := m.file.Value(key)
	if !ok {
		return fmt.Errorf("%s is missing", key)
	}
	texts, err := list.Texts()
	if err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	merges := make([][2]string, 0, list.Len())
	for i, b := range texts {
		at := -1
		if len(b) > 1 { // the left part may begin with a space
			at = bytes.IndexByte(b[1:], ' ') + 1
		}
		if at <= 0 || !utf8.Valid(b) {
			return fmt.Errorf("%s: entry %d, %q, is no pair", key, i, b)
		}
		merges = append(merges, [2]string{string(b[:at]), string(b[at+1:])})
	}
	t["normalizer"] = nil
	if v.pre.nfc {
		t["normalizer"] = map[string]any{"type": "NFC"}
	}
	t["pre_tokenizer"] = v.pre.preTokenizer()
	t["decoder"] = map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
	t["model"] = map[string]any{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": v.pre.whole, "vocab": v.ids, "merges": merges}
	return nil
}

// tokenID is the id of a special token: bos, eos, unknown, padding; false without one
// that the vocabulary has.
func (m *ggufModel) tokenID(which string) (int, bool) {
	entry, ok := m.file.Value("tokenizer.ggml." + which + "_token_id")
	list, has := m.file.Value("tokenizer.ggml.tokens")
	if !ok || !has {
		id := m.spmDefault(which)
		return id, id >= 0 && has && id < list.Len()
	}
	id, err := entry.Int()
	return id, err == nil && id < list.Len()
}

// spmDefault is llama.cpp's id of a special token of SPM where the file has none, else -1.
func (m *ggufModel) spmDefault(which string) int {
	if model, err := m.text("tokenizer.ggml.model"); err == nil && model == "llama" {
		if id := slices.Index([]string{"unknown", "bos", "eos"}, which); id >= 0 {
			return id
		}
	}
	return -1
}

// ggufEnds are the texts of tokens that end a turn whatever the file says, as in
// llama.cpp.
var ggufEnds = []string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "< EOT >", "_<EOT>", "<|end_of_text|>", "<EOT>", "<|eom_id|>"}

// eosIDs are the ids that end a text: the file's, and tokens that are made for it.
func (m *ggufModel) eosIDs() ([]int, error) {
	v, err := m.readVocab()
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, which := range []string{"eos", "eot", "eom"} {
		if id, ok := m.tokenID(which); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, text := range ggufEnds {
		if id, ok := v.ids[text]; ok && v.types[id] != GGUFNormal && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// generationConfig is generation_config.json.
func (m *ggufModel) generationConfig() ([]byte, error) {
	ids, err := m.eosIDs()
	if err != nil {
		return nil, err
	}
	c := map[string]any{}
	if len(ids) > 0 {
		c["eos_token_id"] = ids
	}
	for which, key := range map[string]string{"bos": "bos_token_id", "padding": "pad_token_id"} {
		if id, ok := m.tokenID(which); ok {
			c[key] = id
		}
	}
	return marshalGGUF(c)
}

// tokenizerConfig is tokenizer_config.json.
func (m *ggufModel) tokenizerConfig() ([]byte, error) {
	v, err := m.readVocab()
	if err != nil {
		return nil, err
	}
	c := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	for which, key := range map[string]string{"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"} {
		if id, ok := m.tokenID(which); ok {
			c[key] = v.tokens[id]
		}
	}
	bos, eos, err := m.around(v)
	if err != nil {
		return nil, err
	}
	c["add_bos_token"], c["add_eos_token"] = bos >= 0, eos >= 0
	whole, err := m.text("tokenizer.chat_template")
	if err != nil {
		return nil, err
	}
	var named []any
	for key, value := range m.file.Entries() {
		name, ok := strings.CutPrefix(key, "tokenizer.chat_template.")
		if !ok || value.Kind() != gguf.String {
			continue
		}
		text, err := value.Text()
		if err != nil {
			return nil, fmt.Errorf("%s %w", key, err)
		}
		named = append(named, map[string]any{"name": name, "template": text})
	}
	switch {
	case len(named) > 0 && whole != "":
		c["chat_template"] = append(named, map[string]any{"name": "default", "template": whole})
	case whole != "":
		c["chat_template"] = whole
	}
	return marshalGGUF(c)
}
