//go:build linux && metalemu

package metal

import (
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// idsOf are integers in [lo, hi) as type d.
func idsOf(d dtype.DType, lo, hi float64, shape ...int) *tensor.Array {
	if d.Is(dtype.UnsignedInteger) {
		lo = 0
	}
	return someOf(d, 7, lo, hi, shape...)
}

func TestTake(t *testing.T) {
	table := someOf(dtype.Float32, 1, -9, 9, 40, 33)
	for _, d := range []dtype.DType{dtype.Int8, dtype.Int16, dtype.Int32, dtype.Int64, dtype.Uint8, dtype.Uint16, dtype.Uint32, dtype.Uint64} {
		sameAsCPU(t, d.String(), tensor.Take{}, closeness{}, table, idsOf(d, -40, 40, 3, 5))
	}
	for _, d := range []dtype.DType{dtype.Bool, dtype.Int8, dtype.BFloat16, dtype.Float16, dtype.Int64, dtype.Complex64, dtype.Float64} {
		for _, width := range []int{1, 3, 64, 1000} {
			sameAsCPU(t, d.String(), tensor.Take{}, closeness{}, someOf(d, 2, -4, 4, 9, width), idsOf(dtype.Int32, -9, 9, 31))
		}
	}
	for name, v := range stridedForms(table) {
		sameAsCPU(t, name, tensor.Take{}, closeness{}, v, idsOf(dtype.Int32, -40, 40, 6))
	}
	sameAsCPU(t, "elements", tensor.Take{}, closeness{}, someOf(dtype.Int16, 2, -4, 4, 1000), idsOf(dtype.Int32, -1000, 1000, 2, 300))
	sameAsCPU(t, "backwards", tensor.Take{}, closeness{}, evaluated(tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(39, 0), Stop: tensor.MakeInts(-1, 33), Step: tensor.MakeInts(-1, 1)}, onCPU(), table)), idsOf(dtype.Int32, 0, 40, 7))
	sameAsCPU(t, "no rows", tensor.Take{}, closeness{}, table, idsOf(dtype.Int32, 0, 40, 0, 3))
	sameAsCPU(t, "one row", tensor.Take{}, closeness{}, table, idsOf(dtype.Int32, 0, 40))
	sameAsCPU(t, "matrices", tensor.Take{}, closeness{}, someOf(dtype.Float16, 2, -4, 4, 5, 3, 7), idsOf(dtype.Int32, -5, 5, 4))
}

// Indices that are out of range read nothing that is not there.
func TestTakeOutOfRange(t *testing.T) {
	table := someOf(dtype.Float32, 1, -9, 9, 4, 3)
	y := evaluated(tensor.Apply1(tensor.Take{}, onGPU(), table, evaluated(tensor.FromSlice([]int32{4, -5, 1 << 30, -1 << 31}))))
	want := tensor.Apply1(tensor.Take{}, onCPU(), table, tensor.FromSlice([]int32{3, 0, 3, 0}))
	if err := differ(y, evaluated(want), closeness{}); err != nil {
		t.Error(err)
	}
}

func int32s(v ...int32) *tensor.Array { return evaluated(tensor.FromSlice(v)) }

func TestCacheWrite(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Uint32, dtype.Uint8} {
		for _, width := range []int{1, 5, 64} {
			state, rows := someOf(d, 1, 0, 9, 3, 2, 12, width), someOf(d, 2, 0, 9, 3, 2, 5, width)
			for _, c := range []struct {
				what string
				p    fast.CacheWrite
				more []*tensor.Array
			}{
				{"plain", fast.CacheWrite{}, []*tensor.Array{int32s(0, 3, 7)}},
				{"past the ends", fast.CacheWrite{}, []*tensor.Array{int32s(-2, 10, 12)}},
				{"counts", fast.CacheWrite{Count: true}, []*tensor.Array{int32s(0, 3, 7), int32s(2, -1, 9)}},
				{"a ring", fast.CacheWrite{Ring: 12}, []*tensor.Array{int32s(0, 9, 1000)}},
				{"a ring after others", fast.CacheWrite{Keep: 4, Ring: 8}, []*tensor.Array{int32s(2, 10, 1000)}},
				{"a short ring", fast.CacheWrite{Keep: 9, Ring: 3}, []*tensor.Array{int32s(7, 10, 1000)}},
				{"a ring and counts", fast.CacheWrite{Keep: 9, Ring: 3, Count: true}, []*tensor.Array{int32s(7, 10, -1), int32s(4, 0, 5)}},
			} {
				sameAsCPU(t, c.what, c.p, closeness{}, append([]*tensor.Array{state, rows}, c.more...)...)
				read := fast.CacheRead{Write: c.p, Rows: 5}
				sameAsCPU(t, c.what, read, closeness{}, append([]*tensor.Array{state}, c.more...)...)
			}
			for name, v := range stridedForms(rows) {
				sameAsCPU(t, name, fast.CacheWrite{}, closeness{}, state, v, int32s(0, 3, 7))
			}
		}
	}
	sameAsCPU(t, "no rows", fast.CacheWrite{}, closeness{}, someOf(dtype.Float32, 1, 0, 9, 1, 2, 12, 4), someOf(dtype.Float32, 1, 0, 9, 1, 2, 0, 4), int32s(0))
}

// A state that is given away is written in place, again and again.
func TestCacheWriteInPlace(t *testing.T) {
	state, want := filled(dtype.Float32, 0, 1, 2, 40, 6), filled(dtype.Float32, 0, 1, 2, 40, 6)
	state = evaluated(tensor.CopyOf(state, onGPU()))
	before, err := tensor.ValueOf(state)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		rows := someOf(dtype.Float32, uint64(i), -1, 1, 1, 2, 5, 6)
		p, pos := fast.CacheWrite{}, int32s(int32(5*i))
		want = tensor.Apply1(p, onCPU(), want, rows, pos)
		state = tensor.Apply1(p, onGPU(), state.Donate(), rows, pos)
	}
	if err := differ(evaluated(state), evaluated(want), closeness{}); err != nil {
		t.Error(err)
	}
	after, err := tensor.ValueOf(state)
	if err != nil || after.Buf != before.Buf {
		t.Errorf("the state has moved (%v)", err)
	}
}

func TestRingMask(t *testing.T) {
	for _, rows := range []int{1, 2, 9, 20} {
		for _, p := range []fast.RingMask{{Keep: 0, Ring: 8}, {Keep: 3, Ring: 8}, {Keep: 5, Ring: 6}} {
			p.Rows = rows
			sameAsCPU(t, "ring mask", p, closeness{}, int32s(0, 1, 2, 4, 7, 8, 9, 11, 13, 14, 1000, 12345))
		}
	}
	sameAsCPU(t, "no batch", fast.RingMask{Ring: 4, Rows: 1}, closeness{}, evaluated(tensor.FromSlice([]int32{}, 0)))
}
