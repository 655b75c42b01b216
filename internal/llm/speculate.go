package llm

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/sample"
	"github.com/mlxgo/mlx/internal/threefry"
)

// Speculative decoding: a draft model guesses the next tokens one by one, the model runs
// them in one pass, and its own choices count: as long as they are the guesses, the next
// row of logits is of the right text. What was run too far is trimmed from both caches.

// defaultDraftTokens is mlx-lm's. MaxDraftTokens is how far all caches can go back that
// do not rotate.
const (
	defaultDraftTokens = 3
	MaxDraftTokens     = 64
)

// judgedRows bounds the rows of a pass that judges guesses: products of more rows may
// round activations more coarsely than those of one, so that other tokens come out.
const judgedRows = 7

// DraftStatistics say how well a draft model guessed.
type DraftStatistics struct {
	// Tokens is how many guesses the model judged; those after the end of the text do
	// not count. Accepted of them were its own choices.
	Tokens   int     `json:"tokens"`
	Accepted int     `json:"accepted"`
	Rate     float64 `json:"acceptance_rate"` // Accepted of Tokens; 0 without any
}

// OneByOne is a model whose passes of several tokens may differ from passes of one: it
// says how many of the n tokens from position pos on can run together and give what they
// give one by one, at least 1.
type OneByOne interface {
	Together(pos, n int) int
}

// checkDraft fills in the number of guesses and refuses a draft model that cannot serve.
func (m *Loaded) checkDraft(prompt []int, o *Options, q *Sequence) error {
	if o.DraftTokens == 0 {
		o.DraftTokens = defaultDraftTokens
	}
	if o.DraftTokens < 1 || o.DraftTokens > MaxDraftTokens {
		return fmt.Errorf("the number of draft tokens is %d: it must be from 1 to %d", o.DraftTokens, MaxDraftTokens)
	}
	if q != nil && q.unknown {
		return errors.New("the prompt cache does not say which tokens it is of, so a draft model cannot read them")
	}
	if o.KV.MaxSize > 0 || q != nil && q.s.cache.Kind().MaxSize > 0 {
		return errors.New("a draft model needs a cache that goes back when a guess is wrong, and a rotating one cannot")
	}
	if err := m.SameVocabulary(o.Draft); err != nil {
		return err
	}
	if n := o.Draft.Model.Info().MaxContext; n > 0 && len(prompt) > n {
		return fmt.Errorf("the prompt's %d tokens are more than the draft model's context of %d", len(prompt), n)
	}
	if err := o.Draft.checkNew(o.KV, len(prompt)); err != nil {
		return fmt.Errorf("draft model: %w", err)
	}
	rows, vocab := int64(judgedRows), int64(m.Model.Info().VocabSize)
	return fits(fmt.Sprintf("a table of %d x %d logits", rows, vocab), 8*rows*vocab)
}

// SameVocabulary says in a sentence why a draft model cannot serve m: ids must mean the
// same tokens for both. Models with one
// tokenizer may have more or fewer rows than it has tokens.
func (m *Loaded) SameVocabulary(draft *Loaded) error {
	a, b := m.Tokenizer, draft.Tokenizer
	if a == nil || b == nil {
		if n, d := m.Model.Info().VocabSize, draft.Model.Info().VocabSize; n != d {
			return fmt.Errorf("the draft model has another vocabulary: %d tokens, and the model has %d", d, n)
		}
		return nil
	}
	if n, d := a.VocabSize(), b.VocabSize(); n != d {
		return fmt.Errorf("the draft model has another vocabulary: %d tokens in its %s, and the model has %d", d, TokenizerFile, n)
	}
	for id := range max(m.Model.Info().VocabSize, a.VocabSize()) {
		x, ok := a.Token(id)
		if y, has := b.Token(id); x != y || ok != has {
			return fmt.Errorf("the draft model has another vocabulary: its token %d is %q, and the model's is %q", id, y, x)
		}
	}
	return nil
}

// drafter guesses for a runner.
type drafter struct {
	q       *Sequence // the draft model's
	sampler *sample.Sampler
	limit   int // guesses at once
	rows    int // of a pass that judges them
	vocab   int // the draft model's
	text    []int
	row     []float32 // logits as long as the model's
	guesses []int
}

