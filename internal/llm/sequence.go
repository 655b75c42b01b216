package llm

import (
	"context"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/llm/cache"
)

// KVOptions say how attention remembers. The zero value keeps all positions in the
// computing type.
type KVOptions struct {
	// MaxSize > 0 rotates: a token attends to so many positions at most, the first 4
	// of the sequence and the last; the tokens of a prompt, but for the last one, to
	// the last MaxSize. It is above 4.
	MaxSize int
	// Bits > 0 quantizes keys and values to so many bits, in groups of GroupSize; 0
	// stands for 64, or 32 where 64 does not divide the head size.
	Bits, GroupSize int
	// QuantizedStart is how many positions are read before the cache is quantized.
	QuantizedStart int
}

// resolve fills in the group size and refuses what the model cannot have.
func (o KVOptions) resolve(layout []cache.Layout) (KVOptions, error) {
	if o.Bits > 0 && o.GroupSize == 0 {
		o.GroupSize = cache.GroupFor(layout)
	}
	if o.QuantizedStart < 0 {
		return o, fmt.Errorf("the start of quantization, %d, is negative", o.QuantizedStart)
	}
	kind := o.kind()
	if o.Bits > 0 {
		kind = kind.Quantized(o.Bits, o.GroupSize)
	}
	return o, kind.Check(layout)
}

// kind is how an empty cache begins.
func (o KVOptions) kind() (k cache.Kind) {
	if o.MaxSize != 0 {
		k = cache.Rotating(o.MaxSize)
	}
	if o.Bits > 0 && o.QuantizedStart == 0 {
		k = k.Quantized(o.Bits, o.GroupSize)
	}
	return k
}

// later is the kind that a cache, now k, has at n positions.
func (o KVOptions) later(k cache.Kind, n int) cache.Kind {
	if o.Bits > 0 && k.Bits == 0 && n > o.QuantizedStart {
		return k.Quantized(o.Bits, o.GroupSize)
	}
	return k
}

// Sequence is what a model remembers of a text that goes on over several generations,
// as a chat: each runs only the tokens that are new. It is not safe for concurrent use.
type Sequence struct {
	m       *Loaded
	s       *session
	tokens  []int     // that the cache holds
	unknown bool      // tokens are not all: a file did not say which it is of
	draft   *Sequence // what the last draft model remembers of the text; nil: none
}

// NewSequence makes an empty Sequence with a cache of its own.
func (m *Loaded) NewSequence() *Sequence {
	return &Sequence{m: m, s: newSession(m, KVOptions{}, cache.New(m.Model.Layout(), 1, m.DType), false)}
}

// NewSequenceOf is NewSequence with a cache as o says; the error says why the model
// cannot have it.
func (m *Loaded) NewSequenceOf(o KVOptions) (*Sequence, error) {
	layout := m.Model.Layout()
	o, err := o.resolve(layout)
	if err != nil {
		return nil, err
	}
	return &Sequence{m: m, s: newSession(m, o, cache.NewOf(o.kind(), layout, 1, m.DType), false)}, nil
}

// Len is the number of tokens that are remembered.
func (q *Sequence) Len() int { return q.s.cache.Len() }

// Tokens are the tokens that are remembered; ok is false if a file did not say which.
func (q *Sequence) Tokens() (ids []int, ok bool) { return slices.Clone(q.tokens), !q.unknown }

// Bytes is the size of the cache, and by how much this is less than all positions in
// the computing type would take.
func (q *Sequence) Bytes() (n, saved int64) {
	n, plain := q.s.cache.Bytes()
	return n, plain - n
}

