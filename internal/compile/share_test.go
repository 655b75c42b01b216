package compile

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

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

// TestSharedStep drives one Step from 16 goroutines with three signatures, of which
// it keeps two, while eager work on other streams still reads the states that it
// takes. Results are those of a lone run, bit for bit, and memory comes back.
func TestSharedStep(t *testing.T) {
	device := tensor.Device{Kind: tensor.KindCPU}
	streams := []tensor.Stream{none, tensor.NewStream(device), tensor.NewStream(device)}
	body := func(in, st []*Array) ([]*Array, []*Array) {
		x := plus(mul(in[0], scalar(0.5)), st[0])
		y := un(tensor.OpSin, minus(x, st[1]))
		return []*Array{mul(x, y)}, []*Array{y, st[0]} // the second state is the old first
	}
	step := New("shared", body)
	step.Limit = 2
	data := func(seed uint64, n int) *Array {
		return fill(rand.New(rand.NewPCG(seed, 7)), f32(n))
	}
	drive := func(seed uint64, shared *Array, eager bool) ([]float32, error) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := shared.Size()
		st := []*Array{data(seed, n), data(seed+1, n)}
		var got []float32
		for i := range 6 {
			in := data(seed*31+uint64(i), n)
			if r.IntN(2) == 0 {
				in = st[r.IntN(2)] // an input that is a state, too
			}
			on := streams[r.IntN(3)]
			seen := tensor.BinaryOf(tensor.OpMaximum, st[0], shared, on)
			kept := st[1]
			if r.IntN(2) == 0 {
				kept = mul(kept.Donate(), scalar(2))
				if in == st[1] {
					in = kept
				}
				st[1] = kept
			}
			var out []*Array
			var err error
			if eager {
				out, st = body([]*Array{in}, st)
				err = tensor.Eval(append(out, st...)...)
			} else {
				if err := tensor.AsyncEval(seen); err != nil {
					return nil, err
				}
				out, st, err = step.Call([]*Array{in}, st)
			}
			if err != nil {
				return nil, err
			}
			got = append(got, tensor.ToSlice[float32](seen)...)
			got = append(got, tensor.ToSlice[float32](out[0])...)
		}
		return append(got, tensor.ToSlice[float32](st[1])...), nil
	}
	settle := func() (last int64) {
		last = -1
		for range 200 {
			runtime.GC()
			time.Sleep(time.Millisecond)
			now := tensor.ActiveMemory()
			if now == last {
				break
			}
			last = now
		}
		return last
	}
	before := settle()
	func() {
		sizes := []int{48, 999, 1 << 15}
		var shared [3]*Array
		for i, n := range sizes {
			shared[i] = mul(data(uint64(i), n), scalar(3)) // lazy
		}
		errs := make([]error, 16)
		var wg sync.WaitGroup
		for g := range errs {
			wg.Go(func() {
				for round := range 3 {
					seed, s := uint64(100*g+round), shared[(g+round)%3]
					got, err := drive(seed, s, false)
					if err == nil {
						var want []float32
						if want, err = drive(seed, s, true); err == nil && !slices.Equal(got, want) {
							err = fmt.Errorf("goroutine %d, round %d: the compiled results differ", g, round)
						}
					}
					if err != nil {
						errs[g] = err
						return
					}
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	}()
	step = nil
	if now := settle(); now != before {
		t.Errorf("%d bytes are in use at the end, %d before", now, before)
	}
}
