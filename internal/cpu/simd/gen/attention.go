//go:build ignore

package main

import (
	"fmt"
	"math"
)

// Attention works on tiles of R query rows and blocks of 64 keys, in three steps:
// scores, weights with an online softmax, and sums of weighted values.
//
// A score is a dot whose lanes lie over the head dimension. A register holds parts
// of two keys, so that lane l of 8 takes d = l, l+8, … (bfloat16: 2l, 2l+1, 2l+16,
// …, even values in one register, odd ones in another), and then the 8 lanes are
// added in a fixed tree. With lanes of one key alone the tree costs twice as much,
// and beside four multiply-adds an accumulator, at 64 wide, that is a third of the
// time. Sums of bfloat16 values come with each 32 as even ones, then odd ones.

func attention() {
	fmt.Println("\n// VDPBF16PS rm, v, reg: EVEX.512.F3.0F38.W0 52 /r")
	fmt.Println("#define VDPBF16(rm, v, reg) " + evex(0x06, 0x52))
	fmt.Println()
	for i, c := range exp2Coefs(6) {
		constant32(fmt.Sprintf("e2c%d", i), c)
	}
	for i := range 16 { // orders of lanes, see sumLanes8
		fmt.Printf("DATA turn<>+%d(SB)/4, $%d\n", 4*i, i%4*4+i/4)
		for h := range 2 {
			fmt.Printf("DATA rows%d<>+%d(SB)/4, $%d\n", 2*h, 4*i, i%4*4+i/8+2*h+i/4%2*16)
		}
	}
	fmt.Println("GLOBL turn<>(SB), RODATA|NOPTR, $64")
	fmt.Println("GLOBL rows0<>(SB), RODATA|NOPTR, $64")
	fmt.Println("GLOBL rows2<>(SB), RODATA|NOPTR, $64")
	for _, e := range []string{"F32", "BF16", "F16"} {
		score(e, 4)
		score(e, 2)
		for _, rows := range []int{4, 2, 1} {
			weightedValues(e, rows)
		}
		pack(e)
	}
	score(pairsBF16, 4)
	score(pairsBF16, 2)
	pack(pairsBF16)
	scorePacked("attScorePacked", "F32")
	scorePacked("attScorePackedPair", pairsBF16)
	weights()
	visibleBits()
	join()
}

// exp2Coefs interpolates 2^f on [-1/2, 1/2] in the Chebyshev nodes of degree n.
func exp2Coefs(n int) []float64 {
	xs, c := make([]float64, n+1), make([]float64, n+1)
	for i := range xs {
		xs[i] = math.Cos(math.Pi*(float64(i)+.5)/float64(n+1)) / 2
		c[i] = math.Exp2(xs[i])
	}
	for j := 1; j <= n; j++ { // divided differences
		for i := n; i >= j; i-- {
			c[i] = (c[i] - c[i-1]) / (xs[i] - xs[i-j])
		}
	}
	poly := []float64{c[n]}
	for i := n - 1; i >= 0; i-- { // poly·(x - xs[i]) + c[i]
		next := make([]float64, len(poly)+1)
		for k, a := range poly {
			next[k+1] += a
			next[k] -= a * xs[i]
		}
		next[0] += c[i]
		poly = next
	}
	return poly
}

func constant32(name string, v float64) {
	fmt.Printf("DATA %s<>+0(SB)/4, $%#x\nGLOBL %s<>(SB), RODATA|NOPTR, $4\n", name, math.Float32bits(float32(v)), name)
}

// step is how many elements of a row one step reads, and in how many registers.
func step(e string) (n, regs, bytes int) {
	switch e {
	case "F32":
		return 16, 1, 64
	case "F16":
		return 16, 1, 32
	case pairsBF16:
		return 32, 1, 64
	}
	return 32, 2, 64
}

// loadRow reads a step of a row at addr into z and, for bfloat16, z+1. Z31 holds
// the mask of the odd values.
func loadRow(e, addr, mask string, z int) {
	if e != "BF16" {
		loadW(e, addr, mask, z)
		return
	}
	if mask == "" {
		p("VMOVDQU32 %s, Z%d", addr, z+1)
	} else {
		p("VMOVDQU16.Z %s, %sZ%d", addr, mask, z+1)
	}
	p("VPSLLD $16, Z%d, Z%d", z+1, z)
	p("VPANDD Z31, Z%d, Z%d", z+1, z+1)
}

