package llm

import "github.com/mlxgo/mlx/internal/llm/cache"

// Sequence is what a model remembers of a text that goes on over several generations,
// as a chat: each runs only the tokens that are new. It is not safe for concurrent use.
type Sequence struct {
	m      *Loaded
	s      *session
	tokens []int // that the cache holds
}

// NewSequence makes an empty Sequence with a cache of its own.
func (m *Loaded) NewSequence() *Sequence { return &Sequence{m: m, s: newSession(m, false)} }

// Len is the number of tokens that are remembered.
func (q *Sequence) Len() int { return len(q.tokens) }

// Generate is [Generate] for the whole prompt. The tokens that it has in common with
// what is remembered, from the beginning, are kept and not run again; the rest of the
// memory is dropped. What is generated is remembered too, but for the last token,
// which the model has not seen. Only one generation of a Sequence may run at a time.
func (q *Sequence) Generate(prompt []int, o Options) (*Generation, error) {
	g, err := newGeneration(q.m, prompt, o, q)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// rewind keeps what the memory has in common with prompt and says how much this is.
// The last token of the prompt always runs: its logits are wanted.
func (q *Sequence) rewind(prompt []int) int {
	n := 0
	for n < min(len(q.tokens), len(prompt)-1) && q.tokens[n] == prompt[n] {
		n++
	}
	if !q.s.cache.Trim(len(q.tokens) - n) { // the memory cannot go back
		q.forget()
		n = 0
	}
	q.tokens = q.tokens[:n]
	return n
}

// forget drops all, as after a failure that leaves the memory in doubt.
func (q *Sequence) forget() { q.s, q.tokens = newSession(q.m, false), nil }

// hasRoom reports whether a prompt of n tokens needs no more memory than there is.
func (q *Sequence) hasRoom(n int) bool { return cache.CapacityFor(n+1) <= q.s.cache.Capacity() }

// feed is session.feed, remembered.
func (q *Sequence) feed(tokens []int, chunk int) (int, error) {
	n, err := q.s.feed(tokens, chunk)
	if err != nil {
		q.forget()
		return n, err
	}
	q.tokens = append(q.tokens, tokens[:n]...)
	return n, nil
}
