package safetensors

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
)

// A source that is cut short while its tensors are copied is an error that names
// it, and no file appears.
func TestWriteFromTruncatedFile(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.safetensors"), filepath.Join(dir, "to.safetensors")
	n := 4 * os.Getpagesize()
	if err := Write(from, []Tensor{{Name: "w", DType: dtype.Uint8, Shape: []int{n}, Data: make([]byte, n)}}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(from, 100); err != nil {
		t.Fatal(err)
	}
	err = Write(to, f.Tensors(), nil)
	var fault *fmap.FaultError
	if !errors.As(err, &fault) || fault.Path != from {
		t.Errorf("Write gave %v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%d files are left", len(list))
	}
}