// oddMask sets Z31.
func oddMask(e string) {
	if e == "BF16" {
		p("MOVL $0xffff0000, AX")
		p("VPBROADCASTD AX, Z31")
	}
}

// tailMask sets K1 to the low AX bits, AX < 32.
func tailMask() {
	p("MOVL $1, R10")
	p("MOVQ AX, CX")
	p("SHLQ CX, R10")
	p("DECQ R10")
	p("KMOVD R10, K1")
}

// values: o[i] = f[4i]·o[i] + Σ_j w[i·ws + j]·v[j] for R rows, one fused
// multiply-add a key in turn. Rows of o are whole steps; strides are in bytes.
func weightedValues(e string, mr int) {
	n, regs, bytes := step(e)
	head(fmt.Sprintf("attValues%sx%d", e, mr), "o *float32, os int, f, w *float32, ws int, v *byte, vs, d, n, ahead int", 80)
	p("MOVQ o+0(FP), DI")
	p("MOVQ os+8(FP), R8")
	p("LEAQ (R8)(R8*2), R9")
	p("MOVQ ws+32(FP), R11")
	p("LEAQ (R11)(R11*2), R12")
	p("MOVQ v+40(FP), BX")
	p("MOVQ vs+48(FP), R13")
	p("MOVQ d+56(FP), AX")
	p("ANDQ $%d, AX", n-1)
	tailMask()
	oddMask(e)
	out := []string{"(DI)", "(DI)(R8*1)", "(DI)(R8*2)", "(DI)(R9*1)"}
	w := []string{"(SI)", "(SI)(R11*1)", "(SI)(R11*2)", "(SI)(R12*1)"}
	p("MOVQ ahead+72(FP), R15")
	p("ADDQ BX, R15")
	p("MOVQ d+56(FP), CX")
	cols := func(name string, steps int, mask string) {
		vec := steps * regs
		p("MOVQ f+16(FP), SI")
		for i := range mr {
			p("VBROADCASTSS %d(SI), Z24", 16*i)
			for c := range vec {
				p("VMULPS %d%s, Z24, Z%d", 64*c, out[i], i*vec+c)
			}
		}
		p("MOVQ w+24(FP), SI")
		p("MOVQ n+64(FP), DX")
		p("MOVQ BX, R10")
		fmt.Println(name + ":")
		for c := range steps {
			loadRow(e, fmt.Sprintf("%d(R10)", bytes*c), mask, 16+regs*c)
			if bytes*c%64 == 0 && mask == "" {
				p("PREFETCHT1 %d(R15)", bytes*c)
			}
		}
		if mask == "" {
			p("ADDQ $%d, R15", bytes*steps)
		}
		for i := range mr {
			p("VBROADCASTSS %s, Z%d", w[i], 24+i)
			for c := range vec {
				p("VFMADD231PS Z%d, Z%d, Z%d", 16+c, 24+i, i*vec+c)
			}
		}
		p("ADDQ $4, SI")
		p("ADDQ R13, R10")
		p("DECQ DX")
		p("JNZ %s", name)
		for i := range mr {
			for c := range vec {
				p("VMOVUPS Z%d, %d%s", i*vec+c, 64*c, out[i])
			}
		}
		p("ADDQ $%d, DI", 64*vec)
		p("ADDQ $%d, BX", bytes*steps)
	}
	p("SUBQ $64, CX")
	p("JLT rest")
	fmt.Println("wide:")
	cols("k4", 64/n, "")
	p("SUBQ $64, CX")
	p("JGE wide")
	fmt.Println("rest:")
	p("ADDQ $64, CX")
	p("JZ done")
	fmt.Println("steps:")
	p("CMPQ CX, $%d", n)
	p("JLT part")
	cols("k1", 1, "")
	p("SUBQ $%d, CX", n)
	p("JNZ steps")
	p("JMP done")
	fmt.Println("part:")
	cols("kp", 1, "K1, ")
	fmt.Println("done:")
	p("VZEROUPPER")
	p("RET")
}

