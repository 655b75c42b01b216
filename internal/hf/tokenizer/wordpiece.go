package tokenizer

import (
	"errors"
	"unicode/utf8"
)

// wordPiece takes the longest token at each place of a word; a word that does
// not come out even is unknown as a whole.
type wordPiece struct {
	vocab   map[string]int32
	prefix  string // of tokens inside a word
	unknown int32  // -1 if none
	limit   int    // characters; longer words are unknown
	longest int    // bytes of the longest token
}

func newWordPiece(d *definition, vocab map[string]int32) (model, error) {
	unknown, err1 := member(d, "unk_token", "[UNK]")
	prefix, err2 := member(d, "continuing_subword_prefix", "##")
	limit, err3 := member(d, "max_input_chars_per_word", 100)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	m := &wordPiece{vocab: vocab, prefix: prefix, unknown: lookup(vocab, unknown), limit: limit}
	for _, e := range d.vocab {
		m.longest = max(m.longest, len(e.token))
	}
	return m, nil
}

func (m *wordPiece) encode(dst []int, word string, _ *workspace) []int {
	n := len(dst)
	if utf8.RuneCountInString(word) > m.limit {
		return appendKnown(dst, m.unknown)
	}
	for start := 0; start < len(word); {
		end := min(len(word), start+m.longest)
		for end < len(word) && !utf8.RuneStart(word[end]) {
			end--
		}
		id := int32(-1)
		for ; end > start; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			text := word[start:end]
			if start > 0 {
				text = m.prefix + text
			}
			if id = lookup(m.vocab, text); id >= 0 {
				break
			}
		}
		if id < 0 {
			return appendKnown(dst[:n], m.unknown)
		}
		dst = append(dst, int(id))
		start = end
	}
	return dst
}

// wordLevel has a token for every word it knows.
type wordLevel struct {
	vocab   map[string]int32
	unknown int32 // -1 if none
}

func newWordLevel(d *definition, vocab map[string]int32) (model, error) {
	unknown, err := member(d, "unk_token", "<unk>")
	return &wordLevel{vocab, lookup(vocab, unknown)}, err
}

func (m *wordLevel) encode(dst []int, word string, _ *workspace) []int {
	if id, ok := m.vocab[word]; ok {
		return append(dst, int(id))
	}
	return appendKnown(dst, m.unknown)
}

// lookup returns the id of a token, -1 if it has none.
func lookup(vocab map[string]int32, token string) int32 {
	if id, ok := vocab[token]; ok {
		return id
	}
	return -1
}

// appendKnown appends id unless it is -1.
func appendKnown(dst []int, id int32) []int {
	if id >= 0 {
		dst = append(dst, int(id))
	}
	return dst
}
