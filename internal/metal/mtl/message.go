//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// pooled runs f on one thread in an autorelease pool.
func pooled(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	objc.WithAutoreleasePool(f)
}

// call sends a message. T is objc.Object, objc.Void, string, uint64, int64, float64 or
// unsafe.Pointer; arguments of NSUInteger are uint64, of NSInteger int64, of BOOL bool, and
// addresses that Go's collector must not see as such are uintptr.
func call[T any](receiver objc.Handle, selector string, args ...any) T {
	if receiver.Ptr() == nil {
		var zero T
		return zero
	}
	return objc.Call[T](receiver, objc.Sel(selector), args...)
}

// tell sends a message without a result.
func tell(receiver objc.Handle, selector string, args ...any) {
	call[objc.Void](receiver, selector, args...)
}

// ask sends a message whose result is an object.
func ask(receiver objc.Handle, selector string, args ...any) objc.Object {
	return call[objc.Object](receiver, selector, args...)
}

// yes sends a message whose result is a BOOL, which is the low byte of a word.
func yes(receiver objc.Handle, selector string, args ...any) bool {
	return call[uint64](receiver, selector, args...)&0xff != 0
}

// responds says whether an object has a method that came with a later macOS.
func responds(o objc.Object, selector string) bool {
	return !o.IsNil() && o.RespondsToSelector(objc.Sel(selector))
}

// newObject makes an object of a class, which the caller releases. It is nil if the
// system has no such class.
func newObject(class string) objc.Object { return ask(objc.GetClass(class), "new") }

// release gives a reference up, if there is one.
func release(o objc.Object) {
	if !o.IsNil() {
		o.Release()
	}
}

// errorOut is where a method with an error: argument stores its NSError.
type errorOut struct{ object objc.Object }

// arg is the argument.
func (e *errorOut) arg() unsafe.Pointer { return unsafe.Pointer(&e.object) }

// text is what the error says, or what if there was none.
func (e *errorOut) text(what string) string {
	if s := call[string](e.object, "localizedDescription"); s != "" {
		return strings.TrimSpace(s)
	}
	return what
}

// A reference is an owned object that is released once.
type reference struct {
	object   objc.Object
	released atomic.Bool
}

// Release gives the object up. Later calls do nothing.
func (r *reference) Release() {
	if !r.released.Swap(true) {
		pooled(func() { release(r.object) })
	}
}

// checkText says why a Go string is none of Objective-C's.
func checkText(what, s string) error {
	switch {
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("%s has a zero byte", what)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", what)
	}
	return nil
}

var errReleased = errors.New("was released")