// Generate is [Generate] for the whole prompt. The tokens that it has in common with
// what is remembered, from the beginning, are kept and not run again; the rest of the
// memory is dropped, and all of it if a rotating cache cannot go back so far. What is
// generated is remembered too, but for the last token, which the model has not seen.
// Only one generation of a Sequence may run at a time.
//
// If it is not known of which tokens the memory is, the prompt continues it.
func (q *Sequence) Generate(prompt []int, o Options) (*Generation, error) {
	g, err := newGeneration(q.m, prompt, o, q)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// check refuses a prompt of n tokens that has no place.
func (q *Sequence) check(n int) error {
	if q.unknown {
		n += q.Len()
		if limit := q.m.Model.Info().MaxContext; limit > 0 && n > limit {
			return fmt.Errorf("%d tokens, %d of them in the prompt cache, are more than the model's context of %d", n, q.Len(), limit)
		}
	}
	if cache.CapacityFor(n+1) <= q.s.cache.Capacity() {
		return nil
	}
	return q.m.checkCacheMemory(q.s.kv.later(q.s.cache.Kind(), n), 1, cache.CapacityFor(n+1))
}

// checkNew refuses a prompt of n tokens that has no place in a new Sequence.
func (m *Loaded) checkNew(o KVOptions, n int) error {
	o, err := o.resolve(m.Model.Layout())
	if err != nil {
		return err
	}
	return m.checkCacheMemory(o.later(o.kind(), n), 1, cache.CapacityFor(n+1))
}

// common is how many tokens of a prompt are remembered. The last one always runs: its
// logits are wanted.
func (q *Sequence) common(prompt []int) (n int) {
	for n < min(len(q.tokens), len(prompt)-1) && q.tokens[n] == prompt[n] {
		n++
	}
	return n
}

// rewind keeps what the memory has in common with prompt and says how much this is.
func (q *Sequence) rewind(prompt []int) int {
	if q.unknown {
		return 0
	}
	n := q.common(prompt)
	if limit := q.m.Model.Info().Recompute; limit > 0 && (len(q.tokens) > limit) != (len(prompt) > limit) {
		q.forget()
		return 0
	}
	if q.Trim(len(q.tokens)-n) != nil { // the memory cannot go back
		q.forget()
		n = 0
	}
	return n
}

// Trim forgets the last n tokens; it is an error if a rotating cache has lost what the
// tokens before them saw.
func (q *Sequence) Trim(n int) error {
	if err := q.s.cache.Trim(n); err != nil {
		return err
	}
	q.tokens = q.tokens[:max(len(q.tokens)-n, 0)]
	return nil
}

// forget drops all, as after a failure that leaves the memory in doubt.
func (q *Sequence) forget() {
	c := cache.NewOf(q.s.kv.kind(), q.m.Model.Layout(), 1, q.m.DType)
	q.s, q.tokens, q.unknown = newSession(q.m, q.s.kv, c, q.s.eager), nil, false
}

// grow feeds one more token, after all others again where the model needs it.
func (q *Sequence) grow(token, chunk int) error {
	next := []int{token}
	if limit := q.m.Model.Info().Recompute; limit > 0 && q.Len() == limit && !q.unknown {
		next = append(slices.Clone(q.tokens), token)
		q.forget()
		if err := q.s.expect(len(next)); err != nil {
			return err
		}
	}
	for at := 0; at < len(next); {
		n, err := q.feed(next[at:], chunk)
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

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

// Read adds tokens to the memory, step of them at once (0 means 512). They are no
// whole prompt: more follow. Progress, if not nil, is called after each step. If ctx
// ends, the tokens so far are remembered.
func (q *Sequence) Read(ctx context.Context, tokens []int, step int, progress func(done, total int)) error {
	if err := q.m.checkTokens(tokens); err != nil {
		return err
	}
	if limit := q.m.Model.Info().MaxContext; limit > 0 && q.Len()+len(tokens) > limit {
		return fmt.Errorf("%d tokens after %d are more than the model's context of %d", len(tokens), q.Len(), limit)
	}
	if err := q.check(len(tokens)); err != nil {
		return err
	}
	if step <= 0 {
		step = defaultPrefillStep
	}
	for at := 0; at < len(tokens); {
		if err := ctx.Err(); err != nil {
			return err
		}
		q.s.more = true
		n, err := q.feed(tokens[at:], step)
		q.s.more = false
		if err != nil {
			return err
		}
		at += n
		if progress != nil {
			progress(at, len(tokens))
		}
	}
	return nil
}

// Clone is a copy: both go on apart.
func (q *Sequence) Clone() (*Sequence, error) {
	q.s.release()
	c, err := q.s.cache.Clone()
	if err != nil {
		return nil, err
	}
	return &Sequence{m: q.m, s: newSession(q.m, q.s.kv, c, q.s.eager), tokens: slices.Clone(q.tokens), unknown: q.unknown}, nil
}
