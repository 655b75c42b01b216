package tokenizer

import (
	"errors"
	"math"
	"unicode/utf8"
)

// unigram picks the cut of a word with the highest sum of scores (Viterbi over
// byte positions).
type unigram struct {
	vocab        map[string]int32
	tokens       *prefixIndex
	ids          []int32   // of tokens.keys
	scores       []float64 // of tokens.keys
	unknown      int32     // -1 if none
	unknownScore float64
	fallback     bool
	bytes        [256]int32
}

// unknownPenalty lies between the lowest score and that of an unknown character.
const unknownPenalty = 10

func newUnigram(d *definition, vocab map[string]int32) (model, error) {
	unknown, err1 := member[*int](d, "unk_id", nil)
	fallback, err2 := member(d, "byte_fallback", false)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	m := &unigram{vocab: vocab, unknown: -1, fallback: fallback}
	if unknown != nil {
		if *unknown < 0 || *unknown >= len(d.vocab) {
			return nil, errors.New("unk_id is not in the vocabulary")
		}
		m.unknown = int32(*unknown)
	}
	m.bytes = byteTokens(vocab)
	keys := make([]string, len(d.vocab))
	lowest := math.Inf(1)
	for i, e := range d.vocab {
		keys[i] = e.token
		lowest = min(lowest, e.score)
	}
	m.unknownScore = lowest - unknownPenalty
	m.tokens = newPrefixIndex(keys)
	m.ids = make([]int32, len(m.tokens.keys))
	m.scores = make([]float64, len(m.tokens.keys))
	for i, key := range m.tokens.keys {
		m.ids[i] = vocab[key]
		m.scores[i] = d.vocab[m.ids[i]].score // an id is a place in the list
	}
	return m, nil
}

// latticeNode is the best way to reach a position.
type latticeNode struct {
	score float64
	from  int // -1: not reached
	id    int32
}

func (m *unigram) encode(dst []int, word string, w *workspace) []int {
	return w.cached(dst, word, m.best)
}

// best appends the ids of the best cut of word.
func (m *unigram) best(dst []int, word string, w *workspace) []int {
	m.search(word, w)
	// Walk back; unknown characters in a row are one part.
	type part struct {
		start, end int
		id         int32
	}
	var parts []part
	for end := len(word); end > 0; {
		node := w.lattice[end]
		last := len(parts) - 1
		if node.id == m.unknown && last >= 0 && parts[last].id == m.unknown {
			parts[last].start = node.from
		} else {
			parts = append(parts, part{node.from, end, node.id})
		}
		end = node.from
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		if p.id != m.unknown {
			dst = append(dst, int(p.id))
			continue
		}
		text := word[p.start:p.end]
		if id, ok := m.vocab[text]; ok {
			dst = append(dst, int(id))
			continue
		}
		if m.fallback {
			var ok bool
			if dst, ok = appendBytes(dst, text, &m.bytes); ok {
				continue
			}
		}
		if m.unknown >= 0 {
			dst = append(dst, int(m.unknown))
		}
	}
	return dst
}

// search fills the lattice of word: node i is the best way to byte i.
func (m *unigram) search(word string, w *workspace) {
	nodes := w.lattice[:0]
	for range len(word) + 1 {
		nodes = append(nodes, latticeNode{from: -1})
	}
	w.lattice = nodes
	nodes[0].from = 0
	for start := 0; start < len(word); {
		_, n := utf8.DecodeRuneInString(word[start:])
		single := false
		here := nodes[start].score
		reach := func(end int, score float64, id int32) {
			if node := &nodes[end]; node.from < 0 || score > node.score {
				*node = latticeNode{score, start, id}
			}
		}
		m.tokens.match(word[start:], func(key int) {
			length := len(m.tokens.keys[key])
			reach(start+length, here+m.scores[key], m.ids[key])
			single = single || length == n
		})
		if !single {
			reach(start+n, here+m.unknownScore, m.unknown)
		}
		start += n
	}
}
