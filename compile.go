package mlx

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/compile"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
)

// CompileOption is [State], [Inputs], [Outputs] or [Shapeless].
type CompileOption interface{ compile(*compileOptions) }

type compileOptions struct {
	inputs, outputs []any
	shapeless       bool
}

type captured struct{ inputs, outputs []any }

func (c captured) compile(o *compileOptions) {
	o.inputs, o.outputs = append(o.inputs, c.inputs...), append(o.outputs, c.outputs...)
}

// Shapeless is shapeless=: do not compile again for other sizes of axes, but for the
// sizes 0 and 1. What keeps a size is refused by its name: a Reshape to changed sizes
// that cannot be told from those of axes, Slice, BroadcastTo, Pad, Arange. A size that
// f puts into its constants is not seen: it stays what it was.
type Shapeless bool

func (s Shapeless) compile(o *compileOptions) { o.shapeless = bool(s) }

// Inputs is inputs=: captured trees that f reads. Without it captured arrays are
// constants of the compiled function.
func Inputs(trees ...any) CompileOption { return captured{inputs: trees} }

// Outputs is outputs=: captured trees that f writes.
func Outputs(trees ...any) CompileOption { return captured{outputs: trees} }

// State is inputs= and outputs= at once:
//
//	step := mlx.Compile(trainStep, mlx.State(model, opt, random.State()))
func State(trees ...any) CompileOption { return captured{trees, trees} }

var compileOff atomic.Bool

// DisableCompile is mx.disable_compile: compiled functions run uncompiled.
func DisableCompile() { compileOff.Store(true) }

// EnableCompile is mx.enable_compile.
func EnableCompile() { compileOff.Store(false) }

// Compile is mx.compile(f): f traced once per shapes, dtypes and constants of its
// arguments, fused, and replayed; it has the type of f. Arguments are trees or
// comparable constants, results are trees; captured trees are pointers. Compile once
// and keep the result: the cache of the last eight traces lives in it. Calls are lazy
// like any op. Inside, values have no data and cannot be read. With arguments of a
// live transformation, as inside [Grad], f runs as it is. Compile panics with
// *[Error] if F is no such func.
func Compile[F any](f F, opts ...CompileOption) F {
	c := &compiled{}
	for _, o := range opts {
		o.compile(&c.o)
	}
	for _, t := range slices.Concat(c.o.inputs, c.o.outputs) {
		if k := reflect.ValueOf(t).Kind(); k != reflect.Pointer && k != reflect.Map && k != reflect.Slice {
			tensor.Throw("compile", nil, "%T cannot be changed in place: capture a pointer to it", t)
		}
	}
	fn := tree.FuncOf("compile", f)
	return fn.Make(c.call).(F)
}

// compiled is a function with its traces, the last used first.
type compiled struct {
	o       compileOptions
	mu      sync.Mutex
	entries []*compiledEntry
}

const compiledLimit = 8

// compiledEntry is the function for one signature.
type compiledEntry struct {
	key    string
	step   *compile.Step
	caller *tree.Caller        // the present call
	last   *tracedCall         // what it traced, if it did
	traces map[int]*tracedCall // by number: other streams, and sizes, have their own
}

// tracedCall is what a trace showed.
type tracedCall struct {
	results []reflect.Value
	out     []source   // of the results' arrays
	states  [][]change // by output tree
}

// source is where a result's array comes from: an output of the program, or an input
// that passes through.
type source struct{ output, input int }

// change is what a call sets in an output tree.
type change struct {
	path string
	from source
}

func (c *compiled) call(call *tree.Caller, in Arrays) Arrays {
	if compileOff.Load() {
		return call.Run(in)
	}
	outs, err := c.replay(call, in)
	if errors.Is(err, compile.ErrCaptured) {
		return call.Run(in)
	}
	if err != nil {
		panic(compileError(err))
	}
	return outs
}

// replay puts a call of the trace for these arrays and the captured ones into the
// graph; it traces f if there is none.
func (c *compiled) replay(call *tree.Caller, in Arrays) (Arrays, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Concat(in, c.capturedArrays())
	if compile.Inline(all) {
		return nil, compile.ErrCaptured
	}
	exec, t, places, err := c.entry(call, specsOf(all))
	if err != nil {
		return nil, err
	}
	outs := exec.Apply(all)
	pick := func(s source) *Array {
		if s.input >= 0 {
			return all[s.input]
		}
		return outs[s.output]
	}
	for i, changes := range t.states {
		for k, ch := range changes {
			places[i][k].Set(reflect.ValueOf(pick(ch.from)))
		}
	}
	call.Like(t.results)
	return mapped(t.out, pick), nil
}

