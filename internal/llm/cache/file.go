package cache

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The classes of mlx-lm's caches, and one that it does not have.
const (
	classPlain     = "KVCache"
	classRotating  = "RotatingKVCache"
	classQuantized = "QuantizedKVCache"
	classBoth      = "QuantizedRotatingKVCache"
)

// Save writes the cache of one sequence to path as mlx-lm does: keys and values of
// layer i are i.0 and i.1 [1, H, T, D], or i.0.0, i.0.1, i.0.2 and so on if they are
// quantized; the metadata have the state of layer i (0.i), its class (2.i) and those of
// the caller (1.NAME). Rows of rings are in the order of positions. The file appears
// whole or not at all.
func (c *Cache) Save(path string, metadata map[string]string) error {
	if c.batch != 1 {
		return fmt.Errorf("%s: a cache of %d sequences cannot be saved", path, c.batch)
	}
	if c.length == 0 {
		return fmt.Errorf("%s: the cache is empty", path)
	}
	meta := map[string]string{}
	for k, v := range metadata {
		meta["1."+k] = v
	}
	var tensors []safetensors.Tensor
	var hold []*mlx.Array // the tensors' memory
	n := c.kind.parts()
	for i, l := range c.layout {
		rows := 0
		for j, a := range c.arrays[2*n*i : 2*n*(i+1)] {
			ordered, err := c.ordered(i, a)
			if err != nil {
				return fmt.Errorf("%s: layer %d: %w", path, i, err)
			}
			v, err := tensor.ValueOf(ordered)
			if err != nil {
				return fmt.Errorf("%s: layer %d: %w", path, i, err)
			}
			rows = v.Shape[2]
			hold = append(hold, ordered)
			tensors = append(tensors, safetensors.Tensor{Name: partName(i, j, n), DType: v.DType, Shape: v.Shape, Data: v.HostBytes()})
		}
		c.describe(meta, i, l, rows)
	}
	err := safetensors.Write(path, tensors, meta)
	runtime.KeepAlive(hold)
	return err
}

// partName is the name of array j of the 2*n of layer i.
func partName(i, j, n int) string {
	if n > 1 {
		return fmt.Sprintf("%d.%d.%d", i, j/n, j%n)
	}
	return fmt.Sprintf("%d.%d", i, j)
}

// describe adds the class and state of layer i, whose file has so many rows.
func (c *Cache) describe(meta map[string]string, i int, l Layout, rows int) {
	class, state := classPlain, []int(nil)
	keep, window := c.kind.ring(l)
	if window > 0 {
		class, state = classRotating, []int{keep, window, c.length, rows}
	}
	if k := c.kind; k.Bits > 0 {
		// mlx-lm has no rotating quantized class, and needs none while all is there.
		if window > 0 && (window != l.Window || rows < c.length) {
			class, state = classBoth, append(state, k.Group, k.Bits)
		} else {
			class, state = classQuantized, []int{c.length, k.Group, k.Bits}
		}
	}
	meta[fmt.Sprintf("2.%d", i)] = class
	if state == nil {
		meta[fmt.Sprintf("0.%d", i)] = ""
	}
	for j, x := range state {
		meta[fmt.Sprintf("0.%d.%d", i, j)] = strconv.Itoa(x)
	}
}

// ordered is the rows of an array of layer i by position: all, or of a ring that has
// forgotten some the first it keeps and the last.
func (c *Cache) ordered(i int, a *mlx.Array) (out *mlx.Array, err error) {
	keep, window := c.kind.ring(c.layout[i])
	err = mlx.Try(func() {
		switch {
		case window > 0 && keep == 0:
			rows := a.Shape()[2]
			from := max(c.lost(i), c.length-window+1-Slack, 0)
			first, last := from%rows, c.length%rows // the rows from first on, as a ring
			if c.length-from < rows && first < last {
				out = rowsOf(a, first, last)
			} else {
				out = rowsOf(a, first, rows, 0, last)
			}
		case window == 0 || c.length <= keep+window:
			out = rowsOf(a, 0, c.length)
		default:
			oldest := keep + (c.length-keep)%window
			skip := 0
			if c.top > c.length { // after a Trim the oldest row is of no position
				skip = 1
			}
			out = rowsOf(a, 0, keep, oldest+skip, keep+window, keep, oldest)
		}
		out = tensor.CopyOf(out, mlx.Stream{})
	})
	if err == nil {
		err = mlx.Eval(out)
	}
	return out, err
}

