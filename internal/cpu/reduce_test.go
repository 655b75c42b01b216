package cpu

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// groups lists the row-major indices of each result of a reduction.
func groups(shape []int, axes tensor.AxisSet) [][]int {
	kept := 1
	for i, d := range shape {
		if !axes.Has(i) {
			kept *= d
		}
	}
	out := make([][]int, kept)
	for i := range tensor.Shape(shape).Size() {
		r, at, step := i, 0, 1
		for k := len(shape) - 1; k >= 0; k-- {
			if !axes.Has(k) {
				at += r % shape[k] * step
				step *= shape[k]
			}
			r /= shape[k]
		}
		out[at] = append(out[at], i)
	}
	return out
}

func reduceRef(op tensor.ReduceOp, d, out dtype.DType, vals []value, idx []int) value {
	var acc value
	switch op {
	case tensor.OpProd:
		acc = value{1, 1}
	case tensor.OpAll:
		acc.u = 1
	case tensor.OpMax, tensor.OpMin:
		acc = vals[idx[0]]
	}
	for _, i := range idx {
		v := vals[i]
		switch op {
		case tensor.OpSum, tensor.OpMean:
			acc = value{acc.u + v.u, acc.z + v.z}
		case tensor.OpProd:
			z := acc.z * v.z
			if d != dtype.Complex64 {
				z = complex(real(acc.z)*real(v.z), 0)
			}
			acc = value{acc.u * v.u, z}
		case tensor.OpMax:
			acc = binaryRef(tensor.OpMaximum, d, acc, v)
		case tensor.OpMin:
			acc = binaryRef(tensor.OpMinimum, d, acc, v)
		case tensor.OpAll:
			acc.u &= v.u
		case tensor.OpAny:
			acc.u |= v.u
		}
	}
	if op == tensor.OpMean {
		n := float64(len(idx))
		im := imag(acc.z)
		if d == dtype.Complex64 {
			im /= n
		}
		acc.z = complex(real(acc.z)/n, im)
	}
	if isInt(out) {
		acc.u = wrap(out, acc.u)
	}
	return acc
}

func TestReduce(t *testing.T) {
	cases := []struct {
		shape []int
		axes  []int
	}{
		{[]int{}, nil}, {[]int{7}, []int{0}}, {[]int{2500}, []int{0}}, {[]int{3, 4}, []int{0}}, {[]int{3, 4}, []int{1}},
		{[]int{2, 3, 5}, []int{1}}, {[]int{2, 3, 5}, []int{0, 2}}, {[]int{2, 3, 5}, []int{0, 1, 2}}, {[]int{5, 700}, []int{0}}, {[]int{6, 1100}, []int{0}}, {[]int{1, 19, 4100}, []int{1}},
		{[]int{2, 3, 4, 5}, []int{0, 2}}, {[]int{2, 3, 4, 5}, []int{1, 3}}, {[]int{0, 3}, []int{0}}, {[]int{2, 0}, []int{1}}, {[]int{4, 1, 3}, []int{1}},
	}
	for op := range tensor.NumReduce {
		for _, d := range allTypes {
			rng := newRand(uint64(op)<<8 | uint64(d) | 4<<20)
			for _, c := range cases {
				p := tensor.Reduce{Op: op, Axes: tensor.MakeAxes(c.axes...)}
				spec, err := p.Infer([]tensor.Spec{{Shape: c.shape, DType: d}})
				if err != nil {
					continue
				}
				for _, l := range layouts {
					special := d != dtype.Complex64 && (op == tensor.OpMax || op == tensor.OpMin) || isInt(d)
					a, vals := place(rng, l, d, c.shape, random64(rng, d, special))
					gs := groups(c.shape, p.Axes)
					want := make([]value, len(gs))
					for i, g := range gs {
						want[i] = reduceRef(op, d, spec[0].DType, vals, g)
					}
					what := fmt.Sprintf("%v of %v%v over %v %s", op, d, c.shape, c.axes, l.name)
					compareValues(t, what, spec[0].DType, values(t, tensor.Apply1(p, none, a)), want, 30)
				}
			}
		}
	}
}

