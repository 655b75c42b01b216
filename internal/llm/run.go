package llm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// defaultPrefillStep is less than mlx-lm's 2048: on a CPU it is enough to be bound by
// arithmetic, and Ctrl-C and the progress bar are served between steps.
const defaultPrefillStep = 512

func newGeneration(m *Loaded, prompt []int, o Options, q *Sequence) (*Generation, error) {
	if err := m.checkTokens(prompt); err != nil {
		return nil, err
	}
	if o.PrefillStep == 0 {
		o.PrefillStep = defaultPrefillStep
	}
	if o.PrefillStep < 0 {
		return nil, fmt.Errorf("prefill step %d is negative", o.PrefillStep)
	}
	if len(o.Stop) > 0 {
		if m.Tokenizer == nil {
			return nil, errors.New("stop strings need a tokenizer, and the model has no tokenizer.json")
		}
		if err := stopStrings(o.Stop).check(); err != nil {
			return nil, err
		}
	}
	sampler, err := sample.New(o.Sampling, m.Model.Info().VocabSize)
	if err != nil {
		return nil, err
	}
	if q != nil {
		err = q.check(len(prompt))
	} else {
		err = m.checkNew(o.KV, len(prompt))
	}
	if err == nil && o.Draft != nil {
		err = m.checkDraft(prompt, &o, q)
	}
	if err != nil {
		return nil, err
	}
	return &Generation{m: m, sequence: q, prompt: prompt, o: o, sampler: sampler}, nil
}

// checkCacheMemory refuses an attention cache that cannot fit.
func (m *Loaded) checkCacheMemory(kind cache.Kind, batch, capacity int) error {
	what := fmt.Sprintf("the attention cache of %d positions", capacity)
	if batch > 1 {
		what += fmt.Sprintf(" for %d sequences", batch)
	}
	return fits(what, int64(batch)*kind.Bytes(m.Model.Layout(), capacity, m.DType))
}

// fits refuses what needs more memory than there is.
func fits(what string, need int64) error {
	if have := availableMemory(); have > 0 && need > have {
		return fmt.Errorf("%s needs %s of memory, and %s are available", what, gigabytes(need), gigabytes(have))
	}
	return nil
}

// runner is a generation that is being ranged over.
type runner struct {
	*Generation
	ctx      context.Context
	yield    func(Token, error) bool
	sequence *Sequence
	draft    *drafter // nil: none
	history  []int    // the prompt and what was generated
	before   int      // positions before the history: of tokens that are not known
	text     *text    // nil without a tokenizer
	start    time.Time
	first    time.Time
}

func (g *Generation) run(ctx context.Context) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		mlx.ResetPeakMemory()
		q := g.sequence
		if q == nil {
			q, _ = g.m.NewSequenceOf(g.o.KV) // newGeneration has tried it
		}
		r := g.runner(ctx, q, yield)
		defer func() { g.stats.CacheMemory, g.stats.CacheSaved = q.Bytes() }()
		if err := r.all(); err != nil {
			yield(Token{ID: -1}, err)
		}
	}
}

// runner begins the generation in the memory q.
func (g *Generation) runner(ctx context.Context, q *Sequence, yield func(Token, error) bool) *runner {
	kept := q.rewind(g.prompt)
	q.s.eager = g.o.Eager
	g.stats = Statistics{PromptTokens: len(g.prompt) - kept, CachedTokens: kept}
	r := &runner{Generation: g, ctx: ctx, yield: yield, sequence: q, history: slices.Clone(g.prompt), before: q.Len() - kept, start: time.Now()}
	if t := g.m.Tokenizer; t != nil {
		r.text = newText(t.Detokenizer(), g.o.Stop)
	}
	return r
}

// all prefills and decodes. A false yield ends it quietly.
func (r *runner) all() error {
	if r.o.Draft != nil {
		var err error
		if r.draft, err = r.newDrafter(r.sequence); err != nil {
			return err
		}
	}
	if done, err := r.prefill(); done || err != nil {
		return err
	}
	if r.draft != nil {
		if done, err := r.prefillDraft(); done || err != nil {
			return err
		}
		return r.speculate()
	}
	for {
		token, err := r.next(r.sequence.s.logits)
		if err != nil {
			return err
		}
		if !r.yield(token, nil) || token.Finish != "" {
			return nil
		}
		if r.ctx.Err() != nil {
			r.yield(r.last(FinishCancelled), nil)
			return nil
		}
		if err := r.sequence.grow(token.ID, r.o.PrefillStep); err != nil {
			return err
		}
	}
}

