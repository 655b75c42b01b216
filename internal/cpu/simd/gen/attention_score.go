//go:build ignore

package main

import "fmt"

// pairsBF16 are bfloat16 keys for queries that are bfloat16 too: dwords of two d,
// products exact, sums of two in float32.
const pairsBF16 = "Pair"

// mulAdd adds the product of two registers to a third.
func mulAdd(e string) string {
	if e == pairsBF16 {
		return "VDPBF16(%d, %d, %d)"
	}
	return "VFMADD231PS Z%d, Z%d, Z%d"
}

// loadPair reads half a step of two rows at x and y into the halves of z and, for
// bfloat16, z+1.
func loadPair(e, x, y, mask string, z, t int) {
	to := z
	if e == "BF16" {
		to = z + 1
	}
	if mask != "" {
		half := map[string]string{"F32": "VMOVUPS.Z %s, K1, Y%d", "BF16": "VMOVDQU16.Z %s, K1, Y%d", pairsBF16: "VMOVDQU16.Z %s, K1, Y%d",
			"F16": "VMOVDQU16.Z %s, K1, X%d"}[e]
		p(half, x, to)
		p(half, y, t)
		if e == "F16" {
			p("VINSERTI32X4 $1, X%d, Y%d, Y%d", t, to, to)
		} else {
			p("VINSERTF64X4 $1, Y%d, Z%d, Z%d", t, to, to)
		}
	} else if e == "F16" {
		p("VMOVDQU32 %s, X%d", x, to)
		p("VINSERTI32X4 $1, %s, Y%d, Y%d", y, to, to)
	} else {
		p("VMOVUPS %s, Y%d", x, to)
		p("VINSERTF64X4 $1, %s, Z%d, Z%d", y, to, to)
	}
	switch e {
	case "F16":
		p("VCVTPH2PS Y%d, Z%d", to, z)
	case "BF16":
		p("VPSLLD $16, Z%d, Z%d", to, z)
		p("VPANDD Z31, Z%d, Z%d", to, to)
	}
}

const pairs = 4 // of keys in a tile

// keyRows are the keys of a tile.
var keyRows = []string{"(BX)", "(BX)(R11*1)", "(BX)(R11*2)", "(BX)(R12*1)", "(BX)(R11*4)", "(BX)(R13*1)", "(BX)(R12*2)", "(BX)(R14*1)"}

// keyStrides sets what keyRows needs.
func keyStrides(ks string) {
	p("MOVQ %s, R11", ks)
	p("LEAQ (R11)(R11*2), R12")
	p("LEAQ (R11)(R11*4), R13")
	p("LEAQ (R12)(R11*4), R14")
}

