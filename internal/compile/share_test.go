package compile

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
)

// TestSharedCaptures: Steps that capture lazy values are traced and run by several
// goroutines while others evaluate those values, drop their handles and collect.
func TestSharedCaptures(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 12
	}
	for round := range rounds {
		n := []int{64, 1 << 15}[round%2] // on and off the Go heap
		base := make([]float32, n)
		for i := range base {
			base[i] = float32(i%13) - 6
		}
		a := plus(tensor.FromSlice(base), scalar(1))
		b := mul(a, a)
		c := un(tensor.OpSin, minus(b, a))
		top := plus(c, b)
		step := New("share", func(in, st []*Array) ([]*Array, []*Array) {
			x := mul(in[0], top)
			return []*Array{plus(x, c)}, []*Array{plus(st[0], x)}
		})
		a, b = nil, nil
		var wg sync.WaitGroup
		errs := make([]error, 8)
		got := make([][]float32, 8)
		for g := range got {
			wg.Go(func() {
				errs[g] = func() error {
					switch g % 4 {
					case 1:
						if err := tensor.Eval(top); err != nil {
							return err
						}
					case 2:
						runtime.GC()
					case 3:
						if err := tensor.AsyncEval(c); err != nil {
							return err
						}
					}
					st := []*Array{tensor.FromSlice(slices.Clone(base))}
					own := step
					if g%2 == 0 { // traced apart
						own = New("own", func(in, st []*Array) ([]*Array, []*Array) {
							x := mul(in[0], top)
							return []*Array{plus(x, c)}, []*Array{plus(st[0], x)}
						})
					}
					for range 3 {
						out, next, err := own.Call([]*Array{tensor.FromSlice(base)}, st)
						if err != nil {
							return err
						}
						st = next
						got[g] = tensor.ToSlice[float32](out[0])
					}
					got[g] = append(got[g], tensor.ToSlice[float32](st[0])...)
					return nil
				}()
			})
		}
		wg.Wait()
		for g, err := range errs {
			if err != nil {
				t.Fatal(fmt.Errorf("round %d, goroutine %d: %w", round, g, err))
			}
			if !slices.Equal(got[g], got[0]) {
				t.Fatalf("round %d: goroutine %d has other results", round, g)
			}
		}
	}
}
