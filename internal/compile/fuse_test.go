package compile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var everyDType = []tensor.DType{
	dtype.Bool, dtype.Uint8, dtype.Uint16, dtype.Uint32, dtype.Uint64, dtype.Int8, dtype.Int16, dtype.Int32, dtype.Int64,
	dtype.Float16, dtype.BFloat16, dtype.Float32, dtype.Float64, dtype.Complex64,
}

// quiet makes signalling NaNs of halves quiet: a fused op does so, a copy does not.
func quiet(raw []byte, d tensor.DType) {
	exp, bit := uint16(0x7c00), uint16(0x200)
	switch d {
	case dtype.BFloat16:
		exp, bit = 0x7f80, 0x40
	case dtype.Float16:
	default:
		return
	}
	for i := 0; i < len(raw); i += 2 {
		if v := binary.LittleEndian.Uint16(raw[i:]); v&exp == exp && v&^(exp|0x8000) != 0 {
			binary.LittleEndian.PutUint16(raw[i:], v|bit)
		}
	}
}

// elements is an array of any bits, NaN payloads too; half of them are small numbers.
func elements(r *rand.Rand, sh tensor.Shape, d tensor.DType) *Array {
	size := sh.Size()
	raw := make([]byte, size*d.Size())
	for i := range raw {
		raw[i] = byte(r.Uint32())
		if d == dtype.Bool {
			raw[i] &= 1
		}
	}
	quiet(raw, d)
	a := tensor.FromBytes(raw, sh, d)
	if d == dtype.Bool {
		return a
	}
	v := make([]byte, size)
	pick := make([]byte, size)
	for i := range v {
		v[i], pick[i] = byte(r.IntN(7)), byte(r.IntN(2))
	}
	small := minus(tensor.AsType(tensor.FromBytes(v, sh, dtype.Uint8), dtype.Int32, none), tensor.IntScalar(3, dtype.Int32, none))
	mask := tensor.AsType(tensor.FromBytes(pick, sh, dtype.Uint8), dtype.Bool, none)
	return tensor.Where(mask, tensor.AsType(small, d, none), a, none)
}

// laidOut is an array of shape sh with a layout by chance.
func laidOut(r *rand.Rand, sh tensor.Shape, d tensor.DType) *Array {
	a := func() *Array {
		if len(sh) != 2 {
			return elements(r, sh, d)
		}
		switch r.IntN(6) {
		case 0: // transposed
			return tensor.SwapAxes(elements(r, tensor.Shape{sh[1], sh[0]}, d), 0, 1, none)
		case 1: // every second, from an odd place
			wide := elements(r, tensor.Shape{sh[0], 2*sh[1] + 1}, d)
			n := tensor.MakeInts
			return tensor.Apply1(tensor.Slice{Start: n(0, 1), Stop: n(sh[0], 2*sh[1]+1), Step: n(1, 2)}, none, wide)
		case 2: // a column or a row, broadcast
			return tensor.BroadcastTo(elements(r, tensor.Shape{sh[0], 1}, d), sh, none)
		case 3:
			return tensor.BroadcastTo(elements(r, tensor.Shape{sh[1]}, d), sh, none)
		case 4:
			return tensor.BroadcastTo(elements(r, nil, d), sh, none)
		}
		return elements(r, sh, d)
	}()
	if err := tensor.Eval(a); err != nil {
		panic(err)
	}
	return a
}

// chain is a random graph of elementwise ops on in; captured arrays keep their layout.
func chain(seed uint64, in, captured []*Array) []*Array {
	r := rand.New(rand.NewPCG(seed, 5))
	pool := append(append([]*Array(nil), in...), captured...)
	pick := func() *Array { return pool[len(pool)-1-min(r.IntN(len(pool)), r.IntN(len(pool)))] }
	like := func(d tensor.DType) *Array { return tensor.AsType(pick(), d, none) }
	for range 4 + r.IntN(30) {
		a := pick()
		d := a.DType()
		tensor.Try(func() {
			switch r.IntN(8) {
			case 0, 1:
				pool = append(pool, un(tensor.UnaryOp(r.IntN(int(tensor.NumUnary))), a))
			case 2, 3, 4:
				pool = append(pool, tensor.BinaryOf(tensor.BinaryOp(r.IntN(int(tensor.NumBinary))), a, like(d), none))
			case 5:
				pool = append(pool, tensor.Where(like(dtype.Bool), a, like(d), none))
			case 6:
				pool = append(pool, tensor.AsType(a, everyDType[r.IntN(len(everyDType))], none))
			case 7:
				pool = append(pool, tensor.BinaryOf(tensor.BinaryOp(r.IntN(int(tensor.NumBinary))), a, tensor.AsType(scalar(float64(r.IntN(5)-2)), d, none), none))
			}
		})
	}
	out := []*Array{pool[len(pool)-1]}
	for range r.IntN(3) {
		out = append(out, pick())
	}
	return out
}

// checkChain compares a compiled chain with the eager one, on the present tier.
func checkChain(t *testing.T, seed uint64) (fused int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4))
	shapes := []tensor.Shape{{3, 5}, {7, 33}, {}, {0, 3}, {1, 1}, {64, 65}, {4099}}
	sh := shapes[r.IntN(len(shapes))]
	if r.IntN(20) == 0 {
		sh = tensor.Shape{129, 257}
	}
	arrays := func() (as []*Array) {
		for range 1 + r.IntN(3) {
			as = append(as, laidOut(r, sh, everyDType[r.IntN(len(everyDType))]))
		}
		return as
	}
	in, captured := arrays(), arrays()
	want := chain(seed, in, captured)
	s := New(fmt.Sprint("chain ", seed), func(in, _ []*Array) ([]*Array, []*Array) { return chain(seed, in, captured), nil })
	out, _, err := s.Call(in, nil)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return 0
	}
	for i := range want {
		if g, w := out[i].Bytes(), want[i].Bytes(); !bytes.Equal(g, w) {
			at, k := 0, out[i].DType().Size()
			for g[at] == w[at] {
				at++
			}
			at -= at % k
			t.Errorf("%s seed %d: result %d, element %d of %v is %x, want %x\n%v", simd.Active(), seed, i, at/k, tensor.SpecOf(out[i]), g[at:at+k], w[at:at+k], s.execs[0].Graph)
			break
		}
	}
	for _, n := range s.execs[0].Graph.Nodes {
		if _, ok := n.Prim.(tensor.Fused); ok {
			fused++
		}
	}
	return fused
}

// Fused chains give the bits of the single ops, on every tier.
func TestFusedChains(t *testing.T) {
	chains := uint64(400)
	if raceDetector {
		chains = 50
	}
	for _, tier := range simd.Available() {
		t.Run(tier, func(t *testing.T) {
			active := simd.Active()
			defer func() {
				if err := simd.Select(active); err != nil {
					t.Fatal(err)
				}
			}()
			if err := simd.Select(tier); err != nil {
				t.Fatal(err)
			}
			fused := 0
			for seed := range chains {
				fused += checkChain(t, seed)
				if t.Failed() && testing.Short() {
					return
				}
			}
			if fused < int(chains)/2 {
				t.Errorf("%d fused ops in %d chains: the test does not test", fused, chains)
			}
		})
	}
}
