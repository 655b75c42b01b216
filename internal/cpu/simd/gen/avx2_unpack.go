//go:build ignore

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A packed is a way to unpack a step of 32 codes into int16 words in two
// registers, and the order in which they come: see packOrder in avx2_qgemm_amd64.go.
type packed struct {
	name  string
	bytes int // of a step
	// signed says that words are signed, values times 512; else codes.
	signed bool
	half   bool // a row may end with half a step
	unpack func(w string, a, b int, half bool)
	consts func() // loads Y14 and Y15
}

var packeds = []packed{
	lanesOf(2), lanesOf(3),
	{name: "4", bytes: 16, unpack: nibbles, consts: func() { p("VMOVDQU %s, Y15", vec(uint16(15))) }},
	lanesOf(5), lanesOf(6),
	{name: "8", bytes: 32, unpack: func(w string, a, b int, _ bool) {
		p("VPMOVZXBW %s, Y%d", w, a)
		p("VPMOVZXBW %s, Y%d", plus(w, 16), b)
	}, consts: func() {}},
	{name: "FP4", bytes: 16, signed: true, half: true, unpack: func(w string, a, b int, half bool) {
		bytesOf(w, a, half)
		p("VPSLLW $4, Y%d, Y%d", a, b)
		p("VPSLLW $8, Y%d, Y%d", a, a)
		for _, r := range []int{a, b} { // the high byte looks up, the low one finds 0
			p("VPAND Y15, Y%d, Y%d", r, r)
			p("VPSHUFB Y%d, Y14, Y%d", r, r)
		}
	}, consts: func() {
		p("VMOVDQU %s, Y15", vec(uint16(0x0f00)))
		t := make([]byte, 32) // twice the values of e2m1
		for i, v := range []byte{0, 1, 2, 3, 4, 6, 8, 12} {
			for l := 0; l < 32; l += 16 {
				t[l+i], t[l+8+i] = v, -v
			}
		}
		p("VMOVDQU %s, Y14", bytes32(t))
	}},
}

// bytesOf loads 16 bytes as words, or 8 and zeros.
func bytesOf(w string, y int, half bool) {
	if !half {
		p("VPMOVZXBW %s, Y%d", w, y)
		return
	}
	p("VMOVQ %s, X%d", w, y)
	p("VPMOVZXBW X%d, Y%d", y, y)
}

// nibbles puts the even codes of four bits into a, the odd ones into b.
func nibbles(w string, a, b int, half bool) {
	bytesOf(w, a, half)
	p("VPSRLW $4, Y%d, Y%d", a, b)
	p("VPAND Y15, Y%d, Y%d", a, a)
}

// plus is an address n bytes behind addr, which may begin with an offset.
func plus(addr string, n int) string {
	i := strings.Index(addr, "(")
	at, _ := strconv.Atoi(addr[:i])
	return fmt.Sprintf("%d%s", at+n, addr[i:])
}

// lanesOf puts the bytes of codes 0 to 15 into the low lane and those of 16 to
// 31 into the high one; a word gets the two bytes with its code, a product moves
// the code to the top, a shift down.
func lanesOf(bits int) packed {
	second := map[int]int{2: 4, 3: 4, 5: 4, 6: 8}[bits] // byte where the high lane starts
	return packed{name: fmt.Sprint(bits), bytes: 4 * bits, unpack: func(w string, a, b int, _ bool) {
		switch bits {
		case 2:
			p("VPBROADCASTQ %s, Y%d", w, a)
			second = 0
		case 3:
			p("VMOVQ %s, X%d", w, a)
			p("VMOVQ %s, X%d", plus(w, second), b)
			p("VINSERTI128 $1, X%d, Y%d, Y%d", b, a, a)
		default:
			p("VMOVDQU %s, X%d", w, a)
			p("VINSERTI128 $1, %s, Y%d, Y%d", plus(w, second), a, a)
		}
		for r, reg := range []int{b, a} { // b first: a is the source
			r = 1 - r
			shuffle, mul := make([]byte, 32), make([]uint16, 16)
			for i := range 16 {
				c := 8*r + i%8 + i/8*16
				bit := c*bits - 8*second*(i/8)
				shuffle[2*i], shuffle[2*i+1] = byte(bit/8), byte(bit/8+1)
				if bit/8+1 > 15 || bit%8+bits <= 8 {
					shuffle[2*i+1] = 0x80
				}
				mul[i] = 1 << (16 - bits - bit%8)
			}
			p("VPSHUFB %s, Y%d, Y%d", bytes32(shuffle), a, reg)
			p("VPMULLW %s, Y%d, Y%d", vec(mul...), reg, reg)
			p("VPSRLW $%d, Y%d, Y%d", 16-bits, reg, reg)
		}
	}, consts: func() {}}
}

