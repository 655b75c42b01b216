package cpu

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Groups are disjoint and hold all CPUs; with too few CPUs there are none.
func TestPlaces(t *testing.T) {
	cpus := []int{0, 8, 1, 9, 2, 10, 3}
	for threads := 1; threads <= len(cpus); threads++ {
		p := newPlaces(cpus, threads)
		var all []int
		for g := range threads {
			if len(p.group(g)) == 0 {
				t.Errorf("%d threads: group %d is empty", threads, g)
			}
			all = append(all, p.group(g)...)
			for _, c := range p.group(g) {
				if want := map[bool]int{true: -1, false: g}[g == 0]; p.moved(c) != want {
					t.Errorf("%d threads: moved(%d) = %d, want %d", threads, c, p.moved(c), want)
				}
			}
		}
		if !slices.Equal(all, cpus) {
			t.Errorf("%d threads: groups %v", threads, all)
		}
		if p.moved(77) != -1 || p.moved(-1) != -1 {
			t.Errorf("%d threads: a CPU outside is in a group", threads)
		}
	}
	p := newPlaces(cpus, 8)
	if p.group(1) != nil || p.moved(0) != -1 {
		t.Error("8 threads have places on 7 CPUs")
	}
}

// A caller that runs on a worker's CPUs takes its place, and the worker the
// caller's.
func TestSettle(t *testing.T) {
	p := &pool{places: newPlaces([]int{0, 1, 2, 3, 4, 5}, 3)}
	p.others = []*worker{{group: 1}, {group: 2}}
	for _, c := range []struct{ cpu, home, a, b int }{{0, 0, 1, 2}, {5, 2, 1, 0}, {4, 2, 1, 0}, {2, 1, 2, 0}, {-1, 1, 2, 0}} {
		p.settle(c.cpu)
		if p.places.home != c.home || p.others[0].group != c.a || p.others[1].group != c.b {
			t.Errorf("caller on CPU %d: home %d, workers %d and %d, want %+v", c.cpu, p.places.home, p.others[0].group, p.others[1].group, c)
		}
	}
}

// Small tasks that need each other are one claim, and what follows a barrier
// inside such a chain waits for the chain.
func TestChains(t *testing.T) {
	const big = 10 * chunkCost
	for _, c := range []struct {
		name   string
		tasks  []task
		chain  []bool
		sync   []bool
		before []uint32
		total  uint32
	}{
		{"all small", []task{{chunks: 1, sync: true}, {chunks: 1, sync: true}, {chunks: 1}}, []bool{false, true, true}, []bool{true, true, false}, []uint32{0, 1, 1}, 1},
		{"big ends a chain", []task{{chunks: 1, sync: true}, {chunks: 1, sync: true}, {chunks: 4}, {chunks: 1, sync: true}}, []bool{false, true, false, false}, []bool{true, true, true, true}, []uint32{0, 1, 1, 5}, 6},
		{"costly neighbours stay apart", []task{{chunks: 1, cost: big, sync: true}, {chunks: 1, cost: big}, {chunks: 1, cost: big, sync: true}}, []bool{false, false, false}, []bool{true, false, true}, []uint32{0, 1, 2}, 3},
		{"a head without barrier", []task{{chunks: 2, sync: true}, {chunks: 1}, {chunks: 1}, {chunks: 1, sync: true}}, []bool{false, false, false, false}, []bool{true, false, false, true}, []uint32{0, 2, 3, 4}, 5},
	} {
		r := newRun(c.tasks)
		for i, st := range r.steps {
			if st.chain != c.chain[i] || st.sync != c.sync[i] || !st.chain && st.before != c.before[i] {
				t.Errorf("%s: step %d is %+v", c.name, i, st)
			}
		}
		if r.total != c.total {
			t.Errorf("%s: %d chunks to claim, want %d", c.name, r.total, c.total)
		}
	}
}

