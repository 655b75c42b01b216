//go:build ignore

package main

import "fmt"

// dots writes the products with rows of float32 or half weights. An output has
// two accumulators: lane l of the first sums k = l, l+16, … by fused
// multiply-add in turn, the second k = l+8, l+24, …; they are added, then lanes
// l with l+1, l+2, l+4. A tile of MR rows of x by NR rows of w only shares
// loads, so tiles of all sizes give the same bits. n > 0 tiles follow each other,
// ynext and wnext bytes apart.
func dots() {
	for _, e := range []string{"F32", "F16", "BF16"} {
		for _, s := range [][2]int{{1, 1}, {1, 4}, {2, 2}, {3, 2}} {
			dense(e, s[0], s[1])
		}
	}
}

const prefetch = 4096 // bytes ahead in each stream of weights, into L2: L1 is full of x

var (
	xrow = []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)"}
	wrow = []string{"", "(R11*1)", "(R11*2)", "(R12*1)"}
)

func dense(e string, mr, nr int) {
	size := sizeOf(e)
	fn(fmt.Sprintf("a2Dot%sx%dx%d", e, mr, nr), "y *float32, yms, yns, ynext int, x *float32, xs int, w *byte, ws, wnext, k, n int", "")
	label("next")
	load("x", "SI")
	load("w", "BX")
	load("k", "CX")
	if mr > 1 {
		load("xs", "R8")
	}
	if nr > 1 {
		load("ws", "R11")
	}
	if nr > 3 {
		p("LEAQ (R11)(R11*2), R12")
	}
	for a := range 2 * mr * nr {
		p("VXORPS Y%d, Y%d, Y%d", a, a, a)
	}
	const w, x = 15, 12 // x: one register a row
	step := func(h int) {
		for i := range mr {
			p("VMOVUPS %d%s, Y%d", 32*h, xrow[i], x+i)
		}
		for j := range nr {
			widen(e, fmt.Sprintf("%d(BX)%s", 8*size*h, wrow[j]), w)
			for i := range mr {
				p("VFMADD231PS Y%d, Y%d, Y%d", x+i, w, 2*(i*nr+j)+h)
			}
		}
	}
	tail := func(h int) {
		for j := range nr {
			setMask()
			widenTail(e, "BX", wrow[j], 14)
			for i := range mr {
				p("VMASKMOVPS %s, Y15, Y13", xrow[i])
				p("VFMADD231PS Y13, Y14, Y%d", 2*(i*nr+j)+h)
			}
		}
	}
	p("SUBQ $16, CX")
	p("JLT rest")
	label("loop")
	step(0)
	step(1)
	if mr == 1 {
		for j := range nr {
			p("PREFETCHT1 %d(BX)%s", prefetch, wrow[j])
		}
	}
	p("ADDQ $64, SI")
	p("ADDQ $%d, BX", 16*size)
	p("SUBQ $16, CX")
	p("JGE loop")
	label("rest")
	p("ADDQ $16, CX")
	p("JZ done")
	p("SUBQ $8, CX")
	p("JLT short")
	step(0)
	p("TESTQ CX, CX")
	p("JZ done")
	p("ADDQ $32, SI")
	p("ADDQ $%d, BX", 8*size)
	tail(1)
	p("JMP done")
	label("short")
	p("ADDQ $8, CX")
	tail(0)
	label("done")
	for a := range mr * nr {
		p("VADDPS Y%d, Y%d, Y%d", 2*a+1, 2*a, a)
	}
	reduce(mr, nr)
	load("wnext", "AX")
	p("ADDQ AX, %s", arg("w"))
	load("ynext", "AX")
	p("ADDQ AX, %s", arg("y"))
	p("DECQ %s", arg("n"))
	p("JNZ next")
	ret()
}

// reduce stores the sums of the lanes of the first mr·nr registers.
func reduce(mr, nr int) {
	load("y", "DI")
	if nr > 1 {
		load("yns", "R11")
		p("LEAQ (R11)(R11*2), R12")
	}
	if mr > 1 {
		load("yms", "R8")
	}
	for i := range mr {
		a := i * nr
		for j := 0; j+1 < nr; j += 2 {
			p("VHADDPS Y%d, Y%d, Y%d", a+j+1, a+j, a+j/2)
		}
		if nr == 1 {
			p("VHADDPS Y%d, Y%d, Y%d", a, a, a)
		}
		second := a
		if nr == 4 {
			second = a + 1
		}
		p("VHADDPS Y%d, Y%d, Y%d", second, a, a)
		p("VEXTRACTF128 $1, Y%d, X15", a)
		p("VADDPS X15, X%d, X%d", a, a)
		p("VMOVSS X%d, (DI)", a)
		for j := 1; j < nr; j++ {
			p("VEXTRACTPS $%d, X%d, (DI)%s", j, a, wrow[j])
		}
		if i+1 < mr {
			p("ADDQ R8, DI")
		}
	}
}
