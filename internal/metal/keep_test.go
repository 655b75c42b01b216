//go:build linux && metalemu

package metal

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// TestBatchKeepsMemory: a batch keeps what it uses until it has ended: collected, it would
// be given to others, since nobody released it with a batch to wait for.
func TestBatchKeepsMemory(t *testing.T) {
	b := tensor.BackendFor(onGPU()).(*backend)
	q, err := b.queue(onGPU())
	if err != nil {
		t.Fatal(err)
	}
	spec := tensor.Spec{Shape: tensor.Shape{64}, DType: dtype.Float32}
	buf, err := tensor.NewScratch(onGPU().Device, spec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	out := []View{tensor.RowMajorView(spec, buf)}
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, make([]byte, spec.Bytes()), 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := fmap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for what, in := range map[string]func() *tensor.Buffer{
		"a mapped file": func() *tensor.Buffer { return tensor.Borrow(file.Bytes(), file) },
		"the device": func() *tensor.Buffer {
			b, err := tensor.NewScratch(onGPU().Device, spec.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	} {
		encode := func() weak.Pointer[tensor.Buffer] {
			in := tensor.RowMajorView(spec, in())
			if err := q.Encode(tensor.Copy{}, []View{in}, out); err != nil {
				t.Fatal(err)
			}
			return weak.Make(in.Buf)
		}
		in := encode()
		runtime.GC()
		if in.Value() == nil {
			t.Errorf("memory of %s was collected before its batch", what)
		}
		if err := q.Signal().Wait(); err != nil {
			t.Error(err)
		}
		runtime.GC()
		if in.Value() != nil {
			t.Errorf("memory of %s is kept after its batch", what)
		}
	}
	runtime.KeepAlive(buf)
}

// TestProgramKeepsMemory: so does each batch of a Program, which a step on the host ends.
func TestProgramKeepsMemory(t *testing.T) {
	spec := tensor.Spec{Shape: tensor.Shape{17}, DType: dtype.Complex64} // a length without a kernel
	slot := func(k tensor.SlotKind, i int) []tensor.Slot {
		return []tensor.Slot{{Kind: k, Index: i, Spec: spec, Strides: []int{1}}}
	}
	prog, err := tensor.BackendFor(onGPU()).Prepare(&tensor.Plan{Stream: onGPU(), In: []tensor.Spec{spec}, Out: []tensor.Spec{spec, spec},
		Steps: []tensor.Step{
			{Prim: fft.Complex{}, In: slot(tensor.SlotIn, 0), Out: slot(tensor.SlotOut, 0)},
			{Prim: tensor.Unary{Op: tensor.OpNegative}, In: slot(tensor.SlotOut, 0), Out: slot(tensor.SlotOut, 1)},
		}})
	if err != nil {
		t.Fatal(err)
	}
	g := prog.(*program)
	var bind []View
	for range 3 {
		b, err := tensor.NewScratch(onGPU().Device, spec.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		bind = append(bind, tensor.RowMajorView(spec, b))
	}
	copy(bind[0].Buf.Host(), make([]byte, spec.Bytes()))
	g.q.mu.Lock()
	err = g.enqueue(bind)
	kept := slices.Clone(g.q.batch.keep)
	g.q.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range bind {
		if !slices.Contains(kept, v.Buf) {
			t.Errorf("buffer %d is not kept by the batch after the host's step", i)
		}
	}
	if !slices.Contains(kept, g.arena) {
		t.Error("the arena is not kept by the batch after the host's step")
	}
	if err := g.q.Signal().Wait(); err != nil {
		t.Error(err)
	}
}
