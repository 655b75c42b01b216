//go:build linux && metalemu

package metal

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A sourceDevice notes what it compiles.
type sourceDevice struct {
	gpu.Device
	mu      sync.Mutex
	sources map[string]string // by name of the kernel
	consts  map[string][]gpu.Const
}

func (d *sourceDevice) Compile(name, source string, math gpu.Math) (gpu.Library, error) {
	l, err := d.Device.Compile(name, source, math)
	return sourceLibrary{l, d, source}, err
}

type sourceLibrary struct {
	gpu.Library
	dev    *sourceDevice
	source string
}

func (l sourceLibrary) Kernel(name string, consts ...gpu.Const) (gpu.Kernel, error) {
	l.dev.mu.Lock()
	l.dev.sources[name], l.dev.consts[name] = l.source, consts
	l.dev.mu.Unlock()
	return l.Library.Kernel(name, consts...)
}

// sanitized runs the dispatches of p one by one, built for a sanitizer, in buffers that
// end where the arrays do, and compares with the CPU.
func sanitized(t *testing.T, mode msltest.Mode, what string, p tensor.Primitive, tol closeness, in ...*tensor.Array) {
	t.Helper()
	b := tensor.BackendFor(onGPU()).(*backend)
	dev := &sourceDevice{Device: b.dev, sources: map[string]string{}, consts: map[string][]gpu.Const{}}
	e := &encoder{b: newBackend(dev)}
	var views, out []View
	var results []*tensor.Array
	for _, a := range in {
		v, err := tensor.ValueOf(a)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	specs, err := p.Infer(specsOf(in))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		v, err := tensor.NewView(s, tensor.Other)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
		results = append(results, tensor.FromView(v))
	}
	if err := encode(e, p, views, out); err != nil || e.err != nil {
		t.Fatalf("%s: %v, %v", what, err, e.err)
	}
	for _, c := range e.cmds {
		if c.kernel != nil {
			if err := runSanitized(mode, dev.sources[c.kernel.Name()], dev.consts[c.kernel.Name()], c); err != nil {
				t.Errorf("%s: %v: %v", what, mode, err)
				return
			}
		}
	}
	for i, want := range tensor.Apply(p, onCPU(), in...) {
		if err := differ(results[i], evaluated(want), tol); err != nil {
			t.Errorf("%s: %v: result %d: %v", what, mode, i, err)
		}
	}
}

// runSanitized runs a dispatch with copies of its arguments, and takes over what changed.
func runSanitized(mode msltest.Mode, source string, consts []gpu.Const, c command) error {
	prog, err := msltest.Parse(c.kernel.Name(), source)
	if err != nil {
		return err
	}
	l := msltest.SanitizedLaunch{Kernel: c.kernel.Name(), Constants: consts, Launch: msltest.Launch{Threadgroup: c.threadgroup, Grid: c.grid, Group: c.group, Workers: 2, Order: msltest.Shuffled, Seed: 3}}
	memory, before := make([][]byte, len(c.args)), make([][]byte, len(c.args))
	for i, a := range c.args {
		memory[i] = a.bytes
		if a.buf != nil {
			memory[i] = a.buf.Host()[a.off:a.hi]
		}
		before[i] = bytes.Clone(memory[i])
		l.Buffers = append(l.Buffers, bytes.Clone(memory[i]))
	}
	report, err := prog.RunSanitized(mode, l)
	if err != nil {
		return err
	}
	for i, a := range c.args {
		if a.buf == nil || bytes.Equal(before[i], l.Buffers[i]) {
			continue
		}
		if a.mode&writes == 0 {
			return fmt.Errorf("%s writes argument %d, which is announced as read", c.kernel.Name(), i)
		}
		copy(memory[i], l.Buffers[i])
	}
	return report.Err()
}

// The kernels on rows have no races and stay inside of their arrays.
func TestRowsSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	f := func(lo float64, shape ...int) *tensor.Array { return someOf(dtype.Float32, 1, lo, 3, shape...) }
	eps, tol := tensor.MakeF64(1e-5), closeness{2e-5, 1e-5}
	offset := evaluated(tensor.FromSlice([]int32{3}))
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, c := range []struct {
			what string
			p    tensor.Primitive
			in   []*tensor.Array
		}{
			{"few elements", tensor.Reduce{Op: tensor.OpSum, Axes: tensor.MakeAxes(1)}, []*tensor.Array{f(0, 33, 5)}},
			{"simdgroups", tensor.Reduce{Op: tensor.OpMax, Axes: tensor.MakeAxes(1)}, []*tensor.Array{f(0, 11, 50)}},
			{"a threadgroup", tensor.Reduce{Op: tensor.OpMax, Axes: tensor.MakeAxes(1)}, []*tensor.Array{f(0, 2, 1501)}},
			{"two passes", tensor.Reduce{Op: tensor.OpMean, Axes: tensor.MakeAxes(0)}, []*tensor.Array{f(0, 16501)}},
			{"columns", tensor.Reduce{Op: tensor.OpSum, Axes: tensor.MakeAxes(1)}, []*tensor.Array{f(0, 2, 70, 40)}},
			{"columns, two passes", tensor.Reduce{Op: tensor.OpSum, Axes: tensor.MakeAxes(0)}, []*tensor.Array{f(0, 520, 9)}},
			{"places", tensor.ArgReduce{}, []*tensor.Array{f(0, 3, 301)}},
			{"softmax", tensor.Softmax{}, []*tensor.Array{f(-3, 3, 301)}},
			{"softmax of a long row", tensor.Softmax{}, []*tensor.Array{f(-3, 1, 4501)}},
			{"logsumexp", tensor.LogSumExp{}, []*tensor.Array{f(-3, 3, 301)}},
			{"rms norm", fast.RMSNorm{Eps: eps}, []*tensor.Array{f(-3, 3, 301), f(0, 301)}},
			{"layer norm", fast.LayerNorm{Eps: eps, Weight: true, Bias: true}, []*tensor.Array{f(-3, 3, 301), f(0, 301), f(0, 301)}},
			{"norm vjp", fast.NormVJP{Eps: eps, Layer: true, Weight: true, Bias: true}, []*tensor.Array{f(-3, 300, 37), f(0, 37), f(-3, 300, 37)}},
			{"rope", fast.RoPE{Dims: 8, Base: tensor.MakeF64(1e4), Scale: tensor.MakeF64(1)}, []*tensor.Array{f(-3, 2, 5, 3, 11), offset}},
			{"scan", tensor.Scan{Op: tensor.ScanSum}, []*tensor.Array{f(-3, 2, 301)}},
			{"scan of a long row", tensor.Scan{Op: tensor.ScanMax, Reverse: true}, []*tensor.Array{f(-3, 1, 4501)}},
			{"linear scan", tensor.LinearScan{}, []*tensor.Array{someOf(dtype.Float32, 1, -0.9, 0.9, 33, 70), f(-3, 33, 70)}},
			{"sort", tensor.Sort{}, []*tensor.Array{f(-3, 2, 501)}},
			{"sort of a long row", tensor.Sort{}, []*tensor.Array{f(-3, 1, 4501)}},
			{"order of a long row", tensor.ArgSort{}, []*tensor.Array{f(-3, 1, 2501)}},
			{"search", tensor.SearchSorted{}, []*tensor.Array{evaluated(tensor.Apply1(tensor.Sort{}, onCPU(), f(-3, 50))), f(-3, 33)}},
		} {
			sanitized(t, mode, c.what, c.p, tol, c.in...)
		}
	}
}
