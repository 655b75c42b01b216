package fast_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

// copyKernel copies its input.
var copyKernel = fast.MetalKernel{
	Name: "copy", InputNames: []string{"a"}, OutputNames: []string{"o"},
	Source: "o[thread_position_in_grid.x] = a[thread_position_in_grid.x];",
}

// copyLaunch runs copyKernel over x.
func copyLaunch(x *mlx.Array) fast.Launch {
	return fast.Launch{
		Inputs: mlx.Arrays{x}, OutputShapes: []mlx.Shape{x.Shape()}, OutputDTypes: []mlx.DType{x.DType()},
		Grid: [3]int{x.Size(), 1, 1}, ThreadGroup: [3]int{32, 1, 1},
	}
}

// TestMetalKernelMisuse: what cannot be is refused by Call, in a sentence.
func TestMetalKernelMisuse(t *testing.T) {
	x := mlx.NewArray([]float64{1, 2, 3})
	type K = fast.MetalKernel
	type L = fast.Launch
	for _, c := range []struct {
		change func(k *K, l *L)
		want   string
	}{
		{func(k *K, l *L) { l.Inputs = nil }, "metal_kernel: copy: 0 inputs for the names (a)"},
		{func(k *K, l *L) { l.Inputs = mlx.Arrays{x, x} }, "metal_kernel[float32(3,) float32(3,)]: copy: 2 inputs for the names (a)"},
		{func(k *K, l *L) { l.Inputs = mlx.Arrays{nil} }, "metal_kernel: copy: input 0 is nil"},
		{func(k *K, l *L) { l.OutputShapes = nil }, "copy: 0 OutputShapes and 1 OutputDTypes for the outputs (o)"},
		{func(k *K, l *L) { l.OutputDTypes = append(l.OutputDTypes, mlx.Int8) }, "copy: 1 OutputShapes and 2 OutputDTypes for the outputs (o)"},
		{func(k *K, l *L) { l.OutputShapes = []mlx.Shape{{2, -1}} }, "shape (2, -1) has a negative axis"},
		{func(k *K, l *L) { k.OutputNames = nil }, "copy: OutputNames is empty"},
		{func(k *K, l *L) { l.Grid = [3]int{} }, "copy: the grid [0 0 0] must have 1 to 2^32-1 threads along x"},
		{func(k *K, l *L) { l.Grid[2] = -1 }, "copy: the grid [3 1 -1] must have 1 to 2^32-1 threads along z"},
		{func(k *K, l *L) { l.ThreadGroup[1] = 0 }, "copy: the threadgroup [32 0 1] must have at least one thread along y"},
		{func(k *K, l *L) { l.ThreadGroup[0] = -8 }, "copy: the threadgroup [-8 1 1] must have at least one thread along x"},
		{func(k *K, l *L) { l.ThreadGroup = [3]int{32, 8, 5} }, "copy: the threadgroup [32 8 5] has more than 1024 threads"},
		{func(k *K, l *L) { l.ThreadGroup = [3]int{1 << 40, 1 << 40, 1} }, "has more than 1024 threads"},
		{func(k *K, l *L) { k.Name = "my kernel" }, `the kernel's name "my kernel" is no identifier`},
		{func(k *K, l *L) { k.Name = "" }, `the kernel's name "" is no identifier`},
		{func(k *K, l *L) { k.InputNames = []string{"2a"} }, `copy: the name "2a" of an input is no identifier`},
		{func(k *K, l *L) { k.InputNames = []string{"half"} }, "copy: the name half of an input is a word of Metal"},
		{func(k *K, l *L) { k.OutputNames = []string{"a"} }, "copy: a cannot be the name of an output: it is an input"},
		{func(k *K, l *L) { k.OutputNames = []string{"a_shape"} }, "copy: a_shape cannot be the name of an output: it is the shape of input a"},
		{func(k *K, l *L) { k.OutputNames = []string{"grid_size"} }, "copy: grid_size cannot be the name of an output: it is an attribute of Metal"},
		{func(k *K, l *L) { l.Template = []fast.TemplateArg{{Name: "o", Value: 1}} }, "copy: o cannot be the name of a template argument: it is an output"},
		{func(k *K, l *L) { l.Template = []fast.TemplateArg{{Name: "T", Value: 1.5}} }, "copy: template argument T: a float64 is neither an int nor a bool nor an mlx.DType"},
		{func(k *K, l *L) { l.Template = []fast.TemplateArg{{Name: "T"}} }, "copy: template argument T: a <nil> is neither"},
		{func(k *K, l *L) { l.Template = []fast.TemplateArg{{Name: "N", Value: 1 << 40}} }, "copy: template argument N: 1099511627776 does not fit Metal's int"},
		{func(k *K, l *L) { l.Template = []fast.TemplateArg{{Name: "T", Value: mlx.Complex64}} }, "copy: template argument T: there is no type of Metal for complex64"},
		{func(k *K, l *L) { l.Inputs = mlx.Arrays{x.AsType(mlx.Complex64)} }, "metal_kernel[complex64(3,)]: copy: input a: there is no type of Metal for complex64"},
		{func(k *K, l *L) { l.Inputs = mlx.Arrays{x.AsType(mlx.Float64)} }, "copy: input a: there is no type of Metal for float64"},
		{func(k *K, l *L) { l.OutputDTypes = []mlx.DType{mlx.Float64} }, "copy: output o: there is no type of Metal for float64"},
		{func(k *K, l *L) { k.AtomicOutputs, l.OutputDTypes = true, []mlx.DType{mlx.Float16} }, "copy: output o: there is no atomic<half> in Metal: with AtomicOutputs use float32, int32, uint32 or uint64"},
		{func(k *K, l *L) { k.MathMode = "loose" }, `copy: MathMode "loose" is none of safe, relaxed and fast`},
		{func(k *K, l *L) { k.Source = " \n" }, "copy: Source is empty"},
		{func(k *K, l *L) {
			k.InputNames, l.Inputs = nil, nil
			for i := range 31 {
				k.InputNames, l.Inputs = append(k.InputNames, fmt.Sprint("a", i)), append(l.Inputs, x)
			}
		}, "copy: 32 inputs, shapes, strides and outputs are more than the 31 arguments that Metal allows"},
	} {
		k, l := copyKernel, copyLaunch(x)
		c.change(&k, &l)
		err := mlx.Try(func() { k.Call(l) })
		var typed *mlx.Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// TestMetalKernelIsAnOp: a call has the shapes and dtypes that it was asked for; without a
// rule it has no derivative and is not mapped.
func TestMetalKernelIsAnOp(t *testing.T) {
	x := mlx.NewArray([]float64{1, 2, 3})
	l := copyLaunch(x)
	l.OutputShapes, l.OutputDTypes = []mlx.Shape{{2, 5}}, []mlx.DType{mlx.BFloat16}
	out := copyKernel.Call(l)
	if len(out) != 1 || fmt.Sprint(out[0].Shape(), out[0].DType()) != "(2, 5) bfloat16" {
		t.Errorf("%d outputs, %v %v", len(out), out[0].Shape(), out[0].DType())
	}
	f := func(x *mlx.Array) *mlx.Array { return mlx.Sum(copyKernel.Call(copyLaunch(x))[0]) }
	for what, run := range map[string]func(){
		"metal_kernel[float32(3,)]: copy has no derivative: give it one with mlx.CustomFunction and Rules.VJP": func() { mlx.Grad(f)(x) },
		"metal_kernel[float32(3,)]: copy has no derivative: give it one with mlx.CustomFunction and Rules.JVP": func() {
			mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{f(in[0])} }, mlx.Arrays{x}, mlx.Arrays{x})
		},
		"metal_kernel[float32(2, 3)]: copy cannot be mapped by vmap: say how with mlx.CustomFunction and Rules.VMap": func() {
			mlx.VMap(f)(mlx.Ones(mlx.Shape{2, 3}))
		},
	} {
		if err := mlx.Try(run); err == nil || err.Error() != what {
			t.Errorf("got %v, want %s", err, what)
		}
	}
}