// rowsOf joins the ranges of rows of a.
func rowsOf(a *mlx.Array, ranges ...int) *mlx.Array {
	var parts []*mlx.Array
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] < ranges[i+1] {
			parts = append(parts, tensor.SliceAxis(a, 2, ranges[i], ranges[i+1], mlx.Stream{}))
		}
	}
	return tensor.ConcatenateOf(parts, 2, mlx.Stream{})
}

// A File is a saved cache whose arrays are not read yet. Close it after Load.
type File struct {
	Len      int               // positions
	Metadata map[string]string // the caller's of Save

	path    string
	file    *safetensors.File
	classes []string
	layers  []fileLayer
}

// fileLayer is the state of a layer: how many positions it keeps, the window after them
// (0: it is none that rotates) and the row that is next, and how it is quantized.
type fileLayer struct{ keep, window, next, group, bits int }

// OpenFile reads the description of a saved cache; errors name the file.
func OpenFile(path string) (*File, error) {
	s, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, file: s, Metadata: map[string]string{}}
	if err := f.parse(s.Metadata); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s is no prompt cache that this program reads: %w", path, err)
	}
	return f, nil
}

// Close unmaps the file.
func (f *File) Close() error { return f.file.Close() }

// parse reads the metadata.
func (f *File) parse(meta map[string]string) error {
	for k, v := range meta {
		if name, ok := strings.CutPrefix(k, "1."); ok {
			f.Metadata[name] = v
		}
	}
	for i := 0; ; i++ {
		class, ok := meta[fmt.Sprintf("2.%d", i)]
		if !ok {
			break
		}
		var state []int
		for j := 0; ; j++ {
			text, ok := meta[fmt.Sprintf("0.%d.%d", i, j)]
			if !ok {
				break
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return fmt.Errorf("the state of layer %d has %q for a number", i, text)
			}
			state = append(state, n)
		}
		if err := f.describe(i, class, state); err != nil {
			return err
		}
	}
	if len(f.classes) == 0 {
		return errors.New("it has no classes of caches in its metadata")
	}
	return nil
}

// maxPositions is what positions in int32 can count, with room for a step.
const maxPositions = 1 << 30

// describe adds layer i. All layers have the same length and are quantized alike.
func (f *File) describe(i int, class string, state []int) error {
	want, ok := map[string]int{classPlain: 0, classRotating: 4, classQuantized: 3, classBoth: 6}[class]
	if !ok {
		return fmt.Errorf("layer %d is a %s", i, class)
	}
	if len(state) != want {
		return fmt.Errorf("the state of layer %d, a %s, has %d numbers, not %d", i, class, len(state), want)
	}
	var l fileLayer
	n := 0
	switch class {
	case classPlain:
		if t, ok := f.file.Tensor(fmt.Sprintf("%d.0", i)); ok && len(t.Shape) == 4 {
			n = t.Shape[2]
		}
	case classRotating, classBoth:
		l.keep, l.window, n, l.next = state[0], state[1], state[2], state[3]
		if l.window <= l.keep {
			return fmt.Errorf("layer %d has room for %d positions and keeps %d", i, l.window, l.keep)
		}
	case classQuantized:
		n = state[0]
	}
	if class == classQuantized || class == classBoth {
		l.group, l.bits = state[want-2], state[want-1]
	}
	if n > maxPositions {
		return fmt.Errorf("layer %d has %d positions, more than are possible", i, n)
	}
	if i == 0 {
		f.Len = n
	}
	if n != f.Len || n == 0 {
		return fmt.Errorf("layer %d has %d positions, and layer 0 has %d", i, n, f.Len)
	}
	f.classes, f.layers = append(f.classes, class), append(f.layers, l)
	if l.group != f.layers[0].group || l.bits != f.layers[0].bits {
		return fmt.Errorf("layer %d is quantized otherwise than layer 0", i)
	}
	return nil
}

// Kind is the kind of the cache for a model of this layout: a layer that rotates in its
// own window says nothing of others. The error says what does not fit.
func (f *File) Kind(layout []Layout) (k Kind, err error) {
	if len(layout) != len(f.classes) {
		return k, fmt.Errorf("%s is the cache of a model with %d layers, and this one has %d", f.path, len(f.classes), len(layout))
	}
	k.Bits, k.Group = f.layers[0].bits, f.layers[0].group
	for i, l := range f.layers {
		if own := layout[i].Window; l.window > 0 && (own == 0 || l.window < own) {
			k.MaxSize, k.Keep = max(k.MaxSize, l.window), max(k.Keep, l.keep)
		}
	}
	for i, l := range f.layers {
		keep, window := k.ring(layout[i])
		if l.window == 0 && window == layout[i].Window {
			continue // all positions, of which it needs the last
		}
		if l.keep != keep || l.window != window {
			what := "keeps all positions"
			if l.window > 0 {
				what = fmt.Sprintf("keeps %d positions and a window of %d", l.keep, l.window)
			}
			return k, fmt.Errorf("%s: layer %d %s, and this model's layer has a window of %d", f.path, i, what, window)
		}
	}
	if err := k.Check(layout); err != nil {
		return k, fmt.Errorf("%s: %w", f.path, err)
	}
	return k, nil
}