// A sum of ones is exact however long, in every direction, and views may be
// larger than 2^31 elements.
func TestLongSums(t *testing.T) {
	ones := func(s tensor.Shape, d dtype.DType) *tensor.Array {
		return tensor.BroadcastTo(tensor.FloatScalar(1, d, none), s, none)
	}
	n := 1 << 26
	if testing.Short() {
		n = 1<<24 + 1<<20
	}
	for _, c := range []struct {
		shape tensor.Shape
		axes  []int
	}{{tensor.Shape{n}, []int{0}}, {tensor.Shape{n / 2, 2}, []int{0}}, {tensor.Shape{2, n / 2}, []int{1}}} {
		got := values(t, tensor.ReduceOf(tensor.OpSum, ones(c.shape, dtype.Float32), c.axes, false, none))
		for _, v := range got {
			if want := float64(n / len(got)); real(v.z) != want {
				t.Errorf("sum of %v ones over %v is %v, want %v", c.shape, c.axes, real(v.z), want)
			}
		}
	}
	if got := real(values(t, tensor.ReduceOf(tensor.OpSum, ones(tensor.Shape{1 << 15}, dtype.BFloat16), nil, false, none))[0].z); got != 1<<15 {
		t.Errorf("sum of 2^15 bfloat16 ones is %v", got)
	}
	big := ones(tensor.Shape{1 << 17, 1 << 15}, dtype.Float32)
	last := tensor.SliceAxis(big, 0, 1<<17-3, 1<<17, none)
	if got := real(values(t, tensor.ReduceOf(tensor.OpSum, last, nil, false, none))[0].z); got != 3<<15 {
		t.Errorf("sum of the last rows of 2^32 elements is %v", got)
	}
}

func TestRows(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 5<<20)
		for _, s := range [][]int{{1}, {9}, {3, 4}, {2, 3, 5}, {3, 1300}, {5, 1}} {
			for _, l := range layouts {
				what := fmt.Sprintf("%v%v %s", d, s, l.name)
				a, vals := place(rng, l, d, s, random64(rng, d, true))
				checkRows(t, what, d, s, a, vals)
				if d.Is(dtype.Floating) {
					a, vals = place(rng, l, d, s, random64(rng, d, false))
					checkSoftmax(t, what, d, s, a, floatsOf(vals))
				}
			}
		}
	}
}

// lessRef orders elements: NaN last.
func lessRef(d dtype.DType, a, b value) bool {
	if isInt(d) {
		return binaryInt(tensor.OpLess, d, a.u, b.u).u == 1
	}
	if isNaNRef(a.z) || isNaNRef(b.z) {
		return !isNaNRef(a.z)
	}
	return real(a.z) < real(b.z) || real(a.z) == real(b.z) && imag(a.z) < imag(b.z)
}