// TestMetalKernelVerbose: the source goes to standard output, as MLX prints it.
func TestMetalKernelVerbose(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	l := copyLaunch(mlx.NewArray([]float64{1, 2, 3}))
	l.Verbose = true
	copyKernel.Call(l)
	os.Stdout = stdout
	w.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Generated source code for `copy`:\n```\n" + `#line 1 "copy.signature"
[[kernel]] void custom_kernel_copy_floatc_float(
    const constant float* a [[buffer(0)]],
    device float* o [[buffer(1)]],
    uint3 thread_position_in_grid [[thread_position_in_grid]]) {
#line 1 "copy"
o[thread_position_in_grid.x] = a[thread_position_in_grid.x];
#line 1 "copy.end"
}
` + "```\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMetalKernelWithoutMetal: the CPU says what is needed.
func TestMetalKernelWithoutMetal(t *testing.T) {
	err := mlx.Eval(copyKernel.Call(copyLaunch(mlx.NewArray([]float64{1, 2, 3}, mlx.CPU)), mlx.CPU)[0])
	const want = "metal_kernel[float32(3,)]: kernels of one's own need a Metal GPU; on Linux build with -tags metalemu, " +
		"install clang 17 or newer, and set MLX_DEVICE=metal-emu"
	var typed *mlx.Error
	if !errors.As(err, &typed) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
