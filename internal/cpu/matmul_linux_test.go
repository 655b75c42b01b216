package cpu

import (
	"runtime"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// BenchmarkMatmul is 1024^3 in float32 on one thread, by CPU time: to compare with
// scripts/bench-openblas.sh.
func BenchmarkMatmul(b *testing.B) {
	x, w, y := rowMajor(dtype.Float32, 1024, 1024), rowMajor(dtype.Float32, 1024, 1024), rowMajor(dtype.Float32, 1024, 1024)
	for _, v := range []View{x, w} {
		f := all[float32](&v)
		for i := range f {
			f[i] = float32(i*7%13 - 6)
		}
	}
	t, err := matmulTask([]View{x, w}, []View{y})
	if err != nil {
		b.Fatal(err)
	}
	ts := flatten(nil, t, true)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var s scratch
	var took []float64
	for b.Loop() {
		t0 := threadNS()
		if err := serial(ts, &s); err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(threadNS()-t0)/1e6)
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "cpu-ms")
	b.ReportMetric(took[0], "least-ms")
}
