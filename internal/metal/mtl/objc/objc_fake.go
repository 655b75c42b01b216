//go:build linux

package objc

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/mtl/objcfake"
)

// The names of the fake.
type (
	Handle   = objcfake.Handle
	Object   = objcfake.Object
	Class    = objcfake.Class
	Selector = objcfake.Selector
	Void     = objcfake.Void
)

// Sel gives the selector of a name.
func Sel(name string) Selector { return objcfake.Sel(name) }

// GetClass gives a class, with a nil pointer if the system has none of that name.
func GetClass(name string) Class { return objcfake.GetClass(name) }

// Call sends a message to an object, which may not be nil.
func Call[T any](receiver Handle, selector Selector, params ...any) T {
	return objcfake.Call[T](receiver, selector, params...)
}

// WithAutoreleasePool runs task in a pool of its own. The caller holds the thread.
func WithAutoreleasePool(task func()) { objcfake.WithAutoreleasePool(task) }

// CreateSystemDefaultDevice gives a reference to the default MTLDevice, or nil.
func CreateSystemDefaultDevice() Object { return objcfake.CreateSystemDefaultDevice() }

// CopyAllDevices gives a reference to an NSArray of all MTLDevices.
func CopyAllDevices() Object { return objcfake.CopyAllDevices() }

// Encode sends the commands of a tape to an MTLComputeCommandEncoder, as
// encode_darwin.c does; a test compares the two.
func Encode(encoder Object, tape *Tape) {
	var bound uint64
	for w := tape.Words(); len(w) > 0; {
		if w[0] == opBarrier {
			send(encoder, "memoryBarrierWithScope:", uint64(1))
			w = w[1:]
			continue
		}
		run := w[:10]
		if w = w[10:]; run[1] != bound {
			bound = run[1]
			send(encoder, "setComputePipelineState:", objcfake.ObjectAt(bound))
		}
		for i := range run[2] {
			w = bindArgument(encoder, w, i)
		}
		for i := range run[3] {
			send(encoder, "setThreadgroupMemoryLength:atIndex:", w[0], i)
			w = w[1:]
		}
		send(encoder, "dispatchThreads:threadsPerThreadgroup:", size(run[4:7]), size(run[7:10]))
	}
}

// bindArgument binds the first argument of w to an index and gives the rest.
func bindArgument(encoder Object, w []uint64, index uint64) []uint64 {
	switch w[0] {
	case argBuffer:
		send(encoder, "setBuffer:offset:atIndex:", objcfake.ObjectAt(w[1]), w[2], index)
		return w[3:]
	case argBytes:
		send(encoder, "setBytes:length:atIndex:", unsafe.Pointer(&w[2]), w[1], index)
		return w[2+(w[1]+7)/8:]
	default:
		return w[1:]
	}
}

func send(o Object, selector string, args ...any) { Call[Void](o, Sel(selector), args...) }

func size(w []uint64) objcfake.Size { return objcfake.Size{Width: w[0], Height: w[1], Depth: w[2]} }
