// Package cache holds what attention remembers of earlier positions.
//
// Cache is the memory of one generation, all layers; KV is what a model file sees
// of one layer. The arrays have the shape of their capacity, so that a decode step
// is the same program for every position; the position is data. How it is stored
// is the cache's business: a model calls Attend.
package cache

import (
	"fmt"
	"math/bits"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// KV is one layer's memory during one forward pass.
type KV interface {
	// Attend writes k [B, H, L, D] and v [B, H, L, Dv] at Pos and attends q [B, Hq,
	// L, D] to all rows up to its own, causally and within the layer's window.
	Attend(q, k, v *mlx.Array, scale float64) *mlx.Array
	// Pos is the position of the first of the L tokens, int32 [B].
	Pos() *mlx.Array
	// Last is the position of the last token that is known, int32 [B]: of the whole
	// prompt while it runs in chunks, else of the token that runs.
	Last() *mlx.Array
}

// Layout describes the memory of one layer.
type Layout struct {
	Heads            int // key and value heads
	KeyDim, ValueDim int
	Window           int     // a query sees itself and the Window-1 keys before; 0: all
	SoftCap          float64 // > 0: bounds scores, see fast.Attention
}

// Bytes is the size of capacity positions in dtype d.
func (l Layout) Bytes(capacity int, d mlx.DType) int64 {
	return int64(l.Heads) * int64(l.KeyDim+l.ValueDim) * int64(capacity) * int64(d.Size())
}

// layer is KV over arrays: a live cache's, or the tracers of a step.
type layer struct {
	k, v, pos, last *mlx.Array
	window          int
	softCap         float64
}

func (l *layer) Pos() *mlx.Array  { return l.pos }
func (l *layer) Last() *mlx.Array { return l.last }

func (l *layer) Attend(q, k, v *mlx.Array, scale float64) *mlx.Array {
	l.k = fast.CacheWriteOf(l.k.Donate(), k, l.pos, mlx.Stream{})
	l.v = fast.CacheWriteOf(l.v.Donate(), v, l.pos, mlx.Stream{})
	p := fast.Attention{Scale: tensor.MakeF64(scale), Causal: true, Window: l.window, SoftCap: tensor.MakeF64(l.softCap)}
	return fast.AttentionOf(p, q, l.k, l.v, nil, nil, l.pos, mlx.Stream{})
}

// Bind makes the layers of a forward pass over arrays, two per layer as Arrays
// lists them; after collects what the pass wrote. Tracing uses it, so that it never
// writes a live cache.
func Bind(layout []Layout, arrays []*mlx.Array, pos, last *mlx.Array) (kv []KV, after func() []*mlx.Array) {
	layers := make([]*layer, len(layout))
	for i, l := range layout {
		layers[i] = &layer{k: arrays[2*i], v: arrays[2*i+1], pos: pos, last: last, window: l.Window, softCap: l.SoftCap}
		kv = append(kv, layers[i])
	}
	return kv, func() []*mlx.Array {
		out := make([]*mlx.Array, 0, len(arrays))
		for _, l := range layers {
			out = append(out, l.k, l.v)
		}
		return out
	}
}

// capacityStep is the positions that a new cache has room for, and the least by
// which it grows.
const capacityStep = 256

// Cache is the memory of one generation. It is not safe for concurrent use.
type Cache struct {
	layout   []Layout
	dtype    mlx.DType
	batch    int
	arrays   []*mlx.Array // keys and values, layer by layer
	capacity int
	length   int
}

// New makes an empty cache for batch sequences in dtype d.
func New(layout []Layout, batch int, d mlx.DType) *Cache {
	return &Cache{layout: layout, batch: batch, dtype: d}
}

// Len is the number of positions that are filled.
func (c *Cache) Len() int { return c.length }

// Capacity is the number of positions that there is room for.
func (c *Cache) Capacity() int { return c.capacity }

// Arrays lists keys and values, layer by layer.
func (c *Cache) Arrays() []*mlx.Array { return c.arrays }

// SetArrays replaces what Arrays lists by the result of a step.
func (c *Cache) SetArrays(as []*mlx.Array) { c.arrays = as }

// Advance counts n more filled positions, after a forward pass.
func (c *Cache) Advance(n int) { c.length += n }

// Trim forgets the last n positions; false means that there are not so many, and
// nothing is changed.
func (c *Cache) Trim(n int) bool {
	if n < 0 || n > c.length {
		return false
	}
	c.length -= n
	return true
}

// CapacityFor is the capacity that a cache of n positions has: one of eight steps
// of each power of two, so that at most an eighth of it, or 255 positions, lie idle.
func CapacityFor(n int) int {
	step := max(capacityStep, 1<<bits.Len(uint(max(n-1, 0)))/16)
	return max((n+step-1)/step, 1) * step
}

// Reserve makes room for n more positions. Growing copies.
func (c *Cache) Reserve(n int) error {
	want := CapacityFor(c.length + n)
	if want <= c.capacity {
		return nil
	}
	grown := make([]*mlx.Array, 0, 2*len(c.layout))
	err := mlx.Try(func() {
		for i, l := range c.layout {
			for j, dim := range []int{l.KeyDim, l.ValueDim} {
				if c.arrays == nil {
					grown = append(grown, mlx.Zeros(mlx.Shape{c.batch, l.Heads, want, dim}, c.dtype))
					continue
				}
				more := []int{0, 0, want - c.capacity, 0}
				grown = append(grown, tensor.PadWith(c.arrays[2*i+j].Donate(), make([]int, 4), more, 0, mlx.Stream{}))
			}
		}
	})
	if err == nil {
		err = mlx.Eval(grown)
	}
	if err != nil {
		return fmt.Errorf("attention cache of %d positions: %w", want, err)
	}
	c.arrays, c.capacity = grown, want
	return nil
}

// Layers gives a forward pass its view of the cache, with fresh positions:
// overwritten ones would corrupt graphs that are still to run. known is how many
// tokens the sequence has so far, those that run later included. Collect with after.
func (c *Cache) Layers(known int) (kv []KV, after func() []*mlx.Array) {
	return Bind(c.layout, c.arrays, c.position(c.length), c.position(known-1))
}

func (c *Cache) position(p int) *mlx.Array {
	v := make([]int32, c.batch)
	for i := range v {
		v[i] = int32(p)
	}
	return mlx.FromSlice(v)
}
