package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// bpe joins the two neighbours with the lowest rank until none are left.
type bpe struct {
	vocab          map[string]int32 // for single characters
	whole          map[string]int32 // words taken whole (ignore_merges), nil if none
	merges         *mergeTable
	bytes          [256]int32 // id of each byte, -1 if none
	rawBytes       bool       // words are raw bytes
	fallback       bool       // byte tokens for characters that have no id
	fuse           bool       // one unknown token for a run of unknown characters
	unknown        int32      // -1 if none
	prefix, suffix string     // of characters inside and at the end of a word
	cutAtMark      bool       // no merge crosses the border before a word mark
}

// wordMark is SentencePiece's visible space.
const wordMark = "▁"

func newBPE(d *definition, vocab map[string]int32, bytes bool) (model, error) {
	m := &bpe{vocab: vocab, unknown: -1}
	ignore, err := m.options(d)
	if err != nil {
		return nil, fmt.Errorf("BPE: %w", err)
	}
	plain := m.prefix == "" && m.suffix == ""
	byteSymbols := true
	for b, r := range byteRunes {
		id, ok := vocab[string(r)]
		if !ok {
			id, byteSymbols = -1, false
		}
		m.bytes[b] = id
	}
	// Raw bytes need no rule for what is unknown: either nothing is, or it is
	// left out.
	m.rawBytes = bytes && plain && (byteSymbols || m.unknown < 0 && !m.fallback)
	if !m.rawBytes {
		m.bytes = byteTokens(vocab)
	}
	if ignore {
		m.whole = m.wholeWords()
	}
	// A mark that has an id also ends a run of unknown characters. Without a
	// token for these, they vanish and their neighbours meet across a cut.
	_, hasMark := vocab[wordMark]
	m.cutAtMark = !bytes && plain && hasMark && (m.unknown >= 0 || m.fallback && !slices.Contains(m.bytes[:], -1))
	if err := m.addMerges(d.merges); err != nil {
		return nil, fmt.Errorf("BPE: %w", err)
	}
	if bytes && !m.rawBytes {
		return byteLevelModel{m}, nil
	}
	return m, nil
}

// options reads the small members of the model.
func (m *bpe) options(d *definition) (ignoreMerges bool, err error) {
	unknown, err1 := member(d, "unk_token", "")
	var err2, err3, err4, err5, err6 error
	m.fallback, err2 = member(d, "byte_fallback", false)
	m.fuse, err3 = member(d, "fuse_unk", false)
	m.prefix, err4 = member(d, "continuing_subword_prefix", "")
	m.suffix, err5 = member(d, "end_of_word_suffix", "")
	ignoreMerges, err6 = member(d, "ignore_merges", false)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return false, err
	}
	if id, ok := m.vocab[unknown]; ok && unknown != "" {
		m.unknown = id
	}
	return ignoreMerges, nil
}

func (m *bpe) wholeWords() map[string]int32 {
	if !m.rawBytes {
		return m.vocab
	}
	whole := make(map[string]int32, len(m.vocab))
	var b []byte
	for token, id := range m.vocab {
		var ok bool
		if b, ok = appendFromByteLevel(b[:0], token); ok {
			whole[string(b)] = id
		}
	}
	return whole
}

func (m *bpe) addMerges(merges [][2]string) error {
	m.merges = newMergeTable(len(merges))
	var joined []byte
	for rank, pair := range merges {
		if len(pair[1]) < len(m.prefix) {
			return fmt.Errorf("merge %d (%q, %q): second token is shorter than the prefix %q", rank, clip(pair[0]), clip(pair[1]), clip(m.prefix))
		}
		joined = append(append(joined[:0], pair[0]...), pair[1][len(m.prefix):]...)
		left, ok1 := m.vocab[pair[0]]
		right, ok2 := m.vocab[pair[1]]
		id, ok3 := m.vocab[string(joined)]
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("merge %d (%q, %q): a part or the result is not in the vocabulary", rank, clip(pair[0]), clip(pair[1]))
		}
		m.merges.put(left, right, merge{int32(rank), id})
		if strings.HasPrefix(pair[1], wordMark) && strings.Trim(pair[0], wordMark) != "" {
			m.cutAtMark = false
		}
	}
	return nil
}

