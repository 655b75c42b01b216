package llm

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Batch is sequences in a model's memory that take their tokens together: a step is one
// compiled pass of the model over int32 [n, 1], with a position for each row, and reads
// the weights once. Sequences begin together and empty; GenerateBatch lets them join and
// leave.
type Batch struct{ s *session }

// NewBatch makes a Batch of n empty sequences. It has programs and a cache of its
// own; the error says that there is no memory for them, or that n is not above 0.
func (m *Loaded) NewBatch(n int) (*Batch, error) { return m.newBatch(n, KVOptions{}) }

// newBatch is NewBatch with a cache as kv says, which are resolved options. All rows are
// stored alike, so that it must be quantized from the beginning or not at all.
func (m *Loaded) newBatch(n int, kv KVOptions) (*Batch, error) {
	if n < 1 {
		return nil, fmt.Errorf("a batch of %d sequences", n)
	}
	if kv.Bits > 0 && kv.QuantizedStart > 0 {
		return nil, errLateQuantization
	}
	kind := kv.kind()
	if err := m.checkCacheMemory(kind, n, cache.CapacityFor(1)); err != nil {
		return nil, err
	}
	s := newSession(m, kv, cache.NewOf(kind, m.Model.Layout(), n, m.DType), false)
	s.steps, s.batch = newSteps(m.Model, kind), n
	s.logits, s.lens = make([]float32, n*m.Model.Info().VocabSize), make([]int, n)
	return &Batch{s}, nil
}

var errLateQuantization = errors.New("sequences of a batch are quantized from their first position or not at all")

// Len is the tokens that the longest sequence has.
func (b *Batch) Len() int { return b.s.cache.Len() }

// Reset makes the sequences empty; memory and programs stay.
func (b *Batch) Reset() {
	clear(b.s.lens)
	b.s.cache.Reset()
}

// setLen gives a sequence another length.
func (b *Batch) setLen(row, n int) {
	b.s.lens[row] = n
	b.s.cache.SetLen(slices.Max(b.s.lens))
}

// bytes is [Sequence.Bytes] for each of the sequences.
func (b *Batch) bytes() (n, saved int64) {
	n, plain := b.s.cache.Bytes()
	return n / int64(b.s.batch), (plain - n) / int64(b.s.batch)
}

// join copies a sequence of its own, whose cache is of the same kind, into a row.
func (b *Batch) join(row int, q *session) error {
	// Both have the same capacity after this.
	want := max(b.s.cache.Capacity(), q.cache.Capacity())
	for _, s := range []*session{b.s, q} {
		s.release()
		if err := s.reserve(max(want-s.cache.Len(), 0)); err != nil {
			return err
		}
	}
	arrays := slices.Clone(b.s.cache.Arrays())
	for i, src := range q.cache.Arrays() {
		v, err := tensor.Own(arrays[i], tensor.Cache)
		if err != nil {
			return err
		}
		data := src.Bytes()
		copy(unsafe.Slice((*byte)(v.Ptr()), len(data)*b.s.batch)[row*len(data):], data)
		arrays[i] = tensor.FromView(v)
	}
	b.s.cache.SetArrays(arrays)
	b.setLen(row, q.cache.Len())
	return nil
}

// Step gives one token to each sequence and returns the float32 logits [V] after it
// for each; they are valid until the next step.
func (b *Batch) Step(tokens []int) ([][]float32, error) {
	info := b.s.m.Model.Info()
	if len(tokens) != b.s.batch {
		return nil, fmt.Errorf("%d tokens for a batch of %d sequences", len(tokens), b.s.batch)
	}
	for i, t := range tokens {
		if t < 0 || t >= info.VocabSize {
			return nil, fmt.Errorf("token %d (sequence %d) is not in the vocabulary of %d", t, i, info.VocabSize)
		}
	}
	if n := info.MaxContext; n > 0 && b.Len() >= n {
		return nil, fmt.Errorf("the model's context of %d tokens is full", n)
	}
	if err := b.s.step(tokens...); err != nil {
		return nil, err
	}
	rows := make([][]float32, len(tokens))
	for i := range rows {
		rows[i] = b.s.logits[i*info.VocabSize : (i+1)*info.VocabSize]
	}
	return rows, nil
}

// Dispatch does a step without its kernels: the inputs are written, the program is
// entered, its chunks are claimed and its barriers passed. It measures what a step
// costs beside its kernels, and says how many of these and of barriers there are; ok
// is false where the backend cannot. The sequences stay as they are.
func (b *Batch) Dispatch() (kernels, barriers int, ok bool, err error) {
	s := b.s
	if err := s.prepare(1); err != nil {
		return 0, 0, false, err
	}
	s.write(make([]int, s.batch))
	return s.exec.Dispatch()
}
