package ring

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// BenchmarkAllSum has the processes of the group as goroutines. The ones that are
// compared with Open MPI are processes, see TestAllSumProcess.
func BenchmarkAllSum(b *testing.B) {
	for _, n := range []int{2, 4} {
		for _, size := range []int{4, 64 << 10, 64 << 20} {
			b.Run(fmt.Sprintf("%dranks/%d", n, size), func(b *testing.B) {
				groups := join(b, job(b, n, 1))
				b.SetBytes(int64(size))
				b.ResetTimer()
				all(b, groups, func(g distributed.Group) error {
					v := make([]byte, size)
					for range b.N {
						if err := g.AllReduce(distributed.Sum, dtype.Float32, v); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}

// TestAllSumProcess is one process of scripts/bench-allsum.sh: with MLX_RING_BENCH
// "bytes rounds" it takes part in a ring of the environment, and rank 0 prints the
// seconds of an all_sum.
func TestAllSumProcess(t *testing.T) {
	var size, rounds int
	if n, _ := fmt.Sscan(os.Getenv("MLX_RING_BENCH"), &size, &rounds); n != 2 {
		t.Skip("run by scripts/bench-allsum.sh")
	}
	cfg, ok, err := FromEnv()
	if err != nil || !ok {
		t.Fatal(err, ok)
	}
	g, err := New(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	v := make([]byte, size)
	for i := range v {
		v[i] = byte(i % 4) // small floats
	}
	sum := func(rounds int) {
		for range rounds {
			if err := g.AllReduce(distributed.Sum, dtype.Float32, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	sum(max(2, rounds/10))
	start := time.Now()
	sum(rounds)
	if g.Rank() == 0 {
		fmt.Printf("seconds %.9f\n", time.Since(start).Seconds()/float64(rounds))
	}
}

// The processes of the benchmark work.
func TestProcesses(t *testing.T) {
	cfgs := job(t, 2, 1)
	hostfile := writeHosts(t, cfgs)
	var cmds []*exec.Cmd
	for r := range cfgs {
		cfgs[r].Listeners[0].Close()
		c := exec.Command(os.Args[0], "-test.run", "^TestAllSumProcess$")
		c.Env = append(os.Environ(), "MLX_RING_BENCH=1000 10", "MLX_HOSTFILE="+hostfile, "MLX_RANK="+strconv.Itoa(r))
		c.Stderr = os.Stderr
		cmds = append(cmds, c)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for r, c := range cmds {
		if err := c.Wait(); err != nil {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}
