package sample

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/threefry"
)

// Sampler picks the tokens of one text, or of several in step. It keeps scratch
// memory and the state of its key sequence, so one goroutine uses it at a time.
type Sampler struct {
	opt        Options
	vocab      int
	processors []Processor
	filters    []filter
	gen        *threefry.Generator
	xtc        bool // XTC runs in this step
	scratch    scratch
	logprobs   []float32 // [vocab], of the last row
	row        []float32 // [vocab], logprobs after the filters
}

// New makes a sampler for rows of vocab logits. The options are copied. The
// error is an [*OptionError].
func New(o Options, vocab int) (*Sampler, error) {
	if err := o.Validate(vocab); err != nil {
		return nil, err
	}
	o.XTCSpecial = slices.Clone(o.XTCSpecial)
	s := &Sampler{
		opt:        o,
		vocab:      vocab,
		processors: o.processors(vocab),
		gen:        o.Generator,
		logprobs:   make([]float32, vocab),
	}
	if o.Temperature == 0 {
		return s, nil
	}
	if s.gen == nil {
		seed := rand.Uint64()
		if o.Seed != nil {
			seed = *o.Seed
		}
		s.gen = threefry.NewGenerator(seed)
	}
	s.scratch.weight = make([]float64, vocab)
	s.filters = s.opt.filters(&s.scratch, &s.xtc)
	s.row = make([]float32, vocab)
	return s, nil
}

// Sample picks a token from logits [vocab], which it does not change, and
// returns it with its log-probability before filters and temperature.
//
// history is what the processors look at. mlx-lm's single-sequence loop passes
// the tokens fed one by one: the last token of the prompt and all generated
// ones; its batch loop passes the whole prompt too. Only the last 20 count
// unless a context says otherwise.
//
// Each call with a temperature takes one key from the sequence, two if XTC is
// on (first its coin, then the draw). Temperature 0 takes none.
//
// Errors: [*LengthError], [*TokenError], [*NaNError], [*EmptyError], or that of
// a caller's processor. No key is taken then.
func (s *Sampler) Sample(logits []float32, history []int) (token int, logprob float32, err error) {
	if err := s.prepare(logits, history); err != nil {
		return 0, 0, err
	}
	if s.opt.Temperature == 0 {
		token = simd.K.ArgMax(s.logprobs)
		return token, s.logprobs[token], nil
	}
	s.flip()
	token = s.draw(s.filtered(), s.gen.Next())
	return token, s.logprobs[token], nil
}

// Follow makes s draw next with the keys that o will draw with; o takes none.
func (s *Sampler) Follow(o *Sampler) {
	if s.gen != nil && o.gen != nil {
		s.gen.SetState(o.gen.State())
	}
}

// Logprobs returns the log-probabilities [vocab] of the last row sampled, after
// the processors and before the filters. The slice is valid until the next call
// of a sampling method.
func (s *Sampler) Logprobs() []float32 { return s.logprobs }

// SampleRows picks one token for each row of logits [rows][vocab], as mlx-lm
// does when one sampler serves a batch: for several rows one key draws them all
// (Gumbel argmax, see [Categorical]) and XTC has one coin. One row is [Sample].
// histories has one history per row, or is nil for empty ones.
func (s *Sampler) SampleRows(logits [][]float32, histories [][]int) (tokens []int, logprobs []float32, err error) {
	if histories == nil {
		histories = make([][]int, len(logits))
	}
	if len(histories) != len(logits) {
		return nil, nil, &LengthError{Got: len(histories), Want: len(logits)}
	}
	tokens, logprobs = make([]int, len(logits)), make([]float32, len(logits))
	if len(logits) == 1 || s.opt.Temperature == 0 {
		for i, row := range logits {
			if tokens[i], logprobs[i], err = s.Sample(row, histories[i]); err != nil {
				return nil, nil, err
			}
		}
		return tokens, logprobs, nil
	}
	all := make([][]float32, len(logits)) // log-probabilities
	for i, row := range logits {
		if err := s.prepare(row, histories[i]); err != nil {
			return nil, nil, err
		}
		all[i] = slices.Clone(s.logprobs)
	}
	if len(all) == 0 {
		return tokens, logprobs, nil
	}
	s.flip()
	scaled := make([][]float32, len(all))
	for i := range all {
		copy(s.logprobs, all[i])
		scaled[i] = slices.Clone(s.filtered())
		s.scratch.multiply(scaled[i], scaled[i], float32(1/s.opt.Temperature))
	}
	for i, token := range gumbel(scaled, 1, s.gen.Next()) {
		tokens[i], logprobs[i] = token, all[i][token]
	}
	return tokens, logprobs, nil
}

// prepare runs the processors on a copy of logits and turns it into
// log-probabilities: logits - logsumexp(logits), float32.
func (s *Sampler) prepare(logits []float32, history []int) error {
	if len(logits) != s.vocab {
		return &LengthError{Got: len(logits), Want: s.vocab}
	}
	if len(s.processors) == 0 {
		return s.scratch.normalize(s.logprobs, logits)
	}
	copy(s.logprobs, logits)
	for _, p := range s.processors {
		if err := p(s.logprobs, history); err != nil {
			return err
		}
	}
	return s.scratch.normalize(s.logprobs, s.logprobs)
}

// normalize writes row - logsumexp(row) to y, which may be row.
func (b *blocks) normalize(y, row []float32) error {
	switch top := simd.K.Max(row); {
	case !(top <= math.MaxFloat32):
		for i, l := range row {
			if !(l <= math.MaxFloat32) {
				return &NaNError{Index: i, Value: l}
			}
		}
	case top == negInf:
		return &EmptyError{Vocab: len(row)}
	}
	b.subtract(y, row, simd.K.LogSumExp(row))
	return nil
}

// flip draws XTC's coin: a uniform of shape () with a key of its own. XTC runs
// unless u > probability, in float32.
func (s *Sampler) flip() {
	if s.opt.XTCProbability > 0 {
		w, _ := threefry.Block(s.gen.Next(), 0, 0)
		s.xtc = !(threefry.Uniform32(w) > float32(s.opt.XTCProbability))
	}
}

// filtered is s.logprobs after the filters, which is s.logprobs itself if there
// are none.
func (s *Sampler) filtered() []float32 {
	if len(s.filters) == 0 {
		return s.logprobs
	}
	copy(s.row, s.logprobs)
	for _, f := range s.filters {
		f(s.row)
	}
	return s.row
}

// draw is categorical(row * (1/temperature)) for one row.
func (s *Sampler) draw(row []float32, key threefry.Key) int {
	total := s.scratch.cumulate(row, float32(1/s.opt.Temperature), s.scratch.weight)
	w, _ := threefry.Block(key, 0, 0)
	return search(s.scratch.weight, float64(threefry.Uniform32(w))*total)
}
