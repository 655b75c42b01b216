//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// A library is compiled at once; its functions are loaded when they are asked for, one
// copy of the code for each set of function constants.
type library struct {
	name, source string
	math         gpu.Math
	mu           sync.Mutex
	loaded       map[string]*msltest.Library
}

type kernel struct {
	lib      *msltest.Library
	name     string
	released atomic.Bool
}

func (d *device) Compile(name, source string, math gpu.Math) (gpu.Library, error) {
	l := &library{name: name, source: source, math: math, loaded: map[string]*msltest.Library{}}
	_, unit, err := msltest.Compile(source, msltest.Options{Mode: "strict"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%w", name, gpu.ErrCompile, err)
	}
	if len(unit.Lint) > 0 {
		return nil, fmt.Errorf("%s: %w\n%s", name, gpu.ErrCompile, strings.Join(unit.Lint, "\n"))
	}
	return l, nil
}

func (l *library) Release() {}

func (l *library) Kernel(name string, consts ...gpu.Const) (gpu.Kernel, error) {
	values := map[int]string{}
	for _, c := range consts {
		switch v := c.Value.(type) {
		case bool, int32, uint32:
			values[c.Index] = fmt.Sprint(v)
		case float32:
			values[c.Index] = fmt.Sprintf("%gf", v)
		default:
			return nil, fmt.Errorf("kernel %s: function constant %d is a %T, not bool, int32, uint32 or float32", name, c.Index, c.Value)
		}
	}
	key := fmt.Sprint(values)
	l.mu.Lock()
	defer l.mu.Unlock()
	lib := l.loaded[key]
	if lib == nil {
		var err error
		lib, err = msltest.Load(l.source, msltest.Options{Consts: values})
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%w", l.name, gpu.ErrCompile, err)
		}
		l.loaded[key] = lib
	}
	if !slices.ContainsFunc(lib.Unit.Kernels, func(k msltest.Kernel) bool { return k.Host == name }) {
		return nil, fmt.Errorf("%s has no kernel %s", l.name, name)
	}
	return &kernel{lib: lib, name: name}, nil
}

func (k *kernel) Name() string { return k.name }

func (k *kernel) MaxThreads() int { return 1024 }

func (k *kernel) Release() { k.released.Store(true) }

// run dispatches c, whose buffers are alive, on the cores.
func (k *kernel) run(x msltest.Launch) error {
	x.Kernel = k.name
	r, err := k.lib.Run(x)
	switch {
	case err != nil:
		return err
	case r.DivBarriers > 0:
		return errors.New("a barrier is not reached by all threads of its threadgroup")
	case r.DivCollectives > 0 || r.InactiveMMA > 0:
		return errors.New("a simdgroup operation or barrier is not reached by all lanes of its simdgroup")
	case r.TGBytes > 32768:
		return fmt.Errorf("%d bytes of threadgroup memory: Metal has 32768", r.TGBytes)
	}
	return nil
}
