//go:build linux && metalemu

package metal

import (
	"testing"

	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// The sources of products and of packed matrices keep to what Metal has, with its address
// spaces.
func TestProductSources(t *testing.T) {
	for _, i := range []instance{
		{"matmul", "gemm", []string{"bfloat", "half", "float", "32", "32"}},
		{"matmul", "gemm_parts", []string{"bfloat"}},
		{"matmul", "gemv", []string{"bfloat", "bfloat", "bfloat"}},
		{"matmul", "gemv_columns", []string{"bfloat", "half", "float"}},
		{"matmul", "gemm_complex", []string{"bfloat", "float2"}},
		{"quant", "qmv", []string{"bfloat", "bfloat", "bfloat", "5", "0", "4"}},
		{"quant", "qvm", []string{"bfloat", "uchar", "bfloat", "4", "3"}},
		{"quant", "qmm", []string{"bfloat", "bfloat", "bfloat", "bfloat", "6", "0", "true"}},
		{"quant", "qmm_runs", []string{"half", "half", "half", "float", "4", "0"}},
		{"quant", "dequantize", []string{"uchar", "bfloat", "8", "2"}},
		{"quantize", "quantize_affine", []string{"bfloat"}},
		{"quantize", "quantize_fp", []string{"bfloat", "3"}},
	} {
		source, err := i.source()
		if err != nil {
			t.Fatal(err)
		}
		msltest.Check(t, i.hostName(), source)
	}
}
