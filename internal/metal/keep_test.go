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
