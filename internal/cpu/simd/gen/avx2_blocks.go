//go:build ignore

package main

import "fmt"

// blocks writes products of many rows of x: tiles of up to 6 rows of x by 16
// columns, one lane a column, added to c. A step is one dword of each row,
// broadcast, and one panel row of 16 dwords: a float32, or two int16.
func blocks() {
	for _, mr := range []int{1, 2, 4, 6} {
		for _, e := range []string{"F32", "F16", "BF16"} {
			blockF(e, mr)
		}
		blockI(mr)
	}
	transpose()
}

// blockStep adds the step at off of x and w of type e; acc(i, h, t) adds Y14 times the
// panel in t to row i.
func blockStep(e string, mr, off int, w string, acc func(i, h, w int)) {
	widen(e, w, 12)
	widen(e, plus(w, 8*sizeOf(e)), 13)
	for i := range mr {
		p("VBROADCASTSS %d%s, Y14", off, blockRow[i])
		acc(i, 0, 12)
		acc(i, 1, 13)
	}
}

var blockRow = []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(R9)", "(R9)(R8*1)", "(R9)(R8*2)"}

func blockPointers(mr int) {
	load("c", "DI")
	load("cs", "R10")
	load("x", "SI")
	load("xs", "R8")
	if mr > 3 {
		p("LEAQ (SI)(R8*2), R9")
		p("ADDQ R8, R9")
	}
	load("w", "BX")
}

func blockAdvance(mr, u int) {
	p("ADDQ $%d, SI", 4*u)
	if mr > 3 {
		p("ADDQ $%d, R9", 4*u)
	}
}

// blockF: n > 0 steps of float32 x; rows of w, of type e, are ws bytes apart.
func blockF(e string, mr int) {
	fn(fmt.Sprintf("a2Block%sx%d", e, mr), "c *float32, cs int, x *float32, xs int, w *byte, ws, n int", "")
	blockPointers(mr)
	load("ws", "R11")
	load("n", "CX")
	p("LEAQ (R11)(R11*2), R12")
	p("MOVQ DI, DX")
	for i := range mr {
		p("VMOVUPS (DX), Y%d", 2*i)
		p("VMOVUPS 32(DX), Y%d", 2*i+1)
		p("ADDQ R10, DX")
	}
	acc := func(i, h, w int) { p("VFMADD231PS Y14, Y%d, Y%d", w, 2*i+h) }
	p("SUBQ $4, CX")
	p("JLT rest")
	label("loop")
	for u := range 4 {
		blockStep(e, mr, 4*u, "0(BX)"+wrow[u], acc)
	}
	blockAdvance(mr, 4)
	p("LEAQ (BX)(R11*4), BX")
	p("SUBQ $4, CX")
	p("JGE loop")
	label("rest")
	p("ADDQ $4, CX")
	p("JZ done")
	label("one")
	blockStep(e, mr, 0, "0(BX)", acc)
	blockAdvance(mr, 1)
	p("ADDQ R11, BX")
	p("DECQ CX")
	p("JNZ one")
	label("done")
	for i := range mr {
		p("VMOVUPS Y%d, (DI)", 2*i)
		p("VMOVUPS Y%d, 32(DI)", 2*i+1)
		p("ADDQ R10, DI")
	}
	ret()
}

// blockI: groups of 16·per steps of int16 pairs; s has 16 scales a group.
func blockI(mr int) {
	fn(fmt.Sprintf("a2BlockI%d", mr), "c *float32, cs int, x *int16, xs int, w *int16, sx *float32, sxs int, s *float32, groups, per int", "")
	blockPointers(mr)
	load("s", "R11")
	load("groups", "CX")
	label("group")
	for a := range 2 * mr {
		p("VPXOR Y%d, Y%d, Y%d", a, a, a)
	}
	load("per", "AX")
	p("SHLQ $2, AX")
	label("step")
	for u := range 4 {
		blockStep("F32", mr, 4*u, fmt.Sprintf("%d(BX)", 64*u), func(i, h, w int) {
			p("VPMADDWD Y14, Y%d, Y15", w)
			p("VPADDD Y15, Y%d, Y%d", 2*i+h, 2*i+h)
		})
	}
	blockAdvance(mr, 4)
	p("ADDQ $256, BX")
	p("DECQ AX")
	p("JNZ step")
	p("MOVQ DI, DX")
	load("sx", "R12")
	p("VMOVUPS (R11), Y12")
	p("VMOVUPS 32(R11), Y13")
	for i := range mr {
		p("VBROADCASTSS (R12), Y14")
		p("ADDQ %s, R12", arg("sxs"))
		for h := range 2 {
			a := 2*i + h
			p("VCVTDQ2PS Y%d, Y%d", a, a)
			p("VMULPS Y14, Y%d, Y15", 12+h)
			p("VFMADD213PS %d(DX), Y15, Y%d", 32*h, a)
			p("VMOVUPS Y%d, %d(DX)", a, 32*h)
		}
		p("ADDQ R10, DX")
	}
	p("ADDQ $4, %s", arg("sx"))
	p("ADDQ $64, R11")
	p("DECQ CX")
	p("JNZ group")
	ret()
}

// transpose: 16 rows of n dwords, a multiple of 8, to n rows of 16.
func transpose() {
	fn("a2Transpose16", "dst, src *float32, stride, n int", "")
	load("dst", "DI")
	load("src", "SI")
	load("stride", "R8")
	load("n", "CX")
	p("LEAQ (R8)(R8*2), R9")
	label("loop")
	p("MOVQ SI, DX")
	for half := range 2 {
		for i, r := range []string{"(DX)", "(DX)(R8*1)", "(DX)(R8*2)", "(DX)(R9*1)"} {
			p("VMOVUPS %s, Y%d", r, i)
		}
		p("LEAQ (DX)(R8*4), DX")
		for i, r := range []string{"(DX)", "(DX)(R8*1)", "(DX)(R8*2)", "(DX)(R9*1)"} {
			p("VMOVUPS %s, Y%d", r, 4+i)
		}
		p("LEAQ (DX)(R8*4), DX")
		for i := 0; i < 8; i += 2 { // pairs of rows
			p("VUNPCKLPS Y%d, Y%d, Y%d", i+1, i, 8+i)
			p("VUNPCKHPS Y%d, Y%d, Y%d", i+1, i, 9+i)
		}
		for q := range 2 { // quads of rows: columns 0 to 3 of both lanes
			a, b := 8+4*q, 10+4*q
			p("VUNPCKLPD Y%d, Y%d, Y%d", b, a, 4*q)
			p("VUNPCKHPD Y%d, Y%d, Y%d", b, a, 4*q+1)
			p("VUNPCKLPD Y%d, Y%d, Y%d", b+1, a+1, 4*q+2)
			p("VUNPCKHPD Y%d, Y%d, Y%d", b+1, a+1, 4*q+3)
		}
		for c := range 4 {
			p("VPERM2F128 $0x20, Y%d, Y%d, Y8", 4+c, c)
			p("VPERM2F128 $0x31, Y%d, Y%d, Y9", 4+c, c)
			p("VMOVUPS Y8, %d(DI)", 64*c+32*half)
			p("VMOVUPS Y9, %d(DI)", 64*(c+4)+32*half)
		}
	}
	p("ADDQ $32, SI")
	p("ADDQ $512, DI")
	p("SUBQ $8, CX")
	p("JNZ loop")
	ret()
}