func (m *bpe) encode(dst []int, word string, w *workspace) []int {
	if m.whole != nil {
		if id, ok := m.whole[word]; ok {
			return append(dst, int(id))
		}
	}
	if m.cutAtMark {
		// A whole text may come as one word. Cut before each mark that follows
		// another character: the merges are the same, and the parts repeat.
		start := 0
		for i := 0; i < len(word); {
			k := strings.Index(word[i:], wordMark)
			if k < 0 {
				break
			}
			i += k
			if i > start && !strings.HasSuffix(word[:i], wordMark) {
				dst = w.cached(dst, word[start:i], m.mergeWord)
				start = i
			}
			i += len(wordMark)
		}
		word = word[start:]
	}
	return w.cached(dst, word, m.mergeWord)
}

// symbol is a part of a word: a list through positions, since merges leave gaps.
type symbol struct {
	id         int32
	prev, next int32 // -1: none
	gone       bool
}

func (m *bpe) mergeWord(dst []int, word string, w *workspace) []int {
	w.symbols = w.symbols[:0]
	if m.rawBytes {
		for i := 0; i < len(word); i++ {
			if id := m.bytes[word[i]]; id >= 0 {
				w.symbols = append(w.symbols, symbol{id: id})
			}
		}
	} else {
		m.characters(word, w)
	}
	// Merging searches the whole word each time, or keeps a queue.
	const short = 24
	if len(w.symbols) <= short {
		return m.mergeShort(dst, w.symbols)
	}
	return m.mergeLong(dst, w)
}

// characters appends the symbol of each character of word. An unknown one is
// held back until the next known character, so byte tokens overtake it.
func (m *bpe) characters(word string, w *workspace) {
	add := func(id int32) { w.symbols = append(w.symbols, symbol{id: id}) }
	pending := false
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+n]
		if i > 0 && m.prefix != "" {
			char = m.prefix + char
		}
		i += n
		if i == len(word) && m.suffix != "" {
			char += m.suffix
		}
		if id, ok := m.vocab[char]; ok {
			if pending {
				add(m.unknown)
				pending = false
			}
			add(id)
			continue
		}
		if m.fallback && m.fallBack(char, add) {
			continue
		}
		if m.unknown >= 0 {
			if pending && !m.fuse {
				add(m.unknown)
			}
			pending = true
		}
	}
	if pending {
		add(m.unknown)
	}
}

// fallBack adds the byte tokens of char if there is one for every byte.
func (m *bpe) fallBack(char string, add func(int32)) bool {
	for i := 0; i < len(char); i++ {
		if m.bytes[char[i]] < 0 {
			return false
		}
	}
	for i := 0; i < len(char); i++ {
		add(m.bytes[char[i]])
	}
	return true
}

func (m *bpe) mergeShort(dst []int, s []symbol) []int {
	for len(s) > 1 {
		best, at := merge{rank: math.MaxInt32}, -1
		for i := range len(s) - 1 {
			if v, ok := m.merges.get(s[i].id, s[i+1].id); ok && v.rank < best.rank {
				best, at = v, i
			}
		}
		if at < 0 {
			break
		}
		s[at].id = best.id
		s = append(s[:at+1], s[at+2:]...)
	}
	for _, each := range s {
		dst = append(dst, int(each.id))
	}
	return dst
}

func (m *bpe) mergeLong(dst []int, w *workspace) []int {
	s := w.symbols
	q := w.queue[:0]
	for i := range s {
		s[i].prev, s[i].next = int32(i-1), int32(i+1)
		if i+1 < len(s) {
			if v, ok := m.merges.get(s[i].id, s[i+1].id); ok {
				q = append(q, candidate{v, int32(i)})
			}
		}
	}
	s[len(s)-1].next = -1
	q.init()
	for len(q) > 0 {
		c := q.pop()
		left := &s[c.at]
		if left.gone || left.next < 0 {
			continue
		}
		right := &s[left.next]
		// Stale candidates name a pair that is not there any more.
		if v, ok := m.merges.get(left.id, right.id); !ok || v != c.merge {
			continue
		}
		left.id = c.id
		right.gone = true
		left.next = right.next
		if left.next >= 0 {
			s[left.next].prev = c.at
			if v, ok := m.merges.get(left.id, s[left.next].id); ok {
				q.push(candidate{v, c.at})
			}
		}
		if left.prev >= 0 {
			if v, ok := m.merges.get(s[left.prev].id, left.id); ok {
				q.push(candidate{v, left.prev})
			}
		}
	}
	w.queue = q
	for i := int32(0); i >= 0; i = s[i].next {
		dst = append(dst, int(s[i].id))
	}
	return dst
}
