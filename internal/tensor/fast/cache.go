package fast

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// CacheWrite writes rows [B, H, L, D] into state [B, H, C, D] from row pos[b] on
// (int32 [B]); inputs are state, rows, pos. It takes the state's buffer when it
// may. The caller keeps pos+L within C; rows beyond are dropped.
type CacheWrite struct {
	// Ring > 0: rows of the state from Keep on are a ring. Position t >= Keep lies in
	// row Keep + (t-Keep) % Ring, and C is Keep+Ring.
	Keep, Ring int
	// Count announces an input int32 [B]: so many of the rows are written.
	Count bool
}

// Name is the op's name.
func (CacheWrite) Name() string { return "cache_write" }

// Infer checks the shapes.
func (p CacheWrite) Infer(in []Spec) ([]Spec, error) {
	c, r := in[0].Shape, in[1].Shape
	if len(c) != 4 || len(r) != 4 || c[0] != r[0] || c[1] != r[1] || c[3] != r[3] || in[0].DType != in[1].DType {
		return nil, fmt.Errorf("rows %v do not fit the state %v", in[1], in[0])
	}
	switch {
	case p.Ring == 0 && p.Keep != 0 || p.Ring < 0 || p.Keep < 0:
		return nil, fmt.Errorf("a ring of %d rows after %d", p.Ring, p.Keep)
	case p.Ring > 0 && c[2] != p.Keep+p.Ring:
		return nil, fmt.Errorf("the state %v is not a ring of %d rows after %d", in[0], p.Ring, p.Keep)
	case p.Ring == 0 && r[2] > c[2]:
		return nil, fmt.Errorf("%d rows are more than the capacity %d", r[2], c[2])
	}
	for _, at := range in[2:] {
		if at.DType != dtype.Int32 || !slices.Equal(at.Shape, tensor.Shape{c[0]}) {
			return nil, fmt.Errorf("position or count %v is not int32(%d,)", at, c[0])
		}
	}
	return []Spec{in[0]}, nil
}

// Reuse lets the result take the state's buffer.
func (CacheWrite) Reuse() int { return 0 }

// CacheWriteOf writes rows into state.
func CacheWriteOf(state, rows, pos *Array, s Stream) *Array {
	return RingWriteOf(CacheWrite{}, state, rows, pos, nil, s)
}

// RingWriteOf writes rows into a state that may be a ring; count may be nil.
func RingWriteOf(p CacheWrite, state, rows, pos, count *Array, s Stream) *Array {
	p.Count = count != nil
	if !p.Count {
		return tensor.Apply1(p, s, state, rows, pos)
	}
	return tensor.Apply1(p, s, state, rows, pos, count)
}

// RingMask says which rows of a ring a CacheWrite{Keep, Ring} filled are seen by
// queries at positions pos[b] + i, i < Rows (the input is pos, int32 [B]). The result
// is bool [B, 1, Rows, K], for Attention.
//
// A single query comes after its own write: K is Keep+Ring, and it sees the first Keep
// positions and the last Ring-Keep. Several come before theirs: K is Keep+Ring+Rows,
// the ring and then the rows themselves, and each sees its last Ring positions.
type RingMask struct{ Keep, Ring, Rows int }

// Name is the op's name.
func (RingMask) Name() string { return "ring_mask" }

// Infer checks the position.
func (p RingMask) Infer(in []Spec) ([]Spec, error) {
	if p.Keep < 0 || p.Ring <= p.Keep || p.Rows < 1 {
		return nil, fmt.Errorf("%d queries over a ring of %d rows after %d", p.Rows, p.Ring, p.Keep)
	}
	if in[0].DType != dtype.Int32 || len(in[0].Shape) != 1 {
		return nil, errors.New("the position is not int32 with one axis")
	}
	keys := p.Keep + p.Ring
	if p.Rows > 1 {
		keys += p.Rows
	}
	return []Spec{{Shape: tensor.Shape{in[0].Shape[0], 1, p.Rows, keys}, DType: dtype.Bool}}, nil
}

// RingMaskOf is the mask of queries at pos.
func RingMaskOf(p RingMask, pos *Array, s Stream) *Array { return tensor.Apply1(p, s, pos) }
