package mlx

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
)

// Array is an n-dimensional array that is computed when its values are needed. It
// is immutable: an update makes a new array. It may be used from any goroutine.
//
// Its methods are what Python writes with an operator or a dot:
//
//	Shape Dim Dims2 Dims3 Dims4 NDim Size DType NBytes Stream On Donate All
//	AsType Reshape Flatten Squeeze ExpandDims Transpose T SwapAxes BroadcastTo Add Sub Mul Div FloorDiv
//	Mod Pow MatMul Neg Abs Eq Ne Lt Le Gt Ge And Or Xor
//	Not Shl Shr Bytes Index At View MoveAxis
//	String Format
//
// The operand of an operator is an *Array or a Go number or bool; a number is
// weak: x.Mul(2) keeps int32 and bfloat16, x.Mul(0.5) makes int32 float32.
//
// It prints as in MLX: array([5, 7, 9], dtype=int32); with %.3f and the like each
// element is printed in that format. See [SetPrintOptions].
type Array = tensor.Array

// Arrays is a list of arrays, for the ops that take one (a list in Python).
type Arrays = []*Array

// Shape is the size of each axis. A []int is assignable to it. It prints as in
// MLX: (2, 3), (3,), ().
type Shape = tensor.Shape

// Spec is the shape and dtype of an array (not in MLX).
type Spec = tensor.Spec

// Error is what misuse panics with, where MLX raises ValueError: the op, what it was
// given and what is wrong.
//
//	matmul[float32(1, 7, 64) float32(32, 100)]: inner dimensions differ (64, 32)
type Error = tensor.Error

// ErrMemory is the cause of an error when memory is exhausted or the limit of
// [SetMemoryLimit] would be passed (RuntimeError in MLX).
var ErrMemory = tensor.ErrMemory

// Try calls f and returns the *[Error] that f panicked with, or nil. Other panics
// pass. Call it once, at a boundary: a request, a command, a test. It is try and except
// of Python.
func Try(f func()) error { return tensor.Try(f) }

// DType is the type of an array's elements. As an argument it is dtype=.
type DType = dtype.DType

// The element types, as mx.float32. Float64 runs on the CPU only.
const (
	Bool      = dtype.Bool
	Uint8     = dtype.Uint8
	Uint16    = dtype.Uint16
	Uint32    = dtype.Uint32
	Uint64    = dtype.Uint64
	Int8      = dtype.Int8
	Int16     = dtype.Int16
	Int32     = dtype.Int32
	Int64     = dtype.Int64
	Float16   = dtype.Float16
	BFloat16  = dtype.BFloat16
	Float32   = dtype.Float32
	Float64   = dtype.Float64
	Complex64 = dtype.Complex64
)

// Category is a set of dtypes as in mx.issubdtype; see DType.Is.
type Category = dtype.Category

// The categories of mx.issubdtype: Generic > Number > {Integer > {SignedInteger, UnsignedInteger},
// Inexact > {Floating, ComplexFloating}}.
const (
	Generic         = dtype.Generic
	Number          = dtype.Number
	Integer         = dtype.Integer
	SignedInteger   = dtype.SignedInteger
	UnsignedInteger = dtype.UnsignedInteger
	Inexact         = dtype.Inexact
	Floating        = dtype.Floating
	ComplexFloating = dtype.ComplexFloating
)

// FInfo is mx.finfo: what [DType.FInfo] tells of a floating dtype.
type FInfo = dtype.FInfo

// IInfo is mx.iinfo: what [DType.IInfo] tells of an integer dtype.
type IInfo = dtype.IInfo

// ParseDType is the dtype of MLX's name for it, as "bfloat16".
func ParseDType(name string) (DType, error) { return dtype.Parse(name) }

// CanCast is mx.can_cast: from converts to to without leaving its category.
func CanCast(from, to DType) bool { return dtype.CanCast(from, to) }

// ResultType is mx.result_type: the dtype that an op on these arrays computes in.
func ResultType(arrays ...*Array) DType {
	d := dtype.Bool
	for i, a := range arrays {
		if i == 0 {
			d = a.DType()
		} else {
			d = dtype.Promote(d, a.DType())
		}
	}
	return d
}

// Device is a processor, a DeviceKind and an index. As an argument it is stream=
// with the device's default stream.
type Device = tensor.Device

// DeviceInfo is what mx.device_info tells of a device; see Device.Info.
type DeviceInfo = tensor.DeviceInfo

// DeviceKind is mx.DeviceType: cpu or gpu.
type DeviceKind = tensor.DeviceKind

// Stream is a queue of work on a device. As an argument it is stream=. It may be
// used from any goroutine.
type Stream = tensor.Stream

// The devices mx.cpu and mx.gpu. GPU is the first GPU; see [IsAvailable].
var (
	CPU = Device{Kind: tensor.KindCPU}
	GPU = Device{Kind: tensor.KindGPU}
)