// newDrafter makes the draft side of a generation whose options checkDraft has seen. It
// draws with the random numbers that the model will draw with, so that models that agree
// choose alike. A caller's processors see the text only, not guesses.
func (g *Generation) newDrafter(q *Sequence) (*drafter, error) {
	m, vocab := g.o.Draft, g.m.Model.Info().VocabSize
	kv, err := g.o.KV.resolve(m.Model.Layout())
	if err != nil {
		return nil, err
	}
	if q.draft == nil || q.draft.m != m || q.draft.s.kv != kv {
		if q.draft, err = m.NewSequenceOf(kv); err != nil {
			return nil, err
		}
	}
	q.draft.s.eager = g.o.Eager
	d := &drafter{q: q.draft, limit: g.o.DraftTokens, rows: rowsFor(g.o.DraftTokens), vocab: m.Model.Info().VocabSize, row: make([]float32, vocab)}
	for i := range d.row { // tokens that the draft model has no row for
		d.row[i] = float32(math.Inf(-1))
	}
	o := g.o.Sampling
	o.Processors, o.Seed, o.Generator = nil, nil, &threefry.Generator{}
	d.sampler, err = sample.New(o, vocab)
	return d, err
}

// rowsFor is the rows of the passes that judge n guesses: one pass with a row for what
// follows them all, or if these are too many, passes of equal lengths.
func rowsFor(n int) int {
	if n < judgedRows {
		return n + 1
	}
	passes := (n + judgedRows - 1) / judgedRows
	return (n + passes - 1) / passes
}

// known is the text in ids that the draft model has: padding beyond its rows, which no
// tokenizer makes, is token 0.
func (d *drafter) known(text []int) []int {
	d.text = d.text[:0]
	for _, id := range text {
		if id >= d.vocab {
			id = 0
		}
		d.text = append(d.text, id)
	}
	return d.text
}

// catchUp goes back to what the draft model's memory has in common with text and says
// how much this is.
func (d *drafter) catchUp(text []int) (int, error) {
	n := d.q.common(text)
	if err := d.q.Trim(len(d.q.tokens) - n); err != nil {
		return 0, fmt.Errorf("draft model: %w", err)
	}
	return n, nil
}

// feed is Sequence.feed for the draft model.
func (d *drafter) feed(tokens []int, chunk int) (int, error) {
	n, err := d.q.feed(tokens, chunk)
	if err != nil {
		err = fmt.Errorf("draft model: %w", err)
	}
	return n, err
}

// guess is up to n tokens that may follow the history; those after one of stop are not
// wanted.
func (d *drafter) guess(history []int, n int, like *sample.Sampler, stop []int) ([]int, error) {
	d.guesses = d.guesses[:0]
	if context := d.q.m.Model.Info().MaxContext; context > 0 {
		n = min(n, context+1-len(history))
	}
	if n < 1 {
		return nil, nil
	}
	text := d.known(history)
	at, err := d.catchUp(text)
	for at < len(text) && err == nil { // one or two, which cost less alone than padded
		_, err = d.feed(text[at:at+1], 1)
		at++
	}
	d.sampler.Follow(like)
	for err == nil {
		copy(d.row, d.q.s.logits)
		id, _, e := d.sampler.Sample(d.row, history)
		if e != nil {
			return nil, fmt.Errorf("draft model: sampling after position %d: %w", len(history)-1, e)
		}
		d.guesses, history = append(d.guesses, id), append(history, id)
		if len(d.guesses) == n || slices.Contains(stop, id) {
			break
		}
		_, err = d.feed(d.guesses[len(d.guesses)-1:], 1)
	}
	return d.guesses, err
}

// prefillDraft reads the prompt as prefill does, so that a draft that is the model itself
// has its bits.
func (r *runner) prefillDraft() (done bool, err error) {
	prompt := r.draft.known(r.prompt)
	at := r.draft.q.rewind(prompt)
	if err := r.draft.q.s.expect(len(prompt) - at); err != nil {
		return true, fmt.Errorf("draft model: %w", err)
	}
	for at < len(prompt) {
		if r.ctx.Err() != nil {
			r.fed(r.stats.PromptTokens)
			r.yield(r.last(FinishCancelled), nil)
			return true, nil
		}
		n, err := r.draft.feed(prompt[at:], r.o.PrefillStep)
		if err != nil {
			return true, err
		}
		at += n
	}
	return false, nil
}