func checkRows(t *testing.T, what string, d dtype.DType, s []int, a *tensor.Array, vals []value) {
	t.Helper()
	k := s[len(s)-1]
	var hi, lo, order []value
	for r := 0; r < len(vals); r += k {
		row := vals[r : r+k]
		best := [2]int{}
		for i, v := range row {
			for m := range best {
				b := row[best[m]]
				better := lessRef(d, b, v)
				if m == 1 {
					better = lessRef(d, v, b)
				}
				if !isNaNRef(b.z) && (isNaNRef(v.z) || better) {
					best[m] = i
				}
			}
		}
		hi, lo = append(hi, value{u: uint64(best[0])}), append(lo, value{u: uint64(best[1])})
		idx := ascending(k)
		slices.SortStableFunc(idx, func(i, j int) int {
			switch {
			case lessRef(d, row[i], row[j]):
				return -1
			case lessRef(d, row[j], row[i]):
				return 1
			}
			return 0
		})
		for _, i := range idx {
			order = append(order, value{u: uint64(i)})
		}
	}
	compareValues(t, "argmax "+what, dtype.Uint32, values(t, tensor.Apply1(tensor.ArgReduce{}, none, a)), hi, 0)
	compareValues(t, "argmin "+what, dtype.Uint32, values(t, tensor.Apply1(tensor.ArgReduce{Min: true}, none, a)), lo, 0)
	compareValues(t, "argsort "+what, dtype.Uint32, values(t, tensor.Apply1(tensor.ArgSort{}, none, a)), order, 0)
	sorted := make([]value, len(vals))
	for r := 0; r < len(vals); r += k {
		for i := range k {
			sorted[r+i] = vals[r+int(order[r+i].u)]
		}
	}
	y := tensor.Apply1(tensor.Sort{}, none, a)
	compareValues(t, "sort "+what, d, values(t, y), sorted, 0)
	o := tensor.Apply1(tensor.ArgSort{}, none, a)
	compareValues(t, "permute "+what, d, values(t, tensor.Apply1(tensor.Permute{}, none, a, o)), sorted, 0)
	for op, join := range map[tensor.ScanOp]tensor.BinaryOp{tensor.ScanMax: tensor.OpMaximum, tensor.ScanMin: tensor.OpMinimum} {
		want := make([]value, len(vals))
		for i, v := range vals {
			want[i] = v
			if i%k > 0 {
				want[i] = binaryRef(join, d, want[i-1], v)
			}
		}
		compareValues(t, op.String()+" "+what, d, values(t, tensor.Apply1(tensor.Scan{Op: op}, none, a)), want, 0)
	}
	for _, p := range []tensor.Scan{{}, {Reverse: true}, {Exclusive: true}, {Reverse: true, Exclusive: true}} {
		spec, _ := p.Infer([]tensor.Spec{{Shape: s, DType: d}})
		want := make([]value, len(vals))
		for r := 0; r < len(vals); r += k {
			var acc value
			for n := range k {
				i := n
				if p.Reverse {
					i = k - 1 - n
				}
				if p.Exclusive {
					want[r+i] = acc
				}
				acc = value{wrap(spec[0].DType, acc.u+vals[r+i].u), acc.z + vals[r+i].z}
				if d != dtype.Complex64 {
					acc.z = complex(real(acc.z), 0)
				}
				if !p.Exclusive {
					want[r+i] = acc
				}
			}
		}
		compareValues(t, fmt.Sprintf("%+v %s", p, what), spec[0].DType, values(t, tensor.Apply1(p, none, a)), want, 100)
	}
}

func checkSoftmax(t *testing.T, what string, d dtype.DType, s []int, a *tensor.Array, x []float64) {
	t.Helper()
	k := s[len(s)-1]
	soft := make([]float64, len(x))
	var lse []float64
	for r := 0; r < len(x); r += k {
		m := slices.Max(x[r : r+k])
		var sum float64
		for i, v := range x[r : r+k] {
			soft[r+i] = math.Exp(v - m)
			sum += soft[r+i]
		}
		for i := range k {
			soft[r+i] /= sum
		}
		lse = append(lse, m+math.Log(sum))
	}
	compareValues(t, "softmax "+what, d, values(t, tensor.Apply1(tensor.Softmax{}, none, a)), fromFloats(soft), 1e-3)
	compareValues(t, "logsumexp "+what, d, values(t, tensor.Apply1(tensor.LogSumExp{}, none, a)), fromFloats(lse), 1)
}

// TestLongRowsInPlace: rows of float32 are read where they are, however long.
func TestLongRowsInPlace(t *testing.T) {
	const n = 1 << 22
	x := make([]float32, n)
	x[n-3] = 2
	a := tensor.FromSlice(x)
	for name, y := range map[string]*tensor.Array{
		"argmax":    tensor.ArgReduceOf(false, a, 0, false, tensor.Stream{}),
		"logsumexp": tensor.LogSumExpOf(a, nil, false, tensor.Stream{}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := tensor.Eval(y); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > n {
			t.Errorf("%s of %d elements allocates %d bytes", name, n, got)
		}
	}
	if got := tensor.Item[uint32](tensor.ArgReduceOf(false, a, 0, false, tensor.Stream{})); got != n-3 {
		t.Errorf("argmax %d", got)
	}
}
