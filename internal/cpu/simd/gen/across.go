//go:build ignore

package main

import "fmt"

// acrossTables writes, for 16 columns j of two rows of 4-bit codes, the place of the
// dword that holds column j in a register of eight dwords of the first row and eight of
// the second, and how far it is to be shifted: word 2j is the first row's.
func acrossTables() {
	fmt.Println()
	for q := range 4 {
		for i := range 16 {
			fmt.Printf("DATA across%d<>+%d(SB)/4, $%d\n", q, 4*i, 2*q+i/8+i%2*8)
		}
		fmt.Printf("GLOBL across%d<>(SB), RODATA|NOPTR, $64\n", q)
	}
	for i := range 64 {
		fmt.Printf("DATA acrossShift<>+%d(SB)/1, $%d\n", i, i/8%4*8+i%8/4*4+i%4/2*32)
	}
	fmt.Println("GLOBL acrossShift<>(SB), RODATA|NOPTR, $64")
	for i := range 16 {
		fmt.Printf("DATA acrossCode<>+%d(SB)/4, $(%d.0)\n", 4*i, i)
	}
	fmt.Println("GLOBL acrossCode<>(SB), RODATA|NOPTR, $64")
}

// packAcross makes pairs of rows of affine 4-bit codes steps of panels, dstep apart,
// group by group: the 16 values that the codes of a group stand for are a table of
// bfloat16 for each of the two rows, and the codes are its indices.
func packAcross(group int, e string) {
	head(fmt.Sprintf("packAcrossQ4G%d%s", group, e), "dst *byte, dstep int, src *byte, sstride int, s, b *byte, mstride, pairs, groups int", 72)
	for i, r := range []string{"DI", "R10", "SI", "R8", "DX", "BX", "R9", "CX"} {
		p("MOVQ %s+%d(FP), %s", []string{"dst", "dstep", "src", "sstride", "s", "b", "mstride", "pairs"}[i], 8*i, r)
	}
	for q := range 4 {
		p("VMOVDQU32 across%d<>(SB), Z%d", q, 20+q)
	}
	p("VMOVDQU32 acrossShift<>(SB), Z24")
	p("VMOVUPS acrossCode<>(SB), Z25")
	broadcast32(0x000f000f, 26)
	broadcast32(0x00100000, 27) // the second row's half of the table
	label("loop")
	p("LEAQ (SI)(R8*8), R12")
	p("PREFETCHT0 (R12)")
	p("PREFETCHT0 (R12)(R8*1)")
	p("MOVQ groups+64(FP), AX")
	p("MOVQ DI, R11")
	p("MOVQ SI, R12")
	p("XORQ R13, R13")
	label("group")
	for row := range 2 {
		acrossMeta(e, "DX", 2*row)
		acrossMeta(e, "BX", 2*row+1)
		p([]string{"ADDQ", "SUBQ"}[row] + " R9, R13")
		p("VMULPS Z%d, Z25, Z%d", 2*row, 2*row) // two roundings, as DequantRow
		p("VADDPS Z%d, Z%d, Z%d", 2*row+1, 2*row, 2*row)
	}
	p("VCVT2BF16(0, 2, 4)")
	for col := 0; col < group; col += 64 {
		quarters := 4
		if group == 32 {
			quarters = 2
			p("VMOVDQU (R12), X5")
			p("VINSERTI32X4 $2, (R12)(R8*1), Z5, Z5")
		} else {
			p("VMOVDQU %d(R12), Y5", col/2)
			p("VINSERTI64X4 $1, %d(R12)(R8*1), Z5, Z5", col/2)
		}
		for q := range quarters {
			p("VPERMD Z5, Z%d, Z%d", 20+q, 6+q)
			p("VPMULTISHIFTQB Z%d, Z24, Z%d", 6+q, 6+q)
			p("VPTERNLOGD $0xea, Z27, Z26, Z%d", 6+q) // & Z26 | Z27
			p("VPERMW Z4, Z%d, Z%d", 6+q, 6+q)
			p("VMOVDQU32 Z%d, %d(R11)", 6+q, q%2*64)
			if q%2 == 1 {
				p("ADDQ R10, R11")
			}
		}
	}
	p("ADDQ $%d, R12", group/2)
	p("ADDQ $%d, R13", map[string]int{"F32": 4, "F16": 2, "BF16": 2}[e])
	p("DECQ AX")
	p("JNZ group")
	p("ADDQ $128, DI")
	p("LEAQ (SI)(R8*2), SI")
	p("LEAQ (DX)(R9*2), DX")
	p("LEAQ (BX)(R9*2), BX")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// acrossMeta loads a scale or a bias into all lanes of Zz.
func acrossMeta(e, base string, z int) {
	switch e {
	case "F32":
		p("VBROADCASTSS (%s)(R13*1), Z%d", base, z)
	case "F16":
		p("VPBROADCASTW (%s)(R13*1), Y%d", base, z)
		p("VCVTPH2PS Y%d, Z%d", z, z)
	case "BF16":
		p("VPBROADCASTW (%s)(R13*1), Z%d", base, z)
		p("VPSLLD $16, Z%d, Z%d", z, z)
	}
}
