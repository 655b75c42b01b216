//go:build linux && metalemu

package metal

import (
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func TestChipOf(t *testing.T) {
	for _, c := range []struct {
		tier       byte
		generation int
		want       string
	}{
		{'g', 13, "base or Pro of M1 and M2"},
		{'g', 14, "base or Pro of M1 and M2"},
		{'g', 15, "base or Pro"},
		{'s', 13, "Max of M1 and M2"},
		{'s', 17, "Max"},
		{'d', 13, "Ultra"},
		{'p', 15, "phone"},
		{'c', 16, "base or Pro"}, // a letter of the future
		{0, 0, "base or Pro"},
		{'s', 0, "Max"},
	} {
		if got := chips[chipOf(c.tier, c.generation)].name; got != c.want {
			t.Errorf("%q of generation %d is %s, want %s", c.tier, c.generation, got, c.want)
		}
	}
}

// Products do not depend on which chip they are cut for.
func TestProductsOfChips(t *testing.T) {
	b := tensor.BackendFor(onGPU()).(*backend)
	before := b.limits
	defer func() { b.limits = before }()
	x, y := someOf(dtype.Float32, 1, -1, 1, 70, 520), someOf(dtype.Float32, 2, -1, 1, 520, 66)
	image, weight := someOf(dtype.Float32, 3, -1, 1, 1, 9, 9, 8), someOf(dtype.Float32, 4, -1, 1, 64, 3, 3, 8)
	for _, l := range []limits{{ops: 1, large: 1, groups: 1}, {ops: 3, large: 1, groups: 128}, {ops: 40, bytes: 1, large: 1 << 30, groups: 128}} {
		l.bytes = max(l.bytes, 1<<20)
		b.limits = &l
		sameAsCPU(t, "cut", tensor.MatMul{}, closeness{2e-6, 1e-6}, x, y)
		sameAsCPU(t, "cut", convCase{x: []int{1, 9, 9, 8}, w: []int{64, 3, 3, 8}}.conv(), closeness{2e-6, 1e-6}, image, weight)
	}
}