// Every chunk runs once, after all chunks before the last barrier, on pools that
// park at once and on pools that spin, for lists of tasks of all kinds.
func TestEveryChunkOnce(t *testing.T) {
	rng := newRand(40)
	for _, n := range []int{1, 2, 3, 5} {
		for _, wait := range []time.Duration{0, patience} {
			p := newPool(n, wait)
			for range 20 {
				var ended atomic.Int64 // chunks so far
				var ts []task
				var counts [][]atomic.Int32
				before, all := 0, 0
				for i := range 40 {
					chunks := []int{1, 1, 1, 2, 7, 64}[rng.IntN(6)]
					sync := i == 0 || rng.IntN(3) > 0
					if sync {
						before = all
					}
					need, count := int64(before), make([]atomic.Int32, chunks)
					counts = append(counts, count)
					ts = append(ts, task{prim: panics{}, chunks: chunks, cost: chunks * rng.IntN(2*chunkCost), sync: sync, run: func(_ *scratch, c, _ int) {
						if ended.Load() < need {
							panic("too early")
						}
						count[c].Add(1)
						ended.Add(1)
					}})
					all += chunks
				}
				r := newRun(ts)
				for k := range 3 {
					ended.Store(0)
					var s scratch
					if err := p.do(r, &s); err != nil {
						t.Fatalf("%d workers: %v", n, err)
					}
					for i := range counts {
						for c := range counts[i] {
							if got := counts[i][c].Load(); got != int32(k+1) {
								t.Fatalf("%d workers: chunk %d of task %d ran %d times in %d runs", n, c, i, got, k+1)
							}
						}
					}
				}
			}
			p.close()
		}
	}
}

// A worker that does not run while it holds a chunk makes the caller dismiss the
// others and sleep until the chunk is done, and they come back later.
func TestStuckWorker(t *testing.T) {
	for _, fails := range []bool{false, true} {
		p := newPool(2, patience)
		var mine scratch
		entered := make(chan struct{})
		var once sync.Once
		ts := []task{{prim: panics{}, chunks: 2, sync: true, run: func(s *scratch, _, _ int) {
			if s == &mine {
				<-entered // the worker has the other chunk
				return
			}
			once.Do(func() { close(entered) })
			for !p.apart.Load() { // ends only if the caller notices
				time.Sleep(50 * time.Microsecond) // off the CPU, as if somebody else had it
			}
			if fails {
				panic("deliberate")
			}
		}}, {prim: panics{}, chunks: 8, sync: true, run: func(*scratch, int, int) {}}}
		err := p.do(newRun(ts), &mine)
		if want := map[bool]string{true: "panics: kernel fault: deliberate", false: "<nil>"}[fails]; fmt.Sprint(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
		p.back = time.Time{} // the spell is over
		both := newRun([]task{{prim: panics{}, chunks: 2, sync: true, run: ts[0].run}})
		once, entered, fails = sync.Once{}, make(chan struct{}), false
		if err := p.do(both, &mine); err != nil { // ends only if the worker comes
			t.Error(err)
		}
		p.close()
	}
}

// neighbours keeps every core busy for the length of a test.
func neighbours(t *testing.T) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			runtime.LockOSThread()
			for x := 1.0; !stop.Load(); {
				x = spin(x, 1000)
			}
		})
	}
	t.Cleanup(func() {
		stop.Store(true)
		wg.Wait()
	})
}

// spinning makes the shared pool one that spins before it parks.
func spinning(n int) {
	thePool.Lock()
	defer thePool.Unlock()
	if thePool.p != nil {
		thePool.p.close()
	}
	thePool.p = newPool(n, patience)
}

// The same bits beside busy neighbours, from workers that spin.
func TestSameBitsUnderLoad(t *testing.T) {
	d := newDecoder()
	g := prepare(t, d.plan(t))
	x, _ := normalArray(newRand(41), dtype.Float32, 200, 300)
	product := func() string { return string(tensor.MatMulOf(x, tensor.SwapAxes(x, 0, 1, none), none).Bytes()) }
	var want []string
	check := func(n int) {
		t.Helper()
		bind := d.bind(t)
		runProgram(t, g, bind)
		got := []string{product()}
		for i := range bind {
			got = append(got, string(bind[i].HostBytes()))
		}
		if want == nil {
			want = got
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%d workers: result %d differs from that of one worker without load", n, i)
			}
		}
	}
	SetWorkers(1)
	defer SetWorkers(0)
	check(1)
	neighbours(t)
	for _, n := range []int{1, 2, 3, 5} {
		SetWorkers(n)
		spinning(n)
		for range 10 {
			check(n)
		}
	}
}
