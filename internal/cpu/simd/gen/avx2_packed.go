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
	{name: "4", bytes: 16, unpack: func(w string, a, b int, _ bool) {
		p("VPMOVZXBW %s, Y%d", w, a)
		p("VPSRLW $4, Y%d, Y%d", a, b)
		p("VPAND Y15, Y%d, Y%d", a, a)
	}, consts: func() { p("VMOVDQU %s, Y15", vec(uint16(15))) }},
	lanesOf(5), lanesOf(6),
	{name: "8", bytes: 32, unpack: func(w string, a, b int, _ bool) {
		p("VPMOVZXBW %s, Y%d", w, a)
		p("VPMOVZXBW %s, Y%d", plus(w, 16), b)
	}, consts: func() {}},
	{name: "FP4", bytes: 16, signed: true, half: true, unpack: func(w string, a, b int, half bool) {
		if half {
			p("VMOVQ %s, X%d", w, a)
			p("VPMOVZXBW X%d, Y%d", a, a)
		} else {
			p("VPMOVZXBW %s, Y%d", w, a)
		}
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

var (
	srow = []string{"(DX)", "(DX)(R13*1)", "(DX)(R13*2)", "(DX)(R14*1)"}
	brow = []string{"(R8)", "(R8)(R13*1)", "(R8)(R13*2)", "(R8)(R14*1)"}
)

// packedProducts writes, for one row of x:
//
//	a2MulI…: y[j] = Σ_g s[j,g]·sx[g]·Σ(code·x) + Σ_g b[j,g]·xs[g], x as int16
//	a2MulF…: the same with x as float32, no sx
//
// and a2UnpackI…, which writes the words of a row. Groups of FP4 are steps; with
// pairs, s holds two scales a step, of its low and its high lane.
func packedProducts() {
	for _, k := range packeds {
		for _, nr := range []int{1, 4} {
			k.product(true, nr)
			k.product(false, nr)
		}
		k.unpackRow()
		k.unpackF(false)
		if k.half {
			k.unpackF(true)
		}
	}
	e4m3UnpackF()
	byteScales()
	for _, nr := range []int{1, 4} {
		e4m3Product(nr)
	}
	for _, s := range [][2]int{{1, 1}, {1, 3}, {2, 1}, {2, 3}} {
		tileI(s[0], s[1])
	}
	laneSums()
	quantizers()
}

func strides(nr int) {
	if nr > 1 {
		load("ws", "R11")
		p("LEAQ (R11)(R11*2), R12")
		load("ss", "R13")
		p("LEAQ (R13)(R13*2), R14")
	}
}

// scaleOf loads the scale of a group, or the two of a step.
func scaleOf(at string, y int, pairs bool) {
	if pairs {
		p("VBROADCASTSD %s, Y%d", at, y)
		p("VPERMILPS %s, Y%d, Y%d", vec[uint32](0, 0, 0, 0, 1, 1, 1, 1), y, y)
		return
	}
	p("VBROADCASTSS %s, Y%d", at, y)
}

const mulArgs = "y *float32, yns int, w *byte, ws int, s, b *float32, ss int, x *byte, sx, xs *float32, groups, per, nb int"

// product: Y0.. hold the sums of nr rows, Y4.. those of a group.
func (k packed) product(ints bool, nr int) {
	name, xsize := "a2MulF"+k.name, 4
	if ints {
		name, xsize = "a2MulI"+k.name, 2
	}
	pair := func(pairs bool) {
		n := name
		if pairs {
			n += "Pairs"
		}
		fn(fmt.Sprintf("%sx%d", n, nr), mulArgs, "")
		load("w", "BX")
		load("s", "DX")
		load("x", "SI")
		load("sx", "R9")
		load("groups", "CX")
		load("per", "DI")
		strides(nr)
		k.consts()
		for r := range nr {
			p("VXORPS Y%d, Y%d, Y%d", r, r, r)
		}
		// step t of a group whose sums are not there before the first one
		step := func(t int, half bool) {
			if ints {
				p("VMOVDQU %d(SI), Y8", 64*t)
				p("VMOVDQU %d(SI), Y9", 64*t+32)
			}
			for r := range nr {
				k.unpack(fmt.Sprintf("%d(BX)%s", k.bytes*t, wrow[r]), 10, 11, half)
				if ints {
					k.addInts(4+r, t == 0)
				} else {
					k.addFloats(4+r, 128*t, t == 0)
				}
			}
		}
		if !ints {
			p("VXORPS Y8, Y8, Y8")
		}
		group := func(per int, half bool) {
			for t := range per {
				step(t, half)
			}
			if !half {
				for r := range nr {
					p("PREFETCHT0 %d(BX)%s", prefetch, wrow[r])
				}
				p("ADDQ $%d, SI", 32*xsize*per)
				p("ADDQ $%d, BX", k.bytes*per)
			}
			if ints {
				p("VBROADCASTSS (R9), Y8")
				p("ADDQ $4, R9")
			}
			for r := range nr {
				scaleOf(srow[r], 10, pairs)
				if ints {
					p("VCVTDQ2PS Y%d, Y%d", 4+r, 4+r)
					p("VMULPS Y8, Y10, Y10")
				}
				p("VFMADD231PS Y%d, Y10, Y%d", 4+r, r)
			}
			if pairs {
				p("ADDQ $8, DX")
			} else {
				p("ADDQ $4, DX")
			}
		}
		if pairs { // nb is 1 where half a step follows, and there are no biases
			p("TESTQ CX, CX")
			p("JZ last")
			label("group")
			group(1, false)
			p("DECQ CX")
			p("JNZ group")
			label("last")
			p("CMPQ %s, $0", arg("nb"))
			p("JE done")
			group(1, true)
			label("done")
		} else {
			p("CMPQ DI, $2")
			p("JEQ group2")
			p("JGT group4")
			for _, per := range []int{1, 2, 4} {
				label(fmt.Sprintf("group%d", per))
				group(per, false)
				p("DECQ CX")
				p("JNZ group%d", per)
				if per < 4 {
					p("JMP biases")
				}
			}
			label("biases")
			bias(nr)
		}
		reduce(1, nr)
		ret()
	}
	pair(false)
	if k.half {
		pair(true)
	}
}

// addInts adds the words in Y10 and Y11 times x in Y8 and Y9 to the sums of a group.
func (k packed) addInts(acc int, first bool) {
	p("VPMADDWD Y9, Y11, Y11")
	if first {
		p("VPMADDWD Y8, Y10, Y%d", acc)
	} else {
		p("VPMADDWD Y8, Y10, Y10")
		p("VPADDD Y10, Y%d, Y%d", acc, acc)
	}
	p("VPADDD Y11, Y%d, Y%d", acc, acc)
}

// addFloats adds the words in Y10 and Y11, the even ones first, times x at SI.
func (k packed) addFloats(acc, at int, first bool) {
	for h := range 2 {
		if k.signed {
			p("VPSLLD $16, Y%d, Y12", 10+h)
			p("VPSRAD $16, Y12, Y12")
			p("VPSRAD $16, Y%d, Y13", 10+h)
		} else {
			p("VPBLENDW $0xaa, Y8, Y%d, Y12", 10+h)
			p("VPSRLD $16, Y%d, Y13", 10+h)
		}
		for o := range 2 {
			p("VCVTDQ2PS Y%d, Y%d", 12+o, 12+o)
			if first && h+o == 0 {
				p("VMULPS %d(SI), Y12, Y%d", at, acc)
				continue
			}
			p("VFMADD231PS %d(SI), Y%d, Y%d", at+64*h+32*o, 12+o, acc)
		}
	}
}

// bias adds b·xs, nb times eight groups.
func bias(nr int) {
	load("nb", "CX")
	p("TESTQ CX, CX")
	p("JZ sums")
	load("b", "R8")
	load("xs", "R9")
	label("bias")
	p("VMOVUPS (R9), Y8")
	for r := range nr {
		p("VFMADD231PS %s, Y8, Y%d", brow[r], r)
	}
	p("ADDQ $32, R8")
	p("ADDQ $32, R9")
	p("DECQ CX")
	p("JNZ bias")
	label("sums")
}

// e4m3Product: a byte becomes a float16 that is 2^8 too small.
func e4m3Product(nr int) {
	fn(fmt.Sprintf("a2MulE4M3x%d", nr), mulArgs, "")
	load("w", "BX")
	load("s", "DX")
	load("x", "SI")
	load("groups", "CX")
	load("per", "DI")
	strides(nr)
	p("VMOVDQU %s, Y14", vec(uint16(0x3f80)))
	p("VMOVDQU %s, Y15", vec(uint16(0x8000)))
	for r := range nr {
		p("VXORPS Y%d, Y%d, Y%d", r, r, r)
	}
	label("group")
	for r := range nr {
		p("VXORPS Y%d, Y%d, Y%d", 4+r, 4+r, 4+r)
		p("PREFETCHT0 %d(BX)%s", prefetch, wrow[r])
	}
	p("MOVQ DI, AX")
	label("step")
	for h := range 2 {
		for r := range nr {
			e4m3(fmt.Sprintf("%d(BX)%s", 16*h, wrow[r]), 10, 11)
			p("VCVTPH2PS X10, Y11")
			p("VEXTRACTI128 $1, Y10, X10")
			p("VCVTPH2PS X10, Y10")
			p("VFMADD231PS %d(SI), Y11, Y%d", 64*h, 4+r)
			p("VFMADD231PS %d(SI), Y10, Y%d", 64*h+32, 4+r)
		}
	}
	p("ADDQ $128, SI")
	p("ADDQ $32, BX")
	p("DECQ AX")
	p("JNZ step")
	for r := range nr {
		scaleOf(srow[r], 10, false)
		p("VMULPS %s, Y%d, Y%d", vec(float32(256)), 4+r, 4+r)
		p("VFMADD231PS Y%d, Y10, Y%d", 4+r, r)
	}
	p("ADDQ $4, DX")
	p("DECQ CX")
	p("JNZ group")
	reduce(1, nr)
	ret()
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
// and after the sum, in their own order.
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
	k.consts()
	eight := func(x, at, scale, bias int) {
		ext := "ZX"
		if k.signed {
			ext = "SX"
		}
		p("VPMOV%sWD X%d, Y13", ext, x)
		p("VCVTDQ2PS Y13, Y13")
		p("VMULPS Y%d, Y13, Y13", scale)
		if !pairs {
			p("VADDPS Y%d, Y13, Y13", bias)
		}
		p("VMOVUPS Y13, %d(DI)", at)
	}
	step := func(half bool) {
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
		for h := range 2 {
			for l := range 2 {
				if half && l == 1 {
					break
				}
				if l == 1 {
					p("VEXTRACTI128 $1, Y%d, X%d", 10+h, 10+h)
				}
				scale := 8
				if pairs {
					scale = 8 + l
				}
				eight(10+h, at[2*h+l], scale, 9)
			}
		}
	}
	if pairs {
		p("TESTQ CX, CX")
		p("JZ last")
		label("group")
		p("VBROADCASTSS (DX), Y8")
		p("VBROADCASTSS 4(DX), Y9")
		step(false)
		p("ADDQ $8, DX")
		p("ADDQ $128, DI")
		p("ADDQ $%d, BX", k.bytes)
		p("DECQ CX")
		p("JNZ group")
		label("last")
		p("CMPQ %s, $0", arg("half"))
		p("JE done")
		p("VBROADCASTSS (DX), Y8")
		step(true)
		label("done")
		ret()
		return
	}
	label("group")
	p("VBROADCASTSS (DX), Y8")
	p("VBROADCASTSS (R8), Y9")
	p("MOVQ %s, AX", arg("per"))
	label("step")
	step(false)
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

// byteScales turns n bytes, a multiple of 8, into scales times f.
func byteScales() {
	start := func(name string) {
		fn(name, "dst *float32, src *byte, n int, f float32", "")
		load("dst", "DI")
		load("src", "SI")
		load("n", "CX")
		p("VBROADCASTSS %s, Y8", arg("f"))
		p("VPXOR Y7, Y7, Y7")
	}
	start("a2E8M0")
	eight(map[string]int{"DI": 4, "SI": 1}, func() {
		p("VPMOVZXBD (SI), Y0")
		p("VPCMPEQD Y7, Y0, Y1") // 2^-127 is subnormal
		p("VPAND %s, Y1, Y1", vec(uint32(1<<22)))
		p("VPSLLD $23, Y0, Y0")
		p("VPOR Y1, Y0, Y0")
		p("VMULPS Y8, Y0, Y0")
		p("VMOVUPS Y0, (DI)")
	})
	ret()
	start("a2E4M3")
	eight(map[string]int{"DI": 4, "SI": 1}, func() { // f has the 2^8 of e4m3
		p("VPMOVZXBW (SI), X0")
		p("VPSLLW $8, X0, X1")
		p("VPSLLW $7, X0, X0")
		p("VPAND %s, X1, X1", vec(uint16(0x8000)))
		p("VPAND %s, X0, X0", vec(uint16(0x3f80)))
		p("VPOR X1, X0, X0")
		p("VCVTPH2PS X0, Y0")
		p("VMULPS Y8, Y0, Y0")
		p("VMOVUPS Y0, (DI)")
	})
	ret()
}

// tileI adds mr rows of x by nr rows of words to acc, eight lanes an output:
// groups of per steps, and nb times eight biases.
func tileI(mr, nr int) {
	fn(fmt.Sprintf("a2TileI%dx%d", mr, nr), "acc *float32, x *int16, xs int, sx *float32, sxs int, w *int16, ws int, s *float32, ss, groups, per int, sums, b *float32, nb int", "")
	load("acc", "DI")
	load("x", "SI")
	load("xs", "R8")
	load("sx", "R9")
	load("sxs", "R10")
	load("w", "BX")
	load("ws", "R11")
	load("s", "DX")
	load("ss", "R13")
	load("groups", "CX")
	n := mr * nr
	for a := range n {
		p("VMOVUPS %d(DI), Y%d", 32*a, a)
	}
	const x, w, t = 12, 14, 15
	sxrow := []string{"(R9)", "(R9)(R10*1)"}
	group := func(per int) {
		for h := range 2 * per {
			for i := range mr {
				p("VMOVDQU %d%s, Y%d", 32*h, xrow[i], x+i)
			}
			for j := range nr {
				p("VMOVDQU %d(BX)%s, Y%d", 32*h, wrow[j], w)
				for i := range mr {
					a := 6 + i*nr + j
					if h == 0 {
						p("VPMADDWD Y%d, Y%d, Y%d", x+i, w, a)
						continue
					}
					p("VPMADDWD Y%d, Y%d, Y%d", x+i, w, t)
					p("VPADDD Y%d, Y%d, Y%d", t, a, a)
				}
			}
		}
		p("ADDQ $%d, SI", 64*per)
		p("ADDQ $%d, BX", 64*per)
		for i := range mr {
			p("VBROADCASTSS %s, Y%d", sxrow[i], x+i)
		}
		for j := range nr {
			p("VBROADCASTSS %s, Y%d", srow[j], w)
			for i := range mr {
				a := i*nr + j
				p("VMULPS Y%d, Y%d, Y%d", x+i, w, t)
				p("VCVTDQ2PS Y%d, Y%d", 6+a, 6+a)
				p("VFMADD231PS Y%d, Y%d, Y%d", t, 6+a, a)
			}
		}
		p("ADDQ $4, R9")
		p("ADDQ $4, DX")
		p("DECQ CX")
		p("JNZ group%d", per)
	}
	p("CMPQ %s, $2", arg("per"))
	p("JEQ group2")
	p("JGT group4")
	for _, per := range []int{1, 2, 4} {
		label(fmt.Sprintf("group%d", per))
		group(per)
		if per < 4 {
			p("JMP biases")
		}
	}
	label("biases")
	load("nb", "CX")
	p("TESTQ CX, CX")
	p("JZ done")
	load("sums", "R9")
	load("b", "DX")
	label("bias")
	for i := range mr {
		p("VMOVUPS %s, Y%d", sxrow[i], x+i)
	}
	for j := range nr {
		p("VMOVUPS %s, Y%d", srow[j], w)
		for i := range mr {
			p("VFMADD231PS Y%d, Y%d, Y%d", x+i, w, i*nr+j)
		}
	}
	p("ADDQ $32, R9")
	p("ADDQ $32, DX")
	p("DECQ CX")
	p("JNZ bias")
	label("done")
	for a := range n {
		p("VMOVUPS Y%d, %d(DI)", a, 32*a)
	}
	ret()
}

// laneSums folds n > 0 accumulators of eight lanes to one value each.
func laneSums() {
	fn("a2LaneSums", "y, acc *float32, n int", "")
	load("y", "DI")
	load("acc", "SI")
	load("n", "CX")
	label("loop")
	p("VMOVUPS (SI), Y0")
	p("VHADDPS Y0, Y0, Y0")
	p("VHADDPS Y0, Y0, Y0")
	p("VEXTRACTF128 $1, Y0, X15")
	p("VADDPS X15, X0, X0")
	p("VMOVSS X0, (DI)")
	p("ADDQ $32, SI")
	p("ADDQ $4, DI")
	p("DECQ CX")
	p("JNZ loop")
	ret()
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