// Load is the cache of the file for a model of this layout that computes in d. The
// error says what does not fit.
func (f *File) Load(layout []Layout, d mlx.DType) (*Cache, error) {
	kind, err := f.Kind(layout)
	if err != nil {
		return nil, err
	}
	c := NewOf(kind, layout, 1, d)
	c.setLen(f.Len)
	c.capacity = CapacityFor(f.Len + 1)
	c.floor = make([]int, len(layout))
	for i, l := range layout {
		if err := f.layer(c, i, l); err != nil {
			return nil, fmt.Errorf("%s: layer %d %w", f.path, i, err)
		}
	}
	if err := mlx.Eval(c.arrays); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return c, nil
}

// layer adds the arrays of layer i to c.
func (f *File) layer(c *Cache, i int, l Layout) error {
	n := c.kind.parts()
	for j := range 2 * n {
		name := partName(i, j, n)
		t, ok := f.file.Tensor(name)
		if !ok {
			return fmt.Errorf("lacks the tensor %s", name)
		}
		dim := []int{l.KeyDim, l.ValueDim}[j/n]
		want := c.kind.specs(l.Heads, c.kind.capacity(l, c.capacity), dim, c.dtype)[j%n]
		if len(t.Shape) != 4 || t.Shape[0] != 1 || t.Shape[1] != l.Heads || t.Shape[3] != want.Shape[3] || t.Shape[2] == 0 {
			return fmt.Errorf("has the tensor %s of %v: the model has %d key heads and the row %d elements", name, t.Shape, l.Heads, want.Shape[3])
		}
		if t.DType != want.DType {
			return fmt.Errorf("is of %v, and the model computes in %v (see --dtype)", t.DType, c.dtype)
		}
		a, err := f.place(c, i, mlx.FromBytes(t.Data, t.Shape, t.DType), want.Shape[2])
		if err != nil {
			return err
		}
		c.arrays = append(c.arrays, a)
	}
	return nil
}

// place is the rows of a file where layer i has them, in so many rows.
func (f *File) place(c *Cache, i int, a *mlx.Array, rows int) (out *mlx.Array, err error) {
	have := a.Shape()[2]
	keep, window := c.kind.ring(c.layout[i])
	least := f.Len
	switch {
	case window > 0 && keep == 0:
		least = min(f.Len, window-1)
	case window > 0 && rows == keep+window:
		least = min(f.Len, keep)
	}
	if have > f.Len || have < least {
		return nil, fmt.Errorf("has %d rows for %d positions", have, f.Len)
	}
	err = mlx.Try(func() {
		if l := f.layers[i]; l.window > 0 && l.next > l.keep && l.next < have { // mlx-lm's ring: the oldest row is next
			a = rowsOf(a, 0, l.keep, l.next, have, l.keep, l.next)
		}
		switch {
		case window > 0 && keep == 0:
			tail := min(have, rows)
			c.floor[i] = f.Len - tail
			out = turned(rowsOf(a, have-tail, have), rows, f.Len)
		case have == f.Len && have <= rows:
			out = padRows(a, 0, rows-have)
		default:
			tail := min(have-keep, window)
			c.lacks(keep, window, tail)
			if tail == 0 {
				out = padRows(a, 0, window)
				return
			}
			out = turned(rowsOf(a, have-tail, have), window, f.Len-keep)
			out = tensor.ConcatenateOf([]*mlx.Array{rowsOf(a, 0, keep), out}, 2, mlx.Stream{})
		}
	})
	return out, err
}

// turned is the ring of so many rows that ends with a, the last of n positions.
func turned(a *mlx.Array, rows, n int) *mlx.Array {
	last := padRows(a, rows-a.Shape()[2], 0)
	turn := rows - n%rows // what comes after the last position
	return rowsOf(last, turn, rows, 0, turn)
}

// lacks notes that a ring has the last tail positions only: what rows of a longer pass
// see more must not be missed, and there is no way back.
func (c *Cache) lacks(keep, window, tail int) {
	c.top = max(c.top, keep+window+1)
	c.single = max(c.single, window-1-tail)
}