// weights turns up to 4 rows of 64 scores s, scaled, of which the bits of see leave some,
// into exp(s - m) with m the maximum so far, four times for each row; f = exp(m of
// before - m), also four times, and l = f·l + sums by lanes. -Inf as maximum
// counts as 0: weights and sums stay 0.
func weights() {
	head("attWeights", "s *float32, ss int, see *uint64, m, f, l *float32, scale float32, rows int", 64)
	p("MOVQ s+0(FP), SI")
	p("MOVQ ss+8(FP), R8")
	p("LEAQ (R8)(R8*2), R9")
	p("MOVQ see+16(FP), BX")
	p("MOVL $0xff800000, AX")
	p("VPBROADCASTD AX, Z31")
	p("VBROADCASTSS scale+48(FP), Z30")
	rows := []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)"}
	for r, a := range rows {
		p("KMOVQ %d(BX), K1", 8*r)
		for i := 1; i < 4; i++ {
			p("KSHIFTRQ $%d, K1, K%d", 16*i, i+1)
		}
		for i := range 4 {
			p("VMOVAPS Z31, Z%d", 4*r+i)
			p("VMULPS %d%s, Z30, K%d, Z%d", 64*i, a, i+1, 4*r+i)
		}
		p("VMAXPS Z%d, Z%d, Z%d", 4*r, 4*r+1, 16+r)
		p("VMAXPS Z%d, Z%d, Z%d", 4*r+2, 4*r+3, 20+r)
		p("VMAXPS Z%d, Z%d, Z%d", 16+r, 20+r, 16+r)
	}
	fold2 := func(d, a, b, lo, hi int) {
		p("VSHUFF32X4 $%#x, Z%d, Z%d, Z24", lo, b, a)
		p("VSHUFF32X4 $%#x, Z%d, Z%d, Z25", hi, b, a)
		p("VMAXPS Z24, Z25, Z%d", d)
	}
	fold2(16, 16, 17, 0x44, 0xee)
	fold2(18, 18, 19, 0x44, 0xee)
	fold2(16, 16, 18, 0x88, 0xdd)
	for _, c := range []int{0xb1, 0x4e} {
		p("VPERMILPS $%#x, Z16, Z24", c)
		p("VMAXPS Z24, Z16, Z16")
	}
	p("MOVQ m+24(FP), DX")
	p("VMOVUPS (DX), Z17") // the maxima of before
	p("VMAXPS Z16, Z17, Z16")
	p("VMOVUPS Z16, (DX)")
	p("VCMPPS $4, Z31, Z16, K1") // not equal
	p("VMOVAPS.Z Z16, K1, Z16")
	p("MOVL $0x3fb8aa3b, AX") // log2(e)
	p("VPBROADCASTD AX, Z29")
	p("MOVL $0xc3200000, AX") // -160
	p("VPBROADCASTD AX, Z30")
	for i := range 6 {
		p("VBROADCASTSS e2c%d<>(SB), Z%d", i, 23+i)
	}
	p("VBROADCASTSS e2c6<>(SB), Z31")
	p("VSUBPS Z16, Z17, Z17")
	exp2(17, 18, 19)
	p("MOVQ f+32(FP), DX")
	p("VMOVUPS Z17, (DX)")
	p("MOVQ l+40(FP), DX")
	p("MOVQ rows+56(FP), CX")
	for r, a := range rows {
		if r > 0 {
			p("CMPQ CX, $%d", r)
			p("JEQ done")
		}
		p("VSHUFF32X4 $%#x, Z16, Z16, Z20", 0x55*r)
		for i := range 4 {
			z := 4*r + i
			p("VSUBPS Z20, Z%d, Z%d", z, z)
			exp2(z, 18+3*(i%2), 19+3*(i%2))
			p("VMOVUPS Z%d, %d%s", z, 64*i, a)
		}
		p("VSHUFF32X4 $%#x, Z17, Z17, Z20", 0x55*r)
		p("VADDPS Z%d, Z%d, Z%d", 4*r, 4*r+1, 4*r)
		p("VADDPS Z%d, Z%d, Z%d", 4*r+2, 4*r+3, 4*r+2)
		p("VADDPS Z%d, Z%d, Z%d", 4*r, 4*r+2, 4*r)
		p("VFMADD231PS %d(DX), Z20, Z%d", 64*r, 4*r)
		p("VMOVUPS Z%d, %d(DX)", 4*r, 64*r)
	}
	fmt.Println("done:")
	p("VZEROUPPER")
	p("RET")
}

