package cpu

import (
	"bytes"
	"testing"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A run without kernels claims every chunk, changes nothing, and leaves the program
// as it was.
func TestDispatch(t *testing.T) {
	d := newDecoder()
	want := d.eager()
	g := prepare(t, d.plan(t)).(*program)
	withWorkers(t, func(n int) {
		bind := d.bind(t)
		runProgram(t, g, bind)
		var before [][]byte
		for i := range bind {
			before = append(before, bytes.Clone(bind[i].HostBytes()))
		}
		for range 3 {
			kernels, barriers, err := tensor.Program(g).(tensor.Dispatcher).Dispatch()
			if err != nil || kernels != len(g.tasks) || barriers < 15 || barriers >= kernels { // TestHazards has the 15
				t.Fatalf("%d workers: %d kernels of %d, %d barriers, %v", n, kernels, len(g.tasks), barriers, err)
			}
		}
		for i := range bind {
			if !bytes.Equal(bind[i].HostBytes(), before[i]) {
				t.Errorf("%d workers: buffer %d changed", n, i)
			}
		}
		bind = d.bind(t)
		runProgram(t, g, bind)
		if !bytes.Equal(bind[4].HostBytes(), want[0].Bytes()) {
			t.Errorf("%d workers: the program differs from eager after Dispatch", n)
		}
	})
	r := g.idle.run
	r.start(1)
	r.walk(&pool{share: 1}, nil, &scratch{}, 1)
	if got := r.done.Load(); got != r.total || got == 0 {
		t.Errorf("%d chunks were claimed, not %d", got, r.total)
	}
}

func BenchmarkDispatch(b *testing.B) {
	g := prepare(b, newDecoder().plan(b)).(*program)
	for b.Loop() {
		if _, _, err := g.Dispatch(); err != nil {
			b.Fatal(err)
		}
	}
}
