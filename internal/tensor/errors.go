package tensor

import (
	"errors"
	"fmt"
	"strings"
)

// Error is misuse: the op, what it was given and what is wrong. Building a graph
// panics with it; Eval and reading return or panic with it as their docs say.
type Error struct {
	Op  string
	In  []Spec
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if len(e.In) > 0 {
		b.WriteByte('[')
		for i, s := range e.In {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(s.String())
		}
		b.WriteByte(']')
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrMemory is the cause when an allocation would pass the memory limit or the
// system has no memory left.
var ErrMemory = errors.New("out of memory")

// ErrUnsupported is a backend's answer to a primitive that it has no kernel for.
var ErrUnsupported = errors.New("not supported")

// Try runs fn and returns the *Error that it panicked with, or nil. Other panics
// pass.
func Try(fn func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
		default:
			panic(r)
		}
	}()
	fn()
	return nil
}

// Throw panics with an *Error.
func Throw(op string, in []Spec, format string, a ...any) {
	panic(&Error{Op: op, In: in, Err: fmt.Errorf(format, a...)})
}
