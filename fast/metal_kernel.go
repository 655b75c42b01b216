package fast

import (
	"io"
	"os"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// MetalKernel is mx.fast.metal_kernel: a kernel of your own from the body of a Metal
// function. Fields are its keywords. [MetalKernel.Call] may be used from any goroutine
// while nobody changes them.
//
// The signature is generated. Each input is a parameter of its name: a pointer to device
// memory, to constant memory if it has fewer than 8 elements, a reference if it has no
// axis. If Source names them, NAME_shape (ints), NAME_strides (int64_t, in elements) and
// NAME_ndim (int) of an input with axes are parameters, too, and so are Metal's attributes,
// as thread_position_in_grid. Outputs are pointers to device memory; they are row-major.
//
// Before Header and the function stand using namespace metal, the types float16_t and
// bfloat16_t, math and simdgroup functions of bfloat (Metal has none), and of MLX's
// utilities elem_to_loc, ceildiv, log1p and Limits.
//
// A kernel has no derivative and no rule for vmap but those that mlx.CustomFunction gives
// it.
type MetalKernel struct {
	Name        string
	InputNames  []string
	OutputNames []string
	Source      string // the body
	Header      string // before the function

	StridedInputs bool   // ensure_row_contiguous=False: use NAME_shape, NAME_strides, which are not negative
	AtomicOutputs bool   // outputs are atomic<T>*
	MathMode      string // "safe" (""), "relaxed" or "fast"
}

// Launch says how to run a kernel; fields are the keywords of MLX's call.
type Launch struct {
	Inputs       mlx.Arrays
	OutputShapes []mlx.Shape
	OutputDTypes []mlx.DType
	Grid         [3]int // threads in all, not threadgroups
	ThreadGroup  [3]int // at most 1024 threads
	Template     []TemplateArg
	InitValue    *float64 // outputs start with it; nil: with anything
	Verbose      bool     // print the generated source, as MLX to standard output
}

// TemplateArg is a pair of template=: Value is an int, a bool or an mlx.DType.
type TemplateArg struct {
	Name  string
	Value any
}

// Call adds the kernel to the graph; it is compiled once for each combination of dtypes
// and template arguments, and runs when an output is needed. Call panics with *mlx.Error
// for names, shapes, grids and the like that cannot be. What the compiler finds is an error
// of evaluation, with the lines of Source; so is a device that is no Metal GPU.
func (k *MetalKernel) Call(l Launch, opts ...mlx.StreamOrDevice) mlx.Arrays {
	def := fast.Definition{
		Name: k.Name, InputNames: k.InputNames, OutputNames: k.OutputNames, Source: k.Source, Header: k.Header,
		MathMode: k.MathMode, Strided: k.StridedInputs, Atomic: k.AtomicOutputs,
	}
	launch := fast.Launch{
		Inputs: l.Inputs, Shapes: l.OutputShapes, DTypes: l.OutputDTypes, Grid: l.Grid, ThreadGroup: l.ThreadGroup,
		Init: l.InitValue,
	}
	for _, a := range l.Template {
		launch.Template = append(launch.Template, fast.TemplateArg(a))
	}
	if l.Verbose {
		launch.Verbose = io.Writer(os.Stdout)
	}
	return fast.CustomOf(def, launch, tensor.OnlyStream("metal_kernel", opts))
}
