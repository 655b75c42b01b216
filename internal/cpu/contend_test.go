package cpu

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// busyVar makes TestBusyChild spin: it is the number of threads.
const busyVar = "MLX_TEST_BUSY_THREADS"

// TestBusyChild is the busy process of BenchmarkContended: it spins until its
// standard input ends, so it dies with its parent.
func TestBusyChild(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(busyVar))
	if err != nil {
		t.Skip("runs only as a child of BenchmarkContended")
	}
	runtime.GOMAXPROCS(n + 1)
	for range n {
		go func() {
			runtime.LockOSThread()
			for x := 1.0; ; {
				x = spin(x, 1000)
			}
		}()
	}
	fmt.Println("spinning")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// spin is n steps of arithmetic, each of which needs the one before.
func spin(x float64, n int) float64 {
	for range n {
		x = math.Sqrt(x + 1)
	}
	return x
}

// busyChild starts a process that spins on n threads and gives the function that
// ends it.
func busyChild(tb testing.TB, n int) func() {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBusyChild$")
	cmd.Env = append(os.Environ(), busyVar+"="+strconv.Itoa(n))
	detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("spinning"))); err != nil {
		tb.Fatal(err)
	}
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

// kernels are tasks with a barrier before each, every chunk so many steps of spin.
func kernels(count, chunks, steps int) []task {
	ts := make([]task, count)
	for i := range ts {
		ts[i] = task{prim: panics{}, chunks: chunks, cost: parallelCost, sync: true, run: func(s *scratch, _, _ int) {
			if spin(1, steps) < 0 {
				panic("a root is negative")
			}
		}}
	}
	return ts
}

// stepsOf is how many steps of spin take so long on an undisturbed core.
func stepsOf(d time.Duration) int {
	const n = 100_000
	best := time.Hour
	for range 30 {
		t := time.Now()
		if spin(1, n) < 0 {
			panic("a root is negative")
		}
		best = min(best, time.Since(t))
	}
	return int(n * d / best)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkContended runs tokens of 300 kernels with one thread and with two, in
// turn, beside a process that keeps no, one or every core busy. It reports the
// median time of both and, as "2T/1T", how much longer two threads take: 1.33 is
// the promise of the pool, 0.5 the best there is. overhead-us/kernel is what a
// kernel costs above half its time on one thread.
func BenchmarkContended(b *testing.B) {
	const count, chunks = 300, 4
	for _, busy := range []int{0, 1, runtime.NumCPU()} {
		for _, us := range []int{5, 50, 500} {
			b.Run(fmt.Sprintf("busy%d/chunk%dus", busy, us), func(b *testing.B) {
				ts := kernels(count, chunks, stepsOf(time.Duration(us)*time.Microsecond))
				if busy > 0 {
					defer busyChild(b, busy)()
				}
				contended(b, ts)
			})
		}
	}
}

// contended alternates about a fifth of a second of tokens on one thread with as
// many on two.
func contended(b *testing.B, ts []task) {
	p := newPool(2, patience)
	defer p.close()
	r := newRun(ts)
	var s scratch
	token := func(two bool) float64 {
		start := time.Now()
		var err error
		if two {
			err = p.do(r, &s)
		} else {
			err = serial(ts, &s)
		}
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start).Seconds()
	}
	token(true)
	reps := max(1, int(.2/token(false)))
	var one, two []float64
	for b.Loop() {
		sum := [2]float64{}
		for k := range sum {
			for range reps {
				sum[k] += token(k == 1)
			}
		}
		one, two = append(one, sum[0]/float64(reps)), append(two, sum[1]/float64(reps))
	}
	m1, m2 := median(one), median(two)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(m1*1e3, "1T-ms")
	b.ReportMetric(m2*1e3, "2T-ms")
	b.ReportMetric(m2/m1, "2T/1T")
	b.ReportMetric((m2-m1/2)/float64(len(ts))*1e6, "overhead-us/kernel")
}
