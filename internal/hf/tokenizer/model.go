package tokenizer

import (
	"fmt"
	"strings"
)

// model turns one word into ids.
type model interface {
	// encode appends the ids of word to dst. Characters that the model has no
	// id for, not even an unknown one, are left out.
	encode(dst []int, word string, w *workspace) []int
}

// workspace is what one call of Encode may write to; a Tokenizer keeps spare
// ones in a pool.
type workspace struct {
	cache   wordCache
	symbols []symbol
	queue   mergeQueue
	lattice []latticeNode
}

// cached is encode with the ids of short words from the cache.
func (w *workspace) cached(dst []int, word string, encode func([]int, string, *workspace) []int) []int {
	if len(word) > maxCachedWord {
		return encode(dst, word, w)
	}
	dst, ok := w.cache.get(dst, word)
	if ok {
		return dst
	}
	n := len(dst)
	dst = encode(dst, word, w)
	w.cache.put(word, dst[n:])
	return dst
}

const (
	maxCachedWord  = 64      // bytes; longer words are rare
	maxCachedWords = 1 << 14 // then the cache is emptied
)

// wordCache remembers the ids of short words. Its size is bounded.
type wordCache struct {
	words map[string]idRange
	ids   []int
}

type idRange struct{ start, end int }

// get appends the remembered ids of word to dst.
func (c *wordCache) get(dst []int, word string) ([]int, bool) {
	r, ok := c.words[word]
	if !ok {
		return dst, false
	}
	return append(dst, c.ids[r.start:r.end]...), true
}

func (c *wordCache) put(word string, ids []int) {
	if c.words == nil {
		c.words = make(map[string]idRange)
	}
	if len(c.words) >= maxCachedWords {
		clear(c.words)
		c.ids = c.ids[:0]
	}
	start := len(c.ids)
	c.ids = append(c.ids, ids...)
	c.words[strings.Clone(word)] = idRange{start, len(c.ids)}
}

// parseModel builds the section "model". bytes says that words are raw bytes
// of byte-level text.
func parseModel(d *definition, vocab map[string]int32, bytes bool) (model, error) {
	kind, err := modelType(d)
	if err != nil {
		return nil, err
	}
	if !d.hasVocab {
		return nil, fmt.Errorf("%s: no vocab", clip(kind))
	}
	if d.scored != (kind == "Unigram") {
		return nil, fmt.Errorf("%s: vocab must be a list of [token, score] for Unigram, an object for others", clip(kind))
	}
	var m model
	switch kind {
	case "BPE":
		return newBPE(d, vocab, bytes)
	case "Unigram":
		m, err = newUnigram(d, vocab)
	case "WordPiece":
		m, err = newWordPiece(d, vocab)
	case "WordLevel":
		m, err = newWordLevel(d, vocab)
	default:
		return nil, fmt.Errorf("type %q is not known", clip(kind))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if bytes {
		m = byteLevelModel{m}
	}
	return m, nil
}

// modelType reads the type, or guesses it as files before 2020 have none.
func modelType(d *definition) (string, error) {
	var kind string
	if ok, err := decodeSection(d.model["type"], &kind); ok || err != nil {
		return kind, err
	}
	switch {
	case d.scored:
		return "Unigram", nil
	case d.merged:
		return "BPE", nil
	case d.model["max_input_chars_per_word"] != nil:
		return "WordPiece", nil
	}
	return "WordLevel", nil
}

// member decodes one member of the model.
func member[T any](d *definition, name string, def T) (T, error) {
	v := def
	if _, err := decodeSection(d.model[name], &v); err != nil {
		return def, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// byteLevelModel gives a model that reads characters words of raw bytes.
type byteLevelModel struct{ model }

func (m byteLevelModel) encode(dst []int, word string, w *workspace) []int {
	return m.model.encode(dst, toByteLevel(word), w)
}

// byteTokens finds the tokens <0x00> to <0xFF>; -1 where there is none.
func byteTokens(vocab map[string]int32) (ids [256]int32) {
	for b := range ids {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		ids[b] = id
	}
	return ids
}

// appendBytes appends the byte tokens of s if there is one for every byte.
func appendBytes(dst []int, s string, ids *[256]int32) ([]int, bool) {
	n := len(dst)
	for i := 0; i < len(s); i++ {
		id := ids[s[i]]
		if id < 0 {
			return dst[:n], false
		}
		dst = append(dst, int(id))
	}
	return dst, true
}