// IsAvailable is mx.is_available: ops may run on d.
func IsAvailable(d Device) bool { return tensor.IsAvailable(d) }

// Devices lists the devices of kind k: mx.device_count and Device(k, i).
func Devices(k DeviceKind) []Device { return tensor.Devices(k) }

// DefaultDevice is mx.default_device: where ops run that name no stream.
func DefaultDevice() Device { return tensor.DefaultDevice() }

// SetDefaultDevice is mx.set_default_device, for the whole process. It panics if d
// is not available.
func SetDefaultDevice(d Device) { tensor.SetDefaultDevice(d) }

// DefaultStream is mx.default_stream(d).
func DefaultStream(d Device) Stream { return tensor.DefaultStream(d) }

// SetDefaultStream is mx.set_default_stream, for the whole process.
func SetDefaultStream(s Stream) { tensor.SetDefaultStream(s) }

// NewStream is mx.new_stream(d). It panics if d is not available.
func NewStream(d Device) Stream { return tensor.NewStream(d) }

// Synchronize is mx.synchronize: wait for the given streams, or for all, and
// return the first fault of their work.
func Synchronize(s ...Stream) error { return tensor.Synchronize(s...) }

// Eval is mx.eval: compute the arrays of the trees and wait. A tree is an *Array, a
// slice or map of trees, or a struct with trees in exported fields: a model, a cache,
// a batch. Errors are faults of devices and memory, and *[Error] for values that have
// no data.
func Eval(trees ...any) error { return tensor.Eval(arraysOf("eval", trees)...) }

// AsyncEval is mx.async_eval: start computing the arrays of the trees; see [Eval]. A
// fault of the work is returned by whoever reads.
func AsyncEval(trees ...any) error { return tensor.AsyncEval(arraysOf("async_eval", trees)...) }

// arraysOf lists the arrays of trees. What holds none is misuse: a mistake of types.
func arraysOf(op string, trees []any) (out []*Array) {
	for _, t := range trees {
		switch t := t.(type) {
		case *Array:
			out = append(out, t)
		case Arrays:
			out = append(out, t...)
		default:
			if !tree.IsTree(t) {
				tensor.Throw(op, nil, "%T is neither an array nor a tree of arrays", t)
			}
			for _, a := range tree.Leaves(t) {
				out = append(out, a)
			}
		}
	}
	return out
}

// ActiveMemory is mx.get_active_memory: bytes in use by arrays of 64 KiB and
// more, mapped weights among them.
func ActiveMemory() int64 { return tensor.ActiveMemory() }

// PeakMemory is mx.get_peak_memory: the most ActiveMemory has been since
// [ResetPeakMemory].
func PeakMemory() int64 { return tensor.PeakMemory() }

// ResetPeakMemory is mx.reset_peak_memory.
func ResetPeakMemory() { tensor.ResetPeakMemory() }

// CacheMemory is mx.get_cache_memory: freed bytes kept for reuse.
func CacheMemory() int64 { return tensor.CacheMemory() }

// ClearCache is mx.clear_cache: give the kept bytes back to the system.
func ClearCache() { tensor.ClearCache() }

// SetMemoryLimit is mx.set_memory_limit: an allocation that would pass it fails
// with [ErrMemory]; 0 is no limit. It returns the old limit.
func SetMemoryLimit(bytes int64) (old int64) { return tensor.SetMemoryLimit(bytes) }

// SetCacheLimit is mx.set_cache_limit; it returns the old limit.
func SetCacheLimit(bytes int64) (old int64) { return tensor.SetCacheLimit(bytes) }

// SetWiredLimit is mx.set_wired_limit: up to that many bytes of arrays are kept in
// memory for the GPU, from macOS 15 on. It returns the old limit, and panics with *[Error]
// when the GPU should not use that much. Without a GPU it does nothing.
func SetWiredLimit(bytes int64) (old int64) { return metal.SetWiredLimit(bytes) }

// StartCapture is mx.metal.start_capture: what the GPU does is recorded into path, a new
// .gputrace, until [StopCapture]. The program must run with MTL_CAPTURE_ENABLED=1.
func StartCapture(path string) error { return metal.StartCapture(path) }

// StopCapture is mx.metal.stop_capture.
func StopCapture() error { return metal.StopCapture() }

// MemoryUse counts bytes in use by purpose (not in MLX).
type MemoryUse = tensor.MemoryUse

// Memory says what [ActiveMemory] is used for (not in MLX).
func Memory() MemoryUse { return tensor.MemoryByUse() }

// on reads the stream of an op that takes no other keyword.
func on(op string, opts []opt.Op) Stream { return tensor.OnlyStream(op, opts) }

// streamOf is the one stream among an op's keywords.
func streamOf(op string, set *opt.Set) Stream { return tensor.OneStream(op, set) }
