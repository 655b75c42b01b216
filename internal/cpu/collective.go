package cpu

import "github.com/mlxgo/mlx/internal/distributed"

// collectiveTask runs a collective on the views' memory. The last input and result are
// tokens.
func collectiveTask(p distributed.Runner, in, out []View) task {
	y := &out[0]
	run := func(*scratch, int, int) {
		var x []byte
		if len(in) > 1 {
			x = in[0].HostBytes()
		}
		if err := p.Run(y.DType, x, y.HostBytes()); err != nil {
			panic(kernelError{err})
		}
	}
	return task{run: run, chunks: 1, cost: 1, alone: true}
}
