//go:build linux && metalemu && cgo

package msltest

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
typedef struct { uint64_t threads, groups, barriers, collectives, div_collectives, div_barriers, inactive_mma, tg_bytes, switches; const void* first_div; } rep;
typedef int (*disp)(void (*)(), void* const*, int, const uint64_t*, int, const uint32_t*, const uint32_t*, int, uint32_t, uint32_t, rep*);
typedef struct { const char* name; void (*fn)(); } kern;
static int call(void* d, void* fn, uintptr_t* b, int nb, uint64_t* tl, int nt, uint32_t* g, uint32_t* t, int w, uint32_t o, uint32_t s, rep* r) {
  return ((disp)d)((void (*)())fn, (void* const*)b, nb, tl, nt, g, t, w, o, s, r); }
static const char* kname(void* t, int i) { return ((kern*)t)[i].name; }
static void* kfn(void* t, int i) { return (void*)((kern*)t)[i].fn; }
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Library is a loaded shared object.
type Library struct {
	h, disp unsafe.Pointer
	kern    map[string]unsafe.Pointer
	Unit    *Unit
}

// Report says what a dispatch did; Div* are things Metal leaves undefined.
type Report struct {
	Threads, Groups, Barriers, Collectives, DivCollectives, DivBarriers, InactiveMMA, TGBytes, Switches uint64
}

func Load(src string, o Options) (*Library, error) {
	p, u, err := Compile(src, o)
	if err != nil {
		return nil, err
	}
	cs := C.CString(p)
	defer C.free(unsafe.Pointer(cs))
	h := C.dlopen(cs, C.RTLD_NOW|C.RTLD_LOCAL)
	if h == nil {
		return nil, fmt.Errorf("dlopen: %s", C.GoString(C.dlerror()))
	}
	sym := func(s string) unsafe.Pointer {
		c := C.CString(s)
		defer C.free(unsafe.Pointer(c))
		return C.dlsym(h, c)
	}
	l := &Library{h: h, disp: sym("msl_dispatch"), kern: map[string]unsafe.Pointer{}, Unit: u}
	t := sym("msl_kernels")
	for i := C.int(0); C.kname(t, i) != nil; i++ {
		l.kern[C.GoString(C.kname(t, i))] = C.kfn(t, i)
	}
	return l, nil
}

// Launch is what a Metal encoder would hold for one dispatchThreads.
type Launch struct {
	Kernel  string
	Bufs    []unsafe.Pointer // by buffer index
	TGLen   []uint64         // lengths of [[threadgroup(n)]] memory
	Grid    [3]uint32        // threads, as dispatchThreads
	Group   [3]uint32
	Workers int
	Order   uint32 // 0 ascending, 1 descending, 2 shuffled
	Seed    uint32
}

func (l *Library) Run(x Launch) (Report, error) {
	fn := l.kern[x.Kernel]
	if fn == nil {
		return Report{}, fmt.Errorf("no kernel %q", x.Kernel)
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	b := make([]uintptr, len(x.Bufs)+1)
	for i, p := range x.Bufs {
		if p != nil {
			pin.Pin(p)
		}
		b[i] = uintptr(p)
	}
	tl := append(append([]uint64{}, x.TGLen...), 0)
	if x.Workers == 0 {
		x.Workers = runtime.NumCPU()
	}
	var r C.rep
	rc := C.call(l.disp, fn, (*C.uintptr_t)(unsafe.Pointer(&b[0])), C.int(len(x.Bufs)), (*C.uint64_t)(unsafe.Pointer(&tl[0])), C.int(len(x.TGLen)),
		(*C.uint32_t)(unsafe.Pointer(&x.Grid[0])), (*C.uint32_t)(unsafe.Pointer(&x.Group[0])), C.int(x.Workers), C.uint32_t(x.Order), C.uint32_t(x.Seed), &r)
	if rc != 0 {
		return Report{}, fmt.Errorf("dispatch refused (%d)", rc)
	}
	return Report{uint64(r.threads), uint64(r.groups), uint64(r.barriers), uint64(r.collectives), uint64(r.div_collectives), uint64(r.div_barriers), uint64(r.inactive_mma), uint64(r.tg_bytes), uint64(r.switches)}, nil
}
