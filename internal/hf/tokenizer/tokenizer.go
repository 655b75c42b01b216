package tokenizer

import (
	"fmt"
	"os"
	"sync"
)

// Tokenizer is the pipeline that one tokenizer.json describes. It does not
// change and may be used by many goroutines at once.
type Tokenizer struct {
	raw        *matcher // added tokens found in the text as it is
	normalized *matcher // added tokens found in the normalized text
	normalizer normalizer
	pre        preTokenizer
	model      model
	post       postProcessor
	decoders   decoders

	vocab   map[string]int32 // of the model
	added   map[string]int32
	tokens  tokenTable
	special map[int]bool
	size    int

	workspaces sync.Pool
}

// Load reads a tokenizer.json. Errors name the file and the section.
func Load(path string) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the contents of a tokenizer.json, of which it keeps no reference.
// Errors name the section.
func Parse(data []byte) (*Tokenizer, error) {
	t, err := parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func parse(text string) (*Tokenizer, error) {
	d, err := parseDefinition(text)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{}
	t.workspaces.New = func() any { return new(workspace) }
	t.vocab = make(map[string]int32, len(d.vocab))
	for _, e := range d.vocab {
		t.vocab[e.token] = e.id
	}
	section := func(name string, err error) error {
		if err != nil {
			return fmt.Errorf("section %q: %w", name, err)
		}
		return nil
	}
	if t.normalizer, err = parseNormalizer(d.sections["normalizer"]); err != nil {
		return nil, section("normalizer", err)
	}
	var bytes bool
	if t.pre, bytes, err = parsePreTokenizer(d.sections["pre_tokenizer"]); err != nil {
		return nil, section("pre_tokenizer", err)
	}
	if t.model, err = parseModel(d, t.vocab, bytes); err != nil {
		return nil, section("model", err)
	}
	if t.post, err = parsePostProcessor(d.sections["post_processor"]); err != nil {
		return nil, section("post_processor", err)
	}
	if t.decoders, err = parseDecoder(d.sections["decoder"]); err != nil {
		return nil, section("decoder", err)
	}
	added, err := parseAddedTokens(d.sections["added_tokens"])
	if err != nil {
		return nil, section("added_tokens", err)
	}
	t.addTokens(d.vocab, added)
	return t, nil
}

// addTokens fills the tables of tokens and the matchers.
func (t *Tokenizer) addTokens(vocab []vocabEntry, added []addedToken) {
	t.added = make(map[string]int32, len(added))
	special := make(map[string]bool)
	var raw, normalized []addedToken
	for _, a := range added {
		t.added[a.Content] = int32(a.ID)
		if a.Special {
			special[a.Content] = true
		}
		if a.Normalized {
			normalized = append(normalized, a)
		} else {
			raw = append(raw, a)
		}
	}
	form := func(s string) string { return s }
	t.raw = newMatcher(raw, form)
	if t.normalizer != nil {
		form = t.normalizer.normalize
	}
	t.normalized = newMatcher(normalized, form)

	t.tokens = newTokenTable(vocab, added)
	// A token is special by its text, whichever entry it comes from.
	t.special = make(map[int]bool)
	for _, e := range vocab {
		if special[e.token] {
			t.special[int(e.id)] = true
		}
	}
	for _, a := range added {
		t.special[int(a.ID)] = special[a.Content]
	}
	t.size = len(t.vocab)
	for content := range t.added {
		if _, ok := t.vocab[content]; !ok {
			t.size++
		}
	}
}

// Encode returns the ids of text. Added tokens that occur in the text, special
// ones too, are found always; addSpecial puts in what the post-processor adds,
// such as a token for the beginning, also where the text has one already. Bytes
// that are not UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int {
	w := t.workspaces.Get().(*workspace)
	ids := t.encode(make([]int, 0, len(text)/3+8), toValid(text), w)
	t.workspaces.Put(w)
	if addSpecial && t.post != nil {
		ids = t.post.process(ids)
	}
	return ids
}

func (t *Tokenizer) encode(ids []int, text string, w *workspace) []int {
	word := func(p piece) {
		if p.text != "" {
			ids = t.model.encode(ids, p.text, w)
		}
	}
	var outer, inner [8]part
	for _, o := range t.raw.split(outer[:0], text) {
		if o.id >= 0 {
			ids = append(ids, int(o.id))
			continue
		}
		s := text[o.start:o.end]
		if t.normalizer != nil {
			s = t.normalizer.normalize(s)
		}
		for _, n := range t.normalized.split(inner[:0], s) {
			if n.id >= 0 {
				ids = append(ids, int(n.id))
				continue
			}
			p := piece{s[n.start:n.end], o.start == 0 && n.start == 0}
			if t.pre == nil {
				word(p)
			} else {
				t.pre.split(p, word)
			}
		}
	}
	return ids
}

// Decode returns the text of ids; skipSpecial leaves out special tokens. Ids
// outside the vocabulary are left out. The text is valid UTF-8, with U+FFFD for
// bytes that are none.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	d := NewDetokenizer(t, skipSpecial)
	for _, id := range ids {
		d.add(id)
	}
	return d.Finish()
}

// VocabSize returns the number of different tokens, added ones included. Ids
// may have gaps, so the largest can be larger; see [Tokenizer.Valid].
func (t *Tokenizer) VocabSize() int { return t.size }

// TokenID returns the id of a token by its text as the file writes it.
func (t *Tokenizer) TokenID(token string) (int, bool) {
	if id, ok := t.added[token]; ok {
		return int(id), true
	}
	id, ok := t.vocab[token]
	return int(id), ok
}

// Token returns the text of a token as the file writes it, such as "Ġthe".
func (t *Tokenizer) Token(id int) (string, bool) { return t.tokens.get(id) }

// Valid reports whether id is in the vocabulary.
func (t *Tokenizer) Valid(id int) bool {
	_, ok := t.tokens.get(id)
	return ok
}

// IsSpecial reports whether id is a special token, one that Decode can skip.
func (t *Tokenizer) IsSpecial(id int) bool { return t.special[id] }

// tokenTable maps ids to tokens: a list, or a map where ids lie far apart.
type tokenTable struct {
	list    []string
	present []bool
	sparse  map[int]string
}

func newTokenTable(vocab []vocabEntry, added []addedToken) tokenTable {
	largest := -1
	for _, e := range vocab {
		largest = max(largest, int(e.id))
	}
	for _, a := range added {
		largest = max(largest, int(a.ID))
	}
	var t tokenTable
	set := func(id int, token string) { t.list[id], t.present[id] = token, true }
	if n := len(vocab) + len(added); largest < 4*n+1024 {
		t.list, t.present = make([]string, largest+1), make([]bool, largest+1)
	} else {
		t.sparse = make(map[int]string, n)
		set = func(id int, token string) { t.sparse[id] = token }
	}
	for _, e := range vocab {
		set(int(e.id), e.token)
	}
	for _, a := range added {
		set(int(a.ID), a.Content)
	}
	return t
}

func (t *tokenTable) get(id int) (string, bool) {
	if t.sparse != nil {
		token, ok := t.sparse[id]
		return token, ok
	}
	if id < 0 || id >= len(t.list) {
		return "", false
	}
	return t.list[id], t.present[id]
}
