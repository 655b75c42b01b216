//go:build linux && metalemu

package metal

import (
	"fmt"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
)

func TestSegmentedMM(t *testing.T) {
	for i, d := range floating {
		for _, s := range [][3]int{{1, 5, 1}, {33, 70, 40}, {64, 33, 7}} {
			m, k, n := s[0], s[1], s[2]
			ends := tensor.FromSlice([]int32{0, int32(k), 3, 3, 1, 4, int32(k), int32(k), 4, 1, int32(k / 2), int32(k)}, 2, 3, 2)
			segments := evaluated(tensor.AsType(ends, indexTypes[2+i], onCPU()))
			as, bs := stridedForms(someOf(d, 1, -1, 1, m, k)), stridedForms(someOf(d, 2, -1, 1, k, n))
			for name, a := range as {
				sameAsCPU(t, fmt.Sprint(d, s, name), tensor.SegmentedMM{}, closeness{2e-6, 1e-6}, a, bs[name], segments)
			}
		}
	}
	one := evaluated(tensor.FromSlice([]int32{0, 2}, 1, 2))
	for _, d := range []dtype.DType{dtype.Float64, dtype.Complex64} {
		fallsBack(t, tensor.SegmentedMM{}, someOf(d, 1, -1, 1, 3, 4), someOf(d, 2, -1, 1, 4, 5), one)
	}
}

// Segments that leave the axis are cut.
func TestSegmentsOutside(t *testing.T) {
	a, b := evaluated(tensor.FromSlice([]float32{1, 2, 4}, 1, 3)), evaluated(tensor.FromSlice([]float32{1, 1, 1}, 3, 1))
	g := evaluated(tensor.FromSlice([]int64{-5, 2, 1, 1 << 40, 7, 9}, 3, 2))
	got := tensor.ToSlice[float32](tensor.Apply1(tensor.SegmentedMM{}, onGPU(), a, b, g))
	for i, want := range []float32{3, 6, 0} {
		if got[i] != want {
			t.Errorf("segment %d: %g, want %g", i, got[i], want)
		}
	}
}

func TestDialectOfSegments(t *testing.T) {
	i := instance{"segments", "segmented_mm", []string{"bfloat"}}
	checkSource(t, i.hostName(), i.source)
}

func TestSegmentedMMSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	g := evaluated(tensor.FromSlice([]int32{0, 37, 5, 9}, 2, 2))
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		sanitized(t, mode, "segments", tensor.SegmentedMM{}, closeness{2e-6, 1e-6}, someOf(dtype.Float32, 1, -1, 1, 33, 37), someOf(dtype.Float32, 2, -1, 1, 37, 34), g)
	}
}
