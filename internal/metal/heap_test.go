//go:build linux && metalemu

package metal

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// early and others lie on Go's heap: variables are made before init chooses the GPU.
var (
	early     = tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6, 7}, 7)
	earlyToo  = tensor.FromSlice([]float32{1, 2, 3, 4, 5, 6, 7}, 7)
	earlyView = View{Spec: tensor.Spec{Shape: []int{7}, DType: dtype.Float32}, Strides: []int{1}, Offset: 3,
		Buf: tensor.Borrow(append(make([]byte, 3), multiples(7, 1)...), "Go")}
)

// multiples are the float32 of, 2 of, ... n of.
func multiples(n int, of float32) (b []byte) {
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(of*float32(i+1)))
	}
	return b
}

func wantMultiples(t *testing.T, of float32, a *tensor.Array) {
	t.Helper()
	var got []byte
	if err := tensor.Try(func() { got = a.Bytes() }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, multiples(len(got)/4, of)) {
		t.Fatalf("%x are not multiples of %v", got, of)
	}
}

// Arrays from before the device was chosen are copied in turn with what the CPU does in
// their memory.
func TestEarlyArrays(t *testing.T) {
	v, err := tensor.ValueOf(early)
	if err != nil {
		t.Fatal(err)
	}
	if reachable(v.Buf) || reachable(earlyView.Buf) {
		t.Fatal("they are the device's")
	}
	wantMultiples(t, 2, tensor.BinaryOf(tensor.OpAdd, early, early, onGPU()))
	wantMultiples(t, 2, tensor.BinaryOf(tensor.OpAdd, early, tensor.FromView(earlyView), onGPU()))

	if earlyToo == nil {
		return // donated by an earlier run
	}
	x := tensor.BinaryOf(tensor.OpAdd, earlyToo, early, onGPU())
	y := tensor.BinaryAny(tensor.OpMultiply, earlyToo.Donate(), 10, onCPU()) // in place
	earlyToo = nil
	z := tensor.BinaryOf(tensor.OpAdd, y, x, onGPU())
	y = tensor.BinaryAny(tensor.OpMultiply, y.Donate(), 10, onCPU())
	wantMultiples(t, 112, tensor.BinaryOf(tensor.OpAdd, y, z, onGPU()))
}

// A Program's constants and inputs may be such arrays.
func TestEarlyProgram(t *testing.T) {
	constant, err := tensor.ValueOf(early)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []View{constant, earlyView} {
		wantMultiples(t, 2, addProgram(t, in, constant))
		wantMultiples(t, 2, addProgram(t, constant, in))
	}
}

// addProgram gives in + constant by a Program.
func addProgram(t *testing.T, in, constant View) *tensor.Array {
	t.Helper()
	slot := func(k tensor.SlotKind) tensor.Slot { return tensor.Slot{Kind: k, Spec: in.Spec, Strides: []int{1}} }
	p, err := tensor.BackendFor(onGPU()).Prepare(&tensor.Plan{Stream: onGPU(), In: []tensor.Spec{in.Spec}, Out: []tensor.Spec{in.Spec},
		Const: []View{constant},
		Steps: []tensor.Step{{Prim: tensor.Binary{Op: tensor.OpAdd}, In: []tensor.Slot{slot(tensor.SlotIn), slot(tensor.SlotConst)},
			Out: []tensor.Slot{slot(tensor.SlotOut)}}}})
	if err != nil {
		t.Fatal(err)
	}
	buf, err := tensor.NewScratch(onGPU().Device, in.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	out := tensor.RowMajorView(in.Spec, buf)
	e, err := p.Run([]View{in, out})
	if err == nil {
		err = e.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return tensor.FromView(out)
}

// What was read onto Go's heap is copied into memory of the device; a mapped file is not.
func TestAdopt(t *testing.T) {
	host := multiples(7, 1)
	heap, err := tensor.Adopt(host, host, tensor.Weights)
	if err != nil {
		t.Fatal(err)
	}
	if heap.Borrowed() || heap.Memory() == nil {
		t.Error("memory of Go's heap is not copied")
	}
	clear(host)
	spec := tensor.Spec{Shape: []int{7}, DType: dtype.Float32}
	wantMultiples(t, 1, tensor.FromView(tensor.RowMajorView(spec, heap)))

	v := inFile(t, 7, 64)
	file, err := tensor.Adopt(v.Buf.Host(), v.Buf, tensor.Weights)
	if err != nil {
		t.Fatal(err)
	}
	if !file.Borrowed() || &file.Host()[0] != &v.Buf.Host()[0] {
		t.Error("a mapped file is copied")
	}
	v.Buf = file
	a := tensor.FromView(v)
	wantMultiples(t, 2, tensor.BinaryOf(tensor.OpAdd, a, a, onGPU()))
	if _, ok := file.Native().(*wrapped); !ok {
		t.Error("the GPU has not read the file where it lies")
	}
}
