package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
)

// Dequantize writes the elements of blocks of t into dst, one for each. The layouts are
// those of ggml-quants.c (dequantize_row_*); products and sums are rounded to float32
// as there. A length that does not fit is a fault of the caller and panics.
func Dequantize(dst []float32, t Type, blocks []byte) {
	n, size := t.Block(), t.BlockBytes()
	if n == 0 || len(blocks)/size*n != len(dst) || len(blocks)%size != 0 {
		panic(fmt.Sprintf("gguf: %d bytes of %v are not %d elements", len(blocks), t, len(dst)))
	}
	unpack := unpackers[t]
	for i := 0; i < len(dst); i += n {
		unpack(dst[i:i+n:i+n], blocks)
		blocks = blocks[size:]
	}
}

// unpackers write one block.
var unpackers = map[Type]func(y []float32, b []byte){
	F32:  func(y []float32, b []byte) { y[0] = math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	F16:  func(y []float32, b []byte) { y[0] = half(b) },
	BF16: func(y []float32, b []byte) { y[0] = dtype.BF16ToF32(binary.LittleEndian.Uint16(b)) },
	Q4_0: unpackQ4_0, Q4_1: unpackQ4_1, Q5_0: unpackQ5_0, Q5_1: unpackQ5_1, Q8_0: unpackQ8_0,
	Q2_K: unpackQ2K, Q3_K: unpackQ3K, Q4_K: unpackQ4K, Q5_K: unpackQ5K, Q6_K: unpackQ6K,
}

func half(b []byte) float32 { return dtype.F16ToF32(binary.LittleEndian.Uint16(b)) }

// unpackQ4_0: float16 d, 16 bytes: the low nibbles are elements 0..15, the high ones
// 16..31, each less 8.
func unpackQ4_0(y []float32, b []byte) {
	d, q := half(b), b[2:18]
	y = y[:32]
	for i, c := range q {
		y[i] = d * float32(int(c&15)-8)
		y[i+16] = d * float32(int(c>>4)-8)
	}
}

// unpackQ4_1: float16 d and m, nibbles as in Q4_0.
func unpackQ4_1(y []float32, b []byte) {
	d, m, q := half(b), half(b[2:]), b[4:20]
	y = y[:32]
	for i, c := range q {
		y[i] = float32(d*float32(c&15)) + m
		y[i+16] = float32(d*float32(c>>4)) + m
	}
}

// unpackQ5_0: float16 d, 32 fifth bits, nibbles; each less 16.
func unpackQ5_0(y []float32, b []byte) {
	d, high, q := half(b), binary.LittleEndian.Uint32(b[2:]), b[6:22]
	y = y[:32]
	for i, c := range q {
		y[i] = d * float32(int(uint32(c&15)|high>>i<<4&16)-16)
		y[i+16] = d * float32(int(uint32(c>>4)|high>>(i+16)<<4&16)-16)
	}
}

// unpackQ5_1: float16 d and m, 32 fifth bits, nibbles.
func unpackQ5_1(y []float32, b []byte) {
	d, m, high, q := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:]), b[8:24]
	y = y[:32]
	for i, c := range q {
		y[i] = float32(d*float32(uint32(c&15)|high>>i<<4&16)) + m
		y[i+16] = float32(d*float32(uint32(c>>4)|high>>(i+16)<<4&16)) + m
	}
}

// unpackQ8_0: float16 d, 32 int8.
func unpackQ8_0(y []float32, b []byte) {
	d, q := half(b), b[2:34]
	y = y[:32]
	for i, c := range q {
		y[i] = d * float32(int8(c))
	}
}

// unpackQ2K: 16 bytes with a 4-bit scale and minimum for each 16 elements, 64 bytes of
// 2-bit codes, float16 d and dmin. Bits 2j of 32 bytes are 32 elements in a row.
func unpackQ2K(y []float32, b []byte) {
	scales, q := b[:16], b[16:80]
	d, dmin := half(b[80:]), half(b[82:])
	is := 0
	for n := 0; n < 256; n += 128 {
		for shift := 0; shift < 8; shift += 2 {
			for h := 0; h < 32; h += 16 {
				sc := scales[is]
				is++
				dl, ml := d*float32(sc&15), dmin*float32(sc>>4)
				for l, c := range q[n/4+h : n/4+h+16] {
					y[l] = float32(dl*float32(c>>shift&3)) - ml
				}
				y = y[16:]
			}
		}
	}
}

// unpackQ3K: 32 bytes of third bits, 64 bytes of 2-bit codes, 12 bytes with 16 scales of
// 6 bits, float16 d. A third bit that is not set takes 4 off.
func unpackQ3K(y []float32, b []byte) {
	mask, q, packed, d := b[:32], b[32:96], b[96:108], half(b[108:])
	var scales [16]int8
	for i := range scales {
		low := packed[i%8] >> (i / 8 * 4) & 15
		high := packed[8+i%4] >> (i / 4 * 2) & 3
		scales[i] = int8(low|high<<4) - 32
	}
	is, bit := 0, 0
	for n := 0; n < 256; n += 128 {
		for shift := 0; shift < 8; shift += 2 {
			for h := 0; h < 32; h += 16 {
				dl := d * float32(scales[is])
				is++
				for l, c := range q[n/4+h : n/4+h+16] {
					y[l] = dl * float32(int(c>>shift&3)-4+int(mask[h+l]>>bit&1)<<2)
				}
				y = y[16:]
			}
			bit++
		}
	}
}

// scaleMin is the 6-bit scale and minimum of the j-th 32 elements of Q4_K and Q5_K.
func scaleMin(j int, q []byte) (scale, min byte) {
	if j < 4 {
		return q[j] & 63, q[j+4] & 63
	}
	return q[j+4]&15 | q[j-4]>>6<<4, q[j+4]>>4 | q[j]>>6<<4
}