// next chooses a token from the logits after all tokens so far.
func (r *runner) next(logits []float32) (Token, error) {
	id, logprob, err := r.sampler.Sample(logits, r.history)
	if err != nil {
		return Token{}, r.explain(err, r.before+len(r.history)-1)
	}
	r.count()
	token := Token{ID: id, Logprob: logprob}
	r.end(&token)
	r.history = append(r.history, id)
	return token, nil
}

// prefill feeds the rest of the prompt in chunks.
func (r *runner) prefill() (done bool, err error) {
	kept := r.stats.CachedTokens
	if err := r.sequence.s.expect(len(r.prompt) - kept); err != nil {
		return true, err
	}
	for at := kept; at < len(r.prompt); {
		if r.ctx.Err() != nil {
			r.fed(at - kept)
			r.yield(r.last(FinishCancelled), nil)
			return true, nil
		}
		n, err := r.sequence.feed(r.prompt[at:], r.o.PrefillStep)
		if err != nil {
			return true, err
		}
		at += n
		if r.o.Progress != nil {
			r.o.Progress(at, len(r.prompt))
		}
	}
	return false, nil
}

// fed notes that the prompt ended after n tokens, though it has more.
func (r *runner) fed(n int) {
	s := &r.stats
	s.PromptTokens, s.PromptTime = n, time.Since(r.start)
	s.PromptTPS, s.PeakMemory = rate(n, s.PromptTime), mlx.PeakMemory()
}

// count notes one more token in the statistics.
func (r *runner) count() {
	now := time.Now()
	s := &r.stats
	s.GenerationTokens++
	if s.GenerationTokens == 1 {
		r.first = now
		s.PromptTime = now.Sub(r.start)
		s.PromptTPS = rate(s.PromptTokens, s.PromptTime)
	}
	s.GenerationTime = now.Sub(r.first)
	s.GenerationTPS = rate(s.GenerationTokens, s.GenerationTime)
	s.PeakMemory = mlx.PeakMemory()
}

// rate is n per second; 0 when no time has passed, as after a single token.
func rate(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// end fills in a token's text and says whether it is the last.
func (r *runner) end(t *Token) {
	if slices.Contains(r.o.EOS, t.ID) && !r.o.IgnoreEOS {
		t.Finish, t.Detail = FinishStop, "end of text"
		t.Text = r.finish()
		return
	}
	if r.text != nil {
		piece, stopped, which := r.text.Add(t.ID)
		t.Text = piece
		if stopped {
			t.Finish, t.Detail = FinishStop, fmt.Sprintf("stop string %q", which)
			return
		}
	}
	limit := r.m.Model.Info().MaxContext
	switch {
	case r.o.MaxTokens > 0 && r.stats.GenerationTokens >= r.o.MaxTokens:
		t.Finish, t.Detail = FinishLength, "max tokens"
	case limit > 0 && r.before+len(r.history) >= limit:
		t.Finish, t.Detail = FinishLength, fmt.Sprintf("the model's context of %d tokens is full", limit)
	default:
		return
	}
	tail := r.finish()
	t.Text += tail
	if r.text != nil && r.text.stop() != "" {
		t.Finish, t.Detail = FinishStop, fmt.Sprintf("stop string %q", r.text.stop())
	}
}

func (r *runner) finish() string {
	if r.text == nil {
		return ""
	}
	return r.text.Finish()
}

// last is a Token that only ends the generation.
func (r *runner) last(why FinishReason) Token {
	return Token{ID: -1, Text: r.finish(), Finish: why}
}

// explain names the position of logits that cannot be sampled.
func (r *runner) explain(err error, position int) error {
	var nan *sample.NaNError
	if errors.As(err, &nan) {
		return fmt.Errorf("logits: %v at position %d, token %d: the model's weights or the computing type are at fault", nan.Value, position, nan.Index)
	}
	return fmt.Errorf("sampling after position %d: %w", position, err)
}
