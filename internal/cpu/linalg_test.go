package cpu

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/linalg"
)

// TestLinalgWorkers: the bits do not depend on the number of workers, for a batch and for one
// matrix whose products are cut in blocks.
func TestLinalgWorkers(t *testing.T) {
	rng := newRand(3)
	inputs := map[string]*tensor.Array{}
	for name, shape := range map[string][]int{"a batch": {5, 8, 12, 12}, "one": {150, 150}} {
		v := make([]float32, tensor.Shape(shape).Size())
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		inputs[name] = tensor.FromSlice(v, shape...)
	}
	ops := []tensor.Primitive{linalg.QR{}, linalg.SVD{Vectors: true}, linalg.SVD{}, linalg.Inverse{}, linalg.TriangularInverse{},
		linalg.PseudoInverse{}, linalg.Cholesky{Upper: true}, linalg.Eig{Vectors: true}, linalg.Eigh{Vectors: true}, linalg.LU{},
		linalg.Solve{}, linalg.SolveTriangular{}, linalg.Determinant{}, linalg.Determinant{Log: true}}
	want := map[string][]byte{}
	withWorkers(t, func(n int) {
		for name, a := range inputs {
			for _, p := range ops {
				in := []*tensor.Array{a, a}[:1]
				switch p.(type) {
				case linalg.Solve, linalg.SolveTriangular:
					in = in[:2]
				}
				for i, y := range tensor.Apply(p, none, in...) {
					key := fmt.Sprintf("%s of %s, result %d, %+v", p.Name(), name, i, p)
					got := y.Bytes()
					if want[key] == nil {
						want[key] = bytes.Clone(got)
					}
					if !bytes.Equal(got, want[key]) {
						t.Errorf("%s: other bits with %d workers", key, n)
					}
				}
			}
		}
	})
}
