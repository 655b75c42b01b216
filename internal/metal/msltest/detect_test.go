//go:build linux && metalemu && cgo

package msltest

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// full says that tests may take long.
var full = os.Getenv("MLX_FULL") != ""

// A trial is a dispatch of rms_norm_float, and whether its result is right.
type trial struct {
	x, w, y []float32
	eps     []float32
	n       []uint32
	want    []float64
}

const trialRows, trialColumns = 3, 301

func newTrial() *trial {
	r := source(7)
	t := &trial{x: normal(r, trialRows*trialColumns), w: normal(r, trialColumns), y: make([]float32, trialRows*trialColumns),
		eps: []float32{1e-5}, n: []uint32{trialColumns}}
	for i := range trialRows {
		t.want = append(t.want, rmsNorm(func(j int) float64 { return float64(t.x[i*trialColumns+j]) }, func(j int) float64 { return float64(t.w[j]) }, trialColumns)...)
	}
	return t
}

func (t *trial) launch() Launch { return line(trialRows*128, 128) }

func (t *trial) right() bool {
	for i, want := range t.want {
		if !(math.Abs(want-float64(t.y[i])) < 1e-5) {
			return false
		}
	}
	return true
}

// ways are what can find a fault in a source: modes and orders.
var ways = []string{"asan", "tsan", "msan", "ascending", "descending", "shuffled"}

// find tells whether one way finds a fault: "" or "wrong", "diverges" or a sanitizer's word.
func find(t *testing.T, p *Program, way string) string {
	t.Helper()
	x := newTrial()
	var report Report
	var err error
	if mode := slices.Index(ways, way) + int(ASan); Mode(mode) <= MSan {
		report, err = p.RunSanitized(Mode(mode), SanitizedLaunch{Kernel: "rms_norm_float", Constants: []gpu.Const{withWeight}, Launch: x.launch(),
			Buffers: [][]byte{bytesOf(x.x), bytesOf(x.w), bytesOf(x.y), bytesOf(x.eps), bytesOf(x.n)}})
	} else {
		lib, loadErr := p.Load(gpu.Safe, "rms_norm_float")
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		defer lib.Close()
		l := x.launch()
		l.Order, l.Seed = Order(slices.Index(ways, way)-3), 5
		l.Buffers = []unsafe.Pointer{at(x.x), at(x.w), at(x.y), at(x.eps), at(x.n)}
		report, err = kernelOf(t, lib, "rms_norm_float", withWeight).Run(l)
	}
	switch {
	case errors.Is(err, ErrSanitizer):
		for _, word := range []string{"data race", "AddressSanitizer", "out of bounds", "use-of-uninitialized-value", "undefined value"} {
			if strings.Contains(err.Error(), word) {
				return word
			}
		}
		t.Fatal(err)
	case err != nil:
		t.Fatal(err)
	case report.Err() != nil:
		return "diverges"
	case !x.right():
		return "wrong"
	}
	return ""
}

