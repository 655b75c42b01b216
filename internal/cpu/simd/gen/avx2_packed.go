//go:build ignore

package main

import "fmt"

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
	scaleRows()
	for _, nr := range []int{1, 4} {
		e4m3Product(nr)
	}
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
	name := "a2MulF" + k.name
	if ints {
		name = "a2MulI" + k.name
	}
	k.start(fmt.Sprintf("%sx%d", name, nr), nr, ints)
	p("CMPQ DI, $2")
	p("JEQ group2")
	p("JGT group4")
	for _, per := range []int{1, 2, 4} {
		label(fmt.Sprintf("group%d", per))
		k.group(nr, per, ints, false, false)
		p("DECQ CX")
		p("JNZ group%d", per)
		if per < 4 {
			p("JMP biases")
		}
	}
	label("biases")
	bias(nr)
	reduce(1, nr)
	ret()
	if !k.half {
		return
	}
	// nb is 1 where half a step follows, and there are no biases
	k.start(fmt.Sprintf("%sPairsx%d", name, nr), nr, ints)
	p("TESTQ CX, CX")
	p("JZ last")
	label("group")
	k.group(nr, 1, ints, true, false)
	p("DECQ CX")
	p("JNZ group")
	label("last")
	p("CMPQ %s, $0", arg("nb"))
	p("JE done")
	k.group(nr, 1, ints, true, true)
	label("done")
	reduce(1, nr)
	ret()
}

func (k packed) start(name string, nr int, ints bool) {
	fn(name, mulArgs, "")
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
	if !ints {
		p("VXORPS Y8, Y8, Y8")
	}
}

// group adds a group of per steps, or half a step, to the sums of the rows.
func (k packed) group(nr, per int, ints, pairs, half bool) {
	xsize := 4
	if ints {
		xsize = 2
	}
	for t := range per {
		if ints {
			p("VMOVDQU %d(SI), Y8", 64*t)
			p("VMOVDQU %d(SI), Y9", 64*t+32)
		}
		for r := range nr {
			k.unpack(fmt.Sprintf("%d(BX)%s", k.bytes*t, wrow[r]), 10, 11, half)
			if ints {
				addInts(4+r, t == 0)
			} else {
				k.addFloats(4+r, 128*t, t == 0)
			}
		}
	}
	if !half {
		for r := range nr {
			if k.bytes > 16 {
				p("PREFETCHT1 %d(BX)%s", prefetch, wrow[r])
			} else { // slower streams come in time from nearer
				p("PREFETCHT0 %d(BX)%s", prefetch/2, wrow[r])
			}
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

// addInts adds the words in Y10 and Y11 times x in Y8 and Y9 to the sums of a group.
func addInts(acc int, first bool) {
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
		p("PREFETCHT1 %d(BX)%s", prefetch, wrow[r])
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
