//go:build linux && metalemu

package metal

import (
	"runtime"
	"testing"
	"weak"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestBatchKeepsForeignMemory: a batch keeps memory that is not the device's own until it
// has ended. What the CPU made before there was a GPU, and all in race builds, is such.
func TestBatchKeepsForeignMemory(t *testing.T) {
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
	for what, owner := range map[string]any{"of a mapped file": t, "of Go's heap": nil} {
		encode := func() weak.Pointer[tensor.Buffer] {
			in := tensor.RowMajorView(spec, tensor.Borrow(make([]byte, spec.Bytes()), owner))
			if err := q.Encode(tensor.Copy{}, []View{in}, out); err != nil {
				t.Fatal(err)
			}
			return weak.Make(in.Buf)
		}
		in := encode()
		runtime.GC()
		if in.Value() == nil {
			t.Errorf("memory %s was collected before its batch", what)
		}
		if err := q.Signal().Wait(); err != nil {
			t.Error(err)
		}
		runtime.GC()
		if in.Value() != nil {
			t.Errorf("memory %s is kept after its batch", what)
		}
	}
	runtime.KeepAlive(buf)
}