// e4m3 turns 16 bytes into float16 values in y.
func e4m3(w string, y, t int) {
	p("VPMOVZXBW %s, Y%d", w, y)
	p("VPSLLW $8, Y%d, Y%d", y, t)
	p("VPSLLW $7, Y%d, Y%d", y, y)
	p("VPAND Y15, Y%d, Y%d", t, t)
	p("VPAND Y14, Y%d, Y%d", y, y)
	p("VPOR Y%d, Y%d, Y%d", t, y, y)
}

// unpackRow writes steps of words.
func (k packed) unpackRow() {
	fn("a2UnpackI"+k.name, "dst *int16, w *byte, steps int", "")
	load("dst", "DI")
	load("w", "BX")
	load("steps", "CX")
	k.consts()
	label("loop")
	k.unpack("0(BX)", 10, 11, false)
	p("VMOVDQU Y10, (DI)")
	p("VMOVDQU Y11, 32(DI)")
	p("ADDQ $64, DI")
	p("ADDQ $%d, BX", k.bytes)
	p("DECQ CX")
	p("JNZ loop")
	ret()
}

// unpackF writes rows as float32 values code·s + b, rounded after the product
// and after the sum, in their own order; with pairs a scale for each 16, no biases.
func (k packed) unpackF(pairs bool) {
	name := "a2UnpackF" + k.name
	if pairs {
		name += "Pairs"
	}
	fn(name, "dst *float32, w *byte, s, b *float32, groups, per, half int", "")
	load("dst", "DI")
	load("w", "BX")
	load("s", "DX")
	load("b", "R8")
	load("groups", "CX")
	if k.signed { // by their codes, which know -0
		p("VMOVDQU %s, Y15", vec(uint16(15)))
		p("VMOVUPS %s, Y14", vec[float32](0, .5, 1, 1.5, 2, 3, 4, 6))
		k.unpack = nibbles
	} else {
		k.consts()
	}
	if pairs {
		p("TESTQ CX, CX")
		p("JZ last")
		label("group")
		p("VBROADCASTSS (DX), Y8")
		p("VBROADCASTSS 4(DX), Y9")
		k.values(pairs, false)
		p("ADDQ $8, DX")
		p("ADDQ $128, DI")
		p("ADDQ $%d, BX", k.bytes)
		p("DECQ CX")
		p("JNZ group")
		label("last")
		p("CMPQ %s, $0", arg("half"))
		p("JE done")
		p("VBROADCASTSS (DX), Y8")
		k.values(pairs, true)
		label("done")
		ret()
		return
	}
	label("group")
	p("VBROADCASTSS (DX), Y8")
	p("VBROADCASTSS (R8), Y9")
	p("MOVQ %s, AX", arg("per"))
	label("step")
	k.values(pairs, false)
	p("ADDQ $128, DI")
	p("ADDQ $%d, BX", k.bytes)
	p("DECQ AX")
	p("JNZ step")
	p("ADDQ $4, DX")
	p("ADDQ $4, R8")
	p("DECQ CX")
	p("JNZ group")
	ret()
}

// values writes a step, or its first half: by the scale in Y8 and the bias in Y9,
// or by the scales of the halves in both.
func (k packed) values(pairs, half bool) {
	k.unpack("(BX)", 10, 11, half)
	at := []int{0, 64, 32, 96} // where low and high lanes of both words go
	switch {
	case k.name == "8":
		at = []int{0, 32, 64, 96}
	case k.bytes == 16: // even and odd codes
		p("VPUNPCKLWD Y11, Y10, Y12")
		p("VPUNPCKHWD Y11, Y10, Y11")
		p("VMOVDQA Y12, Y10")
	}
	for i, to := range at {
		x, lane := 10+i/2, i%2
		if lane == 1 {
			if half {
				continue
			}
			p("VEXTRACTI128 $1, Y%d, X%d", x, x)
		}
		p("VPMOVZXWD X%d, Y13", x)
		if k.signed {
			p("VPSLLD $28, Y13, Y12")
			p("VANDPS %s, Y12, Y12", vec(uint32(1<<31)))
			p("VPERMPS Y14, Y13, Y13")
			p("VORPS Y12, Y13, Y13")
		} else {
			p("VCVTDQ2PS Y13, Y13")
		}
		if pairs {
			p("VMULPS Y%d, Y13, Y13", 8+lane)
		} else {
			p("VMULPS Y8, Y13, Y13")
			p("VADDPS Y9, Y13, Y13")
		}
		p("VMOVUPS Y13, %d(DI)", to)
	}
}

