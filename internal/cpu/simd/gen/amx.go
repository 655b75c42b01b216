//go:build ignore

package main

import (
	"fmt"
	"strings"
)

// amx writes the products on tiles and the packing of their rows. The assembler
// knows no tile instruction: each is emitted as its bytes. Configuration, use
// and release of the tiles lie in one function, since Go moves no goroutine to
// another thread inside assembly, and runs nothing else on the thread there.
func amx() {
	tileProduct()
	for _, e := range []string{"F32", "F16", "BF16"} {
		tileRow(e)
	}
	head("xgetbv0", ") (low uint32", 4)
	p("XORL CX, CX")
	p("XGETBV")
	p("MOVL AX, low+0(FP)")
	p("RET")
}

// Registers by their numbers in instructions.
var number = map[string]int{"AX": 0, "CX": 1, "DX": 2, "BX": 3, "SP": 4, "BP": 5, "SI": 6, "DI": 7,
	"R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13}

// tile emits an instruction: opcode, prefix (0 none, 1 66, 2 F3, 3 F2), vvvv,
// then ModRM and what follows. x and b are the upper bits of index and base.
func tile(text string, op, prefix, vvvv, x, b int, modrm ...int) {
	code := append([]int{0xc4, 0x80 | (1-x)<<6 | (1-b)<<5 | 2, (15-vvvv)<<3 | prefix, op}, modrm...)
	var s []string
	for _, c := range code {
		s = append(s, fmt.Sprintf("BYTE $%#02x", c))
	}
	p("%s // %s", strings.Join(s, "; "), text)
}

// tileMem emits a load or store of tile t: rows at disp(base), stride bytes apart.
func tileMem(name string, prefix, t, disp int, base, stride string) {
	n, i := number[base], number[stride]
	d := uint32(disp)
	tile(fmt.Sprintf("%s %d(%s)(%s*1), TMM%d", name, disp, base, stride, t), 0x4b, prefix, 0, i>>3, n>>3,
		0x80|t<<3|4, i&7<<3|n&7, int(d&255), int(d>>8&255), int(d>>16&255), int(d>>24))
}

func tileLoad(t, disp int, base, stride string) { tileMem("TILELOADD", 3, t, disp, base, stride) }

func tileStore(t, disp int, base, stride string) { tileMem("TILESTORED", 2, t, disp, base, stride) }

func tileZero(t int) { tile(fmt.Sprintf("TILEZERO TMM%d", t), 0x49, 3, 0, 0, 0, 0xc0|t<<3) }

func tileRelease() { tile("TILERELEASE", 0x49, 0, 0, 0, 0, 0xc0) }

// tileConfig loads the configuration at (AX).
func tileConfig() { tile("LDTILECFG (AX)", 0x49, 0, 0, 0, 0, 0x00) }

// tileDot: tile c += rows of tile a times columns of tile b.
func tileDot(c, a, b int) {
	tile(fmt.Sprintf("TDPBF16PS TMM%d, TMM%d, TMM%d", b, a, c), 0x5c, 2, b, 0, 0, 0xc0|c<<3|a)
}

// tileProduct: tiles 0 1 (rows 0-15) and 2 3 (rows 16-31) of c, 4 5 of x, 6 7
// of w. The last block has fewer rows: 2 3 5 are cut to those above 16, or only
// 0 1 4 are used, cut to all of them.
func tileProduct() {
	fmt.Print("\n// func tileBF16(c *float32, x *byte, xs int, w *byte, rows, steps, acc int)\nTEXT ·tileBF16(SB), NOSPLIT, $64-56\n")
	p("LEAQ cfg-64(SP), AX")
	for i, v := range []uint64{1, 0, 0x0040004000400040, 0x0040004000400040, 0, 0, 0x1010101010101010, 0} {
		p("MOVQ $%#x, R9", v)
		p("MOVQ R9, cfg-%d(SP)", 64-8*i)
	}
	p("MOVQ c+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ xs+16(FP), R8")
	p("MOVQ w+24(FP), BX")
	p("MOVQ rows+32(FP), R12")
	p("MOVQ steps+40(FP), R13")
	p("SHRQ $4, R13")
	p("MOVQ $128, DX") // row stride of c and w
	p("CMPQ R12, $32")
	p("JLT rest")
	tileConfig()
	fmt.Println("two:")
	tileBlock(2)
	p("ADDQ $4096, DI")
	p("MOVQ R8, R9")
	p("SHLQ $5, R9")
	p("ADDQ R9, SI")
	p("SUBQ $32, R12")
	p("JLE done")
	p("CMPQ R12, $32")
	p("JGE two")
	fmt.Println("rest:")
	p("LEAQ cfg-64(SP), AX")
	p("MOVQ R12, R9")
	p("SUBQ $16, R9")
	p("JLE one")
	for _, t := range []int{2, 3, 5} {
		p("MOVB R9, cfg-%d(SP)", 16-t)
	}
	tileConfig()
	p("JMP two")
	fmt.Println("one:")
	for _, t := range []int{0, 1, 4} {
		p("MOVB R12, cfg-%d(SP)", 16-t)
	}
	tileConfig()
	tileBlock(1)
	fmt.Println("done:")
	tileRelease()
	p("RET")
}

// tileBlock is the product of one or two tiles of rows.
func tileBlock(n int) {
	c := func(f func(t, disp int)) {
		for t := range 2 * n {
			f(t, t/2*2048+t%2*64)
		}
	}
	p("CMPQ acc+48(FP), $0")
	p("JNE sum%d", n)
	c(func(t, _ int) { tileZero(t) })
	p("JMP begin%d", n)
	fmt.Printf("sum%d:\n", n)
	c(func(t, disp int) { tileLoad(t, disp, "DI", "DX") })
	fmt.Printf("begin%d:\n", n)
	p("MOVQ SI, AX")
	if n == 2 {
		p("MOVQ R8, R10")
		p("SHLQ $4, R10")
		p("ADDQ SI, R10")
	}
	p("MOVQ BX, R9")
	p("MOVQ R13, CX")
	fmt.Printf("loop%d:\n", n)
	tileLoad(4, 0, "AX", "R8")
	tileLoad(6, 0, "R9", "DX")
	tileDot(0, 4, 6)
	tileLoad(7, 64, "R9", "DX")
	tileDot(1, 4, 7)
	p("ADDQ $64, AX")
	if n == 2 {
		tileLoad(5, 0, "R10", "R8")
		tileDot(2, 5, 6)
		tileDot(3, 5, 7)
		p("ADDQ $64, R10")
	}
	p("ADDQ $2048, R9")
	p("DECQ CX")
	p("JNZ loop%d", n)
	c(func(t, disp int) { tileStore(t, disp, "DI", "DX") })
}

// tileRow rounds a row to bfloat16; each 16 values are put into the order given.
func tileRow(e string) {
	size := map[string]int{"F32": 4, "F16": 2, "BF16": 2}[e]
	head("tileRow"+e, fmt.Sprintf("y *uint16, x %s, n int, order *[16]uint32", goType[size]), 32)
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	p("MOVQ order+24(FP), BX")
	p("VMOVDQU32 (BX), Z3")
	roundingConstants()
	loop(map[string]int{"DI": 2, "SI": size}, func(m string) {
		loadW(e, "(SI)", m, 0)
		p("VPERMPS Z0, Z3, Z0")
		toBF16()
		p("VPMOVDW Z2, %s(DI)", m)
	})
	p("VZEROUPPER")
	p("RET")
}
