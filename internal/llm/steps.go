package llm

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/compile"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// steps are a model's compiled passes, shared by its generations. The inputs are
// tokens int32 [B, L], pos int32 [B] and, for prefill, row and last int32 [B], or for
// verify, how many of the tokens count and last; the states are the cache; the result is
// float32 logits [B, V], or of verify, of one sequence, [L, V].
type steps struct {
	decode  *compile.Step
	prefill *compile.Step
	verify  *compile.Step
}

// stepSet is a model's steps by the kind of cache.
type stepSet struct {
	m    Model
	mu   sync.Mutex
	kind map[cache.Kind]*steps
}

func (s *stepSet) of(kind cache.Kind) *steps {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kind[kind] == nil {
		s.kind[kind] = newSteps(s.m, kind)
	}
	return s.kind[kind]
}

func newStepSet(m Model) *stepSet { return &stepSet{m: m, kind: map[cache.Kind]*steps{}} }

// keptCapacities is how many capacities of the cache stay compiled for decoding:
// the present and the next.
const keptCapacities = 2

func newSteps(m Model, kind cache.Kind) *steps {
	s := &steps{
		decode: compile.New("decode", func(in, state []*mlx.Array) (out, next []*mlx.Array) {
			return forward(m, kind, in[0], nil, cache.Place{Pos: in[1], Last: in[1]}, state)
		}),
		prefill: compile.New("prefill", func(in, state []*mlx.Array) (out, next []*mlx.Array) {
			at := cache.Place{Pos: in[1], Last: in[3]}
			if kind.Rotates(m.Layout()) { // what comes after a full cache is padding in it
				at.Count = in[2].Add(1)
			}
			return forward(m, kind, in[0], in[2], at, state)
		}),
		verify: compile.New("verify", func(in, state []*mlx.Array) (out, next []*mlx.Array) {
			kv, after := cache.Bind(kind, m.Layout(), state, cache.Place{Pos: in[1], Last: in[3], Count: in[2]})
			logits := m.Forward(in[0], nil, kv)
			return []*mlx.Array{logits.Reshape(in[0].Dim(1), -1).AsType(mlx.Float32)}, after()
		}),
	}
	s.decode.Limit, s.decode.Purpose, s.prefill.Purpose = keptCapacities, tensor.Cache, tensor.Cache
	s.verify.Limit, s.verify.Purpose, s.verify.Rewrite = keptCapacities, tensor.Cache, quant.RowsAlone
	return s
}

func forward(m Model, kind cache.Kind, tokens, row *mlx.Array, at cache.Place, state []*mlx.Array) (out, next []*mlx.Array) {
	kv, after := cache.Bind(kind, m.Layout(), state, at)
	logits := m.Forward(tokens, row, kv)
	return []*mlx.Array{logits.Reshape(tokens.Shape()[0], -1).AsType(mlx.Float32)}, after()
}

// session is a sequence in a model's memory, or with a batch above 1 several: it takes
// tokens and gives the logits after the last.
type session struct {
	m      *Loaded
	steps  *steps
	kv     KVOptions
	cache  *cache.Cache
	batch  int
	lens   []int // of a batch: the length of each sequence; the cache has the greatest
	eager  bool
	more   bool      // what is fed is no whole prompt: its last token is not special
	logits []float32 // [batch, V]
	table  []float32 // of verify: [length, V]

	// Replay of a program for the present capacity: decode's, or with a length above 1
	// verify's; nil before the first.
	exec   *compile.Exec
	length int           // of the program's tokens
	inputs int           // of the program
	bind   []tensor.View // inputs, states, logits
}

// newSession goes on from what c has seen.
func newSession(m *Loaded, kv KVOptions, c *cache.Cache, eager bool) *session {
	return &session{m: m, steps: m.steps.of(c.Kind()), kv: kv, cache: c, batch: 1, eager: eager, logits: make([]float32, m.Model.Info().VocabSize)}
}

// pass is how many of the next n tokens, at most chunk, run together, and the
// length that they are padded to. Lengths are 16, 64, 256 and so on up to the chunk,
// so that few programs serve all prompts; what would be mostly padding is split.
func pass(n, chunk int) (take, length int) {
	n = min(n, chunk)
	shorter := 0
	for length = 16; length < n; length *= 4 {
		shorter = length
	}
	length = min(length, chunk)
	const cheap = 64 // below, reading the weights once more costs more than padding
	if shorter == 0 || 4*n >= 3*length || length <= cheap && 2*n > length {
		return n, length
	}
	return shorter, shorter
}

// reserve makes room for n more positions, if the memory that is left allows it: a
// growing cache exists twice for a moment.
func (s *session) reserve(n int) error {
	if want := cache.CapacityFor(s.cache.Len() + n); want > s.cache.Capacity() {
		if err := s.m.checkCacheMemory(s.cache.Kind(), s.batch, want); err != nil {
			return err
		}
		s.release() // a program may hold what grows
	}
	return s.cache.Reserve(n)
}

