//go:build linux && metalemu && cgo

package msltest

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
)

// undefined is what a lane reads from one that is not there.
const undefined = 0xffffffff

// A simdOp is an expression of x, the lane l and the quad's lane q, and its reference:
// what lane l gets of the values of the active lanes of its simdgroup.
type simdOp struct {
	code string
	want func(x []uint32, l int) uint32
}

// over reduces the lanes of l's group of width.
func over(width int, f func(a, b uint32) uint32) func([]uint32, int) uint32 {
	return func(x []uint32, l int) uint32 {
		base := l / width * width
		a := x[base]
		for i := base + 1; i < min(base+width, len(x)); i++ {
			a = f(a, x[i])
		}
		return a
	}
}

// scan reduces the lanes of the group up to l, and l itself if it is inclusive.
func scan(width int, start uint32, inclusive bool, f func(a, b uint32) uint32) func([]uint32, int) uint32 {
	return func(x []uint32, l int) uint32 {
		a := start
		for i := l / width * width; i < l; i++ {
			a = f(a, x[i])
		}
		if inclusive {
			a = f(a, x[l])
		}
		return a
	}
}

// from reads a lane.
func from(source func(l int) int) func([]uint32, int) uint32 {
	return func(x []uint32, l int) uint32 {
		if s := source(l); s >= 0 && s < len(x) {
			return x[s]
		}
		return undefined
	}
}

func add(a, b uint32) uint32 { return a + b }
func mul(a, b uint32) uint32 { return a * b }

func simdOps() []simdOp {
	var ops []simdOp
	for _, g := range []struct {
		name  string
		width int
	}{{"simd", 32}, {"quad", 4}} {
		op := func(code string, want func([]uint32, int) uint32) {
			ops = append(ops, simdOp{g.name + "_" + code, want})
		}
		op("sum(x)", over(g.width, add))
		op("product(x)", over(g.width, mul))
		op("min(x)", over(g.width, func(a, b uint32) uint32 { return min(a, b) }))
		op("max(x)", over(g.width, func(a, b uint32) uint32 { return max(a, b) }))
		op("and(x)", over(g.width, func(a, b uint32) uint32 { return a & b }))
		op("or(x)", over(g.width, func(a, b uint32) uint32 { return a | b }))
		op("xor(x)", over(g.width, func(a, b uint32) uint32 { return a ^ b }))
		op("prefix_inclusive_sum(x)", scan(g.width, 0, true, add))
		op("prefix_exclusive_sum(x)", scan(g.width, 0, false, add))
		op("prefix_inclusive_product(x)", scan(g.width, 1, true, mul))
		op("prefix_exclusive_product(x)", scan(g.width, 1, false, mul))

		w := g.width
		base := func(l int) int { return l / w * w }
		op("broadcast(x, 2)", from(func(l int) int { return base(l) + 2 }))
		op("broadcast_first(x)", from(base))
		op("shuffle(x, (l + 3) % W)", from(func(l int) int { return base(l) + (l+3)%w }))
		op("shuffle_xor(x, 3)", from(func(l int) int { return l ^ 3 }))
		op("shuffle_up(x, 2)", from(func(l int) int {
			if l%w < 2 {
				return l
			}
			return l - 2
		}))
		op("shuffle_down(x, 2)", from(func(l int) int {
			if l%w >= w-2 {
				return l
			}
			return l + 2
		}))
		op("shuffle_rotate_up(x, 3)", from(func(l int) int { return base(l) + (l%w-3+w)%w }))
		op("shuffle_rotate_down(x, 3)", from(func(l int) int { return base(l) + (l%w+3)%w }))
		vote := func(x []uint32, l int) (yes, active uint32) {
			for i := base(l); i < min(base(l)+w, len(x)); i++ {
				active |= 1 << (i - base(l))
				if x[i]&1 != 0 {
					yes |= 1 << (i - base(l))
				}
			}
			return yes, active
		}
		bit := func(b bool) uint32 {
			if b {
				return 1
			}
			return 0
		}
		op("any(x & 1)", func(x []uint32, l int) uint32 { yes, _ := vote(x, l); return bit(yes != 0) })
		op("all(x & 1)", func(x []uint32, l int) uint32 { yes, active := vote(x, l); return bit(yes == active) })
		op("all(x != 0)", func([]uint32, int) uint32 { return 1 })
		op("is_first()", func(x []uint32, l int) uint32 { return bit(l == base(l)) })
		ops = append(ops,
			simdOp{fmt.Sprintf("uint(static_cast<%s_vote::vote_t>(%s_ballot(x & 1)))", g.name, g.name), func(x []uint32, l int) uint32 { yes, _ := vote(x, l); return yes }},
			simdOp{fmt.Sprintf("uint(static_cast<%s_vote::vote_t>(%s_active_threads_mask()))", g.name, g.name), func(x []uint32, l int) uint32 { _, active := vote(x, l); return active }},
			simdOp{fmt.Sprintf("%s_active_threads_mask().all()", g.name), func(x []uint32, l int) uint32 { _, active := vote(x, l); return bit(bits.OnesCount32(active) == w) }},
		)
	}
	fill := func(d, width int) func(x []uint32, l int) uint32 {
		return func(x []uint32, l int) uint32 {
			base, s := l/width*width, l%width-d
			value := uint32(0)
			if s < 0 {
				s, value = s+width, 1000
			} else if s >= width {
				s, value = s-width, 1000
			}
			if base+s >= len(x) {
				return undefined
			}
			return x[base+s] + value
		}
	}
	return append(ops,
		simdOp{"simd_shuffle_and_fill_up(x, x + 1000, 3)", fill(3, 32)},
		simdOp{"simd_shuffle_and_fill_up(x, x + 1000, 3, 8)", fill(3, 8)},
		simdOp{"simd_shuffle_and_fill_down(x, x + 1000, 3)", fill(-3, 32)},
		simdOp{"simd_shuffle_and_fill_down(x, x + 1000, 3, 8)", fill(-3, 8)},
	)
}