// e4m3UnpackF is unpackF for MX float8.
func e4m3UnpackF() {
	fn("a2UnpackFE4M3", "dst *float32, w *byte, s, b *float32, groups, per, half int", "")
	load("dst", "DI")
	load("w", "BX")
	load("s", "DX")
	load("groups", "CX")
	p("VMOVDQU %s, Y14", vec(uint16(0x3f80)))
	p("VMOVDQU %s, Y15", vec(uint16(0x8000)))
	label("group")
	p("VBROADCASTSS (DX), Y8")
	p("MOVQ %s, AX", arg("per"))
	label("step")
	for h := range 2 {
		e4m3(fmt.Sprintf("%d(BX)", 16*h), 10, 11)
		p("VCVTPH2PS X10, Y11")
		p("VEXTRACTI128 $1, Y10, X10")
		p("VCVTPH2PS X10, Y10")
		for i, y := range []int{11, 10} {
			p("VMULPS %s, Y%d, Y%d", vec(float32(256)), y, y)
			p("VMULPS Y8, Y%d, Y%d", y, y)
			p("VMOVUPS Y%d, %d(DI)", y, 64*h+32*i)
		}
	}
	p("ADDQ $128, DI")
	p("ADDQ $32, BX")
	p("DECQ AX")
	p("JNZ step")
	p("ADDQ $4, DX")
	p("DECQ CX")
	p("JNZ group")
	ret()
}

// scaleRows writes rows of scales or biases, one a group, as float32, times f if they are
// bytes, zeros up to a multiple of 8 behind each row. All rows are read up to that
// multiple.
func scaleRows() {
	rows := func(name string, size int, load8 func()) {
		fn("a2Rows"+name, "dst *float32, src *byte, rows, groups int, f float32", "")
		load("dst", "DI")
		load("src", "SI")
		load("rows", "DX")
		load("groups", "R8")
		p("MOVQ R8, CX")
		p("ANDQ $7, CX")
		p("MOVQ CX, R9")
		setMask()
		p("VBROADCASTSS %s, Y8", arg("f"))
		p("VPXOR Y7, Y7, Y7")
		label("row")
		p("MOVQ R8, CX")
		p("SUBQ $8, CX")
		p("JLT tail")
		label("eight")
		load8()
		p("VMOVUPS Y0, (DI)")
		p("ADDQ $%d, SI", 8*size)
		p("ADDQ $32, DI")
		p("SUBQ $8, CX")
		p("JGE eight")
		label("tail")
		p("TESTQ R9, R9")
		p("JZ next")
		load8()
		p("VANDPS Y15, Y0, Y0")
		p("VMOVUPS Y0, (DI)")
		p("LEAQ (SI)(R9*%d), SI", size)
		p("ADDQ $32, DI")
		label("next")
		p("DECQ DX")
		p("JNZ row")
		ret()
	}
	for _, e := range []string{"F32", "F16", "BF16"} {
		rows(e, sizeOf(e), func() { widen(e, "(SI)", 0) })
	}
	rows("E8M0", 1, func() {
		p("VPMOVZXBD (SI), Y0")
		p("VPCMPEQD Y7, Y0, Y1") // 2^-127 is subnormal
		p("VPAND %s, Y1, Y1", vec(uint32(1<<22)))
		p("VPSLLD $23, Y0, Y0")
		p("VPOR Y1, Y0, Y0")
		p("VMULPS Y8, Y0, Y0")
	})
	rows("E4M3", 1, func() { // f has the 2^8 of e4m3
		p("VPMOVZXBW (SI), X0")
		p("VPSLLW $8, X0, X1")
		p("VPSLLW $7, X0, X0")
		p("VPAND %s, X1, X1", vec(uint16(0x8000)))
		p("VPAND %s, X0, X0", vec(uint16(0x3f80)))
		p("VPOR X1, X0, X0")
		p("VCVTPH2PS X0, Y0")
		p("VMULPS Y8, Y0, Y0")
	})
}

