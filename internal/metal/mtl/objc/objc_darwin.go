//go:build darwin && cgo

package objc

/*
#cgo LDFLAGS: -framework Metal -framework CoreGraphics -framework Foundation
#include "encode_darwin.h"

extern void *MTLCreateSystemDefaultDevice(void);
extern void *MTLCopyAllDevices(void);
*/
import "C"

import (
	"unsafe"

	"github.com/progrium/darwinkit/objc"
)

// The names of darwinkit's objc.
type (
	Handle   = objc.Handle
	Object   = objc.Object
	Class    = objc.Class
	Selector = objc.Selector
	Void     = objc.Void
)

// Sel gives the selector of a name.
func Sel(name string) Selector { return objc.Sel(name) }

// GetClass gives a class, with a nil pointer if the system has none of that name.
func GetClass(name string) Class { return objc.GetClass(name) }

// Call sends a message to an object, which may not be nil.
func Call[T any](receiver Handle, selector Selector, params ...any) T {
	return objc.Call[T](receiver, selector, params...)
}

// WithAutoreleasePool runs task in a pool of its own. The caller holds the thread.
func WithAutoreleasePool(task func()) { objc.WithAutoreleasePool(task) }

// CreateSystemDefaultDevice gives a reference to the default MTLDevice, or nil.
func CreateSystemDefaultDevice() Object {
	return objc.ObjectFrom(C.MTLCreateSystemDefaultDevice())
}

// CopyAllDevices gives a reference to an NSArray of all MTLDevices.
func CopyAllDevices() Object { return objc.ObjectFrom(C.MTLCopyAllDevices()) }

// Encode sends the commands of a tape to an MTLComputeCommandEncoder.
func Encode(encoder Object, tape *Tape) {
	if words := tape.Words(); len(words) > 0 {
		C.mlx_encode(encoder.Ptr(), (*C.uint64_t)(unsafe.Pointer(&words[0])), C.uint64_t(len(words)))
	}
}
