package bench

import (
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// work is what a model's passes must read and multiply, whatever the kernels do.
type work struct {
	weights int64 // bytes of all parameters
	step    int64 // bytes of those that a decode step reads whole
	linear  int64 // multiply-adds a token of the matrices that each token meets
	head    int64 // and of the output layer, which a prompt meets once
	table   int64 // elements of the embeddings that are no output layer
}

// workOf counts the parameters of m. A table of embeddings is read by rows, unless
// the output is tied to it.
func workOf(m *llm.Loaded) work {
	var w work
	for _, p := range nn.Parameters(m.Model) {
		w.weights += bytesOf(p)
	}
	w.step = w.weights
	var tableBytes int64
	for path, module := range nn.Modules(m.Model) {
		switch l := module.(type) {
		case *nn.Linear:
			w.add(path, product(l.Weight))
		case *nn.QuantizedLinear:
			w.add(path, product(l.Scales)*int64(l.Scheme.GroupSize))
		case *nn.Embedding:
			w.table, tableBytes = product(l.Weight), bytesOf(l.Weight)
		case *nn.QuantizedEmbedding:
			w.table = product(l.Scales) * int64(l.Scheme.GroupSize)
			tableBytes = bytesOf(l.Weight) + bytesOf(l.Scales) + bytesOf(l.Biases)
		}
	}
	if w.head == 0 {
		w.head, w.table = w.table, 0
	} else {
		w.step -= tableBytes
	}
	return w
}

func (w *work) add(path string, n int64) {
	if path == "lm_head" {
		w.head += n
	} else {
		w.linear += n
	}
}

func product(a *tensor.Array) int64 { return int64(a.Size()) }

func bytesOf(a *tensor.Array) int64 {
	if a == nil {
		return 0
	}
	return int64(a.Size()) * int64(a.DType().Size())
}

func (w work) parameters() int64 { return w.linear + w.head + w.table }

// prefill is the floating-point operations of the matrix products of a prompt of n
// tokens; attention is not counted.
func (w work) prefill(n int) float64 { return 2 * (float64(w.linear)*float64(n) + float64(w.head)) }

// cacheBytes is what attention reads of the cache in a decode step at position n.
func cacheBytes(m *llm.Loaded, n int) (total int64) {
	for _, l := range m.Model.Layout() {
		rows := n
		if l.Window > 0 {
			rows = min(rows, l.Window)
		}
		total += l.Bytes(rows, m.DType)
	}
	return total
}
