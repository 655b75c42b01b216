package cpu

import (
	"runtime"
	"sync"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
	"github.com/mlxgo/mlx/internal/tensor/fft"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

// backend is the only value that tensor sees.
type backend struct {
	mu     sync.Mutex
	queues map[int]*queue // by stream id
}

func init() { tensor.Register(&backend{queues: map[int]*queue{}}) }

// Kind is the CPU.
func (*backend) Kind() tensor.DeviceKind { return tensor.KindCPU }

// Devices is the one CPU.
func (*backend) Devices() []tensor.DeviceInfo {
	arch := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return []tensor.DeviceInfo{{Device: tensor.Device{Kind: tensor.KindCPU}, Architecture: arch, MemorySize: memorySize()}}
}

// block is memory off Go's heap.
type block struct{ b []byte }

func (m *block) Size() int    { return len(m.b) }
func (m *block) Host() []byte { return m.b }
func (m *block) Release() {
	unpages(m.b)
	m.b = nil
}

// Alloc maps pages.
func (*backend) Alloc(_ tensor.Device, size int) (tensor.Memory, error) {
	b, err := pages(size)
	if err != nil {
		return nil, err
	}
	return &block{b}, nil
}

// Open gives the queue of a stream; a kernel tier that was asked for and is not
// there is an error.
func (b *backend) Open(s tensor.Stream) (tensor.Queue, error) {
	if err := simd.Err(); err != nil {
		return nil, err
	}
	return b.queue(s), nil
}

func (b *backend) queue(s tensor.Stream) *queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[s.ID]
	if q == nil {
		q = newQueue(s)
		b.queues[s.ID] = q
	}
	return q
}

// Accepts says which layouts the kernels read in place. Elementwise ops, copies,
// reductions and ops on rows take any strides; matrices and the parts of
// attention need rows without gaps; the rest is row-major. Alignment never
// matters.
func (*backend) Accepts(p tensor.Primitive, i int, v View) bool {
	switch p := p.(type) {
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Broadcast, tensor.Transpose, tensor.Slice, tensor.Pad,
		tensor.Concatenate, tensor.Fused, tensor.Unary, tensor.Binary, tensor.Select, tensor.Cast, tensor.SwiGLU,
		tensor.GELU, tensor.Reduce, tensor.ArgReduce, tensor.Softmax, tensor.LogSumExp, tensor.ArgSort, tensor.Gather,
		tensor.Scatter, tensor.GatherAxis, tensor.ScatterAxis, tensor.SliceUpdate, tensor.Packed, tensor.Scan, tensor.LinearScan,
		tensor.Sort, tensor.Permute, tensor.SearchSorted, tensor.GateVJP, fft.Complex, fft.Real, fft.Half:
		return true
	case tensor.MatMul:
		_, ok := matrixOf(&v)
		return ok
	case tensor.Take:
		return i == 1 || v.RowsContiguous()
	case fast.RMSNorm, fast.LayerNorm, fast.RoPE:
		return i == 0 || v.Contiguous()
	case fast.NormVJP: // x and the cotangent by rows
		return i != 1 || !p.Weight || v.Contiguous()
	case fast.CacheWrite:
		return i == 1 && lastPacked(&v) || v.Contiguous()
	case fast.Attention:
		// q, k, v are read by rows, mask, sinks and position element by element
		if p.Bits > 0 && i > 0 && i < 7 {
			return v.Contiguous()
		}
		return i > 2 || lastPacked(&v)
	case fast.AttentionVJP: // as for attention, and what lies beside q by rows, too
		return i > 2 && i < p.NumIn()-2 || lastPacked(&v)
	case random.InverseCDF:
		return i == 0 || v.Contiguous()
	}
	return v.Contiguous()
}

// lastPacked reports whether rows lie one element after the other, and forward.
func lastPacked(v *View) bool {
	n := len(v.Shape)
	if n == 0 {
		return true
	}
	for i, s := range v.Strides[:n-1] {
		if s < 0 && v.Shape[i] > 1 {
			return false
		}
	}
	return v.Shape[n-1] <= 1 || v.Strides[n-1] == 1
}

