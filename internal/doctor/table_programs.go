package doctor

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/fft"
)

func programChecks() []check {
	return []check{
		{name: "a compiled function", results: "first second third", inputs: arrays{wave(250, 30), positive(251, 30)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			f := mlx.Compile(func(in arrays) arrays {
				x, y := in[0], in[1]
				h := mlx.Multiply(mlx.Sigmoid(x), mlx.Add(x, y))
				return arrays{mlx.Softmax(mlx.Multiply(mlx.Subtract(h, y), 0.125))}
			})
			return arrays{f(in)[0], f(arrays{in[1], in[0]})[0], f(arrays{in[0], in[0]})[0]}
		}},
		{name: "a compiled function with a sort", results: "sum order", inputs: arrays{wave(252, 40)}, tol: summed, build: func(in arrays) arrays {
			f := mlx.Compile(func(in arrays) arrays { return arrays{mlx.CumSum(mlx.Sort(in[0])), mlx.ArgSort(in[0])} })
			return f(in)
		}},
		{name: "Fourier transforms", results: "re im back size", inputs: arrays{wave(258, 3, 60), wave(259, 2048)}, same: true, tol: loose, build: func(in arrays) arrays {
			y := fft.RFFT(in[0])
			return arrays{mlx.Real(y), mlx.Imag(y), fft.IRFFT(y, fft.N(60)), mlx.Abs(fft.FFT(in[1])).Index(mlx.To(100))}
		}},
		{name: "gradients", results: "x w1 w2", inputs: arrays{wave(253, 6, 10), wave(254, 10, 8), wave(255, 8, 3)}, tol: loose, build: func(in arrays) arrays {
			_, g := mlx.VJP(func(in arrays) arrays {
				h := mlx.Tanh(mlx.MatMul(in[0], in[1].Mul(0.25)))
				return arrays{mlx.Mean(mlx.LogSumExp(mlx.MatMul(h, in[2]), mlx.Axis(1)))}
			}, in, arrays{mlx.NewArray(1.0).AsType(in[0].DType())})
			return g
		}},
		{name: "streams of both devices", only: "GPU", inputs: arrays{wave(256, 5, 8), positive(257, 5, 8)}, tol: usual, build: bothDevices, want: func(in arrays) arrays {
			x, y := in[0], in[1]
			for range 5 {
				x = mlx.Multiply(mlx.Add(x, y, mlx.CPU), 0.5, mlx.CPU)
			}
			return arrays{mlx.Sum(x, mlx.Axis(1), mlx.CPU)}
		}},
	}
}

// bothDevices adds on one device and multiplies on the other.
func bothDevices(in arrays) arrays {
	x, y := in[0], in[1]
	for range 5 {
		x = mlx.Multiply(mlx.Add(x, y, mlx.GPU), 0.5, mlx.CPU)
	}
	return arrays{mlx.Sum(x, mlx.Axis(1), mlx.GPU)}
}

var exponential = &fast.MetalKernel{
	Name: "doctor_exp", InputNames: []string{"inp"}, OutputNames: []string{"out"},
	Source: `
    uint elem = thread_position_in_grid.x;
    out[elem] = metal::exp(inp[elem]);`,
}

// rowSums adds up rows of more than a simdgroup.
var rowSums = &fast.MetalKernel{
	Name: "doctor_row_sums", InputNames: []string{"x"}, OutputNames: []string{"sums"},
	Source: `
    threadgroup float part[32];
    uint row = threadgroup_position_in_grid.y;
    float sum = 0;
    for (uint i = thread_index_in_threadgroup; i < static_cast<uint>(x_shape[1]); i += Threads) {
      sum += static_cast<float>(x[row * x_shape[1] + i]);
    }
    sum = simd_sum(sum);
    if (thread_index_in_simdgroup == 0) {
      part[simdgroup_index_in_threadgroup] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simdgroup_index_in_threadgroup == 0) {
      sum = simd_sum(thread_index_in_simdgroup < simdgroups_per_threadgroup ? part[thread_index_in_simdgroup] : 0.0f);
      if (thread_index_in_simdgroup == 0) {
        sums[row] = sum;
      }
    }`,
}

func kernelChecks() []check {
	const threads = 64
	return []check{
		{name: "a kernel of one's own", only: "GPU", inputs: arrays{wave(260, 100)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			x := in[0]
			return exponential.Call(fast.Launch{Inputs: in, Grid: [3]int{x.Size(), 1, 1}, ThreadGroup: [3]int{64, 1, 1},
				OutputShapes: []mlx.Shape{x.Shape()}, OutputDTypes: []mlx.DType{x.DType()}})
		}, want: func(in arrays) arrays { return arrays{mlx.Exp(in[0].AsType(mlx.Float64)).AsType(mlx.Float32)} }},
		{name: "a kernel of one's own with simdgroups", only: "GPU", inputs: arrays{wave(261, 5, 300)}, floats: halves, tol: usual, build: func(in arrays) arrays {
			rows := in[0].Dim(0)
			return rowSums.Call(fast.Launch{Inputs: in, Template: []fast.TemplateArg{{Name: "Threads", Value: threads}},
				Grid: [3]int{threads, rows, 1}, ThreadGroup: [3]int{threads, 1, 1}, OutputShapes: []mlx.Shape{{rows}}, OutputDTypes: []mlx.DType{mlx.Float32}})
		}, want: func(in arrays) arrays { return arrays{mlx.Sum(in[0], mlx.Axis(1))} }},
	}
}
