//go:build ignore

package main

import "fmt"

// Panels writes the products of many rows of x. A step is one dword for each
// row of x, broadcast, and one zmm for each 16 columns:
//
//	I8    four k: signed codes of x, unsigned codes of w; VPDPBUSD
//	BF16  two k; VDPBF16PS, which Go's assembler does not know
//
// x lies in sub-panels of 4 rows, [step][4] dwords; w in panels of 32 columns,
// [step][32]; c is [rows][32] float32, in L1 or L2. The packers take rows of w
// as they lie: 16 rows by 4 dwords are transposed, then the codes are masked
// where they stand. The order of k that falls out is given to x.
func panels() {
	fmt.Println("\n// VDPBF16PS rm, v, reg: EVEX.512.F3.0F38.W0 52 /r")
	fmt.Println("#define VDPBF16(rm, v, reg) " + evex(0x06, 0x52))
	fmt.Println("\n// VCVTNE2PS2BF16 rm, v, reg: EVEX.512.F2.0F38.W0 72 /r; low half from rm, high half from v")
	fmt.Println("#define VCVT2BF16(rm, v, reg) " + evex(0x07, 0x72))
	fmt.Println()
	for i := range 16 {
		fmt.Printf("DATA interleave<>+%d(SB)/4, $%#x\n", i*4, i|(16+i)<<16)
	}
	fmt.Println("GLOBL interleave<>(SB), RODATA|NOPTR, $64")
	for _, mr := range []int{12, 8, 4} {
		panelI8(mr)
		panelBF16(mr)
	}
	transpose16()
	packer("packQ4I8", 4, 0)
	for _, bits := range []int{4, 8} {
		for _, g := range []int{32, 64} {
			packer(fmt.Sprintf("packQ%dBF16G%d", bits, g), bits, g)
		}
	}
	pairRows()
	acrossTables()
	for _, e := range []string{"F32", "F16", "BF16"} {
		for _, g := range []int{32, 64, 128} {
			packAcross(g, e)
		}
	}
	quantX8()
	packX16()
	for _, e := range []string{"F32", "F16", "BF16"} {
		storePanel(e)
	}
}

// evex is an instruction of three zmm registers, by number.
func evex(pp, op int) string {
	return fmt.Sprintf("BYTE $0x62; BYTE $(0x02|((1-((reg>>3)&1))<<7)|((1-((rm>>4)&1))<<6)|((1-((rm>>3)&1))<<5)|((1-((reg>>4)&1))<<4)); "+
		"BYTE $(%#02x|((15-(v&15))<<3)); BYTE $(0x40|((1-((v>>4)&1))<<3)); BYTE $%#x; BYTE $(0xC0|((reg&7)<<3)|(rm&7))", pp, op)
}

var (
	subs  = []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)"}
	metas = []string{"(DX)", "(DX)(R9*1)", "(DX)(R9*2)"}
)

const panelArgs = "c *float32, x, w *byte, xm, wm *float32, xps, xms, n, acc int"

// panelHead loads what both kinds need; the address of c is in DI.
func panelHead(name string) {
	head(name, panelArgs, 72)
	p("MOVQ c+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ w+16(FP), BX")
	p("MOVQ xps+40(FP), R8")
	p("MOVQ n+56(FP), CX")
}

// steps writes four steps; op adds the product of w and the broadcast row.
func steps(mr int, op string) {
	w, b := 2*mr, 2*mr+2
	for st := range 4 {
		p("VMOVDQU32 %d(BX), Z%d", st*128, w)
		p("VMOVDQU32 %d(BX), Z%d", st*128+64, w+1)
		for r := range mr {
			bc := b + r%min(4, 30-2*mr)
			p("VPBROADCASTD %d%s, Z%d", st*16+r%4*4, subs[r/4], bc)
			for j := range 2 {
				p(op, bc, w+j, 2*r+j)
			}
		}
	}
	p("ADDQ $64, SI")
	p("ADDQ $512, BX")
}

// panelBF16 adds n times four steps.
func panelBF16(mr int) {
	panelHead(fmt.Sprintf("panelBF16x%d", mr))
	p("CMPQ acc+64(FP), $0")
	p("JNE load")
	for a := range 2 * mr {
		p("VPXORD Z%d, Z%d, Z%d", a, a, a)
	}
	p("JMP loop")
	label("load")
	for a := range 2 * mr {
		p("VMOVUPS %d(DI), Z%d", 64*a, a)
	}
	label("loop")
	steps(mr, "VDPBF16(%d, %d, %d)")
	p("DECQ CX")
	p("JNZ loop")
	for a := range 2 * mr {
		p("VMOVUPS Z%d, %d(DI)", a, 64*a)
	}
	p("VZEROUPPER")
	p("RET")
}