// bind picks the kernel: the table of contents of this package. The views are
// read when the task runs, so a Program can rebind their buffers; results are
// row-major.
func bind(p tensor.Primitive, in, out []View) (task, error) {
	for i := range out {
		if !out[i].Contiguous() {
			return task{}, errStrided
		}
	}
	switch p := p.(type) {
	// shape.go
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Packed:
		return copyTask(&in[0], &out[0]), nil
	case tensor.Bitcast:
		return bitcastTask(in, out), nil
	case tensor.Broadcast, tensor.Transpose, tensor.Slice, tensor.AsStrided:
		return viewTask(p.(tensor.Viewer), in, out)
	case tensor.Pad:
		return padTask(p, in, out), nil
	case tensor.Concatenate:
		return concatenateTask(p, in, out), nil
	case tensor.Const:
		return constTask(p, out), nil
	case tensor.Arange:
		return arangeTask(p, out), nil

	// elementwise.go
	case tensor.Fused:
		return fusedTask(p, in, out)
	case tensor.Unary:
		return unaryTask(p, in, out)
	case tensor.Binary:
		return binaryTask(p, in, out)
	case tensor.Select:
		return selectTask(in, out), nil
	case tensor.Cast:
		return castTask(in, out)
	case tensor.SwiGLU:
		return swigluTask(in, out), nil
	case tensor.GELU:
		return geluTask(p, in, out), nil
	case tensor.GateVJP:
		return gateVJPTask(p, in, out), nil

	// reduce.go, rows.go, sort.go, scan.go, index.go, gather.go, scatter.go
	case tensor.Reduce, tensor.ArgReduce, tensor.Softmax, tensor.LogSumExp, tensor.Scan, tensor.LinearScan,
		tensor.Sort, tensor.ArgSort, tensor.Permute, tensor.SearchSorted:
		return bindRows(p, in, out)
	case tensor.Take, tensor.Gather, tensor.GatherAxis, tensor.Scatter, tensor.ScatterAxis, tensor.SliceUpdate:
		return bindIndex(p, in, out)

	// matmul.go, quant.go
	case tensor.MatMul:
		return matmulTask(in, out)
	case tensor.SegmentedMM:
		return segmentedTask(in, out)
	case tensor.Conv:
		return convTask(p, in, out)
	case quant.MatMul:
		return qmatmulTask(p, in, out)
	case quant.GatherMatMul:
		return gatherQuantTask(p, in, out)
	case quant.Quantize:
		return quantizeTask(p, in, out)
	case quant.Dequantize:
		return dequantizeTask(p, in, out)

	// fft.go
	case fft.Complex:
		return complexTask(p, in, out), nil
	case fft.Real:
		return realTask(p, in, out), nil
	case fft.Half:
		return halfTask(p, in, out), nil

	// random.go
	case random.Bits:
		return bitsTask(p, in, out), nil
	case random.InverseCDF:
		return inverseCDFTask(in, out), nil

	// collective.go
	case distributed.Runner:
		return collectiveTask(p, in, out), nil
	}
	return bindFast(p, in, out)
}

// bindRows is bind for reductions and what works along an axis.
func bindRows(p tensor.Primitive, in, out []View) (task, error) {
	switch p := p.(type) {
	case tensor.Reduce:
		return reduceTask(p, in, out)
	case tensor.ArgReduce:
		return argReduceTask(p, in, out)
	case tensor.Softmax:
		return softmaxTask(in, out), nil
	case tensor.LogSumExp:
		return logSumExpTask(in, out), nil
	case tensor.Scan:
		return scanTask(p, in, out)
	case tensor.LinearScan:
		return linearScanTask(p, in, out), nil
	case tensor.Sort:
		return sortTask(in, out)
	case tensor.ArgSort:
		return argSortTask(in, out)
	case tensor.Permute:
		return permuteTask(in, out), nil
	case tensor.SearchSorted:
		return searchSortedTask(p, in, out), nil
	}
	return task{}, tensor.ErrUnsupported
}