// speculate decodes with the draft model, once the prompt is read.
func (r *runner) speculate() error {
	r.stats.Draft = &DraftStatistics{}
	stop := r.o.EOS
	if r.o.IgnoreEOS {
		stop = nil
	}
	rows, guesses := [][]float32{r.sequence.s.logits}, []int(nil)
	for {
		held, done, err := r.settle(rows, guesses)
		if done || err != nil {
			return err
		}
		if guesses = guesses[held:]; held < len(rows) || len(guesses) == 0 {
			if guesses, err = r.draft.guess(r.history, r.ahead(), r.sampler, stop); err != nil {
				return err
			}
		}
		tokens := append(r.history[len(r.history)-1:len(r.history):len(r.history)], guesses...)
		if rows, err = r.sequence.try(tokens[:min(len(tokens), r.draft.rows)], r.draft.rows); err != nil {
			return err
		}
	}
}

// ahead is how many guesses are wanted: no more than there is room for, and than the model
// can run together.
func (r *runner) ahead() int {
	n := r.draft.limit
	if r.o.MaxTokens > 0 {
		n = min(n, r.o.MaxTokens-r.stats.GenerationTokens-1)
	}
	if limit := r.m.Model.Info().MaxContext; limit > 0 {
		n = min(n, limit-len(r.history)-1)
	}
	return r.sequence.s.asAlone(n+1) - 1
}

// settle chooses a token from each of rows, as long as the one before is the guess, and
// says how many are. Row i is what follows i guesses; the memory goes back to the text.
func (r *runner) settle(rows [][]float32, guesses []int) (held int, done bool, err error) {
	chosen := 0
	defer func() {
		if n := len(rows) - max(chosen, 1); n > 0 {
			err = errors.Join(err, r.sequence.Trim(n))
		}
	}()
	s := r.stats.Draft
	for i, row := range rows {
		token, err := r.next(row)
		if err != nil {
			return held, true, err
		}
		chosen++
		if token.FromDraft = i < len(guesses) && token.ID == guesses[i]; token.FromDraft {
			held++
			s.Accepted++
			s.Tokens++
		} else {
			s.Tokens += len(guesses) - i
		}
		if s.Tokens > 0 {
			s.Rate = float64(s.Accepted) / float64(s.Tokens)
		}
		if !r.yield(token, nil) || token.Finish != "" {
			return held, true, nil
		}
		if r.ctx.Err() != nil {
			r.yield(r.last(FinishCancelled), nil)
			return held, true, nil
		}
		if !token.FromDraft {
			break
		}
	}
	return held, false, nil
}

// try runs tokens in one pass, or a single one as ever, and returns the logits after
// each, valid until the next pass. All are remembered: what is wrong must be trimmed.
func (q *Sequence) try(tokens []int, length int) ([][]float32, error) {
	if len(tokens) == 1 {
		err := q.grow(tokens[0], defaultPrefillStep)
		return [][]float32{q.s.logits}, err
	}
	rows, err := q.s.verify(tokens, length)
	if err != nil {
		q.forget()
		return nil, err
	}
	q.tokens = append(q.tokens, tokens...)
	return rows, nil
}

// asAlone is how many of the next n tokens can run in one pass and give what they give
// one by one.
func (s *session) asAlone(n int) int {
	if m, ok := s.m.Model.(OneByOne); ok {
		n = min(n, m.Together(s.cache.Len(), n))
	}
	if limit := s.m.Model.Info().Recompute; limit > 0 && s.cache.Len() == limit {
		n = 1 // see grow
	}
	if left := s.kv.QuantizedStart - s.cache.Len(); s.kv.Bits > 0 && s.cache.Kind().Bits == 0 && left > 0 {
		n = min(n, left)
	}
	return n
}

// verify runs tokens in one pass, padded to length, and gives the logits after each.
func (s *session) verify(tokens []int, length int) ([][]float32, error) {
	if err := s.quantize(length); err != nil {
		return nil, err
	}
	vocab := s.m.Model.Info().VocabSize
	if n := length * vocab; len(s.table) != n {
		s.table = make([]float32, n)
	}
	n, known := len(tokens), s.cache.Len()+len(tokens)
	if s.eager {
		count := mlx.FromSlice([]int32{int32(n)})
		logits, err := s.forwardEager(padded(tokens, length), n, nil, count, known)
		if err != nil {
			return nil, err
		}
		mlx.CopyTo(s.table, logits)
	} else {
		if err := s.prepare(length); err != nil {
			return nil, err
		}
		ids := s.input(0)
		clear(ids)
		for i, t := range tokens {
			ids[i] = int32(t)
		}
		s.input(1)[0], s.input(2)[0], s.input(3)[0] = int32(known-n), int32(n), int32(known-1)
		if err := s.replay(s.table); err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		s.cache.Advance(n)
	}
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = s.table[i*vocab : (i+1)*vocab]
	}
	return rows, nil
}
