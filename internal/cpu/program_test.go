package cpu

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

// A planner builds plans by hand: every step has its own range of the arena.
type planner struct{ p *tensor.Plan }

func (b *planner) slot(s tensor.Spec) tensor.Slot {
	x := tensor.Slot{Spec: s, Strides: packedStrides(s.Shape, ascending(len(s.Shape))), Offset: b.p.Arena}
	b.p.Arena += (s.Bytes() + 63) &^ 63
	return x
}

// step adds p on slots; the results are arena slots.
func (b *planner) step(t testing.TB, p tensor.Primitive, in ...tensor.Slot) tensor.Slot {
	t.Helper()
	specs := make([]tensor.Spec, len(in))
	for i := range in {
		specs[i] = in[i].Spec
	}
	out, err := p.Infer(specs)
	if err != nil {
		t.Fatal(err)
	}
	st := tensor.Step{Prim: p, In: in}
	for _, s := range out {
		st.Out = append(st.Out, b.slot(s))
	}
	b.p.Steps = append(b.p.Steps, st)
	return st.Out[0]
}

func (b *planner) bound(kind tensor.SlotKind, list *[]tensor.Spec, s tensor.Spec) tensor.Slot {
	*list = append(*list, s)
	x := tensor.Slot{Spec: s, Strides: packedStrides(s.Shape, ascending(len(s.Shape))), Kind: kind, Index: len(*list) - 1}
	return x
}

func (b *planner) constant(t testing.TB, a *tensor.Array) tensor.Slot {
	v := viewOf(t, a)
	tensor.Retain(v)
	b.p.Const, b.p.Keep = append(b.p.Const, v), append(b.p.Keep, a)
	return tensor.Slot{Spec: v.Spec, Strides: v.Strides, Kind: tensor.SlotConst, Index: len(b.p.Const) - 1}
}

func transposedSlot(s tensor.Slot) tensor.Slot {
	s.Shape, s.Strides = tensor.Shape{s.Shape[1], s.Shape[0]}, []int{s.Strides[1], s.Strides[0]}
	return s
}

func spec(d dtype.DType, s ...int) tensor.Spec { return tensor.Spec{Shape: s, DType: d} }

// A decoder is one layer: norm, projections, rope, cache, attention, a gated
// product on packed weights and a draw, eager and as a plan.
type decoder struct {
	w, norm     *tensor.Array
	q           []*tensor.Array
	scheme      quant.Scheme
	x, pos, key *tensor.Array
	cache       *tensor.Array
}

const (
	width    = 256
	heads    = 4
	capacity = 32
)

func newDecoder() *decoder {
	rng := newRand(30)
	d := &decoder{scheme: quant.Scheme{GroupSize: 64, Bits: 4, Mode: quant.Affine}}
	d.w, _ = normalArray(rng, dtype.BFloat16, width, width)
	d.norm, _ = normalArray(rng, dtype.BFloat16, width)
	big, _ := normalArray(rng, dtype.Float32, 1024, width)
	d.q = quant.QuantizeOf(big, d.scheme, none)
	d.x, _ = normalArray(rng, dtype.Float32, 1, 3, width)
	d.cache, _ = normalArray(rng, dtype.Float16, 1, heads, capacity, width/heads)
	d.pos = tensor.FromSlice([]int32{7})
	d.key = tensor.FromSlice([]uint32{1, 2})
	return d
}

// prims are the steps with more than one use.
var (
	normStep = fast.RMSNorm{Eps: tensor.MakeF64(1e-5)}
	ropeStep = fast.RoPE{Dims: width / heads, Base: tensor.MakeF64(10000), Scale: tensor.MakeF64(1)}
	attStep  = fast.Attention{Scale: tensor.MakeF64(.125), Causal: true, Pos: true}
	split    = tensor.Reshape{Shape: tensor.MakeInts(1, 3, heads, width/heads)}
	flat     = tensor.Reshape{Shape: tensor.MakeInts(3, width)}
	up       = tensor.Transpose{Perm: tensor.MakeInts(0, 2, 1, 3)}
)