// Every operation of simdgroups and quadgroups, whole and at a ragged edge, in all orders.
func TestSimd(t *testing.T) {
	ops := simdOps()
	var body strings.Builder
	for i, op := range ops {
		width := "32"
		if strings.Contains(op.code, "quad") {
			width = "4"
		}
		fmt.Fprintf(&body, "  out[%d * n + i] = %s;\n", i, strings.ReplaceAll(op.code, "W", width))
	}
	k := kernelOf(t, load(t, header+`
kernel void ops(const device uint* in [[buffer(0)]], device uint* out [[buffer(1)]], constant uint& n [[buffer(2)]],
                uint i [[thread_position_in_grid]], ushort l [[thread_index_in_simdgroup]]) {
  const uint x = in[i];
`+body.String()+"}\n"), "ops")
	for _, n := range []int{64, 40, 1} {
		x := make([]uint32, n)
		for i := range x {
			x[i] = uint32(i*i*7+5)%31 + 1
		}
		for _, order := range []Order{Ascending, Descending, Shuffled} {
			out := make([]uint32, len(ops)*n)
			l := line(n, 64, at(x), at(out), at([]uint32{uint32(n)}))
			l.Order = order
			run(t, k, l)
			for o, op := range ops {
				got := out[o*n : (o+1)*n]
				want := make([]uint32, n)
				for i := range want {
					base := i / 32 * 32
					want[i] = op.want(x[base:min(base+32, n)], i-base)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %d threads, %v:\n got %d\nwant %d", op.code, n, order, got, want)
				}
			}
		}
	}
}

// Types that are not uint.
func TestSimdTypes(t *testing.T) {
	lib := load(t, header+`
template <typename T>
[[kernel]] void sum(const device T* in [[buffer(0)]], device float* out [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  out[i] = static_cast<float>(simd_sum(in[i])) + static_cast<float>(simd_shuffle_xor(in[i], 1));
}
#define sum_of(T) template [[host_name("sum_" #T)]] [[kernel]] decltype(sum<T>) sum<T>;
sum_of(float) sum_of(half) sum_of(char) sum_of(uchar) sum_of(short) sum_of(ushort) sum_of(int) sum_of(uint)
kernel void vectors(device float4* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  x[i] = simd_sum(x[i]) + simd_broadcast(x[i], 1);
}
`)
	out := make([]float32, 32)
	check := func(name string, in []byte) {
		t.Helper()
		run(t, kernelOf(t, lib, name), line(32, 32, at(in), at(out)))
		for i, got := range out {
			if want := float32(8*(1+2+3) + i/8); got != want {
				t.Errorf("%s: lane %d has %g, not %g", name, i, got, want)
			}
		}
	}
	values := make([]float32, 32)
	for i := range values {
		values[i] = float32(i / 8)
	}
	check("sum_float", bytesOf(values))
	half := make([]uint16, 32)
	for i := range half {
		half[i] = smallHalf(i / 8)
	}
	check("sum_half", bytesOf(half))
	check("sum_char", bytesOf(integers[int8](32)))
	check("sum_uchar", bytesOf(integers[uint8](32)))
	check("sum_short", bytesOf(integers[int16](32)))
	check("sum_ushort", bytesOf(integers[uint16](32)))
	check("sum_int", bytesOf(integers[int32](32)))
	check("sum_uint", bytesOf(integers[uint32](32)))

	x := make([]float32, 32*4)
	for i := range x {
		x[i] = float32(i)
	}
	run(t, kernelOf(t, lib, "vectors"), line(32, 32, at(x)))
	for i, got := range x {
		if want := float32(31*32/2*4 + 32*(i%4) + 4 + i%4); got != want {
			t.Fatalf("vectors: element %d is %g, not %g", i, got, want)
		}
	}
}