// score: s[i·ss + j] = q[i]·k[j] for R rows and n keys, 8 at a time; n >= 8, and
// the last tile overlaps the one before. Strides are in bytes, rows of q are whole
// steps, with zeros behind d. Lines at the keys plus ahead are prefetched, as rows
// that follow each other lie.
func score(e string, mr int) {
	n, _, bytes := step(e)
	n, bytes = n/2, bytes/2
	const nr = 2 * pairs
	head(fmt.Sprintf("attScore%sx%d", e, mr), "s *float32, ss int, q *float32, qs int, k *byte, ks, d, n, ahead int", 72)
	p("MOVQ k+32(FP), BX")
	keyStrides("ks+40(FP)")
	p("MOVQ qs+24(FP), R8")
	p("LEAQ (R8)(R8*2), R9")
	p("MOVQ s+0(FP), DI")
	p("MOVQ d+48(FP), AX")
	p("ANDQ $%d, AX", n-1)
	tailMask()
	oddMask(e)
	p("MOVL $0xcccc, AX")
	p("KMOVW AX, K6")
	p("MOVQ n+56(FP), R15")
	fmt.Println("keys:")
	p("MOVQ q+16(FP), SI")
	p("MOVQ d+48(FP), CX")
	p("MOVQ ahead+64(FP), AX") // rows follow each other if it is not 0
	p("ADDQ BX, AX")
	for a := range mr * pairs {
		p("VPXORD Z%d, Z%d, Z%d", a, a, a)
	}
	p("SUBQ $%d, CX", n)
	p("JLT tail")
	fmt.Println("loop:")
	scoreStep(e, mr, "")
	for j := 0; j < nr*bytes; j += 64 {
		p("PREFETCHT1 %d(AX)", j)
	}
	p("ADDQ $%d, AX", nr*bytes)
	p("SUBQ $%d, CX", n)
	p("JGE loop")
	fmt.Println("tail:")
	p("ADDQ $%d, CX", n)
	p("JZ sum")
	scoreStep(e, mr, "K1, ")
	fmt.Println("sum:")
	sumLanes8(mr)
	// BX went over whole steps: back to the start of the rows, then on.
	p("MOVQ d+48(FP), CX")
	p("ADDQ $%d, CX", n-1)
	p("ANDQ $%d, CX", -n)
	if bytes == 2*n {
		p("ADDQ CX, CX")
	} else {
		p("SHLQ $2, CX")
	}
	p("SUBQ CX, BX")
	p("LEAQ (BX)(R11*8), BX")
	p("ADDQ $%d, DI", 4*nr)
	p("SUBQ $%d, R15", nr)
	p("JZ done")
	p("CMPQ R15, $%d", nr)
	p("JGE keys")
	p("SUBQ $%d, R15", nr) // too few keys are left: go back by as many as lack
	p("LEAQ (DI)(R15*4), DI")
	p("MOVQ R15, CX")
	p("IMULQ R11, CX")
	p("ADDQ CX, BX")
	p("MOVQ $%d, R15", nr)
	p("JMP keys")
	fmt.Println("done:")
	p("VZEROUPPER")
	p("RET")
}

// scoreStep adds the products of half a step and moves on.
func scoreStep(e string, mr int, mask string) {
	const z, q = 16, 28
	_, regs, bytes := step(e)
	for j := range pairs {
		loadPair(e, keyRows[2*j], keyRows[2*j+1], mask, z+regs*j, 30)
	}
	for r := range regs {
		for i := range mr {
			p("VBROADCASTF64X4 %d%s, Z%d", 32*r, xrow[i], q+i%2)
			for j := range pairs {
				p(mulAdd(e), z+regs*j+r, q+i%2, i*pairs+j)
			}
		}
	}
	p("ADDQ $%d, BX", bytes/2)
	p("ADDQ $%d, SI", 32*regs)
}

// pack writes groups of 8 keys in the order in which score meets them: for each 8
// lanes of d 4 pairs of keys, as float32. Rows end in zeros.
func pack(e string) {
	n, regs, bytes := step(e)
	n, bytes = n/2, bytes/2
	head("attPack"+e, "y *float32, k *byte, ks, d, groups int", 40)
	p("MOVQ y+0(FP), DI")
	p("MOVQ k+8(FP), DX")
	keyStrides("ks+16(FP)")
	p("MOVQ d+24(FP), AX")
	p("ANDQ $%d, AX", n-1)
	tailMask()
	oddMask(e)
	p("MOVQ groups+32(FP), R15")
	fmt.Println("group:")
	p("MOVQ DX, BX")
	p("LEAQ (DX)(R11*8), DX")
	p("MOVQ d+24(FP), CX")
	body := func(mask string) {
		for j := range 4 {
			loadPair(e, keyRows[2*j], keyRows[2*j+1], mask, 16+regs*j, 30)
			for r := range regs {
				p("VMOVUPS Z%d, %d(DI)", 16+regs*j+r, 256*r+64*j)
			}
		}
		p("ADDQ $%d, DI", 256*regs)
		p("ADDQ $%d, BX", bytes)
	}
	p("SUBQ $%d, CX", n)
	p("JLT tail")
	fmt.Println("loop:")
	body("")
	p("SUBQ $%d, CX", n)
	p("JGE loop")
	fmt.Println("tail:")
	p("ADDQ $%d, CX", n)
	p("JZ next")
	body("K1, ")
	fmt.Println("next:")
	p("DECQ R15")
	p("JNZ group")
	p("VZEROUPPER")
	p("RET")
}

