package cache

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Kind says how a cache keeps what it has seen. The zero value keeps all of it, or what
// the window of a layer needs, in the computing type.
type Kind struct {
	// MaxSize > 0: a layer attends to so many positions at most. A layer with a
	// smaller window of its own keeps that window.
	MaxSize int
	// Keep is how many positions at the beginning a single row sees always, in layers
	// without a window of their own; it is below MaxSize. A row of a longer pass sees
	// the last MaxSize positions.
	Keep int
	// Bits > 0: keys and values are quantized, in groups of Group.
	Bits, Group int
}

// Rotating is the kind of mlx-lm's --max-kv-size.
func Rotating(maxSize int) Kind { return Kind{MaxSize: maxSize, Keep: 4} }

// Quantized is k with keys and values of so many bits.
func (k Kind) Quantized(bits, group int) Kind {
	k.Bits, k.Group = bits, group
	return k
}

// Check says in a sentence why a model of this layout cannot have such a cache.
func (k Kind) Check(layout []Layout) error {
	if k.MaxSize < 0 || k.Keep < 0 {
		return fmt.Errorf("a cache of %d positions that keeps %d is not possible", k.MaxSize, k.Keep)
	}
	if k.MaxSize > 0 && k.MaxSize <= k.Keep {
		return fmt.Errorf("a cache of %d positions has no room beside the first %d, which it keeps", k.MaxSize, k.Keep)
	}
	for i, l := range layout {
		if k.MaxSize > 0 && l.Sparse != nil {
			return fmt.Errorf("a cache that forgets is not possible: the queries of layer %d see keys by blocks, not by their distance", i)
		}
	}
	switch {
	case k.Bits == 0:
		return nil
	case k.Group == 0: // which is no default here
		return fmt.Errorf("a cache of %d bits in groups of 0 is not possible", k.Bits)
	}
	if _, err := k.scheme().Resolve(); err != nil {
		return fmt.Errorf("the cache: %w", err)
	}
	for i, l := range layout {
		for _, d := range []int{l.KeyDim, l.ValueDim} {
			if d%k.Group != 0 {
				return fmt.Errorf("the cache cannot be quantized in groups of %d: the head size of layer %d is %d, which is no multiple of it", k.Group, i, d)
			}
		}
	}
	return nil
}

// GroupFor is the group size for a model of this layout: mlx-lm's 64, or 32 where
// only that divides the head sizes.
func GroupFor(layout []Layout) int {
	for _, l := range layout {
		if (l.KeyDim|l.ValueDim)%64 != 0 {
			return 32
		}
	}
	return 64
}

func (k Kind) scheme() quant.Scheme {
	return quant.Scheme{Mode: quant.Affine, Bits: k.Bits, GroupSize: k.Group}
}

// ring is how many positions layer l keeps and its window after them; 0 if it keeps
// all.
func (k Kind) ring(l Layout) (keep, window int) {
	switch {
	case l.Window > 0 && k.MaxSize > 0:
		return 0, min(l.Window, k.MaxSize)
	case l.Window > 0:
		return 0, l.Window
	}
	return k.Keep, k.MaxSize
}

// Rotates reports whether any layer of this layout forgets positions.
func (k Kind) Rotates(layout []Layout) bool {
	return slices.ContainsFunc(layout, func(l Layout) bool {
		_, window := k.ring(l)
		return window > 0
	})
}

// Slack is how many positions a layer with a window remembers at least beyond what the
// next one sees: so far it can go back, and so many positions a pass may have in a
// piece.
const Slack = 64

// ringRows is the rows of a ring without kept positions: its window and Slack, in
// whole segments of attention, which reads them in the order of positions.
func ringRows(window int) int {
	const segment = 512
	window = min(window, 1<<40) // which is as good as none, and does not overflow
	return (window + Slack + segment - 1) / segment * segment
}

// capacity is the rows that layer l has for n positions. A ring grows as other layers
// do until it has all its rows.
func (k Kind) capacity(l Layout, n int) int {
	c := CapacityFor(n)
	switch keep, window := k.ring(l); {
	case window > 0 && keep == 0:
		return min(c, ringRows(window))
	case window > 0 && c >= window:
		return keep + window
	}
	return c
}

// Bytes is the size of a cache for n positions of one sequence in dtype d.
func (k Kind) Bytes(layout []Layout, n int, d mlx.DType) (total int64) {
	for _, l := range layout {
		rows := int64(l.Heads) * int64(k.capacity(l, n))
		for _, dim := range []int{l.KeyDim, l.ValueDim} {
			for _, s := range k.specs(1, 1, dim, d) {
				total += rows * int64(s.Bytes())
			}
		}
	}
	return total
}

// specs are the arrays of the keys or the values of a layer, for one sequence.
func (k Kind) specs(heads, rows, dim int, d mlx.DType) []tensor.Spec {
	if k.Bits == 0 {
		return []tensor.Spec{{Shape: mlx.Shape{1, heads, rows, dim}, DType: d}}
	}
	scales := tensor.Spec{Shape: mlx.Shape{1, heads, rows, dim / k.Group}, DType: d}
	return []tensor.Spec{{Shape: mlx.Shape{1, heads, rows, dim * k.Bits / 32}, DType: mlx.Uint32}, scales, scales}
}

// parts is how many arrays keys, or values, are.
func (k Kind) parts() int {
	if k.Bits > 0 {
		return 3
	}
	return 1
}

// encode is keys or values as the cache stores them.
func (k Kind) encode(x *mlx.Array) []*mlx.Array {
	if k.Bits == 0 {
		return []*mlx.Array{x}
	}
	return quant.QuantizeOf(x, k.scheme(), mlx.Stream{})
}

// Same reports whether layers of this layout rotate alike in both kinds.
func (k Kind) Same(o Kind, layout []Layout) bool {
	for _, l := range layout {
		keep, window := k.ring(l)
		if keep2, window2 := o.ring(l); keep != keep2 || window != window2 {
			return false
		}
	}
	return true
}
