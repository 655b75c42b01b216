package cache

import "github.com/mlxgo/mlx"

// Sparse says which of the keys at or before its own position a query sees: those of
// its chunk, or those of some blocks.
type Sparse struct {
	Chunk int // > 0: positions of a chunk see each other only

	// Block > 0: a query sees the last Local blocks of so many positions, its own
	// included, and of those before them each Stride-th. Query head h of Heads begins
	// with block Stride-1-h, modulo Stride.
	Block, Local, Stride, Heads int
}

// mask is what queries at n positions from pos (int32 [B]) on see of keys at positions
// [0, rows): bool [B, 1 or Heads, n, rows].
func (s *Sparse) mask(pos *mlx.Array, n, rows int) *mlx.Array {
	p := pos.ExpandDims(1).Add(mlx.Arange(n).AsType(mlx.Int32)).ExpandDims(1, 3).AsType(mlx.Float32)
	k := mlx.Arange(rows).AsType(mlx.Float32).Reshape(1, 1, 1, rows)
	causal := k.Le(p)
	if s.Chunk > 0 {
		return both(causal, blockOf(k, s.Chunk).Eq(blockOf(p, s.Chunk)))
	}
	q, b := blockOf(p, s.Block), blockOf(k, s.Block)
	near := q.Sub(b).Lt(s.Local)
	if s.Stride == 0 {
		return both(causal, near)
	}
	head := mlx.Arange(s.Heads).AsType(mlx.Float32).Reshape(1, s.Heads, 1, 1)
	turn := b.Add(head).Add(1)
	return both(causal, mlx.Where(near, true, blockOf(turn, s.Stride).Mul(s.Stride).Eq(turn)))
}

// blockOf is floor(x/size), exact below 2^24.
func blockOf(x *mlx.Array, size int) *mlx.Array { return mlx.Floor(x.Div(float64(size))) }

// both is a and b.
func both(a, b *mlx.Array) *mlx.Array { return mlx.Where(a, b, false) }
