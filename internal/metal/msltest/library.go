//go:build linux && metalemu && cgo

package msltest

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "cpp/launch.h"

typedef void (*msl_dispatcher)(void (*run)(void), const struct msl_launch*, struct msl_report*);

static void call_dispatch(void* f, void* run, const struct msl_launch* l, struct msl_report* r) {
	((msl_dispatcher)f)((void (*)(void))run, l, r);
}
static void call_set_constants(void* f, const char* list) { ((void (*)(const char*))f)(list); }
static void* run_of(const struct msl_kernel* k) { return (void*)k->run; }
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// loading guards the list of function constants that objects read when they are loaded.
var loading sync.Mutex

// runtimeLib is the loaded runtime; it stays.
type runtimeLib struct{ dispatch, setConstants unsafe.Pointer }

var theRuntime = sync.OnceValues(func() (*runtimeLib, error) {
	clang, err := FindClang()
	if err != nil {
		return nil, err
	}
	path, err := runtimeObject(clang)
	if err != nil {
		return nil, err
	}
	h, err := open(path, C.RTLD_NOW|C.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	r := &runtimeLib{dispatch: symbol(h, "msl_dispatch"), setConstants: symbol(h, "msl_set_constants")}
	if r.dispatch == nil || r.setConstants == nil {
		return nil, fmt.Errorf("%s is not the runtime of Metal kernels", path)
	}
	return r, nil
})

// runtimeObject gives the runtime as a shared object.
func runtimeObject(clang Clang) (string, error) {
	return compileRuntime(clang, ".so", "runtime.cpp", "-shared", "-fuse-ld="+linker(), "-lm", "-pthread")
}

func open(path string, flags C.int) (unsafe.Pointer, error) {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	runtime.LockOSThread() // dlerror belongs to the thread
	defer runtime.UnlockOSThread()
	h := C.dlopen(c, flags)
	if h == nil {
		return nil, fmt.Errorf("cannot load %s: %s", filepath.Base(path), C.GoString(C.dlerror()))
	}
	return h, nil
}

func symbol(h unsafe.Pointer, name string) unsafe.Pointer {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.dlsym(h, c)
}

// A Library is a compiled program. Each set of function constants is one copy of its code
// in memory, loaded when it is first asked for.
type Library struct {
	program *Program
	runtime *runtimeLib
	path    string

	mu     sync.Mutex
	copies map[string]*code
}

// code is a loaded object. It is unloaded when no library and no kernel holds it.
type code struct {
	handle  unsafe.Pointer
	kernels map[string]*C.struct_msl_kernel
	holders atomic.Int32
}

// Load compiles the kernels of those names, or all, and makes them ready to run.
func (p *Program) Load(math gpu.Math, names ...string) (*Library, error) {
	rt, err := theRuntime()
	if err != nil {
		return nil, err
	}
	path, err := p.object(math, names)
	if err != nil {
		return nil, err
	}
	return &Library{program: p, runtime: rt, path: path, copies: map[string]*code{}}, nil
}

// object compiles the kernels of those names, or all, into a shared object.
func (p *Program) object(math gpu.Math, names []string) (string, error) {
	args := append(p.flags(Plain, math), "-shared")
	return p.compile(args, names, ".so", func(path string, args []string, code string) error {
		_, err := p.clang.run(code, append(args, "-", "-o", path)...)
		return translate(err, nil)
	})
}

// Close lets go of the code. Kernels that were made live on.
func (l *Library) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.copies {
		c.release()
	}
	l.copies = map[string]*code{}
}

func (c *code) release() {
	if c.holders.Add(-1) == 0 {
		C.dlclose(c.handle)
	}
}

// copyOf gives the code with those values of function constants.
func (l *Library) copyOf(constants string) (*code, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.copies[constants]; c != nil {
		c.holders.Add(1)
		return c, nil
	}
	c, err := l.load(constants)
	if err != nil {
		return nil, err
	}
	c.holders.Store(2) // the library's and the caller's
	l.copies[constants] = c
	return c, nil
}

