package metal

import (
	"errors"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/tensor"
)

// kernelObserver is told of the kernels of each primitive that was encoded.
var kernelObserver atomic.Pointer[func(p tensor.Primitive, kernels []string)]

// ObserveKernels calls f, under the lock of a queue, with the names of the kernels that
// each primitive takes from now on; nil ends it. It is for reports of faults.
func ObserveKernels(f func(p tensor.Primitive, kernels []string)) {
	if f == nil {
		kernelObserver.Store(nil)
		return
	}
	kernelObserver.Store(&f)
}

// tellKernels tells the observer of the commands from n on.
func (e *encoder) tellKernels(p tensor.Primitive, n int) {
	f := kernelObserver.Load()
	if f == nil {
		return
	}
	var names []string
	for _, c := range e.cmds[n:] {
		if c.kernel != nil {
			names = append(names, c.kernel.Name())
		}
	}
	(*f)(p, names)
}

// Broken says whether an op left the GPU for a kernel that does not compile or cannot be
// had, where others have none.
func Broken(err error) bool {
	_, ok := errors.AsType[failedKernel](err)
	return ok
}
