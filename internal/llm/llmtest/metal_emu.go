//go:build linux && metalemu

package llmtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Ran is what was seen of primitives: how many were encoded for the GPU, by name, and
// which had no kernel there, as "name of dtype".
type Ran struct {
	mu  sync.Mutex
	gpu map[string]int
	cpu map[string]bool
}

// OnMetal runs f with the emulated GPU as the default device. The test fails if nothing ran
// there, or if a primitive of f ran on the CPU for want of a kernel.
func OnMetal(t testing.TB, f func()) *Ran {
	t.Helper()
	if err := metal.Choose(metal.Emulator); err != nil {
		t.Fatal(err)
	}
	r := &Ran{gpu: map[string]int{}, cpu: map[string]bool{}}
	metal.Observe(r.see)
	defer r.end(t)
	f()
	return r
}

func (r *Ran) see(p tensor.Primitive, _, out []tensor.View, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.gpu[p.Name()]++
	case errors.Is(err, tensor.ErrUnsupported):
		r.cpu[fmt.Sprintf("%s of %v", p.Name(), out[0].DType)] = true
	}
}

// end makes the CPU the default device.
func (r *Ran) end(t testing.TB) {
	t.Helper()
	metal.Observe(nil)
	if err := metal.Choose(metal.CPU); err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gpu) == 0 {
		t.Error("nothing ran on the GPU")
	}
	if len(r.cpu) > 0 {
		t.Errorf("without a kernel on the GPU: %q", slices.Sorted(maps.Keys(r.cpu)))
	}
}

// On counts the primitives of a name that were encoded for the GPU. What a compiled
// function repeats counts once.
func (r *Ran) On(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gpu[name]
}