// Each fault is planted in a kernel that is right without it, and is found.
func TestDetectors(t *testing.T) {
	const barrier = "threadgroup_barrier(mem_flags::mem_threadgroup);"
	right := readKernels(t, "basic.metal")
	barriers := func(n int, instead string) string {
		parts := strings.SplitAfterN(right, barrier, n+2)
		parts[n] = strings.TrimSuffix(parts[n], barrier) + instead
		return strings.Join(parts, "")
	}
	replaced := func(old, new string) string {
		if !strings.Contains(right, old) {
			t.Fatalf("the kernel has no %s", old)
		}
		return strings.Replace(right, old, new, 1)
	}
	for _, c := range []struct {
		name, source string
		want         map[string]string // by way
		any          []string          // one of these ways has wrong numbers
	}{
		{"nothing", right, map[string]string{"asan": "", "tsan": "", "msan": "", "ascending": "", "descending": "", "shuffled": ""}, nil},
		{"barrier 0 removed", barriers(0, ""), map[string]string{"tsan": "data race"}, ways[3:]},
		{"barrier 1 removed", barriers(1, ""), map[string]string{"tsan": "data race"}, ways[3:]},
		{"barrier 2 removed", barriers(2, ""), map[string]string{"tsan": "data race"}, ways[3:]},
		{"a barrier with mem_none", barriers(1, "threadgroup_barrier(mem_flags::mem_none);"),
			map[string]string{"tsan": "data race", "ascending": "", "descending": "", "shuffled": ""}, nil},
		{"a barrier in a divergent branch", barriers(1, "if (sl < 16) { "+barrier+" }"), map[string]string{"ascending": "diverges", "shuffled": "diverges"}, nil},
		{"a barrier that half of the threads have left", barriers(1, "if (lid > 40) return; "+barrier), map[string]string{"ascending": "diverges"}, nil},
		{"a simdgroup operation in a divergent branch", replaced("acc = simd_sum(acc);", "if (sl != 3) acc = simd_sum(acc);"), map[string]string{"ascending": "diverges"}, nil},
		{"reading past a buffer", replaced("if (i + k < n) { float v", "if (i + k < n + 4) { float v"), map[string]string{"asan": "AddressSanitizer"}, nil},
		{"writing past a threadgroup array", replaced("if (sl == 0) part[sg] = acc;", "if (sl == 0) part[sg * 16] = acc;"), map[string]string{"asan": "out of bounds"}, nil},
		{"threadgroup memory not set", replaced("if (sg == 0) part[sl] = 0;", ""),
			map[string]string{"ascending": "wrong", "descending": "wrong", "shuffled": "wrong", "msan": "undefined value"}, nil},
		{"a local not set", replaced("float acc = 0;", "float acc;"), map[string]string{"ascending": "wrong", "shuffled": "wrong", "msan": "undefined value"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, c.source)
			found := map[string]string{}
			for _, way := range ways {
				want, expected := c.want[way]
				mine := expected || slices.Contains(c.any, way)
				if !mine && (!full || c.want["asan"] != "") { // past the end of memory, other ways may crash
					continue
				}
				found[way] = find(t, p, way)
				if expected && found[way] != want {
					t.Errorf("%s: found %q, want %q", way, found[way], want)
				}
			}
			if len(c.any) > 0 && !slices.ContainsFunc(c.any, func(way string) bool { return found[way] == "wrong" }) {
				t.Errorf("no order has wrong numbers")
			}
			t.Log(found)
		})
	}
}

// Threadgroups that write one word race, those that count atomically do not; matrices do not.
func TestRaces(t *testing.T) {
	p := parse(t, header+`
kernel void racing(device float* o [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  if (i % 32 == 0) o[0] += 1;
}
kernel void counting(device atomic_float* o [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  if (i % 32 == 0) atomic_fetch_add_explicit(o, 1.0f, memory_order_relaxed);
}
`)
	for _, name := range []string{"racing", "counting"} {
		sum := make([]float32, 1)
		_, err := p.RunSanitized(TSan, SanitizedLaunch{Kernel: name, Launch: line(256, 32), Buffers: [][]byte{bytesOf(sum)}})
		if race := errors.Is(err, ErrSanitizer) && strings.Contains(err.Error(), "data race"); race != (name == "racing") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "counting" && sum[0] != 8 {
			t.Errorf("counted %g, not 8", sum[0])
		}
	}
}

// A kernel with matrices is clean under all sanitizers.
func TestSanitizedMatrices(t *testing.T) {
	if !full {
		t.Skip("MLX_FULL=1 runs it")
	}
	const m, n, k = 70, 65, 40
	p := parse(t, readKernels(t, "gemm.metal"))
	r := source(1)
	a, b, d := normal(r, m*k), normal(r, k*n), make([]float32, m*n)
	for _, mode := range []Mode{ASan, TSan, MSan} {
		report, err := p.RunSanitized(mode, SanitizedLaunch{Kernel: "gemm_float", Launch: Launch{Grid: [3]int{64, 4, 2}, Group: [3]int{32, 2, 2}},
			Buffers: [][]byte{bytesOf(a), bytesOf(b), bytesOf(d), bytesOf([]uint32{m}), bytesOf([]uint32{n}), bytesOf([]uint32{k})}})
		if err != nil || report.Err() != nil {
			t.Error(mode, err, report.Err())
		}
	}
}

// One buffer that is given twice is one buffer.
func TestSanitizedAliases(t *testing.T) {
	p := parse(t, header+`
kernel void move(device int* to [[buffer(0)]], const device int* from [[buffer(3)]], uint i [[thread_position_in_grid]]) { to[i] = from[i] + 1; }
`)
	x := []int32{1, 2, 3, 4, 5, 6, 7, 8}
	b := bytesOf(x)
	_, err := p.RunSanitized(ASan, SanitizedLaunch{Kernel: "move", Launch: line(4, 4), Buffers: [][]byte{b, nil, nil, b}, Offsets: []int{16, 0, 0, 0}})
	if want := []int32{1, 2, 3, 4, 2, 3, 4, 5}; err != nil || !slices.Equal(x, want) {
		t.Error(err, x)
	}
}