// eager gives the result, the new cache and the draw.
func (d *decoder) eager() []*tensor.Array {
	one := func(p tensor.Primitive, in ...*tensor.Array) *tensor.Array { return tensor.Apply1(p, none, in...) }
	h := one(flat, one(normStep, d.x, d.norm))
	y := one(tensor.MatMul{}, h, tensor.SwapAxes(d.w, 0, 1, none))
	r := one(ropeStep, one(up, one(split, y)), d.pos)
	cache := one(fast.CacheWrite{}, d.cache, one(tensor.Cast{To: dtype.Float16}, r), d.pos)
	a := one(flat, one(up, one(attStep, r, cache, cache, d.pos)))
	g := one(quant.MatMul{Scheme: d.scheme, Transpose: true}, a, d.q[0], d.q[1], d.q[2])
	s := one(tensor.SwiGLU{}, g, g)
	p := one(tensor.Softmax{}, s)
	bits := one(random.Bits{Shape: tensor.MakeInts(3), Width: 4}, d.key)
	u := one(tensor.Binary{Op: tensor.OpMultiply}, one(tensor.Cast{To: dtype.Float32}, bits), tensor.BroadcastTo(tensor.FloatScalar(0x1p-32, dtype.Float32, none), tensor.Shape{3}, none))
	return []*tensor.Array{one(tensor.Reduce{Op: tensor.OpSum, Axes: 3}, p), cache, one(random.InverseCDF{}, s, u)}
}

// plan is eager with the cache as a state; inputs are x, pos and key.
func (d *decoder) plan(t testing.TB) *tensor.Plan {
	b := &planner{p: &tensor.Plan{Stream: tensor.DefaultStream(device)}}
	p := b.p
	x := b.bound(tensor.SlotIn, &p.In, tensor.SpecOf(d.x))
	pos := b.bound(tensor.SlotIn, &p.In, tensor.SpecOf(d.pos))
	key := b.bound(tensor.SlotIn, &p.In, tensor.SpecOf(d.key))
	cache := b.bound(tensor.SlotState, &p.State, tensor.SpecOf(d.cache))
	sum := b.bound(tensor.SlotOut, &p.Out, spec(dtype.Float32, 1, 1))
	draw := b.bound(tensor.SlotOut, &p.Out, spec(dtype.Uint32, 3))
	n := b.step(t, normStep, x, b.constant(t, d.norm))
	h := b.step(t, tensor.Reshape{Shape: tensor.MakeInts(3, width)}, n)
	y := b.step(t, tensor.MatMul{}, h, transposedSlot(b.constant(t, d.w)))
	view := y // [1, 4, 3, 64] of [3, 256]
	view.Shape, view.Strides = tensor.Shape{1, heads, 3, width / heads}, []int{0, width / heads, width, 1}
	r := b.step(t, ropeStep, view, pos)
	p.Steps = append(p.Steps, tensor.Step{Prim: fast.CacheWrite{}, In: []tensor.Slot{cache, b.step(t, tensor.Cast{To: dtype.Float16}, r), pos}, Out: []tensor.Slot{cache}})
	a := b.step(t, flat, b.step(t, up, b.step(t, attStep, r, cache, cache, pos)))
	g := b.step(t, quant.MatMul{Scheme: d.scheme, Transpose: true}, a, b.constant(t, d.q[0]), b.constant(t, d.q[1]), b.constant(t, d.q[2]))
	s := b.step(t, tensor.SwiGLU{}, g, g)
	soft := b.step(t, tensor.Softmax{}, s)
	p.Steps = append(p.Steps, tensor.Step{Prim: tensor.Reduce{Op: tensor.OpSum, Axes: 3}, In: []tensor.Slot{soft}, Out: []tensor.Slot{sum}})
	f := b.step(t, tensor.Cast{To: dtype.Float32}, b.step(t, random.Bits{Shape: tensor.MakeInts(3), Width: 4}, key))
	c := b.step(t, tensor.Const{DType: dtype.Float32, Bits: 0x2f800000}) // 2^-32
	c.Shape, c.Strides = tensor.Shape{3}, []int{0}
	u := b.step(t, tensor.Binary{Op: tensor.OpMultiply}, f, c)
	p.Steps = append(p.Steps, tensor.Step{Prim: random.InverseCDF{}, In: []tensor.Slot{s, u}, Out: []tensor.Slot{draw}})
	return p
}