// integers are eight each of 0, 1, 2 ...
func integers[T int8 | uint8 | int16 | uint16 | int32 | uint32](n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(i / 8)
	}
	return x
}

// smallHalf is a small integer as a half.
func smallHalf(i int) uint16 {
	if i == 0 {
		return 0
	}
	e := bits.Len(uint(i)) - 1
	return uint16((e+15)<<10 | (i<<10>>e)&0x3ff)
}

// The layout of 8 x 8 matrices over lanes, loads and stores with stride, origin and
// transposition, products in all element types.
func TestSimdgroupMatrix(t *testing.T) {
	lib := load(t, header+`
kernel void layout(device float* out [[buffer(0)]], const device float* in [[buffer(1)]], uint l [[thread_index_in_simdgroup]]) {
  simdgroup_matrix<float, 8, 8> m;
  simdgroup_load(m, in, 8);
  thread float2& e = m.thread_elements();
  out[2 * l] = e.x;
  out[2 * l + 1] = e.y;
}
kernel void blocks(device float* out [[buffer(0)]], const device float* in [[buffer(1)]]) {
  simdgroup_float8x8 m;
  simdgroup_load(m, in, 24, ulong2(8, 2), false);
  simdgroup_store(m, out, 8);
  simdgroup_load(m, in, 24, ulong2(8, 2), true);
  simdgroup_store(m, out + 64, 8);
  simdgroup_load(m, in, 24, ulong2(8, 2));
  simdgroup_store(m, out + 128, 16, ulong2(8, 0), true);
}
template <typename T>
[[kernel]] void product(device float* out [[buffer(0)]], const device float* in [[buffer(1)]], uint l [[thread_index_in_simdgroup]]) {
  threadgroup T a[64];
  for (uint i = l; i < 64; i += 32) a[i] = static_cast<T>(in[i]);
  simdgroup_barrier(mem_flags::mem_threadgroup);
  simdgroup_matrix<T, 8, 8> x, two(static_cast<T>(2.0f));
  simdgroup_load(x, a, 8);
  simdgroup_matrix<float, 8, 8> d, c = make_filled_simdgroup_matrix<float, 8, 8>(1.0f);
  simdgroup_multiply_accumulate(d, x, x, c);
  simdgroup_store(d, out, 8);
  simdgroup_multiply(d, x, two);
  simdgroup_store(d, out + 64, 8);
}
template [[host_name("product_float")]] [[kernel]] decltype(product<float>) product<float>;
template [[host_name("product_half")]] [[kernel]] decltype(product<half>) product<half>;
template [[host_name("product_bfloat")]] [[kernel]] decltype(product<bfloat>) product<bfloat>;
`)
	in := make([]float32, 24*10)
	for i := range in {
		in[i] = float32(i % 13)
	}
	out := make([]float32, 256)
	run(t, kernelOf(t, lib, "layout"), line(32, 32, at(out), at(in)))
	for l := range 32 {
		row, column := l/16*4+l/2%4, l/8%2*4+l%2*2
		if out[2*l] != in[row*8+column] || out[2*l+1] != in[row*8+column+1] {
			t.Errorf("lane %d has %g %g, not row %d, column %d", l, out[2*l], out[2*l+1], row, column)
		}
	}

	run(t, kernelOf(t, lib, "blocks"), line(32, 32, at(out), at(in)))
	for i := range 8 {
		for j := range 8 {
			if got, want := out[i*8+j], in[(i+2)*24+8+j]; got != want {
				t.Errorf("load: [%d %d] is %g, not %g", i, j, got, want)
			}
			if got, want := out[64+i*8+j], in[(j+2)*24+8+i]; got != want {
				t.Errorf("transposed load: [%d %d] is %g, not %g", i, j, got, want)
			}
			if got, want := out[128+i*16+8+j], in[(j+2)*24+8+i]; got != want {
				t.Errorf("transposed store: [%d %d] is %g, not %g", i, j, got, want)
			}
		}
	}

	for _, name := range []string{"product_float", "product_half", "product_bfloat"} {
		run(t, kernelOf(t, lib, name), line(32, 32, at(out), at(in)))
		for i := range 8 {
			for j := range 8 {
				want := float32(1)
				for k := range 8 {
					want += in[i*8+k] * in[k*8+j]
				}
				if got := out[i*8+j]; got != want {
					t.Errorf("%s: [%d %d] is %g, not %g", name, i, j, got, want)
				}
				if got, want := out[64+i*8+j], 2*in[i*8+j]; got != want {
					t.Errorf("%s: twice [%d %d] is %g, not %g", name, i, j, got, want)
				}
			}
		}
	}
}
