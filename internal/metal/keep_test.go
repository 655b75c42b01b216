//go:build linux && metalemu

package metal

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"weak"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/tensor"
)

// earlyLarge is memory of the CPU backend: variables are made before init chooses the GPU.
var earlyLarge, _ = tensor.NewScratch(tensor.Device{}, 1<<20)

// TestBatchKeepsForeignMemory: a batch keeps memory that is not the device's own, and that
// it uses where it lies, until it has ended.
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
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, spec.Bytes()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := fmap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := []View{tensor.RowMajorView(spec, buf)}
	for what, get := range map[string]func() *tensor.Buffer{
		"of a mapped file": func() *tensor.Buffer { return tensor.Borrow(f.Bytes(), f) },
		"from before there was a GPU": func() (b *tensor.Buffer) {
			b, earlyLarge = earlyLarge, nil
			return b
		},
	} {
		memory := get()
		if memory == nil { // it was given to an earlier run
			continue
		}
		encode := func() weak.Pointer[tensor.Buffer] {
			in := tensor.RowMajorView(spec, memory)
			memory = nil
			if !reachable(in.Buf) {
				t.Fatalf("memory %s cannot be used where it lies", what)
			}
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
