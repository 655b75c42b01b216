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

// Ran is what was seen of primitives since OnMetal: how many were encoded for the GPU, and which
// had no kernel there, as "name of dtype".
type Ran struct {
	mu  sync.Mutex
	gpu map[string]int
	cpu map[string]bool
}

// OnMetal makes the emulated GPU the default device until the test ends, when the CPU is
// again. The test fails if nothing ran on the GPU, or if a primitive ran on the CPU that
// is not among allowed.
func OnMetal(t testing.TB, allowed ...string) *Ran {
	t.Helper()
	if err := metal.Choose(metal.Emulator); err != nil {
		t.Fatal(err)
	}
	r := &Ran{gpu: map[string]int{}, cpu: map[string]bool{}}
	metal.Observe(func(p tensor.Primitive, in, out []tensor.View, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if errors.Is(err, tensor.ErrUnsupported) {
			if !slices.Contains(allowed, p.Name()) {
				r.cpu[fmt.Sprintf("%s of %v", p.Name(), out[0].DType)] = true
			}
		} else if err == nil {
			r.gpu[p.Name()]++
		}
	})
	t.Cleanup(func() {
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
	})
	return r
}

// On counts the primitives of a name that were encoded for the GPU. What a compiled
// function repeats counts once.
func (r *Ran) On(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gpu[name]
}
