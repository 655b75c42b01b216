package optest

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// quantCases follow the CPU's quantizer, which made the recorded files: their bytes
// are exact. MLX accumulated the products in the half types themselves, so those are
// compared loosely, and closely with our own product of the dequantized matrix.
func quantCases() (cases []Case) {
	loose := map[mlx.DType]Tol{mlx.Float32: {Rel: 1e-5, Abs: 1e-5}, mlx.Float16: {Rel: 2e-2}, mlx.BFloat16: {Rel: 0.1}}
	near := Tol{Rel: 1e-5, Abs: 1e-5, Ulps: 1}
	add := func(file, prefix string, d mlx.DType, s mlx.Scheme) {
		s.Rounding = mlx.RoundCPU
		w, x := "w."+d.String(), "x."+d.String()
		key := func(names ...string) (keys []string) {
			for _, n := range names {
				keys = append(keys, prefix+n)
			}
			return keys
		}
		parts := []string{"q", "scales"}
		if s.Mode == "affine" {
			parts = append(parts, "biases")
		}
		of := func(in []*mlx.Array) mlx.Quantized {
			q := mlx.Quantized{Weight: in[0], Scales: in[1], Scheme: s}
			if len(in) == 3 {
				q.Biases = in[2]
			}
			return q
		}
		cases = append(cases,
			Case{Name: prefix + "quantize", File: file, In: []string{w}, Keys: key(parts...), NoGrad: "it rounds", Build: func(in []*mlx.Array) []*mlx.Array {
				q := mlx.Quantize(in[0], s)
				out := []*mlx.Array{q.Weight, q.Scales}
				if q.Biases != nil {
					out = append(out, q.Biases)
				}
				return out
			}},
			Case{Name: prefix + "dequantize", File: file, In: key(parts...), Keys: key("deq"), NoGrad: rounded(d), Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.Dequantize(of(in), d)}
			}},
			Case{Name: prefix + "quantized_matmul", File: file, In: append([]string{x}, key(parts...)...), Keys: key("xwT"), Tol: loose[d],
				Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.QuantizedMatMul(in[0], of(in[1:]))} }},
			Case{Name: prefix + "quantized_matmul of one row", File: file, In: append([]string{x}, key(parts...)...), Keys: []string{}, Tol: near,
				Build: func(in []*mlx.Array) []*mlx.Array {
					return []*mlx.Array{mlx.QuantizedMatMul(tensor.SliceAxis(in[0], 0, 1, 2, none), of(in[1:]))}
				},
				Want: func(in []*mlx.Array) []*mlx.Array {
					row := tensor.SliceAxis(in[0], 0, 1, 2, none).AsType(mlx.Float32)
					return []*mlx.Array{row.MatMul(mlx.Dequantize(of(in[1:]), mlx.Float32).T()).AsType(d)}
				}},
			Case{Name: prefix + "quantized_matmul of many rows", File: file, In: append([]string{x}, key(parts...)...), Keys: []string{}, Tol: near,
				Build: func(in []*mlx.Array) []*mlx.Array {
					return []*mlx.Array{mlx.QuantizedMatMul(mlx.Concatenate(mlx.Arrays{in[0], in[0], in[0], in[0], in[0]}), of(in[1:]))}
				},
				Want: func(in []*mlx.Array) []*mlx.Array {
					rows := mlx.Concatenate(mlx.Arrays{in[0], in[0], in[0], in[0], in[0]}).AsType(mlx.Float32)
					return []*mlx.Array{rows.MatMul(mlx.Dequantize(of(in[1:]), mlx.Float32).T()).AsType(d)}
				}},
			Case{Name: prefix + "quantized_matmul, not transposed", File: file, In: append([]string{x}, key(parts...)...), Tol: near,
				Build: func(in []*mlx.Array) []*mlx.Array {
					y := tensor.SliceAxis(in[0], 1, 0, 24, none)
					return []*mlx.Array{mlx.QuantizedMatMul(y, of(in[1:]), mlx.TransposeRHS(false))}
				},
				Keys: []string{},
				Want: func(in []*mlx.Array) []*mlx.Array {
					y := tensor.SliceAxis(in[0], 1, 0, 24, none).AsType(mlx.Float32)
					return []*mlx.Array{y.MatMul(mlx.Dequantize(of(in[1:]), mlx.Float32)).AsType(d)}
				}},
		)
	}
	for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
		for _, bits := range []int{2, 3, 4, 5, 6, 8} {
			for _, group := range []int{32, 64, 128} {
				add("quantize_affine", fmt.Sprintf("%v.b%d.g%d.", d, bits, group), d, mlx.Scheme{Mode: "affine", Bits: bits, GroupSize: group})
			}
		}
		for _, mode := range []mlx.Mode{"mxfp4", "mxfp8", "nvfp4"} {
			if d == mlx.Float16 {
				continue // not recorded
			}
			s := map[mlx.Mode]mlx.Scheme{"mxfp4": {Mode: mode, Bits: 4, GroupSize: 32}, "mxfp8": {Mode: mode, Bits: 8, GroupSize: 32}, "nvfp4": {Mode: mode, Bits: 4, GroupSize: 16}}[mode]
			add("quantize_fp", fmt.Sprintf("%v.%v.", d, mode), d, s)
		}
	}
	return cases
}

// rounded is why differences say nothing of results that are rounded to d.
func rounded(d mlx.DType) string {
	if d == mlx.Float32 {
		return ""
	}
	return "its result is rounded to a half; the cases of float32 have the same rule"
}
