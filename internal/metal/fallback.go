package metal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// hot says whether a language model's speed hangs on p: when the user chose the GPU, it
// does not leave it.
func hot(p tensor.Primitive) bool {
	switch p.(type) {
	case tensor.MatMul, tensor.Take, tensor.Softmax, tensor.Fused, tensor.SwiGLU, quant.MatMul, quant.GatherMatMul,
		fast.RMSNorm, fast.LayerNorm, fast.RoPE, fast.Attention, fast.CacheWrite:
		return true
	}
	return false
}

// noKernel says for what there is no kernel: a reason to compute on the CPU.
func noKernel(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{tensor.ErrUnsupported}, args...)...)
}

// Reason is what an error of noKernel says.
func Reason(err error) string {
	return strings.TrimPrefix(err.Error(), tensor.ErrUnsupported.Error()+": ")
}

// failedKernel is what a kernel of ours that cannot be had is to the graph: a reason to
// compute on the CPU.
type failedKernel struct{ err error }

func (f failedKernel) Error() string   { return f.err.Error() }
func (f failedKernel) Unwrap() []error { return []error{tensor.ErrUnsupported, f.err} }

// failed marks faults of compiling and of making pipelines; what has no source has no
// kernel that could fail.
func failed(k gpu.Kernel, err error) (gpu.Kernel, error) {
	if errors.Is(err, tensor.ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, failedKernel{err}
	}
	return k, nil
}

var told sync.Map // ops that left the GPU, by name and dtype

// leave is the answer to an op that err keeps from the GPU. It tells once for each op and
// dtype: always of kernels that fail, of those that are not there if MLX_TRACE is 1.
func (b *backend) leave(p tensor.Primitive, d dtype.DType, err error) error {
	if !errors.Is(err, tensor.ErrUnsupported) {
		return err
	}
	if hot(p) && b.strict.Load() {
		return fmt.Errorf("the GPU, which was chosen as the device, has no kernel for this (%s); without the choice the CPU would compute it", Reason(err))
	}
	var f failedKernel
	broken := errors.As(err, &f)
	if !broken && os.Getenv("MLX_TRACE") != "1" {
		return err
	}
	if _, twice := told.LoadOrStore(p.Name()+" "+d.String(), true); twice {
		return err
	}
	if broken {
		fmt.Fprintf(os.Stderr, "mlx: %s of %v runs on the CPU, since its kernel fails (mlx doctor tells more): %v\n", p.Name(), d, f.err)
	} else {
		fmt.Fprintf(os.Stderr, "mlx: %s of %v has no kernel on the GPU and runs on the CPU (%s)\n", p.Name(), d, Reason(err))
	}
	return err
}
