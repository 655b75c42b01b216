package metal

// A walk lists the elements of a strided view in row-major order, with adjacent axes
// merged where the strides allow it. It has at least one axis.
type walk struct {
	shape, stride []int // strides in elements
}

func newWalk(shape, stride []int) walk {
	var w walk
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if k := len(w.shape) - 1; k >= 0 && w.stride[k] == stride[i]*d {
			w.shape[k] *= d
			w.stride[k] = stride[i]
			continue
		}
		w.shape, w.stride = append(w.shape, d), append(w.stride, stride[i])
	}
	if len(w.shape) == 0 {
		w.shape, w.stride = []int{1}, []int{0}
	}
	return w
}