// entry is the function for these specs, and where in the captured trees it sets
// what.
func (c *compiled) entry(call *tree.Caller, specs []Spec) (*compile.Exec, *tracedCall, [][]tree.Place, error) {
	key := c.signature(call)
	e := c.find(key)
	for {
		anew := e == nil
		if anew {
			e = &compiledEntry{key: key, traces: map[int]*tracedCall{}}
			e.step = compile.New("function", func(in, _ []*Array) (outs, states []*Array) { return c.trace(e, in), nil })
			e.step.Shapeless = c.o.shapeless
		}
		e.caller, e.last = call, nil
		exec, err := e.step.For(specs, nil)
		if e.last != nil {
			e.traces[e.step.Traces()], e.last = e.last, nil
		}
		if err != nil {
			return nil, nil, nil, err
		}
		t := e.traces[exec.Trace]
		if places := t.places(c.o.outputs); places != nil {
			c.keep(e)
			e.caller = nil
			return exec, t, places, nil
		}
		if anew {
			return nil, nil, nil, errors.New("the captured trees have another structure than the function left")
		}
		e = nil // the trees have another structure than the traced call left
	}
}

func mapped[A, B any](as []A, f func(A) B) []B {
	out := make([]B, len(as))
	for i, a := range as {
		out[i] = f(a)
	}
	return out
}

func specsOf(as Arrays) []Spec { return mapped(as, tensor.SpecOf) }

func compileError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Op: "compile", Err: fmt.Errorf("%w", e)}
	}
	return &Error{Op: "compile", Err: err}
}

func (c *compiled) find(key string) *compiledEntry {
	for i, e := range c.entries {
		if e.key == key {
			copy(c.entries[1:i+1], c.entries[:i])
			c.entries[0] = e
			return e
		}
	}
	return nil
}

// keep puts e first; what it replaces, or the oldest, goes.
func (c *compiled) keep(e *compiledEntry) {
	c.entries = slices.DeleteFunc(c.entries, func(x *compiledEntry) bool { return x.key == e.key })
	c.entries = slices.Insert(c.entries, 0, e)
	if len(c.entries) > compiledLimit {
		clear(c.entries[compiledLimit:])
		c.entries = c.entries[:compiledLimit]
	}
}

// signature is all that a trace depends on.
func (c *compiled) signature(call *tree.Caller) string {
	var b []byte
	for _, a := range call.Args {
		b = tree.Describe(b, a, c.o.shapeless)
	}
	for _, t := range slices.Concat(c.o.inputs, c.o.outputs) {
		b = tree.Describe(b, reflect.ValueOf(t), c.o.shapeless)
	}
	return string(b)
}

// inputPlaces are the places of captured inputs that hold arrays.
func (c *compiled) inputPlaces() (out []tree.Place) {
	for _, t := range c.o.inputs {
		out = append(out, tree.Places(t, false)...)
	}
	return out
}

func (c *compiled) capturedArrays() Arrays {
	return mapped(c.inputPlaces(), func(p tree.Place) *Array { a, _ := p.Array(); return a })
}

// trace runs the function on placeholders, which stand in the captured trees
// meanwhile, and notes where results and states come from.
func (c *compiled) trace(e *compiledEntry, in Arrays) (outs Arrays) {
	call := e.caller
	before := c.remember()
	defer c.restore(before)
	n := len(call.Flatten())
	for i, p := range c.inputPlaces() {
		p.Set(reflect.ValueOf(in[n+i]))
	}
	input := map[tensor.Node]int{}
	for i, a := range in {
		input[tensor.NodeOf(a)] = i
	}
	from := func(a *Array) source {
		if i, ok := input[tensor.NodeOf(a)]; ok {
			return source{-1, i}
		}
		outs = append(outs, a)
		return source{len(outs) - 1, -1}
	}
	tc := &tracedCall{out: mapped(call.Run(in[:n]), from)}
	tc.results = call.Seen()
	for _, t := range c.o.outputs {
		tc.states = append(tc.states, mapped(tree.Places(t, false), func(p tree.Place) change {
			a, _ := p.Array()
			return change{p.Path, from(a)}
		}))
	}
	e.last = tc
	return outs
}

// remember is the arrays of the captured trees by place.
func (c *compiled) remember() map[any]map[string]*Array {
	saved := map[any]map[string]*Array{}
	for _, t := range slices.Concat(c.o.inputs, c.o.outputs) {
		at := map[string]*Array{}
		for _, p := range tree.Places(t, true) {
			at[p.Path], _ = p.Array()
		}
		saved[treeKey(t)] = at
	}
	return saved
}

// treeKey is a tree as a key of a map.
func treeKey(t any) any { return reflect.ValueOf(t).Pointer() }

// restore puts the arrays back; places that the function made are empty.
func (c *compiled) restore(saved map[any]map[string]*Array) {
	for _, t := range slices.Concat(c.o.inputs, c.o.outputs) {
		at := saved[treeKey(t)]
		for _, p := range tree.Places(t, true) {
			p.Set(reflect.ValueOf(at[p.Path]))
		}
	}
}

// places are where a call sets its states; nil if the trees lack one.
func (e *tracedCall) places(outputs []any) [][]tree.Place {
	all := make([][]tree.Place, len(outputs))
	for t, changes := range e.states {
		at := map[string]tree.Place{}
		for _, p := range tree.Places(outputs[t], true) {
			at[p.Path] = p
		}
		all[t] = make([]tree.Place, len(changes))
		for i, ch := range changes {
			p, ok := at[ch.path]
			if !ok {
				return nil
			}
			all[t][i] = p
		}
	}
	return all
}
