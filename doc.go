// Package mlx is an array framework: Apple's MLX for Go. Arrays are lazy, live in
// unified memory and are computed on streams of a CPU or GPU; functions of them are
// differentiated, vectorized and compiled.
//
//	a := mlx.NewArray([]int{1, 2, 3})
//	fmt.Println(mlx.Sum(a.Mul(2))) // array(12, dtype=int32)
//
// Layers are in package nn, optimizers in optim, fused ops in fast, random numbers in
// random, functions over trees of arrays in tree. The folder examples has a program for
// each idea below.
//
// # Names
//
// A name of mlx.core is the same name here in Go case: mx.logsumexp is [LogSumExp],
// mx.expand_dims is [ExpandDims]. Required arguments are positional, in MLX's order. A
// keyword argument is a value of a named type, so that what an op does not take does not
// compile:
//
//	mx.mean(x, axis=-1, keepdims=True)   mlx.Mean(x, mlx.Axis(-1), mlx.KeepDims(true))
//	mx.sum(x, axis=(0, 2))               mlx.Sum(x, mlx.Axes{0, 2})
//	mx.zeros((2, 3), dtype=mx.bfloat16)  mlx.Zeros(mlx.Shape{2, 3}, mlx.BFloat16)
//	mx.add(a, b, stream=mx.cpu)          mlx.Add(a, b, mlx.CPU)
//
// Functions are the whole API. Methods of [Array] are what Python writes with an operator
// or a dot: a.Add(b), a.Gt(0), x.Reshape(2, -1), x.AsType(mlx.Float16).
//
// # Arrays and numbers
//
// [NewArray] takes numbers and nested slices; [FromSlice] is typed and fast. A [DType] is
// data, not part of an array's Go type. Ops promote as MLX does. A Go number that meets
// an array is weak: x.Mul(2) keeps int32 and bfloat16, x.Mul(0.5) makes int32 float32.
// Arrays are immutable and safe for use by many goroutines: a = a.At(0).Set(7) makes a
// new one.
//
// # Evaluation and reading
//
// Ops build a graph and compute nothing. [Eval] computes and returns faults of devices and
// memory as an error, [AsyncEval] only starts. [Item], [ToSlice], [ToRows] and printing
// evaluate what they need. The Go type must hold every value of the dtype; there is no
// silent conversion.
//
// # Indexing
//
// Python's brackets are [Array.Index] with ints, slices ([Range], [From], [To], [Step]),
// [Colon], [NewAxis], [Ellipsis], integer arrays and bool masks; assignment to brackets is
// [Array.At].
//
//	a[1:3, None, ..., ::2]   a.Index(mlx.Range(1, 3), mlx.NewAxis, mlx.Ellipsis, mlx.Step(2))
//	a[mask] = 0              a = a.At(mask).Set(0)
//
// # Transformations
//
// [Grad], [ValueAndGrad], [VMap], [Compile], [Checkpoint] and [CustomFunction] take a
// function and give one of the same type, so they nest: Grad(Grad(Sin)), VMap(Grad(f)),
// Compile of a whole training step. Arguments may be trees: structs, slices and maps of
// arrays, as models and batches are. Inside VMap and Compile values have no data; reading
// one is an error that says so.
//
// # Streams and devices
//
// A [Stream] is a queue of work on a [Device]. An op runs on the stream it is given, else
// on that of [Array.On], else on the default one of the process; dependencies between
// streams are kept. Any goroutine may use any stream.
//
// # Files
//
// [Save] and [Load] are for one array (.npy), [SaveZ], [SaveSafetensors] and [LoadAll] for
// arrays by name. What is loaded is a view of the mapped file, read when it is needed.
//
// # Errors
//
// Misuse, such as shapes that do not fit, panics with *[Error], as an index out of range
// does: formulas stay formulas. [Try] turns such a panic into an error at a boundary. What
// touches the world (evaluation, files) returns an error.
package mlx