// unpackQ4K: float16 d and dmin, 12 bytes with 8 scales and minima of 6 bits, 128 bytes:
// of 32 bytes the low nibbles are 32 elements, the high ones the next 32.
func unpackQ4K(y []float32, b []byte) {
	d, dmin, scales, q := half(b), half(b[2:]), b[4:16], b[16:144]
	y = y[:256]
	for j := 0; j < 8; j += 2 {
		s1, m1 := scaleMin(j, scales)
		s2, m2 := scaleMin(j+1, scales)
		d1, d2, min1, min2 := d*float32(s1), d*float32(s2), dmin*float32(m1), dmin*float32(m2)
		lo, hi := y[j*32:j*32+32], y[j*32+32:j*32+64]
		for l, c := range q[j*16 : j*16+32] {
			lo[l] = float32(d1*float32(c&15)) - min1
			hi[l] = float32(d2*float32(c>>4)) - min2
		}
	}
}

// unpackQ5K: as Q4_K, with 32 bytes of fifth bits before the nibbles.
func unpackQ5K(y []float32, b []byte) {
	d, dmin, scales, high, q := half(b), half(b[2:]), b[4:16], b[16:48], b[48:176]
	y = y[:256]
	for j := 0; j < 8; j += 2 {
		s1, m1 := scaleMin(j, scales)
		s2, m2 := scaleMin(j+1, scales)
		d1, d2, min1, min2 := d*float32(s1), d*float32(s2), dmin*float32(m1), dmin*float32(m2)
		lo, hi := y[j*32:j*32+32], y[j*32+32:j*32+64]
		for l, c := range q[j*16 : j*16+32] {
			h := high[l] >> j
			lo[l] = float32(d1*float32(c&15|h<<4&16)) - min1
			hi[l] = float32(d2*float32(c>>4|h<<3&16)) - min2
		}
	}
}

// unpackQ6K: 128 bytes of low nibbles, 64 bytes of 2 high bits, 16 int8 scales, float16
// d; each less 32.
func unpackQ6K(y []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for n := 0; n < 2; n++ {
		ql, qh, sc, out := low[n*64:n*64+64], high[n*32:n*32+32], scales[n*8:n*8+8], y[n*128:n*128+128]
		var ds [8]float32
		for i := range ds {
			ds[i] = d * float32(int8(sc[i]))
		}
		for l, h := range qh {
			is := l / 16
			out[l] = ds[is] * float32(int(ql[l]&15|h&3<<4)-32)
			out[l+32] = ds[is+2] * float32(int(ql[l+32]&15|h>>2&3<<4)-32)
			out[l+64] = ds[is+4] * float32(int(ql[l]>>4|h>>4&3<<4)-32)
			out[l+96] = ds[is+6] * float32(int(ql[l+32]>>4|h>>6<<4)-32)
		}
	}
}

// Decode is all elements of blocks as little-endian bytes of d: Float32, Float16 or
// BFloat16. A finite number that d does not hold is an error. It uses all cores; the
// result does not depend on how many there are.
func Decode(t Type, blocks []byte, d dtype.DType) ([]byte, error) {
	count := len(blocks) / t.BlockBytes() * t.Block()
	out := make([]byte, count*d.Size())
	err := inParallel(len(blocks)/t.BlockBytes(), 1+65536/t.Block(), func(from, to int) error {
		return decode(out[from*t.Block()*d.Size():to*t.Block()*d.Size()], t, blocks[from*t.BlockBytes():to*t.BlockBytes()], d)
	})
	return out, err
}

func decode(out []byte, t Type, blocks []byte, d dtype.DType) error {
	const piece = 1024 // elements: they stay in the cache
	var buf [piece]float32
	step := piece / t.Block() * t.BlockBytes()
	for len(blocks) > 0 {
		b := blocks[:min(step, len(blocks))]
		blocks = blocks[len(b):]
		y := buf[:len(b)/t.BlockBytes()*t.Block()]
		Dequantize(y, t, b)
		if err := put(out, y, d); err != nil {
			return err
		}
		out = out[len(y)*d.Size():]
	}
	return nil
}

// put writes floats as d.
func put(out []byte, y []float32, d dtype.DType) error {
	switch d {
	case dtype.Float32:
		for i, x := range y {
			binary.LittleEndian.PutUint32(out[i*4:], math.Float32bits(x))
		}
	case dtype.BFloat16:
		for i, x := range y {
			binary.LittleEndian.PutUint16(out[i*2:], dtype.F32ToBF16(x))
		}
	case dtype.Float16:
		for i, x := range y {
			h := dtype.F32ToF16(x)
			if h&0x7fff == 0x7c00 && !math.IsInf(float64(x), 0) {
				return fmt.Errorf("the value %g is beyond float16", x)
			}
			binary.LittleEndian.PutUint16(out[i*2:], h)
		}
	default:
		panic(fmt.Sprintf("gguf: no elements of %v", d))
	}
	return nil
}

// inParallel calls work for parts of [0, n), whole numbers of steps, one for each core,
// guarded, since they read mapped files; the error is that of the first part that has one.
func inParallel(n, step int, work func(from, to int) error) error {
	pieces := (n + step - 1) / step
	workers := min(runtime.GOMAXPROCS(0), pieces)
	guarded := func(from, to int) error { return fmap.Guard(func() error { return work(from, to) }) }
	if workers <= 1 {
		return guarded(0, n)
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		from, to := pieces*w/workers*step, min(pieces*(w+1)/workers*step, n)
		wg.Go(func() { errs[w] = guarded(from, to) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
