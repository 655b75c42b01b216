// Command sums is a job for tests: all ranks add up arrays, step after step.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/distributed"
)

func main() {
	steps := flag.Int("steps", 0, "how many; 0 goes on for ever")
	n := flag.Int("n", 1, "elements of each array")
	pause := flag.Duration("pause", 0, "after each step")
	timeout := flag.Duration("timeout", time.Minute, "of the ring")
	crash := flag.String("crash", "", "RANK:STEP that panics")
	flag.Parse()
	if err := run(*steps, *n, *pause, *timeout, *crash); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func run(steps, n int, pause, timeout time.Duration, crash string) error {
	g, err := distributed.Init(distributed.Strict(true), distributed.Timeout(timeout))
	if err != nil {
		return err
	}
	for step := 1; steps == 0 || step <= steps; step++ {
		if crash == fmt.Sprintf("%d:%d", g.Rank(), step) {
			panic("boom")
		}
		x := mlx.Full([]int{n}, float32(step*(g.Rank()+1)))
		sum := distributed.AllSum(x)
		if err := mlx.Eval(sum); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		fmt.Println("step", step, mlx.Item[float32](mlx.Min(sum)), mlx.Item[float32](mlx.Max(sum)))
		time.Sleep(pause)
	}
	return g.Close()
}