// exp2 replaces z by exp of it, z <= 0; k and y are free. MAX gives its second
// source if one is NaN.
func exp2(z, k, y int) {
	p("VMULPS Z29, Z%d, Z%d", z, z)
	p("VMAXPS Z%d, Z30, Z%d", z, z)
	p("VRNDSCALEPS $8, Z%d, Z%d", z, k)
	p("VSUBPS Z%d, Z%d, Z%d", k, z, z)
	p("VMOVAPS Z31, Z%d", y)
	for i := 5; i >= 0; i-- {
		p("VFMADD213PS Z%d, Z%d, Z%d", 23+i, z, y)
	}
	p("VSCALEFPS Z%d, Z%d, Z%d", k, y, z)
}

// join writes join32, the inverse of split32, and split16.
func join() {
	for i := range 16 {
		at := i/2 + i%2*16
		fmt.Printf("DATA first<>+%d(SB)/4, $%d\nDATA second<>+%d(SB)/4, $%d\n", 4*i, at, 4*i, at+8)
	}
	fmt.Println("GLOBL first<>(SB), RODATA|NOPTR, $64\nGLOBL second<>(SB), RODATA|NOPTR, $64")
	head("join32", "y, x *float32, n int", 24)
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	p("VMOVDQU32 first<>(SB), Z4")
	p("VMOVDQU32 second<>(SB), Z5")
	fmt.Println("loop:")
	p("VMOVUPS (SI), Z0")
	p("VMOVUPS 64(SI), Z1")
	p("VMOVDQA32 Z4, Z2")
	p("VPERMI2PS Z1, Z0, Z2")
	p("VMOVDQA32 Z5, Z3")
	p("VPERMI2PS Z1, Z0, Z3")
	p("VMOVUPS Z2, (DI)")
	p("VMOVUPS Z3, 64(DI)")
	p("ADDQ $128, SI")
	p("ADDQ $128, DI")
	p("SUBQ $32, CX")
	p("JG loop")
	p("VZEROUPPER")
	p("RET")

	for i := range 16 {
		fmt.Printf("DATA evenOdd<>+%d(SB)/4, $%d\n", 4*i, i%8*2+i/8)
	}
	fmt.Println("GLOBL evenOdd<>(SB), RODATA|NOPTR, $64")
	head("split16", "y, x *float32, n int", 24) // as split32 by 16
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	p("VMOVDQU32 evenOdd<>(SB), Z4")
	fmt.Println("loop:")
	p("VPERMPS (SI), Z4, Z0")
	p("VMOVUPS Z0, (DI)")
	p("ADDQ $64, SI")
	p("ADDQ $64, DI")
	p("SUBQ $16, CX")
	p("JG loop")
	p("VZEROUPPER")
	p("RET")
}

// visibleBits: bit j says that byte j is not 0, or that bias j is not -Inf.
func visibleBits() {
	head("maskBits", "m *byte, n int) (r uint64", 24)
	p("MOVQ m+0(FP), SI")
	p("MOVQ n+8(FP), CX")
	p("MOVQ $64, AX")
	p("SUBQ CX, AX")
	p("MOVQ $-1, DX")
	p("MOVQ AX, CX")
	p("SHRQ CX, DX") // n >= 1
	p("KMOVQ DX, K1")
	p("VMOVDQU8.Z (SI), K1, Z0")
	p("VPTESTMB Z0, Z0, K2")
	p("KMOVQ K2, r+16(FP)")
	p("VZEROUPPER")
	p("RET")

	head("biasBits", "b *float32, n int) (r uint64", 24)
	p("MOVQ b+0(FP), SI")
	p("MOVQ n+8(FP), CX")
	p("MOVQ $64, AX")
	p("SUBQ CX, AX")
	p("MOVQ $-1, DX")
	p("MOVQ AX, CX")
	p("SHRQ CX, DX")
	p("MOVL $0xff800000, AX")
	p("VPBROADCASTD AX, Z31")
	p("XORQ R8, R8")
	for i := range 4 {
		p("KMOVW DX, K1")
		p("VMOVUPS.Z %d(SI), K1, Z0", 64*i)
		p("VCMPPS $4, Z31, Z0, K1, K2")
		p("KMOVW K2, AX")
		p("SHLQ $%d, AX", 16*i)
		p("ORQ AX, R8")
		p("SHRQ $16, DX")
	}
	p("MOVQ R8, r+16(FP)")
	p("VZEROUPPER")
	p("RET")
}
