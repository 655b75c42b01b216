//go:build amd64 && !purego && !race

package simd

import (
	"encoding/binary"
	"math"
)

// quantizeRowAVX512 is quantizeRow with kernels for affine groups and for Metal's of the
// fp modes; the bytes are the same.
func quantizeRowAVX512(words []uint32, scales, biases []byte, x []float32, p QParams) {
	if p.Mode != Affine && p.Rounding != RoundMetal {
		quantizeRow(words, scales, biases, x, p)
		return
	}
	var codes [128]byte
	size, per := p.Elem.Size(), p.Group*p.Bits/32
	for g := 0; len(x) >= p.Group; g++ {
		if p.Mode == Affine {
			s, b := affineGroupAVX512(codes[:p.Group], x[:p.Group], p)
			store(Raw{p.Elem, scales[g*size:][:size]}, []float32{s})
			store(Raw{p.Elem, biases[g*size:][:size]}, []float32{b})
		} else {
			scales[g] = fpGroupAVX512(codes[:p.Group], x[:p.Group], p)
		}
		packCodes(words[:per], codes[:p.Group], p.Bits)
		words, x = words[per:], x[p.Group:]
	}
}

// fpGroupAVX512 is fpGroupMetal; a group with NaN or infinity goes there.
func fpGroupAVX512(codes []byte, w []float32, p QParams) byte {
	m := max(abs32(extremeMaxF32(&w[0], len(w))), abs32(extremeMinF32(&w[0], len(w))))
	if !(m <= math.MaxFloat32) {
		var wide [128]uint32
		b := fpGroup(wide[:len(w)], w, p)
		for i := range codes {
			codes[i] = byte(wide[i])
		}
		return b
	}
	b, inv := fpScaleMetal(m, p)
	if p.Bits == 8 {
		codesE4M3(&codes[0], &w[0], len(w), inv)
	} else {
		codesE2M1(&codes[0], &w[0], len(w), inv)
	}
	return b
}

// affineGroupAVX512 is affineGroup; a group with NaN goes there.
func affineGroupAVX512(codes []byte, w []float32, p QParams) (s, bias float32) {
	hi, lo := extremeMaxF32(&w[0], len(w)), extremeMinF32(&w[0], len(w))
	if hi != hi {
		var wide [128]uint32
		s, bias = affineGroup(wide[:len(w)], w, p)
		for i := range codes {
			codes[i] = byte(wide[i])
		}
		return s, bias
	}
	s, bias = affineScale(lo, hi, p)
	top := float32(int(1)<<p.Bits - 1)
	if p.Rounding == RoundMetal {
		codesMetal(&codes[0], &w[0], len(w), bias, s, top)
	} else {
		codesCPU(&codes[0], &w[0], len(w), bias, s, top)
	}
	return s, bias
}

// packCodes packs codes, a multiple of 32 of them, as a little-endian bit stream:
// eight codes close up in three steps to one run of bits.
func packCodes(words []uint32, codes []byte, bits int) {
	dst := bytesOf(words)
	n := uint(bits)
	const odd8, odd16 = 0x00ff00ff00ff00ff, 0x0000ffff0000ffff
	for i := 0; i < len(codes); i += 8 {
		u := binary.LittleEndian.Uint64(codes[i:])
		u = u&odd8 | u>>8&odd8<<n
		u = u&odd16 | u>>16&odd16<<(2*n)
		u = u&math.MaxUint32 | u>>32<<(4*n)
		if len(dst) >= 8 {
			binary.LittleEndian.PutUint64(dst, u) // the next run overwrites the zeros
		} else {
			for k := range dst {
				dst[k] = byte(u >> (8 * k))
			}
		}
		dst = dst[bits:]
	}
}
