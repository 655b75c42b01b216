package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

// normKernel has a threadgroup for each row of x. Its threads add up squares, simdgroups
// add up their threads, and the first simdgroup adds up the others.
var normKernel = &fast.MetalKernel{
	Name:        "row_norms",
	InputNames:  []string{"x"},
	OutputNames: []string{"norms"},
	Source: `
    threadgroup float part[32];
    uint row = threadgroup_position_in_grid.y;
    uint n = x_shape[1];
    float sum = 0;
    for (uint i = thread_index_in_threadgroup; i < n; i += Threads) {
      float v = x[row * n + i];
      sum += v * v;
    }
    sum = simd_sum(sum);
    if (thread_index_in_simdgroup == 0) {
      part[simdgroup_index_in_threadgroup] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simdgroup_index_in_threadgroup == 0) {
      bool filled = thread_index_in_simdgroup < simdgroups_per_threadgroup;
      sum = simd_sum(filled ? part[thread_index_in_simdgroup] : 0.0f);
      if (thread_index_in_simdgroup == 0) {
        norms[row] = metal::sqrt(sum);
      }
    }
`,
}

// rowNorms are the lengths of the rows of x, in float32.
func rowNorms(x *mlx.Array) *mlx.Array {
	const threads = 256
	rows := x.Dim(0)
	return normKernel.Call(fast.Launch{
		Inputs:       mlx.Arrays{x},
		Template:     []fast.TemplateArg{{Name: "Threads", Value: threads}},
		Grid:         [3]int{threads, rows, 1},
		ThreadGroup:  [3]int{threads, 1, 1},
		OutputShapes: []mlx.Shape{{rows}},
		OutputDTypes: []mlx.DType{mlx.Float32},
	})[0]
}
