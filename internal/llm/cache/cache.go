// Package cache holds what attention remembers of earlier positions.
//
// Cache is the memory of one generation, all layers; KV is what a model file sees
// of one layer; Kind says how it is stored: all of it, the last positions only, or
// quantized. The arrays have the shape of their capacity, so that a decode step is the
// same program for every position; the position is data. A model calls Attend.
package cache

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Layout describes the memory of one layer.
type Layout struct {
	Heads            int // key and value heads
	KeyDim, ValueDim int
	Window           int     // a query sees itself and the Window-1 keys before; 0: all
	SoftCap          float64 // > 0: bounds scores, see fast.Attention
	Shared           bool    // KV.Again is called
	Sparse           *Sparse // what a query sees beside a window; nil: all
}

// Bytes is the size of capacity positions in dtype d.
func (l Layout) Bytes(capacity int, d mlx.DType) int64 {
	return int64(l.Heads) * int64(l.KeyDim+l.ValueDim) * int64(capacity) * int64(d.Size())
}

// capacityStep is the positions that a new cache has room for, and the least by
// which it grows.
const capacityStep = 256

// Cache is the memory of one generation. It is not safe for concurrent use.
type Cache struct {
	kind     Kind
	layout   []Layout
	dtype    mlx.DType
	batch    int
	arrays   []*mlx.Array // of keys, then of values, layer by layer
	capacity int
	length   int
	top      int   // rings hold what positions below it wrote last
	floor    []int // of each layer: positions below are missing in it; nil: none
	single   int   // see Single
}

// New makes an empty cache that keeps all positions of batch sequences in dtype d.
func New(layout []Layout, batch int, d mlx.DType) *Cache { return NewOf(Kind{}, layout, batch, d) }

// NewOf is New for any kind, which fits the layout.
func NewOf(kind Kind, layout []Layout, batch int, d mlx.DType) *Cache {
	return &Cache{kind: kind, layout: layout, batch: batch, dtype: d}
}

// Kind is how the cache stores.
func (c *Cache) Kind() Kind { return c.kind }

// Len is the number of positions that are filled, forgotten ones of rings included.
func (c *Cache) Len() int { return c.length }

// Capacity is the number of positions that there is room for.
func (c *Cache) Capacity() int { return c.capacity }

// Arrays lists keys and values, layer by layer.
func (c *Cache) Arrays() []*mlx.Array { return c.arrays }

// SetArrays replaces what Arrays lists by the result of a step.
func (c *Cache) SetArrays(as []*mlx.Array) { c.arrays = as }

// Advance counts n more filled positions, after a forward pass.
func (c *Cache) Advance(n int) {
	c.length += n
	c.top = max(c.top, c.length)
	c.single = max(c.single-n, 0)
}

// Single is how many of the next tokens must run alone: a ring that another program
// saved may lack positions that rows of a longer pass see.
func (c *Cache) Single() int { return c.single }

// Bytes is the size of the cache, and plain what keeping all positions as they are
// would take.
func (c *Cache) Bytes() (n, plain int64) {
	if c.capacity == 0 {
		return 0, 0
	}
	for _, l := range c.layout {
		plain += l.Bytes(c.capacity, c.dtype)
	}
	b := int64(c.batch)
	return b * c.kind.Bytes(c.layout, c.capacity, c.dtype), b * plain
}

// Trim forgets the last n positions. It is an error, and nothing changes, if there are
// not so many, or if a layer has overwritten what the positions before them see.
func (c *Cache) Trim(n int) error {
	to := c.length - n
	if n < 0 || to < 0 {
		return fmt.Errorf("the cache of %d positions cannot go back by %d", c.length, n)
	}
	clean := true // nothing is lost, or nothing is needed
	for i, l := range c.layout {
		ok := true
		switch keep, window := c.kind.ring(l); {
		case window == 0 || to <= keep:
			continue
		case keep > 0:
			if c.top <= keep+window {
				continue
			}
			ok = to >= c.top-1 // one position may go: the row after it overwrites it
		default:
			lost := c.lost(i)
			if lost == 0 {
				continue
			}
			ok = to-window+1 >= lost
		}
		clean = false
		if !ok {
			return fmt.Errorf("the cache has %d positions, of which layer %d forgets the earlier ones: it cannot go back by %d", c.length, i, n)
		}
	}
	c.length = to
	if clean {
		c.setLen(to)
	}
	return nil
}

