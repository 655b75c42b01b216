package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// convSizes cross the blocks of patches and of columns; kernels are of each kind.
var convSizes = []struct {
	name string
	x, w []int
	o    tensor.ConvOptions
}{
	{"one axis", []int{2, 150, 33}, []int{70, 5, 33}, tensor.ConvOptions{Padding: []int{2}}},
	{"image", []int{2, 19, 17, 3}, []int{37, 3, 3, 3}, tensor.ConvOptions{Padding: []int{1}, Stride: []int{1, 2}}},
	{"turned", []int{1, 9, 11, 8}, []int{5, 4, 3, 8}, tensor.ConvOptions{Padding: []int{3, 2}, InputDilation: []int{2}, Flip: true}},
	{"groups", []int{3, 41, 24}, []int{36, 3, 6}, tensor.ConvOptions{Groups: 4, Dilation: []int{3}}},
	{"channels", []int{2, 23, 13, 19}, []int{19, 3, 2, 1}, tensor.ConvOptions{Groups: 19, Padding: []int{1}}},
	{"long kernel", []int{1, 900, 40}, []int{3, 870, 40}, tensor.ConvOptions{}},
}

// TestConv: float32, halves and unaligned memory give float64's results, and the same
// bits however the work is cut.
func TestConv(t *testing.T) {
	for _, c := range convSizes {
		for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16} {
			rng := newRand(uint64(d) | 77<<20)
			x, _ := normalArray(rng, d, c.x...)
			w, _ := normalArray(rng, d, c.w...)
			conv := func(x, w *tensor.Array) *tensor.Array { return tensor.ConvOf("conv", 0, x, w, c.o, none) }
			got := conv(unaligned(x), unaligned(w))
			want := floatsOf(values(t, conv(tensor.AsType(x, dtype.Float64, none), tensor.AsType(w, dtype.Float64, none))))
			scale, tol := 0.0, map[dtype.DType]float64{dtype.Float32: 2e-6, dtype.Float16: 1e-3, dtype.BFloat16: 8e-3}[d]
			for _, v := range want {
				scale = max(scale, math.Abs(v))
			}
			for i, v := range floatsOf(values(t, got)) {
				if math.Abs(v-want[i]) > tol*scale {
					t.Fatalf("%s of %v: element %d is %v, want %v", c.name, d, i, v, want[i])
				}
			}
			checkCuts(t, c.name, got, x, w)
		}
	}
}

// checkCuts runs the op of got in several numbers of chunks.
func checkCuts(t *testing.T, name string, got, x, w *tensor.Array) {
	t.Helper()
	want := got.Bytes()
	op, ok := tensor.NodeOf(tensor.ConvOf("conv", 0, x, w, convOptions(name), none)).Op()
	if !ok {
		t.Fatal("no op")
	}
	var in []View
	for _, a := range []*tensor.Array{x, w} {
		v, err := tensor.ValueOf(a)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, v)
	}
	for _, nc := range []int{1, 2, 7} {
		out, err := tensor.NewView(tensor.SpecOf(got), tensor.Other)
		if err != nil {
			t.Fatal(err)
		}
		k, err := convTask(op.Prim().(tensor.Conv), in, []View{out})
		if err != nil {
			t.Fatal(err)
		}
		for c := range nc {
			s := &scratch{}
			s.reset()
			k.run(s, nc-1-c, nc)
		}
		if string(out.HostBytes()) != string(want) {
			t.Errorf("%s: %d chunks give other bits", name, nc)
		}
	}
}

func convOptions(name string) tensor.ConvOptions {
	for _, c := range convSizes {
		if c.name == name {
			return c.o
		}
	}
	panic(fmt.Sprintf("no size %s", name))
}

// BenchmarkConv is a layer of an image network, its gradients and a depthwise one.
func BenchmarkConv(b *testing.B) {
	rng := newRand(3)
	x, _ := normalArray(rng, dtype.Float32, 4, 56, 56, 64)
	w, _ := normalArray(rng, dtype.Float32, 64, 3, 3, 64)
	deep, _ := normalArray(rng, dtype.Float32, 64, 3, 3, 1)
	o := tensor.ConvOptions{Padding: []int{1}}
	y := tensor.ConvOf("conv", 2, x, w, o, none)
	p := tensor.Conv{Stride: tensor.MakeInts(1, 1), Low: tensor.MakeInts(1, 1), High: tensor.MakeInts(1, 1),
		Dilation: tensor.MakeInts(1, 1), InputDilation: tensor.MakeInts(1, 1), Groups: 1}
	if err := tensor.Eval(x, w, y, deep); err != nil {
		b.Fatal(err)
	}
	run := func(name string, f func() *tensor.Array) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := tensor.Eval(f()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*4*56*56*64*64*9*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
	run("forward", func() *tensor.Array { return tensor.ConvOf("conv", 2, x, w, o, none) })
	run("input", func() *tensor.Array {
		return p.VJP(none, []*tensor.Array{x, w}, nil, []*tensor.Array{y}, []bool{true, false})[0]
	})
	run("weight", func() *tensor.Array {
		return p.VJP(none, []*tensor.Array{x, w}, nil, []*tensor.Array{y}, []bool{false, true})[1]
	})
	b.Run("depthwise", func(b *testing.B) {
		each := o
		each.Groups = 64
		for b.Loop() {
			if err := tensor.Eval(tensor.ConvOf("conv", 2, x, deep, each, none)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