// bound is memory for everything a plan binds, filled from arrays.
func boundViews(t testing.TB, as ...*tensor.Array) []View {
	t.Helper()
	out := make([]View, len(as))
	for i, a := range as {
		v, err := tensor.NewView(tensor.SpecOf(a), tensor.Other)
		if err != nil {
			t.Fatal(err)
		}
		copy(v.HostBytes(), a.Bytes())
		out[i] = v
	}
	return out
}

func (d *decoder) bind(t testing.TB) []View {
	return boundViews(t, d.x, d.pos, d.key, d.cache, tensor.FullOf(tensor.FloatScalar(0, dtype.Float32, none), tensor.Shape{1, 1}, none), tensor.FromSlice([]uint32{0, 0, 0}))
}

func prepare(t testing.TB, p *tensor.Plan) tensor.Program {
	t.Helper()
	g, err := tensor.BackendFor(p.Stream).Prepare(p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func runProgram(t testing.TB, g tensor.Program, bind []View) {
	t.Helper()
	e, err := g.Run(bind)
	if err == nil {
		err = e.Wait()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestProgramIsEager(t *testing.T) {
	d := newDecoder()
	want := d.eager()
	p := d.plan(t)
	g := prepare(t, p)
	withWorkers(t, func(n int) {
		for range 3 {
			bind := d.bind(t)
			runProgram(t, g, bind)
			for i, at := range []int{4, 3, 5} {
				if got := bind[at].HostBytes(); !bytes.Equal(got, want[i].Bytes()) {
					t.Errorf("%d workers: result %d of the program differs from eager", n, i)
				}
			}
		}
	})
	var wg sync.WaitGroup
	for range 6 {
		bind := d.bind(t)
		wg.Go(func() {
			for range 5 {
				copy(bind[3].HostBytes(), d.cache.Bytes())
				runProgram(t, g, bind)
				if !bytes.Equal(bind[4].HostBytes(), want[0].Bytes()) {
					t.Error("a concurrent run differs from eager")
				}
			}
		})
	}
	wg.Wait()
}

func TestProgramAllocatesNothing(t *testing.T) {
	d := newDecoder()
	g := prepare(t, d.plan(t))
	bind := d.bind(t)
	for _, n := range []int{1, 2} {
		SetWorkers(n)
		if got := allocations(func() { runProgram(t, g, bind) }); got != 0 {
			t.Errorf("%d workers: %v allocations a run", n, got)
		}
	}
	SetWorkers(0)
}

// allocations are those of a run, at the least: the collector empties pools, and Go's own
// goroutines allocate now and then.
func allocations(f func()) float64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := testing.AllocsPerRun(20, f)
	for range 4 {
		if least > 0 {
			least = min(least, testing.AllocsPerRun(20, f))
		}
	}
	return least
}

// TestElementwiseAllocatesNothing: training runs long chains of elementwise ops over many
// chunks, of halves and of float32, with an operand that is one element everywhere.
func TestElementwiseAllocatesNothing(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16} {
		for _, n := range []int{1 << 10, 1 << 16} {
			b := &planner{p: &tensor.Plan{Stream: tensor.DefaultStream(device)}}
			x := b.bound(tensor.SlotIn, &b.p.In, spec(d, n))
			one := b.bound(tensor.SlotIn, &b.p.In, spec(d, 1))
			one.Shape, one.Strides = tensor.Shape{n}, []int{0}
			chain := tensor.Fused{FusedProgram: &tensor.FusedProgram{In: []tensor.Spec{x.Spec, one.Spec}, Steps: []tensor.FusedStep{
				{Prim: tensor.Binary{Op: tensor.OpAdd}, In: []int{0, 1}, Out: d},
				{Prim: tensor.Binary{Op: tensor.OpMultiply}, In: []int{2, 0}, Out: d},
				{Prim: tensor.Unary{Op: tensor.OpExp}, In: []int{3}, Out: d},
			}}}
			y := b.step(t, chain, x, one)
			for _, kind := range []tensor.Gate{tensor.GateSiLU, tensor.GateGELU, tensor.GateGELUTanh} {
				b.step(t, tensor.GateVJP{Kind: kind}, x, x, y)
			}
			g := prepare(t, b.p)
			bind := boundViews(t, tensor.FullOf(tensor.FloatScalar(0.5, d, none), tensor.Shape{n}, none), tensor.FullOf(tensor.FloatScalar(0.25, d, none), tensor.Shape{1}, none))
			for _, workers := range []int{1, 2} {
				SetWorkers(workers)
				runProgram(t, g, bind)
				if got := allocations(func() { runProgram(t, g, bind) }); got != 0 {
					t.Errorf("%v, %d elements, %d workers: %v allocations a run", d, n, workers, got)
				}
			}
			SetWorkers(0)
		}
	}
}

// Barriers stand only where one step needs another.
func TestHazards(t *testing.T) {
	d := newDecoder()
	p := d.plan(t)
	var h hazards
	var got []string
	for _, s := range p.Steps {
		if h.next(s) {
			got = append(got, s.Prim.Name())
		}
	}
	// the draw of bits needs nothing, so its cast is the next barrier
	want := "reshape matmul rope astype cache_write scaled_dot_product_attention transpose reshape quantized_matmul swiglu softmax sum astype multiply inverse_cdf"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("barriers before\n%s\nwant\n%s", s, want)
	}
	a := tensor.Slot{Spec: spec(dtype.Float32, 4), Strides: []int{-1}, Offset: 12}
	b := tensor.Slot{Spec: spec(dtype.Float32, 1), Strides: []int{1}, Offset: 0}
	c := tensor.Slot{Spec: spec(dtype.Float32, 1), Strides: []int{1}, Offset: 16}
	list := []extent{extentOf(a)}
	if !overlaps(b, list) || overlaps(c, list) {
		t.Errorf("extent of a backward slot is %+v", list[0])
	}
}

func TestProgramMisuse(t *testing.T) {
	d := newDecoder()
	g := prepare(t, d.plan(t))
	bind := d.bind(t)
	for want, b := range map[string][]View{
		"program: 2 buffers for 6 inputs, states and outputs":    bind[:2],
		"program: buffer 0 is int32(1,), not float32(1, 3, 256)": {bind[1], bind[1], bind[2], bind[3], bind[4], bind[5]},
	} {
		if _, err := g.Run(b); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	short := append([]View(nil), bind...)
	short[0].Offset = 64
	short[0].Buf = tensor.Borrow(make([]byte, 3072), nil)
	if _, err := g.Run(short); err == nil || err.Error() != "program: buffer 0 holds 3008 bytes, float32(1, 3, 256) needs 3072" {
		t.Errorf("error %v", err)
	}
	p := d.plan(t)
	p.Steps = append(p.Steps, tensor.Step{Prim: panics{}, In: p.Steps[0].In, Out: p.Steps[0].Out})
	if _, err := tensor.BackendFor(p.Stream).Prepare(p); err == nil || !strings.Contains(err.Error(), "panics: not supported") {
		t.Errorf("error %v", err)
	}
}

// A kernel's fault is the event's error, and the program can run again.
func TestProgramFault(t *testing.T) {
	b := &planner{p: &tensor.Plan{Stream: tensor.DefaultStream(device)}}
	id := b.bound(tensor.SlotIn, &b.p.In, spec(dtype.Int32, 1))
	out := b.bound(tensor.SlotOut, &b.p.Out, spec(dtype.Float32, 1))
	b.p.Steps = []tensor.Step{{Prim: tensor.Take{}, In: []tensor.Slot{b.constant(t, tensor.FromSlice([]float32{5, 6})), id}, Out: []tensor.Slot{out}}}
	g := prepare(t, b.p)
	for _, i := range []int32{1, 4, 0} {
		bind := boundViews(t, tensor.FromSlice([]int32{i}), tensor.FromSlice([]float32{0}))
		e, err := g.Run(bind)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Wait()
		if got := fmt.Sprint(err); i == 4 && !strings.Contains(got, "take: index 4 is out of range for an axis of size 2") {
			t.Errorf("id 4: %v", err)
		}
		if got := all[float32](&bind[1])[0]; i < 2 && (err != nil || got != 5+float32(i)) {
			t.Errorf("id %d: %v, %v", i, got, err)
		}
	}
}

func BenchmarkProgram(b *testing.B) {
	d := newDecoder()
	g := prepare(b, d.plan(b))
	bind := d.bind(b)
	b.ReportAllocs()
	for b.Loop() {
		runProgram(b, g, bind)
	}
}
