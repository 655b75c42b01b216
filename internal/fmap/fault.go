package fmap

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// FaultError is a page of a mapped file that could not be read.
type FaultError struct {
	Path   string // the file
	Offset int64  // the byte whose page faulted
	Err    error  // the runtime's error
}

// Error names the file and the byte.
func (e *FaultError) Error() string {
	return fmt.Sprintf("%s: cannot read the mapped file at byte %d: it was truncated or the disk failed: %v", e.Path, e.Offset, e.Err)
}

// Unwrap is the runtime's error.
func (e *FaultError) Unwrap() error { return e.Err }

// Guard runs fn in this goroutine and returns its error. If fn faults on a page
// of a live mapping the error is a [*FaultError]; every other panic goes on.
//
// It covers only the goroutine it runs in. A pool of workers that reads
// mappings calls debug.SetPanicOnFault(true) once in each worker and
// [Recovered] where it recovers.
func Guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			fault := Recovered(v)
			if fault == nil {
				panic(v)
			}
			err = fault
		}
	}()
	return fn()
}

// Recovered is the *FaultError for a recovered panic value that is a fault
// inside a live mapping, else nil: then the caller should panic with v again.
// Faults are panics only after debug.SetPanicOnFault(true).
func Recovered(v any) *FaultError {
	fault, ok := v.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	m, off := find(fault.Addr())
	if m == nil {
		return nil
	}
	return &FaultError{Path: m.path, Offset: int64(off), Err: fault}
}
