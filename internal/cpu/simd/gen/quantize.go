//go:build ignore

package main

import "fmt"

// quantizers writes the loops from values to codes.
func quantizers() {
	quantize("codesCPU", func() { p("VRNDSCALEPS $8, Z0, Z0") })
	quantize("codesMetal", func() { // half away from zero; x - trunc(x) is exact
		p("VRNDSCALEPS $11, Z0, Z1")
		p("VSUBPS Z1, Z0, Z2")
		p("VPANDD Z7, Z2, Z3")
		p("VCMPPS $2, Z3, Z8, K2")
		p("VMOVAPS Z1, Z0")
		p("VPTERNLOGD $0xd8, Z7, Z9, Z2") // 1 with the sign of x
		p("VADDPS Z2, Z1, K2, Z0")
	})
	minifloat("codesE2M1", 1, 1, 0x40c00000, 28, 8)
	minifloat("codesE4M3", 3, 7, 543<<21, 24, 0x80)
}

// quantize: codes[i] = round((x[i]-b)/s) within [0, top], NaN 0; n is a multiple
// of 16.
func quantize(name string, round func()) {
	args(name, "codes *byte, x *float32, n int, b, s, top float32", 36, [][2]string{{"codes+0", "DI"}, {"x+8", "SI"}, {"n+16", "CX"}})
	p("VBROADCASTSS b+24(FP), Z4")
	p("VBROADCASTSS s+28(FP), Z5")
	p("VBROADCASTSS top+32(FP), Z6")
	word(signBit-1, 7)
	word(0x3f000000, 8)
	word(oneBits, 9)
	p("VPXORD Z10, Z10, Z10")
	fmt.Println("loop:")
	p("VMOVUPS (SI), Z0")
	p("VSUBPS Z4, Z0, Z0")
	p("VDIVPS Z5, Z0, Z0")
	round()
	p("VMAXPS Z10, Z0, Z0") // of NaN: 0
	p("VMINPS Z6, Z0, Z0")
	p("VCVTTPS2DQ Z0, Z0")
	p("VPMOVDB Z0, (DI)")
	p("ADDQ $64, SI")
	p("ADDQ $16, DI")
	p("SUBQ $16, CX")
	p("JG loop")
	end()
}

// minifloat: codes[i] = x[i]*inv as a float of few bits, rounded to nearest, ties to
// even, NaN and what is beyond the largest as that; n is a multiple of 16. The largest
// float32 that rounds to a code is top; the sign goes right by sign bits.
func minifloat(name string, mantissa, bias, top, sign, signCode int) {
	args(name, "codes *byte, x *float32, n int, inv float32", 28, [][2]string{{"codes+0", "DI"}, {"x+8", "SI"}, {"n+16", "CX"}})
	shift := 23 - mantissa
	magic := (127 + 23 + 1 - bias - mantissa) << 23 // a sum with it rounds to units of subnormals
	p("VBROADCASTSS inv+24(FP), Z4")
	word(signBit-1, 5)
	word(uint32(top), 6)
	word(uint32(signCode), 7)
	word(1, 8)
	word(uint32(1<<(shift-1)-1-(127-bias)<<23), 9)
	word(uint32(magic), 10)
	word(uint32((128-bias)<<23), 11) // the smallest normal one
	fmt.Println("loop:")
	p("VMULPS (SI), Z4, Z0")
	p("VPSRLD $%d, Z0, Z1", sign)
	p("VPANDD Z7, Z1, Z1")
	p("VPANDD Z5, Z0, Z0")
	p("VPMINUD Z6, Z0, Z0")
	p("VPSRLD $%d, Z0, Z2", shift)
	p("VPANDD Z8, Z2, Z2")
	p("VPADDD Z0, Z2, Z2")
	p("VPADDD Z9, Z2, Z2")
	p("VPSRLD $%d, Z2, Z2", shift)
	p("VADDPS Z10, Z0, Z3")
	p("VPSUBD Z10, Z3, Z3")
	p("VPCMPUD $1, Z11, Z0, K2")
	p("VMOVDQA32 Z3, K2, Z2")
	p("VPORD Z1, Z2, Z2")
	p("VPMOVDB Z2, (DI)")
	p("ADDQ $64, SI")
	p("ADDQ $16, DI")
	p("SUBQ $16, CX")
	p("JG loop")
	end()
}