// lost is how many of the first positions layer i, which keeps none, has no longer.
func (c *Cache) lost(i int) int {
	_, window := c.kind.ring(c.layout[i])
	n := 0
	if window > 0 {
		n = max(c.top-ringRows(window), 0)
	}
	if c.floor != nil {
		n = max(n, c.floor[i])
	}
	return n
}

func (c *Cache) setLen(n int) { c.length, c.top, c.single, c.floor = n, n, 0, nil }

// Reset forgets all positions; the memory stays.
func (c *Cache) Reset() { c.setLen(0) }

// SetLen gives a cache of several sequences the length of the longest, when one of them
// was replaced. What rings have forgotten is the caller's business.
func (c *Cache) SetLen(n int) { c.setLen(n) }

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
	grown := make([]*mlx.Array, 0, len(c.layout)*2*c.kind.parts())
	err := mlx.Try(func() {
		for _, l := range c.layout {
			rows := c.kind.capacity(l, want)
			for _, dim := range []int{l.KeyDim, l.ValueDim} {
				for _, s := range c.kind.specs(l.Heads, rows, dim, c.dtype) {
					grown = append(grown, c.grow(len(grown), s))
				}
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

// grow is array i with the rows of s.
func (c *Cache) grow(i int, s tensor.Spec) *mlx.Array {
	if c.arrays == nil {
		s.Shape[0] = c.batch
		return mlx.Zeros(s.Shape, s.DType)
	}
	have := c.arrays[i].Shape()[2]
	if have == s.Shape[2] {
		return c.arrays[i]
	}
	return padRows(c.arrays[i].Donate(), 0, s.Shape[2]-have)
}

// padRows adds rows of zeros.
func padRows(a *mlx.Array, before, after int) *mlx.Array {
	p := tensor.Pad{Low: tensor.MakeInts(0, 0, before, 0), High: tensor.MakeInts(0, 0, after, 0)}
	return tensor.Apply1(p, mlx.Stream{}, a, tensor.IntScalar(0, a.DType(), mlx.Stream{}))
}

// Layers gives a forward pass its view of the cache, with fresh positions:
// overwritten ones would corrupt graphs that are still to run. known is how many
// tokens the sequence has so far, those that run later included. Collect with after.
func (c *Cache) Layers(known int) (kv []KV, after func() []*mlx.Array) {
	return c.LayersOf(known, nil)
}

// LayersOf is Layers for a pass of which only the first count tokens are no padding,
// int32 [batch].
func (c *Cache) LayersOf(known int, count *mlx.Array) (kv []KV, after func() []*mlx.Array) {
	return Bind(c.kind, c.layout, c.arrays, Place{c.position(c.length), c.position(known - 1), count})
}

func (c *Cache) position(p int) *mlx.Array {
	return mlx.FromSlice(slices.Repeat([]int32{int32(p)}, c.batch))
}

// Clone is a copy that shares no memory with c.
func (c *Cache) Clone() (*Cache, error) {
	d := *c
	d.arrays = make([]*mlx.Array, len(c.arrays))
	err := mlx.Try(func() {
		for i, a := range c.arrays {
			d.arrays[i] = tensor.CopyOf(a, mlx.Stream{})
		}
	})
	if err == nil {
		err = mlx.Eval(d.arrays)
	}
	if err != nil {
		return nil, fmt.Errorf("copy of the attention cache: %w", err)
	}
	if c.arrays == nil {
		d.arrays = nil
	}
	return &d, nil
}

// Quantize packs what the cache has, and what it gets, into so many bits in groups of
// group, which fit the layout. The cache must not be quantized.
func (c *Cache) Quantize(bits, group int) error {
	if c.kind.Bits > 0 {
		return fmt.Errorf("the attention cache has %d bits already", c.kind.Bits)
	}
	kind := c.kind.Quantized(bits, group)
	if err := kind.Check(c.layout); err != nil {
		return err
	}
	var packed []*mlx.Array
	for i := range c.arrays { // one after the other: temporaries are small
		var parts []*mlx.Array
		err := mlx.Try(func() { parts = kind.encode(c.arrays[i]) })
		if err == nil {
			err = mlx.Eval(parts)
		}
		if err != nil {
			return fmt.Errorf("quantizing the attention cache: %w", err)
		}
		packed = append(packed, parts...)
	}
	c.arrays, c.kind = packed, kind
	return nil
}