// panelI8 adds n groups of 16 steps: c += float(sum)·xscale·wscale + xsum·wbias.
// xm has 4 scales and 4 sums for each sub-panel and group, wm 32 scales and 32
// biases for each group.
func panelI8(mr int) {
	panelHead(fmt.Sprintf("panelI8x%d", mr))
	p("MOVQ xm+24(FP), DX")
	p("MOVQ wm+32(FP), R10")
	p("MOVQ xms+48(FP), R9")
	p("CMPQ acc+64(FP), $0")
	p("JNE group")
	p("VPXORD Z0, Z0, Z0")
	for a := range 2 * mr {
		p("VMOVDQU32 Z0, %d(DI)", 64*a)
	}
	label("group")
	for a := range 2 * mr {
		p("VPXORD Z%d, Z%d, Z%d", a, a, a)
	}
	p("MOVL $4, AX")
	label("loop")
	steps(mr, "VPDPBUSD Z%d, Z%d, Z%d")
	p("DECL AX")
	p("JNZ loop")
	s, b, t := 2*mr, 2*mr+2, 2*mr+4
	for j := range 2 {
		p("VMOVUPS %d(R10), Z%d", 64*j, s+j)
		p("VMOVUPS %d(R10), Z%d", 128+64*j, b+j)
	}
	for r := range mr {
		for j := range 2 {
			a, c := 2*r+j, t+(2*r+j)%(32-t)
			p("VCVTDQ2PS Z%d, Z%d", a, a)
			p("VMOVUPS %d(DI), Z%d", 64*a, c)
			p("VMULPS.BCST %d%s, Z%d, Z%d", r%4*4, metas[r/4], a, a)
			p("VFMADD231PS.BCST %d%s, Z%d, Z%d", 16+r%4*4, metas[r/4], b+j, c)
			p("VFMADD231PS Z%d, Z%d, Z%d", a, s+j, c)
			p("VMOVUPS Z%d, %d(DI)", c, 64*a)
		}
	}
	p("ADDQ $32, DX")
	p("ADDQ $256, R10")
	p("DECQ CX")
	p("JNZ group")
	p("VZEROUPPER")
	p("RET")
}

// rows16 loads the addresses of 16 rows: SI, R10, R11 and R12 with R8 and R9.
func rows16() {
	p("MOVQ dst+0(FP), DI")
	p("MOVQ dstep+8(FP), DX")
	p("MOVQ src+16(FP), SI")
	p("MOVQ sstride+24(FP), R8")
	p("MOVQ n+32(FP), CX")
	p("LEAQ (R8)(R8*2), R9")
	p("LEAQ (SI)(R8*4), R10")
	p("LEAQ (R10)(R8*4), R11")
	p("LEAQ (R11)(R8*4), R12")
}

// turn16 makes 4 dwords of 16 rows into Z4 to Z7, a row a lane.
func turn16(off int) {
	for i, row := range []string{"", "(R8*1)", "(R8*2)", "(R9*1)"} {
		p("VMOVDQU %d(SI)%s, X%d", off, row, i)
		p("VINSERTI32X4 $1, %d(R10)%s, Z%d, Z%d", off, row, i, i)
		p("VINSERTI32X4 $2, %d(R11)%s, Z%d, Z%d", off, row, i, i)
		p("VINSERTI32X4 $3, %d(R12)%s, Z%d, Z%d", off, row, i, i)
	}
	turn4([4]int{0, 1, 2, 3}, [4]int{8, 9, 10, 11}, [4]int{4, 5, 6, 7})
}

// turn4 transposes 4 by 4 dwords in each 128 bits.
func turn4(in, tmp, out [4]int) {
	p("VPUNPCKLDQ Z%d, Z%d, Z%d", in[1], in[0], tmp[0])
	p("VPUNPCKHDQ Z%d, Z%d, Z%d", in[1], in[0], tmp[1])
	p("VPUNPCKLDQ Z%d, Z%d, Z%d", in[3], in[2], tmp[2])
	p("VPUNPCKHDQ Z%d, Z%d, Z%d", in[3], in[2], tmp[3])
	p("VPUNPCKLQDQ Z%d, Z%d, Z%d", tmp[2], tmp[0], out[0])
	p("VPUNPCKHQDQ Z%d, Z%d, Z%d", tmp[2], tmp[0], out[1])
	p("VPUNPCKLQDQ Z%d, Z%d, Z%d", tmp[3], tmp[1], out[2])
	p("VPUNPCKHQDQ Z%d, Z%d, Z%d", tmp[3], tmp[1], out[3])
}

func store16(z int) {
	p("VMOVDQU32 Z%d, (DI)", z)
	p("ADDQ DX, DI")
}

