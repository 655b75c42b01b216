package metal

import "github.com/mlxgo/mlx/internal/tensor"

// A walk lists the elements of a strided view in row-major order, with adjacent axes
// merged where the strides allow it. It has at least one axis.
type walk struct {
	shape, stride []int // strides in elements
}

func newWalk(shape, stride []int) (w walk) {
	w.shape, w.stride = tensor.MergeAxes(shape, stride)
	return w
}

// walks list several strided views of one shape together, with axes merged where all
// views allow it. There are at least two axes.
type walks struct {
	shape  []int
	stride [][]int // of each view, in elements
}

func newWalks(shape []int, strides ...[]int) walks {
	w := walks{stride: make([][]int, len(strides))}
	for i, d := range shape {
		if d == 1 {
			continue
		}
		k := len(w.shape) - 1
		merge := k >= 0
		for v, st := range strides {
			merge = merge && w.stride[v][k] == st[i]*d
		}
		if merge {
			w.shape[k] *= d
		} else {
			w.shape = append(w.shape, d)
		}
		for v, st := range strides {
			if merge {
				w.stride[v][k] = st[i]
			} else {
				w.stride[v] = append(w.stride[v], st[i])
			}
		}
	}
	for len(w.shape) < 2 {
		w.shape = append([]int{1}, w.shape...)
		for v := range w.stride {
			w.stride[v] = append([]int{0}, w.stride[v]...)
		}
	}
	return w
}

// flat is the strides of all views, one after the other.
func (w *walks) flat() (l []int) {
	for _, s := range w.stride {
		l = append(l, s...)
	}
	return l
}

// grid has threads for parts of the last axis with per elements each, for the axis before
// it, and for all other axes together.
func (w *walks) grid(per int) (grid, group [3]int) {
	n := len(w.shape)
	grid = [3]int{(w.shape[n-1] + per - 1) / per, w.shape[n-2], 1}
	for _, d := range w.shape[:n-2] {
		grid[2] *= d
	}
	left := 256
	for i, g := range grid {
		group[i] = min(g, left)
		left = max(1, left/group[i])
	}
	return grid, group
}
