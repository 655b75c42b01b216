package llm

import (
	"context"
	"iter"
	"time"

	"github.com/mlxgo/mlx/internal/llm/sample"
)

// Options of a generation. The zero value is greedy, without limit but the
// context's.
type Options struct {
	// MaxTokens bounds the tokens generated; 0 or less means no limit but the
	// model's context.
	MaxTokens int
	// Sampling chooses tokens from logits.
	Sampling sample.Options
	// Stop ends the text before the first of these strings, also when it is spread
	// over tokens. It needs a tokenizer.
	Stop []string
	// EOS is the set of ids that end the generation.
	EOS []int
	// IgnoreEOS generates on after an EOS id.
	IgnoreEOS bool
	// PrefillStep is how many prompt tokens run at once; 0 means 512.
	PrefillStep int
	// KV says how attention remembers; a Sequence has its own.
	KV KVOptions
	// Draft is a smaller model with the same vocabulary that guesses the next tokens, nil
	// for none. The tokens are those without it, sampled ones too: each draws once, and
	// the rows of passes that judge guesses have the bits of single tokens. It remembers
	// as KV says.
	Draft *Loaded
	// DraftTokens is how many tokens are guessed at once, at most MaxDraftTokens; 0 means 3.
	DraftTokens int
	// Progress is called after each chunk of the prompt.
	Progress func(done, total int)
	// Eager builds and runs a graph per step instead of replaying a Plan: for tests.
	Eager bool
}

// FinishReason says why a generation ended.
type FinishReason string

// The reasons. Cancelled is the end of the context (Ctrl-C).
const (
	FinishStop      FinishReason = "stop"
	FinishLength    FinishReason = "length"
	FinishCancelled FinishReason = "cancelled"
)

// A Token is one step of a generation.
type Token struct {
	// ID is the token; -1 in a last Token that carries only text and the reason.
	ID int
	// Logprob is the natural logarithm of the token's probability.
	Logprob float32
	// Text is what became certain with this token: whole characters, nothing that a
	// stop string may still take back. Concatenated it is the text of the answer.
	Text string
	// FromDraft says that the draft model guessed it.
	FromDraft bool
	// Finish is set in the last Token.
	Finish FinishReason
	// Detail says more of the end, as which stop string or limit it was.
	Detail string
}

// Statistics of a generation, as mlx-lm reports them.
type Statistics struct {
	PromptTokens     int           `json:"prompt_tokens"`           // that were run
	CachedTokens     int           `json:"cached_tokens,omitempty"` // that a Sequence had
	GenerationTokens int           `json:"generation_tokens"`       // the EOS token counts
	PromptTime       time.Duration `json:"-"`                       // to the first token
	GenerationTime   time.Duration `json:"-"`                       // since the first token
	PromptTPS        float64       `json:"prompt_tps"`
	GenerationTPS    float64       `json:"generation_tps"`
	PeakMemory       int64         `json:"peak_memory"` // bytes
	// CacheMemory is the bytes of the attention cache, and CacheSaved by how many less
	// that is than of one that keeps all positions in the computing type.
	CacheMemory int64 `json:"cache_memory"`
	CacheSaved  int64 `json:"cache_saved,omitempty"`
	// Draft is nil without a draft model.
	Draft *DraftStatistics `json:"draft,omitempty"`
}

// Generation is a run that is being iterated; its statistics are those so far.
type Generation struct {
	m        *Loaded
	sequence *Sequence // nil: a new one each time
	prompt   []int
	o        Options
	stats    Statistics

	sampler *sample.Sampler
}

// Generate continues prompt, which must not be empty. Nothing runs before Tokens
// is ranged over. It returns an error for options or prompts that cannot run.
func Generate(m *Loaded, prompt []int, o Options) (*Generation, error) {
	return newGeneration(m, prompt, o, nil)
}

// Tokens runs the generation. Errors end it. Breaking out of the loop is safe.
func (g *Generation) Tokens(ctx context.Context) iter.Seq2[Token, error] { return g.run(ctx) }

// Statistics is the numbers so far.
func (g *Generation) Statistics() Statistics {
	s := g.stats
	if s.Draft != nil {
		draft := *s.Draft
		s.Draft = &draft
	}
	return s
}