// expect makes room for a prompt of n more tokens at once, and for one after it, since
// growing copies. A cache that rotates is soon as large as it gets, and of one that is
// to be quantized only what comes before takes memory as it is.
func (s *session) expect(n int) error {
	kind := s.cache.Kind()
	if kind.MaxSize > 0 {
		return nil
	}
	if s.kv.Bits > 0 && kind.Bits == 0 {
		n = min(n, max(s.kv.QuantizedStart-s.cache.Len(), 0)-1)
	}
	return s.reserve(n + 1)
}

// feed runs the first of tokens, which are all that are known of the sequence, at
// most chunk of them, leaves the logits after the last that ran, and says how many
// these are.
func (s *session) feed(tokens []int, chunk int) (n int, err error) {
	if err := s.quantize(len(tokens)); err != nil {
		return 0, err
	}
	if s.alone(len(tokens)) {
		if s.eager {
			return 1, s.feedEager(tokens, 1, 1)
		}
		return 1, s.step(tokens[0])
	}
	n, length := pass(s.together(len(tokens)), chunk)
	if s.eager {
		n, length = min(s.together(len(tokens)), chunk), min(s.together(len(tokens)), chunk)
	}
	if length == 1 && s.cache.Kind().Keep > 0 { // these are not alone
		length = 2
	}
	if s.eager {
		return n, s.feedEager(tokens, n, length)
	}
	return n, s.prefill(padded(tokens[:n], length), n, s.cache.Len()+len(tokens))
}

// alone reports whether the next of n tokens is a single row to the cache.
func (s *session) alone(n int) bool { return n == 1 && !s.more || s.cache.Single() > 0 }

// together is how many of the next n tokens may run together. In a cache that keeps
// the first positions the last token of a prompt is a single row, as in mlx-lm, so that
// the text does not depend on how the prompt was cut.
func (s *session) together(n int) int {
	if s.cache.Kind().Keep > 0 && !s.more {
		n--
	}
	if s.kv.Bits > 0 && s.cache.Kind().Bits == 0 {
		n = min(n, s.kv.QuantizedStart-s.cache.Len())
	}
	return n
}

// quantize packs the cache when it has the positions that are to stay as they are, and
// makes room for n more.
func (s *session) quantize(n int) error {
	if s.kv.Bits == 0 || s.cache.Kind().Bits > 0 || s.cache.Len() < s.kv.QuantizedStart {
		return nil
	}
	s.release()
	if err := s.cache.Quantize(s.kv.Bits, s.kv.GroupSize); err != nil {
		return err
	}
	s.steps = s.m.steps.of(s.cache.Kind())
	return s.expect(n)
}

// feedEager runs the first n of tokens, padded to a length.
func (s *session) feedEager(tokens []int, n, length int) error {
	var count *mlx.Array
	if length > n {
		count = mlx.FromSlice([]int32{int32(n)})
	}
	logits, err := s.forwardEager(padded(tokens[:n], length), n, mlx.FromSlice([]int32{int32(n - 1)}), count, s.cache.Len()+len(tokens))
	if err == nil {
		mlx.CopyTo(s.logits, logits)
	}
	return err
}

// padded is tokens as int32, with zeros up to length.
func padded(tokens []int, length int) []int32 {
	ids := make([]int32, length)
	for i, t := range tokens {
		ids[i] = int32(t)
	}
	return ids
}

// prefill runs ids, of which n count, by the program of their length.
func (s *session) prefill(ids []int32, n, known int) error {
	s.release()
	if err := s.reserve(len(ids)); err != nil {
		return err
	}
	in := []*mlx.Array{
		mlx.FromSlice(ids, 1, len(ids)),
		mlx.FromSlice([]int32{int32(s.cache.Len())}),
		mlx.FromSlice([]int32{int32(n - 1)}),
		mlx.FromSlice([]int32{int32(known - 1)}),
	}
	out, state, err := s.steps.prefill.Call(in, s.cache.Arrays())
	if err != nil {
		return err
	}
	s.cache.SetArrays(state)
	s.cache.Advance(n)
	mlx.CopyTo(s.logits, out[0])
	return nil
}

// forwardEager builds and runs a graph for this pass alone and gives its float32
// logits: of all ids, or with row of this one. The first n ids count (count as an
// array, nil for all), and known is how many tokens the sequence has, later ones
// included.
func (s *session) forwardEager(ids []int32, n int, row, count *mlx.Array, known int) (logits *mlx.Array, err error) {
	s.release()
	if err := s.reserve(len(ids)); err != nil {
		return nil, err
	}
	var next []*mlx.Array
	err = mlx.Try(func() {
		kv, after := s.cache.LayersOf(known, count)
		logits = s.m.Model.Forward(mlx.FromSlice(ids, 1, len(ids)), row, kv).AsType(mlx.Float32)
		next = after()
	})
	if err == nil {
		err = mlx.Eval(logits, next)
	}
	if err != nil {
		return nil, err
	}
	s.cache.SetArrays(next)
	s.cache.Advance(n)
	return logits, nil
}