func advance16(bytes int) {
	for _, r := range []string{"SI", "R10", "R11", "R12"} {
		p("ADDQ $%d, %s", bytes, r)
	}
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// transpose16 writes n times 4 dwords of 16 rows as they are.
func transpose16() {
	head("transpose16", "dst *byte, dstep int, src *byte, sstride, n int", 40)
	rows16()
	label("loop")
	turn16(0)
	for z := range 4 {
		store16(4 + z)
	}
	advance16(16)
}

// packer unpacks n groups of 16 rows: codes as bytes of dwords if group is 0, or
// weights as pairs of bfloat16, with scales and, dstep behind them, biases in wm.
// The order of k: I8 8d+i, +2, +4, +6 for step 2d+i; BF16 8d+i, 8d+i+4 for step
// 4d+i with 4 bits, 4d+i, 4d+i+2 for step 2d+i with 8.
func packer(name string, bits, group int) {
	args, size := "dst *byte, dstep int, src *byte, sstride, n int", 40
	if group > 0 {
		args, size = args+", wm *float32", 48
	}
	head(name, args, size)
	rows16()
	blocks := 1
	if group > 0 {
		p("MOVQ wm+40(FP), R13")
		broadcast32(1<<bits-1, 31)
		p("VMOVDQU32 interleave<>(SB), Z28")
		blocks = group * bits / 128
	} else {
		broadcast32(0x0f0f0f0f, 31)
	}
	label("loop")
	if group > 0 {
		p("VMOVUPS (R13), Z30")
		p("VMOVUPS (R13)(DX*1), Z29")
		p("LEAQ (R13)(DX*2), R13")
	}
	code := func(z, shift, to int) {
		if shift == 0 {
			p("VPANDD Z%d, Z31, Z%d", z, to)
			return
		}
		p("VPSRLD $%d, Z%d, Z%d", shift, z, to)
		if group == 0 || shift+bits < 32 {
			p("VPANDD Z%d, Z31, Z%d", to, to)
		}
	}
	for block := range blocks {
		turn16(16 * block)
		for z := 4; z < 8; z++ {
			if group == 0 {
				for i := range 2 {
					code(z, 4*i, 12+i)
					store16(12 + i)
				}
				continue
			}
			for i := range 16 / bits {
				for h := range 2 {
					code(z, bits*i+16*h, 12+h)
					p("VCVTDQ2PS Z%d, Z%d", 12+h, 12+h)
					p("VFMADD213PS Z29, Z30, Z%d", 12+h)
				}
				p("VCVT2BF16(12, 13, 14)")
				p("VPERMW Z14, Z28, Z14")
				store16(14)
			}
		}
	}
	advance16(16 * blocks)
}

// pairRows makes two rows of n times 32 float32 one step of n panels, dstep apart.
func pairRows() {
	head("pairRows", "dst *byte, dstep int, a, b *float32, n int", 40)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ dstep+8(FP), DX")
	p("MOVQ a+16(FP), SI")
	p("MOVQ b+24(FP), BX")
	p("MOVQ n+32(FP), CX")
	p("VMOVDQU32 interleave<>(SB), Z28")
	label("loop")
	for h := range 2 {
		p("VMOVUPS %d(SI), Z0", 64*h)
		p("VMOVUPS %d(BX), Z1", 64*h)
		p("VCVT2BF16(0, 1, 2)")
		p("VPERMW Z2, Z28, Z2")
		p("VMOVDQU32 Z2, %d(DI)", 64*h)
	}
	p("ADDQ $128, SI")
	p("ADDQ $128, BX")
	p("ADDQ DX, DI")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// quantX8 rounds 4 rows of float32 to int8, groups of 64 with a scale each, into
// a sub-panel; meta takes the 4 scales and the 4 sums, scale times sum of codes.
// perm has the k of each byte: lane l of dword j is step 4j+l.
func quantX8() {
	head("quantX8", "dst *byte, meta, x *float32, xstride, groups int, perm *byte", 48)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ meta+8(FP), DX")
	p("MOVQ x+16(FP), SI")
	p("MOVQ xstride+24(FP), R8")
	p("MOVQ groups+32(FP), CX")
	p("MOVQ perm+40(FP), AX")
	p("VMOVDQU32 (AX), Z30")
	p("LEAQ (R8)(R8*2), R9")
	broadcast32(0x7fffffff, 31)
	broadcast32(0x42fe0000, 29) // 127
	broadcast32(0x3c010204, 28) // 1/127
	broadcast32(0x0da24260, 27) // 1e-30, so that zeros give zeros
	broadcast32(0x01010101, 26)
	label("loop")
	row := []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)"}
	for r := range 4 {
		for i := range 4 {
			p("PREFETCHT0 %d%s", 1024+64*i, row[r])
			p("VMOVUPS %d%s, Z%d", 64*i, row[r], 4*r+i)
		}
		p("VPANDD Z%d, Z31, Z%d", 4*r, 16+r)
		for i := 1; i < 4; i++ { // as integers: NaN beats Inf
			p("VPANDD Z%d, Z31, Z20", 4*r+i)
			p("VPMAXUD Z20, Z%d, Z%d", 16+r, 16+r)
		}
	}
	four := func(op string, z [4]int) { // of four registers, into the lanes of the first
		turn4(z, [4]int{20, 21, 22, 23}, z)
		p("%s Z%d, Z%d, Z%d", op, z[1], z[0], z[0])
		p("%s Z%d, Z%d, Z%d", op, z[3], z[2], z[2])
		p("%s Z%d, Z%d, Z%d", op, z[2], z[0], z[0])
		p("VEXTRACTI64X4 $1, Z%d, Y20", z[0])
		p("%s Y20, Y%d, Y%d", op, z[0], z[0])
		p("VEXTRACTI32X4 $1, Y%d, X20", z[0])
		p("%s X20, X%d, X%d", op, z[0], z[0])
	}
	four("VPMAXUD", [4]int{16, 17, 18, 19})
	p("VPMAXUD X27, X16, X16")
	p("VMULPS X28, X16, X17")
	p("VMOVUPS X17, (DX)")
	p("VDIVPS X16, X29, X16")
	for r := range 4 {
		p("VPSHUFD $%#x, X16, X21", r*0x55)
		p("VBROADCASTSS X21, Z21")
		for i := range 4 {
			z := 4*r + i
			p("VMULPS Z21, Z%d, Z%d", z, z)
			p("VCVTPS2DQ Z%d, Z%d", z, z)
			p("VPMOVSDB Z%d, X%d", z, z)
			if i > 0 {
				p("VINSERTI32X4 $%d, X%d, Z%d, Z%d", i, z, 4*r, 4*r)
			}
		}
		p("VPERMB Z%d, Z30, Z%d", 4*r, 4*r)
	}
	for r := range 4 {
		p("VPXORD Z%d, Z%d, Z%d", 1+4*r, 1+4*r, 1+4*r)
		p("VPDPBUSD Z%d, Z26, Z%d", 4*r, 1+4*r)
	}
	turn4([4]int{0, 4, 8, 12}, [4]int{20, 21, 22, 23}, [4]int{0, 4, 8, 12})
	for i := range 4 {
		p("VMOVDQU32 Z%d, %d(DI)", 4*i, 64*i)
	}
	four("VPADDD", [4]int{1, 5, 9, 13})
	p("VCVTDQ2PS X1, X1")
	p("VMULPS X17, X1, X1")
	p("VMOVUPS X1, 16(DX)")
	p("ADDQ $256, SI")
	p("ADDQ $256, DI")
	p("ADDQ $32, DX")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// packX16 puts n times 32 words of 4 rows into a sub-panel; perm as in quantX8.
func packX16() {
	head("packX16", "dst, x *byte, xstride, n int, perm *uint16", 40)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ xstride+16(FP), R8")
	p("MOVQ n+24(FP), CX")
	p("MOVQ perm+32(FP), AX")
	p("VMOVDQU16 (AX), Z30")
	p("LEAQ (R8)(R8*2), R9")
	label("loop")
	for r, at := range []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)"} {
		p("VMOVDQU16 %s, Z%d", at, r)
		p("VPERMW Z%d, Z30, Z%d", r, r)
	}
	turn4([4]int{0, 1, 2, 3}, [4]int{4, 5, 6, 7}, [4]int{0, 1, 2, 3})
	for i := range 4 {
		p("VMOVDQU32 Z%d, %d(DI)", i, 64*i)
	}
	p("ADDQ $64, SI")
	p("ADDQ $256, DI")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// storePanel rounds rows of a panel into rows of the result.
func storePanel(e string) {
	head("storePanel"+e, "dst *byte, dstride int, src *float32, rows int", 32)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ dstride+8(FP), R8")
	p("MOVQ src+16(FP), SI")
	p("MOVQ rows+24(FP), CX")
	if e == "BF16" { // constants of toBF16
		broadcast32(1, 29)
		broadcast32(0x7fff, 28)
		broadcast32(0x40, 27)
	}
	label("loop")
	for h := range 2 {
		p("VMOVUPS %d(SI), Z0", 64*h)
		switch e {
		case "F32":
			p("VMOVUPS Z0, %d(DI)", 64*h)
		case "F16":
			p("VCVTPS2PH $0, Z0, %d(DI)", 32*h)
		case "BF16":
			toBF16()
			p("VPMOVDW Z2, %d(DI)", 32*h)
		}
	}
	p("ADDQ $128, SI")
	p("ADDQ R8, DI")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}
