package optest

import (
	"testing"

	"github.com/mlxgo/mlx"
)

// TestHugeViews: views of more than 2^32 elements and strides beyond 2^31 are sliced,
// reduced and computed with; little of them is in memory.
func TestHugeViews(t *testing.T) {
	if mlx.DefaultDevice() != mlx.CPU {
		t.Skip("GPUs have no arrays of that size, and what has no kernel there copies")
	}
	const side = 1 << 16
	one := mlx.NewArray([]float32{1})
	b := one.BroadcastTo(side, side)
	if b.Size() != 1<<32 || b.Reshape(-1).Dim(0) != 1<<32 || b.Reshape(side, 1, -1).Dim(2) != side {
		t.Errorf("sizes %d, %v", b.Size(), b.Reshape(-1).Shape())
	}
	if got := mlx.Item[float32](b.Index(side-1, -1)); got != 1 {
		t.Errorf("the last element is %v", got)
	}
	// A step of 2^31 elements and more through one axis.
	flat := b.Reshape(-1)
	far := flat.Index(mlx.From(5).By(1<<31 - 7))
	if err := Diff(far, mlx.Ones(mlx.Shape{3}), Exact); err != nil {
		t.Errorf("by 2^31-7: %v", err)
	}
	tail := flat.Index(mlx.From(1<<32 - 3))
	if err := Diff(tail.Add(tail), mlx.Full(mlx.Shape{3}, 2.0), Exact); err != nil {
		t.Errorf("tail: %v", err)
	}
	// Rows that differ, repeated: each of 3 rows is 2^31 elements long.
	rows := mlx.NewArray([]float32{1, 2, 3}).Reshape(3, 1, 1).BroadcastTo(3, side, side/2)
	last := rows.Index(mlx.Ellipsis, mlx.From(side/2-2)).Index(mlx.Colon, mlx.From(side-1))
	if err := Diff(last.Mul(2), mlx.NewArray([][][]float64{{{2, 2}}, {{4, 4}}, {{6, 6}}}), Exact); err != nil {
		t.Errorf("ends of rows: %v", err)
	}
	if got := mlx.ToSlice[float32](mlx.Sum(rows.Index(mlx.Colon, mlx.Step(1<<13)), mlx.Axes{1, 2})); got[0] != 8*side/2 || got[2] != 3*8*side/2 {
		t.Errorf("sums %v", got)
	}
	// The gap between the two rows that are taken is 2^32 elements.
	wide := one.BroadcastTo(1<<17, side).Index(mlx.Step(side))
	if err := Diff(mlx.Sum(wide, mlx.Axis(1)), mlx.Full(mlx.Shape{2}, float64(side)), Exact); err != nil {
		t.Errorf("rows 2^32 apart: %v", err)
	}
	back := flat.Index(mlx.Step(-(1<<31 - 1)))
	if err := Diff(back, mlx.Ones(mlx.Shape{3}), Exact); err != nil {
		t.Errorf("backwards: %v", err)
	}
	if testing.Short() {
		return
	}
	// Naive float32 sums of ones stop at 2^24.
	if got := mlx.Item[float32](mlx.Sum(b)); got != 1<<32 {
		t.Errorf("the sum of 2^32 ones is %v", got)
	}
}