// step replays the decode program with one token for each sequence: two small host
// writes, one run, one read, no allocation.
func (s *session) step(tokens ...int) error {
	if err := s.prepare(1); err != nil {
		return err
	}
	s.write(tokens)
	if err := s.replay(s.logits); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	s.cache.Advance(1)
	for i := range s.lens {
		s.lens[i]++
	}
	return nil
}

// replay runs the bound program and copies its logits.
func (s *session) replay(logits []float32) error {
	event, err := s.exec.Run(s.bind)
	if err == nil {
		err = event.Wait()
	}
	if err != nil {
		return err
	}
	tensor.CopyView(logits, &s.bind[len(s.bind)-1])
	runtime.KeepAlive(s.bind)
	return nil
}

// input is the memory of an input of the bound program.
func (s *session) input(i int) []int32 {
	return unsafe.Slice((*int32)(s.bind[i].Ptr()), s.bind[i].Shape.Size())
}

// write puts the tokens and their position where the program reads them.
func (s *session) write(tokens []int) {
	ids, positions := s.input(0), s.input(1)
	for i, token := range tokens {
		ids[i], positions[i] = int32(token), int32(s.cache.Len())
		if s.lens != nil {
			positions[i] = int32(s.lens[i])
		}
	}
}

// prepare binds the program of so many tokens, decode's for 1, in the capacity that they
// need, unless it is bound; the cache's memory becomes the program's states.
func (s *session) prepare(length int) error {
	if s.exec != nil && s.length == length && s.cache.Len()+length <= s.cache.Capacity() {
		return nil
	}
	s.release()
	if err := s.reserve(length); err != nil {
		return err
	}
	one := tensor.Spec{Shape: tensor.Shape{s.batch}, DType: mlx.Int32}
	in := []tensor.Spec{{Shape: tensor.Shape{s.batch, length}, DType: mlx.Int32}, one}
	program := s.steps.decode
	if length > 1 {
		in, program = append(in, one, one), s.steps.verify
	}
	var state []tensor.Spec
	for _, a := range s.cache.Arrays() {
		state = append(state, tensor.SpecOf(a))
	}
	exec, err := program.For(in, state)
	if err != nil {
		return err
	}
	var bind []tensor.View
	add := func(v tensor.View, e error) {
		bind = append(bind, v)
		err = errors.Join(err, e)
	}
	for _, spec := range in {
		add(tensor.NewView(spec, tensor.Other))
	}
	for _, a := range s.cache.Arrays() {
		add(tensor.Own(a, tensor.Cache))
	}
	add(tensor.NewView(exec.Plan.Out[0], tensor.Other))
	if err != nil {
		return err
	}
	s.exec, s.bind, s.length, s.inputs = exec, bind, length, len(in)
	return nil
}

// release gives the states of a bound program back to the cache as arrays.
func (s *session) release() {
	if s.exec == nil {
		return
	}
	arrays := make([]*mlx.Array, 0, len(s.bind)-s.inputs-1)
	for _, v := range s.bind[s.inputs : len(s.bind)-1] {
		arrays = append(arrays, tensor.FromView(v))
	}
	s.cache.SetArrays(arrays)
	s.exec, s.bind = nil, nil
}

// logitsChunk bounds the tokens of one pass of Logits.
const logitsChunk = 256

func (m *Loaded) logits(tokens []int) (*mlx.Array, error) {
	if err := m.checkTokens(tokens); err != nil {
		return nil, err
	}
	s := newSession(m, KVOptions{}, cache.New(m.Model.Layout(), 1, m.DType), true)
	vocab := m.Model.Info().VocabSize
	if err := fits(fmt.Sprintf("a table of %d x %d logits", len(tokens), vocab), 8*int64(len(tokens))*int64(vocab)); err != nil {
		return nil, err
	}
	all := make([]float32, 0, len(tokens)*vocab)
	for at := 0; at < len(tokens); at += logitsChunk {
		part := tokens[at:min(at+logitsChunk, len(tokens))]
		logits, err := s.forwardEager(padded(part, len(part)), len(part), nil, nil, len(tokens))
		if err != nil {
			return nil, err
		}
		all = append(all, mlx.ToSlice[float32](logits)...)
	}
	for i, x := range all {
		if math.IsNaN(float64(x)) {
			return nil, fmt.Errorf("logits: NaN at position %d, token %d: the model's weights or the computing type are at fault", i/vocab, i%vocab)
		}
	}
	return mlx.FromSlice(all, len(tokens), vocab), nil
}

// checkTokens refuses ids that are not in the vocabulary, and more of them than
// the model's context holds.
func (m *Loaded) checkTokens(tokens []int) error {
	info := m.Model.Info()
	if len(tokens) == 0 {
		return errors.New("there are no tokens: the prompt is empty")
	}
	for i, t := range tokens {
		if t < 0 || t >= info.VocabSize {
			return fmt.Errorf("token %d (position %d) is not in the vocabulary of %d", t, i, info.VocabSize)
		}
	}
	if n := info.MaxContext; n > 0 && len(tokens) > n {
		return fmt.Errorf("%d tokens are more than the model's context of %d", len(tokens), n)
	}
	return nil
}
