package metal

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// scan goes along rows; strides may be any.
func scan(e *encoder, p tensor.Scan, in, out []View) error {
	op := scanOp(p.Op, in[0].DType)
	if op == "" {
		return noKernel("%s of %v", p.Name(), in[0].DType)
	}
	k, err := e.kernel("scan", "scan", []string{op, elementTypes[in[0].DType], elementTypes[out[0].DType]})
	if err != nil {
		return err
	}
	x := newRows(&in[0])
	args := append([]arg{e.in(&in[0]), e.out(&out[0]), i32(x.k), i64(x.step), flag(p.Reverse), flag(p.Exclusive)}, x.outer.args()...)
	return e.runGroups(k, x.n, threadsFor(x.k, 4, k.MaxThreads()), args...)
}

// scanOp names the operation, "" if there is none.
func scanOp(op tensor.ScanOp, d dtype.DType) string {
	switch op {
	case tensor.ScanLogAddExp: // of complex numbers: the CPU's
		if t := foldTypes[tensor.OpSum][d]; t == "float" {
			return "LogAddExp<float>"
		}
		return ""
	case tensor.ScanSum, tensor.ScanProd:
		if t := foldTypes[tensor.OpSum][d]; t != "" {
			return map[tensor.ScanOp]string{tensor.ScanSum: "Sum<", tensor.ScanProd: "Prod<"}[op] + t + ">"
		}
		return ""
	}
	t := foldTypes[tensor.OpMax][d]
	if t == "" {
		return ""
	}
	if d.Is(dtype.Integer) { // the extreme of no elements is the dtype's own
		t = elementTypes[d]
	}
	return map[tensor.ScanOp]string{tensor.ScanMax: "Max<", tensor.ScanMin: "Min<"}[op] + t + ">"
}

// linearScan goes along row-major rows.
func linearScan(e *encoder, p tensor.LinearScan, in, out []View) error {
	t, ok := elements(out[0])
	if !ok {
		return noKernel("%s of %v", p.Name(), out[0].DType)
	}
	k, err := e.kernel("scan", "linear_scan", []string{foldTypes[tensor.OpSum][out[0].DType], t[0]})
	if err != nil {
		return err
	}
	x := newRows(&out[0])
	groups := (x.n + simdWidth - 1) / simdWidth
	return e.runGroups(k, groups, simdWidth,
		e.in(&in[0]), e.in(&in[1]), e.out(&out[0]), i32(x.n), i32(x.k), flag(p.Reverse))
}
