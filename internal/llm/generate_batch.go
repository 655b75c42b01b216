package llm

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/mlxgo/mlx"
)

// BatchResult is a generation that ended, or that was cut off when ctx ended.
type BatchResult struct {
	Index      int // of the prompt
	Tokens     []Token
	Statistics Statistics
}

// GenerateBatch continues prompts, each as Generate does with o, but size of them take
// their steps together; the next prompt joins when one has ended. Results come in the
// order of their ends. A prompt runs by itself as in Generate; the steps of several
// rows may round otherwise than those of one, so that a token whose rival is as likely
// can come out differently. With size 1 all bits are those of Generate.
//
// There is no draft model. The cache of all may rotate; if it is quantized, then with QuantizedStart 0.
//
// A prompt that cannot run is an error before the first result. When ctx ends, those
// that run end with FinishCancelled, and those that did not begin have no result. The
// sequence can be ranged over once.
func GenerateBatch(ctx context.Context, m *Loaded, prompts [][]int, o Options, size int) (iter.Seq2[BatchResult, error], error) {
	if size < 1 {
		return nil, fmt.Errorf("a batch of %d sequences", size)
	}
	if o.Draft != nil {
		return nil, errors.New("a draft model guesses for one sequence, not for a batch")
	}
	kv, err := o.KV.resolve(m.Model.Layout())
	if err != nil {
		return nil, err
	}
	if kv.Bits > 0 && kv.QuantizedStart > 0 {
		return nil, errLateQuantization
	}
	b := &batchRun{ctx: ctx, m: m, kv: kv}
	for i, prompt := range prompts {
		g, err := newGeneration(m, prompt, o, nil)
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i+1, err)
		}
		b.waiting = append(b.waiting, g)
	}
	return func(yield func(BatchResult, error) bool) {
		b.yield = yield
		if err := b.run(min(size, len(prompts))); err != nil {
			yield(BatchResult{Index: -1}, err)
		}
	}, nil
}

// batchRun is a GenerateBatch at work.
type batchRun struct {
	ctx     context.Context
	m       *Loaded
	kv      KVOptions
	waiting []*Generation
	begun   int
	yield   func(BatchResult, error) bool
	stopped bool // by a false yield

	prefill *Sequence // where prompts run, one after the other
	batch   *Batch
	rows    []*batchRow // nil: idle
}

// batchRow is one of the generations that run.
type batchRow struct {
	*runner
	index  int
	tokens []Token
	joined bool // the batch
}

func (b *batchRun) run(size int) error {
	if size == 0 {
		return nil
	}
	mlx.ResetPeakMemory()
	var err error
	if b.batch, err = b.m.newBatch(size, b.kv); err != nil {
		return err
	}
	if b.prefill, err = b.m.NewSequenceOf(b.kv); err != nil {
		return err
	}
	b.rows = make([]*batchRow, size)
	for {
		busy, err := b.fill()
		if err != nil || !busy || b.stopped {
			return err
		}
		if b.ctx.Err() != nil {
			b.cancel()
			return nil
		}
		if err := b.step(); err != nil || b.stopped {
			return err
		}
	}
}

// fill gives idle rows the next prompts and says whether any row is busy.
func (b *batchRun) fill() (busy bool, err error) {
	for i := range b.rows {
		for b.rows[i] == nil && b.begun < len(b.waiting) && b.ctx.Err() == nil && !b.stopped {
			if err := b.begin(i); err != nil {
				return false, err
			}
		}
		busy = busy || b.rows[i] != nil
	}
	return busy, nil
}

// begin runs the next prompt to its first token and puts it into row i, if that was not
// its last.
func (b *batchRun) begin(i int) error {
	row := &batchRow{index: b.begun}
	b.begun++
	b.prefill.rewind(nil) // nothing is reused: prefixes would change the rounding
	row.runner = b.waiting[row.index].runner(b.ctx, b.prefill, func(t Token, _ error) bool {
		row.tokens = append(row.tokens, t) // the end of a prompt that was cut off
		return true
	})
	if done, err := row.runner.prefill(); done || err != nil {
		if err == nil {
			b.emit(row)
		}
		return err
	}
	if done, err := row.take(b.prefill.s.logits); done || err != nil {
		if err == nil {
			b.emit(row)
		}
		return err
	}
	b.rows[i], row.joined = row, true
	return b.batch.join(i, b.prefill.s)
}

// take chooses the next token and says whether it is the last.
func (r *batchRow) take(logits []float32) (done bool, err error) {
	token, err := r.next(logits)
	if err != nil {
		return false, fmt.Errorf("prompt %d: %w", r.index+1, err)
	}
	r.tokens = append(r.tokens, token)
	return token.Finish != "", nil
}

// step runs one token of each busy row.
func (b *batchRun) step() error {
	last := make([]int, len(b.rows))
	for i, row := range b.rows {
		if row != nil {
			last[i] = row.tokens[len(row.tokens)-1].ID
		} else {
			b.batch.setLen(i, 0) // an idle row computes something that nobody reads
		}
	}
	logits, err := b.batch.Step(last)
	if err != nil {
		return err
	}
	for i, row := range b.rows {
		if row == nil {
			continue
		}
		done, err := row.take(logits[i])
		if err != nil {
			return err
		}
		if done {
			b.rows[i] = nil
			b.emit(row)
		}
	}
	return nil
}

// cancel ends all that runs.
func (b *batchRun) cancel() {
	for _, row := range b.rows {
		if row != nil {
			row.tokens = append(row.tokens, row.last(FinishCancelled))
			b.emit(row)
		}
	}
}

func (b *batchRun) emit(row *batchRow) {
	if row.joined {
		row.stats.CacheMemory, row.stats.CacheSaved = b.batch.bytes()
	} else {
		row.stats.CacheMemory, row.stats.CacheSaved = b.prefill.Bytes()
	}
	if !b.stopped {
		b.stopped = !b.yield(BatchResult{row.index, row.tokens, row.stats}, nil)
	}
}
