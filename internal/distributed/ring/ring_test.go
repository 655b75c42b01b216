package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// ints is n int32 that depend on the rank.
func ints(rank, n int) []byte {
	b := make([]byte, 0, 4*n)
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, uint32(i*7+(rank+1)*1000003))
	}
	return b
}

// sumOfInts is the sum of ints of all ranks.
func sumOfInts(size, n int) []byte {
	sum := make([]uint32, n)
	for r := range size {
		for i, x := 0, ints(r, n); i < n; i++ {
			sum[i] += binary.LittleEndian.Uint32(x[4*i:])
		}
	}
	var b []byte
	for _, v := range sum {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

var sizes = []int{0, 1, 3, 5, 1000, 40_000, 300_001, 700_000}

// collectives runs everything on integers, whose sums are exact.
func collectives(t *testing.T, groups []distributed.Group, sizes []int) {
	t.Helper()
	size := len(groups)
	for _, n := range sizes {
		want := sumOfInts(size, n)
		every := []byte{}
		for r := range size {
			every = append(every, ints(r, n)...)
		}
		wide := sumOfInts(size, n*size)
		all(t, groups, func(g distributed.Group) error {
			v := ints(g.Rank(), n)
			if err := g.AllReduce(distributed.Sum, dtype.Int32, v); err != nil {
				return err
			}
			if !bytes.Equal(v, want) {
				return fmt.Errorf("all_sum of %d is wrong", n)
			}
			out := make([]byte, 4*n*size)
			if err := g.AllGather(dtype.Int32, ints(g.Rank(), n), out); err != nil {
				return err
			}
			if !bytes.Equal(out, every) {
				return fmt.Errorf("all_gather of %d is wrong", n)
			}
			in := ints(g.Rank(), n*size)
			part := make([]byte, 4*n)
			if err := g.ReduceScatter(distributed.Sum, dtype.Int32, in, part); err != nil {
				return err
			}
			if !bytes.Equal(part, wide[4*n*g.Rank():4*n*(g.Rank()+1)]) {
				return fmt.Errorf("sum_scatter of %d is wrong", n)
			}
			if !bytes.Equal(in, ints(g.Rank(), n*size)) {
				return fmt.Errorf("sum_scatter of %d changed its input", n)
			}
			return g.Barrier()
		})
	}
}

func TestCollectives(t *testing.T) {
	if raceEnabled { // the numbers of large arrays take minutes
		defer func(all []int) { sizes = all }(sizes)
		sizes = sizes[:6]
	}
	for n := 1; n <= 5; n++ {
		for _, links := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%dx%d", n, links), func(t *testing.T) {
				collectives(t, join(t, job(t, n, links)), sizes)
			})
		}
	}
}

// Every process sends before it receives, to everyone.
func TestSendBeforeRecv(t *testing.T) {
	for n := 2; n <= 5; n++ {
		groups := join(t, job(t, n, 1))
		for _, count := range []int{0, 1, 1000, 3_000_000} {
			if raceEnabled && count > 1000 {
				count = 300_000
			}
			all(t, groups, func(g distributed.Group) error {
				for to := range n {
					if to == g.Rank() {
						continue
					}
					v := ints(g.Rank()*n+to, count)
					if err := g.Send(dtype.Int32, v, to); err != nil {
						return err
					}
					clear(v) // it is the caller's again
				}
				for from := range n {
					if from == g.Rank() {
						continue
					}
					got := make([]byte, 4*count)
					if err := g.Recv(dtype.Int32, got, from); err != nil {
						return err
					}
					if !bytes.Equal(got, ints(from*n+g.Rank(), count)) {
						return fmt.Errorf("%d from %d is wrong", count, from)
					}
				}
				return nil
			})
		}
	}
}

func TestSplit(t *testing.T) {
	groups := join(t, job(t, 5, 2))
	all(t, groups, func(g distributed.Group) error {
		part, err := g.Split(g.Rank()%2, -g.Rank()%2*10+100-g.Rank())
		if err != nil {
			return err
		}
		defer part.Close()
		// keys turn the order around: 4, 2, 0 and 3, 1
		order := [][]int{{4, 2, 0}, {3, 1}}[g.Rank()%2]
		if part.Size() != len(order) || order[part.Rank()] != g.Rank() {
			return fmt.Errorf("rank %d is %d of %d", g.Rank(), part.Rank(), part.Size())
		}
		for _, n := range []int{1, 500_000} {
			out := make([]byte, 4*n*len(order))
			if err := part.AllGather(dtype.Int32, ints(g.Rank(), n), out); err != nil {
				return err
			}
			for i, r := range order {
				if !bytes.Equal(out[4*n*i:4*n*(i+1)], ints(r, n)) {
					return fmt.Errorf("block %d is wrong", i)
				}
			}
		}
		again, err := part.Split(0, -1)
		if err != nil {
			return err
		}
		defer again.Close()
		v := ints(0, 3)
		return again.AllReduce(distributed.Max, dtype.Int32, v)
	})
	collectives(t, groups, []int{3})
}

// The same bits on all processes, though sums of floats depend on their order.
func TestSameBits(t *testing.T) {
	groups := join(t, job(t, 5, 1))
	for _, n := range []int{1, 999, 200_003} {
		got := make([][]byte, 5)
		all(t, groups, func(g distributed.Group) error {
			var v []byte
			for i := range n {
				v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(math.Sin(float64(i*5+g.Rank())))*1e3))
			}
			got[g.Rank()] = v
			return g.AllReduce(distributed.Sum, dtype.Float32, v)
		})
		for r := range got {
			if !bytes.Equal(got[r], got[0]) {
				t.Errorf("%d elements: rank %d has other bits than rank 0", n, r)
			}
		}
		for i := range n {
			want := 0.0
			for r := range 5 {
				want += float64(float32(math.Sin(float64(i*5+r))) * 1e3)
			}
			if v := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[0][4*i:]))); math.Abs(v-want) > 1e-3 {
				t.Fatalf("element %d of %d is %v, want %v", i, n, v, want)
			}
		}
	}
}
