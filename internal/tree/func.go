package tree

import (
	"reflect"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A Func is a function whose arguments and results are trees, or constants.
type Func struct {
	op string
	v  reflect.Value
	t  reflect.Type
}

// FuncOf reflects f; op is for messages. It panics with *tensor.Error if f is no
// function that gives an array.
func FuncOf(op string, f any) Func {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Func || v.IsNil() {
		tensor.Throw(op, nil, "%T is not a function", f)
	}
	t := v.Type()
	out := false
	for i := range t.NumOut() {
		out = out || Holds(t.Out(i))
	}
	if !out {
		tensor.Throw(op, nil, "no result of %v can hold an array", t)
	}
	return Func{op, v, t}
}

// NumIn is the number of arguments, without variadic ones.
func (f Func) NumIn() int {
	if f.t.IsVariadic() {
		return f.t.NumIn() - 1
	}
	return f.t.NumIn()
}

// NumOut is the number of results.
func (f Func) NumOut() int { return f.t.NumOut() }

// Make is a function of f's type that runs through around: it gets the arrays of the
// arguments and gives those of the results, and has c.Run to run f on such lists.
func (f Func) Make(around func(c *Caller, in []*Array) []*Array) any {
	return reflect.MakeFunc(f.t, func(args []reflect.Value) []reflect.Value {
		c := &Caller{f: f, Args: args}
		return c.Results(around(c, c.Flatten()))
	}).Interface()
}

// A Caller is one call of a Func.
type Caller struct {
	f       Func
	Args    []reflect.Value
	results []reflect.Value // of the last Run: what the results look like
	in, out []int           // arrays by argument and result
}

// Flatten lists the arrays of the arguments.
func (c *Caller) Flatten() (all []*Array) {
	c.in = nil
	for _, v := range c.Args {
		as := Arrays(v)
		c.in = append(c.in, len(as))
		all = append(all, as...)
	}
	return all
}

// InCounts is the number of arrays of each argument, OutCounts that of each result
// of the last Run.
func (c *Caller) InCounts() []int { return c.in }

// OutCounts is the number of arrays of each result of the last Run.
func (c *Caller) OutCounts() []int { return c.out }

// Run is f as a function of lists.
func (c *Caller) Run(in []*Array) []*Array {
	return c.seen(Call(c.f.v, Fill(c.Args, in)))
}

// seen remembers what results look like and lists their arrays.
func (c *Caller) seen(results []reflect.Value) (all []*Array) {
	c.results, c.out = results, nil
	for _, v := range c.results {
		as := Arrays(v)
		c.out = append(c.out, len(as))
		all = append(all, as...)
	}
	return all
}

// Like makes Results give what an earlier Run of an equal call gave.
func (c *Caller) Like(results []reflect.Value) { c.results = results }

// Seen is the results of the last Run.
func (c *Caller) Seen() []reflect.Value { return c.results }

// Results is the results of the last Run with other arrays.
func (c *Caller) Results(out []*Array) []reflect.Value {
	return Fill(c.results, out)
}

// Fill gives values other arrays, in order.
func Fill(values []reflect.Value, arrays []*Array) []reflect.Value {
	out := make([]reflect.Value, len(values))
	i := 0
	for k, v := range values {
		out[k] = MapValue(v, func(string, bool, *Array) *Array {
			i++
			return arrays[i-1]
		})
	}
	return out
}

// With is v with other arrays, in the order of Arrays.
func With(v reflect.Value, arrays []*Array) reflect.Value {
	return Fill([]reflect.Value{v}, arrays)[0]
}

// Call calls fn; the last argument of a variadic one is its list.
func Call(fn reflect.Value, args []reflect.Value) []reflect.Value {
	if fn.Type().IsVariadic() {
		return fn.CallSlice(args)
	}
	return fn.Call(args)
}
