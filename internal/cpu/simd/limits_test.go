package simd

import (
	"testing"
	"time"
)

// The loops must read what they are given and nothing else, and count what they do.
func TestLimits(t *testing.T) {
	for _, n := range []int{0, 1, ReadBlock - 1, ReadBlock, 3*ReadBlock + 17, 1 << 16} {
		ReadAll(make([]byte, n))
		readGo(make([]byte, n))
	}
	for _, rounds := range []int{-1, 0} {
		if got := MultiplyAdd(rounds); got != 0 {
			t.Errorf("%d rounds are %d operations", rounds, got)
		}
	}
	one := MultiplyAdd(1)
	if got := MultiplyAdd(1000); got != 1000*one || one < 16 {
		t.Errorf("1000 rounds are %d operations, one is %d", got, one)
	}
	if got := multiplyAddGo(1000); got != 16000 {
		t.Errorf("1000 rounds in Go are %d operations", got)
	}
	switch LimitKernels() {
	case "avx512", "avx2", "go":
	default:
		t.Errorf("kernels %q", LimitKernels())
	}
}

func BenchmarkLimits(b *testing.B) {
	memory := make([]byte, 512<<20)
	for i := range memory {
		memory[i] = byte(i)
	}
	b.Run("read/"+LimitKernels(), func(b *testing.B) {
		b.SetBytes(int64(len(memory)))
		for b.Loop() {
			ReadAll(memory)
		}
	})
	b.Run("read/go", func(b *testing.B) {
		b.SetBytes(int64(len(memory)))
		for b.Loop() {
			readGo(memory)
		}
	})
	for _, c := range []struct {
		name string
		f    func(int) int64
	}{{LimitKernels(), MultiplyAdd}, {"go", multiplyAddGo}} {
		b.Run("fma/"+c.name, func(b *testing.B) {
			total := int64(0)
			start := time.Now()
			for b.Loop() {
				total += c.f(1 << 16)
			}
			b.ReportMetric(float64(total)/float64(time.Since(start).Nanoseconds()), "GFLOP/s")
		})
	}
}