// load loads the object from a file of its own, which is gone afterwards: the loader would
// give the same code, with the same constants, for the same file.
func (l *Library) load(constants string) (*code, error) {
	path, err := copyOfFile(l.path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)

	list := C.CString(constants)
	defer C.free(unsafe.Pointer(list))
	loading.Lock()
	defer loading.Unlock()
	C.call_set_constants(l.runtime.setConstants, list)
	defer C.call_set_constants(l.runtime.setConstants, nil)
	h, err := open(path, C.RTLD_NOW|C.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	c := &code{handle: h, kernels: map[string]*C.struct_msl_kernel{}}
	table := (*C.struct_msl_kernel)(symbol(h, "msl_kernels"))
	if table == nil {
		return nil, fmt.Errorf("%s has no table of kernels", l.path)
	}
	for k := table; k.name != nil; k = next(k) {
		c.kernels[C.GoString(k.name)] = k
	}
	return c, nil
}

// copyOfFile copies a file of the cache beside it.
func copyOfFile(path string) (string, error) {
	object, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("a compiled kernel is gone from the cache: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "loading-")
	if err != nil {
		return "", fmt.Errorf("cannot write into the cache of compiled kernels: %w", err)
	}
	_, err = file.Write(object)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(file.Name())
		return "", fmt.Errorf("cannot write into the cache of compiled kernels: %w", err)
	}
	return file.Name(), nil
}

func next(k *C.struct_msl_kernel) *C.struct_msl_kernel {
	return (*C.struct_msl_kernel)(unsafe.Add(unsafe.Pointer(k), unsafe.Sizeof(*k)))
}

// A Kernel is a loaded kernel with its function constants.
type Kernel struct {
	Entry
	Bindings []Binding
	code     *code
	run      unsafe.Pointer
	runtime  *runtimeLib
	closed   atomic.Bool
}

// A Binding is what a kernel wants of an argument.
type Binding struct {
	Threadgroup bool // memory of [[threadgroup(i)]], not a buffer
	Index       int
	Size        int // least bytes
	Align       int // what its address is a multiple of
}

// Kernel gives the kernel of that name with values of function constants. One that the
// kernel needs and that has no value, or one of another type, is an error.
func (l *Library) Kernel(name string, consts ...gpu.Const) (*Kernel, error) {
	e, err := l.program.entry(name)
	if err != nil {
		return nil, err
	}
	constants, err := l.program.unit.constantList(e, consts)
	if err != nil {
		return nil, err
	}
	c, err := l.copyOf(constants)
	if err != nil {
		return nil, err
	}
	k := c.kernels[name]
	if k == nil {
		c.release()
		return nil, fmt.Errorf("%s was not compiled with kernel %s", l.program.name, name)
	}
	kernel := &Kernel{Entry: e, code: c, run: C.run_of(k), runtime: l.runtime}
	for _, p := range unsafe.Slice(k.params, int(k.param_count)) {
		if p.bound != 0 {
			kernel.Bindings = append(kernel.Bindings, Binding{Threadgroup: p.kind == 1, Index: int(p.index), Size: int(p.size), Align: int(p.align)})
		}
	}
	return kernel, nil
}

// Close lets go of the kernel's code. It must not be running.
func (k *Kernel) Close() {
	if !k.closed.Swap(true) {
		k.code.release()
	}
}

// Run dispatches the kernel and waits. What the launch binds must be what the kernel wants:
// there is no check here.
func (k *Kernel) Run(l Launch) (Report, error) {
	if err := l.check(k.MaxThreads); err != nil {
		return Report{}, fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	buffers := make([]unsafe.Pointer, maxBuffers)
	copy(buffers, l.Buffers)
	for _, b := range buffers {
		if b != nil {
			pin.Pin(b)
		}
	}
	lengths := make([]C.ulong, maxThreadgroupBuffers)
	for i, n := range l.Threadgroup {
		lengths[i] = C.ulong(n)
	}
	pin.Pin(&buffers[0])
	pin.Pin(&lengths[0])
	c := C.struct_msl_launch{
		buffers:             &buffers[0],
		threadgroup_lengths: &lengths[0],
		threadgroup_count:   C.int(len(l.Threadgroup)),
		workers:             C.int(l.workers()),
		order:               C.uint(l.Order),
		seed:                C.uint(l.Seed),
	}
	for i := range 3 {
		c.grid[i], c.group[i] = C.uint(l.Grid[i]), C.uint(l.Group[i])
	}
	var r C.struct_msl_report
	C.call_dispatch(k.runtime.dispatch, k.run, &c, &r)
	report := Report{
		Threads:              int(r.threads),
		Groups:               int(r.groups),
		Switches:             int(r.switches),
		Barriers:             int(r.barriers),
		Collectives:          int(r.collectives),
		DivergentBarriers:    int(r.divergent_barriers),
		DivergentCollectives: int(r.divergent_collectives),
		IncompleteMatrices:   int(r.incomplete_matrices),
		ThreadgroupBytes:     int(r.threadgroup_bytes),
	}
	if r.file != nil {
		report.Where = fmt.Sprintf("%s:%d", C.GoString(r.file), int(r.line))
	}
	return report, nil
}

// smallDispatch is how many threads are not worth a second worker.
const smallDispatch = 2048

func (l Launch) workers() int {
	n := l.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	if l.Grid[0]*l.Grid[1]*l.Grid[2] <= smallDispatch {
		n = 1
	}
	return n
}
