package grouptest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// collectives compares all dtypes, sizes and ops with the reference.
func (w *world) collectives(t *testing.T) {
	for _, d := range dtypes() {
		for _, n := range []int{0, 1, 3, 1000} {
			w.collect(t, d, n)
		}
	}
	large := []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Int8}
	n := 300_007 // which no number of ranks divides
	if Full() {
		large, n = dtypes(), 10_000_019
	}
	for _, d := range large {
		w.collect(t, d, n)
	}
}

// collect runs all ops on n elements. Gathering and scattering take n for each process
// when n is small, else n in all.
func (w *world) collect(t *testing.T, d dtype.DType, n int) {
	t.Helper()
	part := n
	if n > 1000 {
		part = n / w.size()
	}
	for _, op := range ops {
		w.reduce(t, op, d, w.inputs(d, n))
		w.scatter(t, op, d, w.inputs(d, part*w.size()))
	}
	w.gather(t, d, w.inputs(d, part))
}

// inputs are each process's n elements.
func (w *world) inputs(d dtype.DType, n int) [][]byte {
	all := make([][]byte, w.size())
	for rank := range all {
		all[rank] = random(d, n, uint64(n)<<8|uint64(d), uint64(rank))
	}
	return all
}

func (w *world) reduce(t *testing.T, op distributed.ReduceOp, d dtype.DType, in [][]byte) [][]byte {
	t.Helper()
	out := make([][]byte, w.size())
	w.do(t, func(rank int, g distributed.Group) error {
		out[rank] = slices.Clone(in[rank])
		return g.AllReduce(op, d, out[rank])
	})
	if err := check(op, d, out[0], in); err != nil {
		t.Fatal(err)
	}
	w.same(t, fmt.Sprintf("all_%v of %v", op, d), out)
	return out
}

// same: all processes have the same bits.
func (w *world) same(t *testing.T, what string, out [][]byte) {
	t.Helper()
	for rank, v := range out {
		if !bytes.Equal(v, out[0]) {
			t.Fatalf("%s: rank %d has other bits than rank 0", what, rank)
		}
	}
}

func (w *world) scatter(t *testing.T, op distributed.ReduceOp, d dtype.DType, in [][]byte) {
	t.Helper()
	before := make([][]byte, w.size())
	out := make([][]byte, w.size())
	w.do(t, func(rank int, g distributed.Group) error {
		before[rank] = slices.Clone(in[rank])
		out[rank] = make([]byte, len(in[rank])/w.size())
		return g.ReduceScatter(op, d, in[rank], out[rank])
	})
	if err := check(op, d, slices.Concat(out...), before); err != nil {
		t.Fatalf("scattered: %v", err)
	}
	for rank := range in {
		if !bytes.Equal(in[rank], before[rank]) {
			t.Fatalf("%v_scatter of %v changes its input on rank %d", op, d, rank)
		}
	}
}

func (w *world) gather(t *testing.T, d dtype.DType, in [][]byte) {
	t.Helper()
	out := make([][]byte, w.size())
	w.do(t, func(rank int, g distributed.Group) error {
		out[rank] = make([]byte, len(in[rank])*w.size())
		return g.AllGather(d, in[rank], out[rank])
	})
	if want := slices.Concat(in...); !bytes.Equal(out[0], want) {
		t.Fatalf("all_gather of %d bytes of %v is wrong", len(in[0]), d)
	}
	w.same(t, "all_gather", out)
}

// nan: a NaN of any process is everybody's, infinities and zeros keep their signs where
// the sum says so. Element i has its NaN on rank i.
func (w *world) nan(t *testing.T) {
	inf := math.Inf(1)
	special := []float64{inf, -inf, 0, math.Copysign(0, -1), 1}
	for _, d := range dtypes() {
		if !d.Is(dtype.Inexact) {
			continue
		}
		part, parts := d, 1
		if d == dtype.Complex64 {
			part, parts = dtype.Float32, 2
		}
		for place := range parts { // of the NaN: real or imaginary part
			n := 64 * w.size()
			in := make([][]byte, w.size())
			for rank := range in {
				in[rank] = make([]byte, n*d.Size())
				for i := range n * parts {
					x := special[(i/3+rank*(i%7))%len(special)]
					if i%parts == place && i/parts%w.size() == rank && i/parts < n/2 {
						x = math.NaN()
					}
					put(part, in[rank][i*part.Size():], x)
				}
			}
			for _, op := range ops {
				out := w.reduce(t, op, d, in)
				for i := range n / 2 {
					if x := float(part, out[0], i*parts+place); !math.IsNaN(x) && (parts == 1 || !math.IsNaN(float(part, out[0], i*parts+1-place))) {
						t.Fatalf("all_%v of %v: element %d is %v, want NaN", op, d, i, x)
					}
				}
			}
			w.gather(t, d, in)
		}
	}
}
