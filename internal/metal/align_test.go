//go:build linux && metalemu

package metal

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/tensor"
)

// inFile is numbers 1 to n in a file, from byte at on.
func inFile(t *testing.T, n, at int) View {
	t.Helper()
	data := make([]byte, at, at+4*n)
	for i := range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i+1)))
	}
	path := filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := fmap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.Borrow(file.Bytes()[at:], file)
	if !b.Mapped() {
		t.Fatal("a part of a mapped file is not mapped")
	}
	return tensor.RowMajorView(tensor.Spec{Shape: []int{n}, DType: dtype.Float32}, b)
}

// borrowed is numbers 1 to n at an address that no float32 may have on a GPU.
func borrowed(t *testing.T, n int) View { return inFile(t, n, 1) }

// Weights of a mapped file are where the file has them.
func TestBorrowedUnaligned(t *testing.T) {
	a := tensor.FromView(borrowed(t, 7))
	sum := tensor.BinaryOf(tensor.OpAdd, a, a, onGPU())
	var got []byte
	if err := tensor.Try(func() { got = sum.Bytes() }); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		if v := number(dtype.Float32, got[4*i:]); v != float64(2*(i+1)) {
			t.Errorf("element %d is %v", i, v)
		}
	}
}

// A Program takes them as constants and as what it is bound to.
func TestProgramUnaligned(t *testing.T) {
	spec := tensor.Spec{Shape: []int{7}, DType: dtype.Float32}
	slot := func(k tensor.SlotKind) tensor.Slot { return tensor.Slot{Kind: k, Spec: spec, Strides: []int{1}} }
	p, err := tensor.BackendFor(onGPU()).Prepare(&tensor.Plan{Stream: onGPU(), In: []tensor.Spec{spec}, Out: []tensor.Spec{spec},
		Const: []View{borrowed(t, 7)},
		Steps: []tensor.Step{{Prim: tensor.Binary{Op: tensor.OpMultiply}, In: []tensor.Slot{slot(tensor.SlotIn), slot(tensor.SlotConst)},
			Out: []tensor.Slot{slot(tensor.SlotOut)}}}})
	if err != nil {
		t.Fatal(err)
	}
	buf, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, spec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Run([]View{borrowed(t, 7), tensor.RowMajorView(spec, buf)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Wait(); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := 1; i <= 7; i++ {
		want = binary.LittleEndian.AppendUint32(want, math.Float32bits(float32(i*i)))
	}
	if got := buf.Host()[:len(want)]; !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
