//go:build linux && metalemu

package metal_test

import (
	"bytes"
	"encoding/binary"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/compile"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/metal/emu"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// The scheduler's barriers are what keeps results right: without one of them the emulator,
// which runs what no barrier separates in an order by its seed, gives others.

// A mutant is a queue of the emulator's that leaves one barrier out.
type mutant struct {
	gpu.Queue
	dev  gpu.Device
	gate gpu.Event // what the first commands wait for, until it is opened
	shut bool
	drop int       // number of the barrier
	all  []barrier // so far
	last string    // kernel
}

// A barrier is between two kernels.
type barrier struct {
	after, before string
	starts        bool // it is before the first kernel of a batch
}

func (m *mutant) Encode(cmds []gpu.Cmd) error {
	var kept []gpu.Cmd
	if m.shut {
		m.shut = false
		kept = append(kept, gpu.Cmd{Op: gpu.Wait, Event: m.gate, Value: m.gate.Value() + 1})
	}
	starts := true
	for _, c := range cmds {
		switch c.Op {
		case gpu.Barrier:
			m.all = append(m.all, barrier{after: m.last, starts: starts})
			if len(m.all)-1 == m.drop {
				continue
			}
		case gpu.Run:
			starts, m.last = false, c.Kernel.Name()
			if n := len(m.all); n > 0 && m.all[n-1].before == "" {
				m.all[n-1].before = m.last
			}
		}
		kept = append(kept, c)
	}
	return m.Queue.Encode(kept)
}

// count starts to count again.
func (m *mutant) count(drop int) { m.drop, m.all, m.last = drop, nil, "" }

// open lets everything run that was encoded since shut was set. So the emulator has all of
// it but the first batch when it begins, whatever the threads' timing.
func (m *mutant) open() { m.gate.Set(m.gate.Value() + 1) }

// onMutant makes a stream over a mutant the GPU's default until the test ends.
func onMutant(t *testing.T, o emu.Options) *mutant {
	t.Helper()
	m := &mutant{drop: wholeQueue}
	s := metal.NewStreamOn(func() (gpu.Queue, error) {
		var err error
		if m.dev, err = emu.OpenWith(o); err != nil {
			return nil, err
		}
		if m.gate, err = m.dev.NewEvent(); err != nil {
			return nil, err
		}
		m.Queue, err = m.dev.NewQueue()
		return m, err
	})
	old := tensor.DefaultStream(s.Device)
	tensor.SetDefaultStream(s)
	t.Cleanup(func() { tensor.SetDefaultStream(old) })
	return m
}

// A decoder is the compiled decode step of a model.
type decoder struct {
	exec  *compile.Exec
	in    []tensor.Spec
	state []tensor.Spec
}

// A sequence is memory for some steps of a decoder from position 3 on, where every
// part of attention counts.
type sequence struct {
	d     *decoder
	state []tensor.View
	in    [][]tensor.View // of each step
	out   []tensor.View
}

const steps, start = 3, 3

func newDecoder(t *testing.T, m *llm.Loaded) *decoder {
	t.Helper()
	step := compile.New("decode", func(in, state []*mlx.Array) (out, next []*mlx.Array) {
		kv, after := cache.Bind(cache.Kind{}, m.Model.Layout(), state, cache.Place{Pos: in[1], Last: in[1]})
		logits := m.Model.Forward(in[0], nil, kv)
		return []*mlx.Array{logits.Reshape(1, -1).AsType(mlx.Float32)}, after()
	})
	c := cache.New(m.Model.Layout(), 1, m.DType)
	if err := c.Reserve(start + steps); err != nil {
		t.Fatal(err)
	}
	d := &decoder{in: []tensor.Spec{{Shape: tensor.Shape{1, 1}, DType: mlx.Int32}, {Shape: tensor.Shape{1}, DType: mlx.Int32}}}
	for _, a := range c.Arrays() {
		d.state = append(d.state, tensor.SpecOf(a))
	}
	var err error
	if d.exec, err = step.For(d.in, d.state); err != nil {
		t.Fatal(err)
	}
	return d
}

// sequence is one of these tokens, in which the cache has numbers of a kind at the start.
func (d *decoder) sequence(t *testing.T, kind byte, tokens [steps]int32) *sequence {
	t.Helper()
	s := &sequence{d: d, state: newViews(t, d.state)}
	for _, v := range s.state {
		for i, b := 0, v.HostBytes(); i+1 < len(b); i += 2 {
			b[i], b[i+1] = byte(i)*kind, 0x3e // bfloat16 from 0.125 to 0.25
		}
	}
	for i, token := range tokens {
		in := newViews(t, d.in)
		binary.LittleEndian.PutUint32(in[0].HostBytes(), uint32(token))
		binary.LittleEndian.PutUint32(in[1].HostBytes(), uint32(start+i))
		s.in, s.out = append(s.in, in), append(s.out, newViews(t, d.exec.Plan.Out)...)
	}
	return s
}

func newViews(t *testing.T, specs []tensor.Spec) (l []tensor.View) {
	t.Helper()
	for _, s := range specs {
		v, err := tensor.NewView(s, tensor.Other)
		if err != nil {
			t.Fatal(err)
		}
		clear(v.HostBytes())
		l = append(l, v)
	}
	return l
}

// start begins all steps; none waits for the one before it to end.
func (s *sequence) start() (last tensor.Event, err error) {
	for i := range s.in {
		if last, err = s.d.exec.Run(slices.Concat(s.in[i], s.state, s.out[i:i+1])); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// result is the bytes of the cache and of the logits.
func (s *sequence) result() (b []byte) {
	for _, v := range append(slices.Clone(s.state), s.out...) {
		b = append(b, v.HostBytes()...)
	}
	return b
}

// Each barrier of a model's decode steps is needed, and the emulator shows it: steps that
// follow each other at once give other bits, or an error, when one is left out.
func TestEachBarrierOfDecode(t *testing.T) {
	dir := t.TempDir()
	llmtest.WriteShards(t, dir, llmtest.Tiny("llama").With(llmtest.Config{"torch_dtype": "bfloat16", "num_hidden_layers": 1,
		"quantization": llmtest.Config{"bits": 4, "group_size": 32}}), 3, 1<<30)
	m, err := llm.Load(dir, llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	var d *decoder
	eachBarrier(t, true, func(q *mutant, drop int) ([]byte, error) {
		if drop == wholeQueue {
			d = newDecoder(t, m)
		}
		before, s := d.sequence(t, 3, [steps]int32{15, 92, 65}), d.sequence(t, 1, [steps]int32{3, 1, 4})
		q.shut = true
		q.count(wholeQueue)
		if _, err := before.start(); err != nil { // leaves other numbers everywhere
			t.Fatal(err)
		}
		q.count(drop)
		last, err := s.start()
		if err != nil {
			t.Fatal(err)
		}
		q.open()
		err = last.Wait()
		return append(before.result(), s.result()...), err
	})
}

// wholeQueue leaves no barrier out.
const wholeQueue = -1

// eachBarrier leaves out one barrier after the other of what trial runs, and asks for other
// bits under one seed at least. In front of the first kernel of a batch a barrier is
// needed only if it meets what is left of the batch before; strict asks for it even so.
func eachBarrier(t *testing.T, strict bool, trial func(q *mutant, drop int) ([]byte, error)) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const seeds = 20 // half as many are enough
	var want []byte
	var all []barrier
	unseen := map[int]bool{}
	for seed := uint64(0); seed < seeds && (seed == 0 || len(unseen) > 0); seed++ {
		q := onMutant(t, emu.Options{Seed: seed})
		try := func(drop int) ([]byte, error) {
			for range 20 {
				got, err := trial(q, drop)
				// What the collector gave back in between may be used again, and need other barriers.
				if all == nil || slices.Equal(all, q.all) || drop == wholeQueue && !bytes.Equal(got, want) {
					return got, err
				}
			}
			t.Fatalf("seed %d: barriers change from run to run: %v and %v", seed, all, q.all)
			return nil, nil
		}
		got, err := try(wholeQueue)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, all = got, q.all
			for i, b := range all {
				if strict || !b.starts {
					unseen[i] = true
				}
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d, nothing left out: other bits", seed)
		}
		for i := range all {
			if !unseen[i] {
				continue
			}
			if got, err := try(i); err != nil || !bytes.Equal(got, want) {
				delete(unseen, i)
			}
		}
		t.Logf("seed %d: %d of %d barriers make no difference so far", seed, len(unseen), len(all))
	}
	for i, b := range all {
		if unseen[i] {
			t.Errorf("barrier %d can be left out: between %s and %s", i, b.after, b.before)
		}
	}
}

// graphs are of the kinds that need barriers, with numbers by first.
func graphs() map[string]func(first int) mlx.Arrays {
	const n = 40000 // sums of them take two kernels and scratch memory
	ramp := func(n, first int) *mlx.Array {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((i + first) % 97)
		}
		return mlx.NewArray(v)
	}
	twice := mlx.Compile(func(x *mlx.Array) *mlx.Array { return mlx.Multiply(mlx.Add(x, mlx.Sum(x)), 0.5) })
	return map[string]func(first int) mlx.Arrays{
		"a chain": func(first int) mlx.Arrays {
			x := ramp(100, first)
			return mlx.Arrays{mlx.Sum(mlx.Add(x, 1)), mlx.CumSum(mlx.MatMul(x.Reshape(10, 10), x.Reshape(10, 10)), mlx.Axis(0))}
		},
		"a cache that is read between two writes in place": func(first int) mlx.Arrays {
			state := mlx.Add(ramp(8*16, first).Reshape(1, 1, 8, 16), 1)
			var read mlx.Arrays
			for i := range 3 {
				rows := ramp(16, first+i+40).Reshape(1, 1, 1, 16)
				state = tensor.Apply1(fast.CacheWrite{}, tensor.Stream{}, state.Donate(), rows, tensor.FromSlice([]int32{int32(i)}, 1))
				read = append(read, mlx.Square(state)) // between two writes nothing but the read
			}
			return append(read, state)
		},
		"scratch memory": func(first int) (sums mlx.Arrays) {
			for i := range 4 {
				sums = append(sums, mlx.Sum(ramp(n, first+i)))
			}
			return sums
		},
		"a program after itself": func(first int) mlx.Arrays {
			x := ramp(n, first)
			for range 3 {
				x = twice(x)
			}
			return mlx.Arrays{x}
		},
	}
}

// Without any barriers graphs give other numbers.
func TestNoBarriers(t *testing.T) {
	for name, graph := range graphs() {
		t.Run(name, func(t *testing.T) {
			want := bitsOn(t, emu.Options{}, graph)
			found := 0
			const seeds = 8
			for seed := range uint64(seeds) {
				if got := bitsOn(t, emu.Options{Seed: seed}, graph); !bytes.Equal(got, want) {
					t.Errorf("seed %d: other bits", seed)
				}
				if got := bitsOn(t, emu.Options{Seed: seed, IgnoreBarriers: true}, graph); !bytes.Equal(got, want) {
					found++
				}
			}
			t.Logf("%d of %d seeds show that there are no barriers", found, seeds)
			if found == 0 {
				t.Error("nothing shows that there are no barriers")
			}
		})
	}
}

// bitsOn are the bits of a graph's results on such a device, after it ran with other
// numbers, which it leaves in memory.
func bitsOn(t *testing.T, o emu.Options, graph func(first int) mlx.Arrays) (b []byte) {
	t.Helper()
	onMutant(t, o)
	for _, first := range []int{31, 0} {
		var err error
		if b, err = bitsOf(graph(first)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func bitsOf(arrays mlx.Arrays) (b []byte, err error) {
	err = mlx.Try(func() {
		if err := mlx.Eval(arrays); err != nil {
			panic(err)
		}
		for _, a := range arrays {
			b = append(b, a.Bytes()...)
		}
	})
	return b, err
}

// Each barrier of graphs that are evaluated op by op is needed, but at the start of a batch.
func TestEachBarrierOfGraphs(t *testing.T) {
	for name, graph := range graphs() {
		t.Run(name, func(t *testing.T) {
			eachBarrier(t, false, func(q *mutant, drop int) ([]byte, error) {
				if drop == wholeQueue { // what is compiled waits for its constants
					if _, err := bitsOf(graph(0)); err != nil {
						t.Fatal(err)
					}
				}
				q.shut = true
				q.count(wholeQueue)
				before := graph(31)
				if err := mlx.AsyncEval(before); err != nil {
					t.Fatal(err)
				}
				q.count(drop)
				out := graph(0)
				if err := mlx.AsyncEval(out); err != nil {
					t.Fatal(err)
				}
				q.open()
				return bitsOf(append(before, out...))
			})
		})
	}
}