// quantizers write x as int16 in the order of the words of codes, a scale for
// each group of per steps of 32, and the sum of the group as quantized.
func quantizers() {
	for _, order := range []string{"Natural", "Split", "Lanes"} {
		fn("a2Quant"+order, "q *int16, sx, sums, x *float32, groups, per int", "")
		load("q", "DI")
		load("sx", "R9")
		load("sums", "R8")
		load("x", "SI")
		load("groups", "CX")
		load("per", "DX")
		p("VMOVUPS %s, Y15", vec(uint32(1<<31-1)))
		p("VMOVUPS %s, Y14", vec[uint32](0, 4, 1, 5, 2, 6, 3, 7))
		p("VMOVDQU %s, Y13", vec(uint16(1)))
		label("group")
		p("MOVQ DX, AX")
		p("MOVQ SI, R10")
		p("VXORPS Y0, Y0, Y0")
		label("max")
		for i := range 4 {
			p("VANDPS %d(R10), Y15, Y%d", 32*i, 1+i)
		}
		p("VPMAXUD Y1, Y2, Y1") // of bits: NaN is the largest
		p("VPMAXUD Y3, Y4, Y3")
		p("VPMAXUD Y1, Y3, Y1")
		p("VPMAXUD Y1, Y0, Y0")
		p("ADDQ $128, R10")
		p("DECQ AX")
		p("JNZ max")
		lanes(0, 1, "VPMAXUD")
		p("VMOVSS %s, X1", vec(float32(1e-30)))
		p("VMAXSS X0, X1, X0") // X0 if it is NaN
		p("VMOVSS %s, X1", vec(float32(32767)))
		p("VDIVSS X0, X1, X2")
		p("VBROADCASTSS X2, Y2") // 32767/max
		p("VSUBSS X0, X0, X3")   // 0, or NaN
		p("VDIVSS X1, X0, X0")   // the scale
		p("VADDSS X3, X0, X0")
		p("VMOVSS X0, (R9)")
		p("MOVQ DX, AX")
		p("VPXOR Y12, Y12, Y12")
		label("step")
		order32(order)
		p("VMOVDQU Y3, (DI)")
		p("VMOVDQU Y4, 32(DI)")
		p("VPMADDWD Y13, Y3, Y3")
		p("VPMADDWD Y13, Y4, Y4")
		p("VPADDD Y3, Y12, Y12")
		p("VPADDD Y4, Y12, Y12")
		p("ADDQ $64, DI")
		p("ADDQ $128, SI")
		p("DECQ AX")
		p("JNZ step")
		lanes(12, 1, "VPADDD")
		p("VCVTDQ2PS X12, X12")
		p("VMULSS X0, X12, X12")
		p("VMOVSS X12, (R8)")
		p("ADDQ $4, R9")
		p("ADDQ $4, R8")
		p("DECQ CX")
		p("JNZ group")
		ret()
	}
}

// order32 quantizes 32 values by Y2 and leaves them in Y3 and Y4.
func order32(order string) {
	pair := map[string][4]int{"Natural": {0, 1, 2, 3}, "Lanes": {0, 2, 1, 3}, "Split": {0, 1, 2, 3}}[order]
	for i, v := range pair {
		p("VMOVUPS %d(SI), Y%d", 32*v, 5+i)
	}
	if order == "Split" {
		p("VSHUFPS $0x88, Y6, Y5, Y9")
		p("VSHUFPS $0xdd, Y6, Y5, Y10")
		p("VSHUFPS $0x88, Y8, Y7, Y6")
		p("VSHUFPS $0xdd, Y8, Y7, Y8")
		p("VMOVAPS Y9, Y5")
		p("VMOVAPS Y10, Y7")
	}
	for i := range 4 {
		p("VMULPS Y2, Y%d, Y%d", 5+i, 5+i)
		p("VCVTPS2DQ Y%d, Y%d", 5+i, 5+i)
	}
	for i := range 2 {
		p("VPACKSSDW Y%d, Y%d, Y%d", 6+2*i, 5+2*i, 3+i)
		if order == "Split" {
			p("VPERMD Y%d, Y14, Y%d", 3+i, 3+i)
		} else {
			p("VPERMQ $0xd8, Y%d, Y%d", 3+i, 3+i)
		}
	}
}