// scorePacked is score of 4 rows for groups of packed keys, which have chunks of
// 8 lanes.
func scorePacked(name, e string) {
	head(name, "s *float32, ss int, q *float32, qs int, k *float32, chunks, groups int", 56)
	p("MOVQ s+0(FP), DI")
	p("MOVQ qs+24(FP), R8")
	p("LEAQ (R8)(R8*2), R9")
	p("MOVQ k+32(FP), BX")
	p("MOVL $0xcccc, AX")
	p("KMOVW AX, K6")
	p("MOVQ groups+48(FP), R15")
	fmt.Println("group:")
	p("MOVQ q+16(FP), SI")
	p("MOVQ chunks+40(FP), CX")
	for a := range 16 {
		p("VPXORD Z%d, Z%d, Z%d", a, a, a)
	}
	fmt.Println("loop:")
	for j := range 4 {
		p("VMOVUPS %d(BX), Z%d", 64*j, 16+j)
	}
	for i := range 4 {
		p("VBROADCASTF64X4 %s, Z%d", xrow[i], 24+i)
		for j := range 4 {
			p(mulAdd(e), 16+j, 24+i, 4*i+j)
		}
	}
	p("ADDQ $256, BX")
	p("ADDQ $32, SI")
	p("DECQ CX")
	p("JNZ loop")
	sumLanes8(4)
	p("ADDQ $32, DI")
	p("DECQ R15")
	p("JNZ group")
	p("VZEROUPPER")
	p("RET")
}

// sumLanes8 adds the 8 lanes of each key, l with l+4, then l+2, then l+1, and
// stores 8 scores a row.
func sumLanes8(mr int) {
	const t = 16
	for i := 0; i < mr*pairs; i += 2 { // quarters of i: keys 0 to 3 of two pairs, 4 lanes each
		p("VSHUFF32X4 $0x88, Z%d, Z%d, Z%d", i+1, i, t+i%8)
		p("VSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", i+1, i, t+i%8+1)
		p("VADDPS Z%d, Z%d, Z%d", t+i%8, t+i%8+1, i)
	}
	// Four registers at a time: lane m of a quarter is the sum of register m's.
	four := func(a, b, c, d int) {
		for _, x := range [][2]int{{a, b}, {c, d}} {
			p("VSHUFPS $0x4e, Z%d, Z%d, Z%d", x[1], x[0], t+x[0])
			p("VMOVAPS Z%d, K6, Z%d", x[1], x[0])
			p("VADDPS Z%d, Z%d, Z%d", t+x[0], x[0], x[0])
		}
		p("VSHUFPS $0x88, Z%d, Z%d, Z%d", c, a, t)
		p("VSHUFPS $0xdd, Z%d, Z%d, Z%d", c, a, t+1)
		p("VADDPS Z%d, Z%d, Z%d", t, t+1, a)
	}
	if mr < 4 {
		four(0, 2, 4, 6)
		p("VMOVDQU32 turn<>(SB), Z%d", t)
		p("VPERMPS Z0, Z%d, Z0", t)
		p("MOVQ ss+8(FP), CX")
		p("VMOVUPS Y0, (DI)")
		p("VEXTRACTF64X4 $1, Z0, (DI)(CX*1)")
		return
	}
	four(0, 4, 8, 12) // rows by keys 0 to 3
	four(2, 6, 10, 14)
	p("MOVQ ss+8(FP), CX")
	p("VMOVDQU32 rows0<>(SB), Z%d", t)
	p("VMOVDQU32 rows2<>(SB), Z%d", t+1)
	p("VPERMI2PS Z2, Z0, Z%d", t)
	p("VPERMI2PS Z2, Z0, Z%d", t+1)
	p("VMOVUPS Y%d, (DI)", t)
	p("VEXTRACTF64X4 $1, Z%d, (DI)(CX*1)", t)
	p("LEAQ (DI)(CX*2), R10")
	p("VMOVUPS Y%d, (R10)", t+1)
	p("VEXTRACTF64X4 $1, Z%d, (R10)(CX*1)", t+1)
}
