//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// wholeLibrary is up to how many kernels are compiled at once; those of a larger library
// are compiled one by one, when they are asked for.
const wholeLibrary = 6

// A library is source that was read and checked. Compiled code is loaded when a kernel is
// asked for.
type library struct {
	name    string
	program *msltest.Program
	math    gpu.Math

	mu     sync.Mutex
	loaded map[string]*msltest.Library // by kernel; all under "" if compiled at once
}

// Compile checks the source as Metal has it and compiles it when it is asked for kernels.
func (d *device) Compile(name, source string, math gpu.Math) (gpu.Library, error) {
	program, err := msltest.Parse(name, source)
	if err != nil {
		return nil, err
	}
	if err := program.Check(msltest.Strict); err != nil {
		return nil, err
	}
	if lint := program.Lint(); len(lint) > 0 {
		return nil, fmt.Errorf("%w\n%s", gpu.ErrCompile, strings.Join(lint, "\n"))
	}
	if d.opts.Sanitizer != msltest.Plain { // who asks for that has the time for this
		if err := program.Check(msltest.Spaces); err != nil {
			return nil, err
		}
	}
	return &library{name: name, program: program, math: math, loaded: map[string]*msltest.Library{}}, nil
}

func (l *library) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lib := range l.loaded {
		lib.Close()
	}
	l.loaded = nil
}

func (l *library) Kernel(name string, consts ...gpu.Const) (gpu.Kernel, error) {
	lib, err := l.load(name)
	if err != nil {
		return nil, err
	}
	k, err := lib.Kernel(name, consts...)
	if err != nil {
		return nil, err
	}
	return &kernel{Kernel: k, program: l.program, constants: consts}, nil
}

// load compiles what holds a kernel.
func (l *library) load(name string) (*msltest.Library, error) {
	key, names := "", []string(nil)
	if len(l.program.Entries()) > wholeLibrary {
		key, names = name, []string{name}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded == nil {
		return nil, fmt.Errorf("the library %s was released before kernel %s was asked for", l.name, name)
	}
	if lib := l.loaded[key]; lib != nil {
		return lib, nil
	}
	lib, err := l.program.Load(l.math, names...)
	if err != nil {
		return nil, err
	}
	l.loaded[key] = lib
	return lib, nil
}

// A kernel's code stays as long as commands that were encoded need it.
type kernel struct {
	*msltest.Kernel
	program   *msltest.Program
	constants []gpu.Const

	mu       sync.Mutex
	uses     int
	released atomic.Bool
}

func (k *kernel) Name() string { return k.Kernel.Name }

func (k *kernel) MaxThreads() int { return k.Kernel.MaxThreads }

func (k *kernel) Release() {
	k.released.Store(true)
	k.use(0)
}

// use counts commands; the code goes when the last one ended after the release.
func (k *kernel) use(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.uses += n
	if k.uses == 0 && k.released.Load() {
		k.Close()
	}
}

// sanitized is how many threads a dispatch may have to run under a sanitizer.
const sanitized = 1 << 14

// runSanitized runs a dispatch in a process of its own.
func (k *kernel) runSanitized(mode msltest.Mode, c gpu.Cmd, l msltest.Launch) (msltest.Report, error) {
	s := msltest.SanitizedLaunch{Kernel: k.Name(), Constants: k.constants, Launch: l}
	s.Launch.Buffers = nil
	for _, a := range c.Args {
		data := a.Bytes
		if b, ok := a.Buffer.(*buffer); ok {
			data = b.host
		}
		s.Buffers = append(s.Buffers, data)
		s.Offsets = append(s.Offsets, a.Offset)
	}
	return k.program.RunSanitized(mode, s)
}

var errNotOurs = errors.New("it is not a kernel of the emulator's")
