//go:build ignore

package main

import "fmt"

// Matvec writes the products of one row of x with packed codes: x is int16 with
// a scale for each group (I16), or two int16 halves, x = s·(hi + lo/2^15), which
// are as good as float32 (I32). Two rows of weights, sep rows apart, are read
// side by side.
//
// A zmm of codes is a chunk: 128 codes of 4 bits, 64 of 8. Step i of a chunk
// takes the i-th code of each word, so x lies as packVec puts it. A block is 16
// scales; the last one may be partial, whose x is padded.
func matvec() {
	fmt.Println()
	for _, bits := range []int{4, 8} {
		for _, g := range []int{32, 64, 128} {
			chunks := 16 * g * bits / 512
			for i := range 16 * chunks { // the scale of each dword
				fmt.Printf("DATA spread%d_%d<>+%d(SB)/4, $%d\n", bits, g, 4*i, i*32/bits/g)
			}
			fmt.Printf("GLOBL spread%d_%d<>(SB), RODATA|NOPTR, $%d\n", bits, g, 64*chunks)
		}
	}
	for i := range 32 { // of 64 words, those of the residues 0 and 1, then 2 and 3, modulo 4
		fmt.Printf("DATA deal4a<>+%d(SB)/2, $%d\n", 2*i, i%16*4+i/16)
		fmt.Printf("DATA deal4b<>+%d(SB)/2, $%d\n", 2*i, i%16*4+i/16+2)
		fmt.Printf("DATA deal2a<>+%d(SB)/2, $%d\n", 2*i, 2*i)
		fmt.Printf("DATA deal2b<>+%d(SB)/2, $%d\n", 2*i, 2*i+1)
	}
	for _, t := range []string{"deal4a", "deal4b", "deal2a", "deal2b"} {
		fmt.Printf("GLOBL %s<>(SB), RODATA|NOPTR, $64\n", t)
	}
	for _, bits := range []int{4, 8} {
		for _, wide := range []bool{false, true} {
			packVec(bits, wide)
			for _, g := range []int{32, 64, 128} {
				for _, e := range []string{"BF16", "F16"} {
					dotCodes(bits, wide, g, e)
				}
			}
		}
	}
	absMax32()
}

func kind(wide bool) string {
	if wide {
		return "I32"
	}
	return "I16"
}

func broadcast32(v uint32, z int) {
	p("MOVL $%#x, AX", v)
	p("VPBROADCASTD AX, Z%d", z)
}

// dotCodes writes one kernel.
func dotCodes(bits int, wide bool, g int, elem string) {
	name := fmt.Sprintf("matvec%sQ%dG%d%s", kind(wide), bits, g, elem)
	head(name, "y *float32, w, s, b, x *byte, sx, xs *float32, rows, k, sep int", 80)
	p("MOVQ y+0(FP), DI")
	p("MOVQ w+8(FP), SI")
	p("MOVQ s+16(FP), DX")
	p("MOVQ b+24(FP), BX")
	p("MOVQ rows+56(FP), CX")
	p("MOVQ sep+72(FP), R8")
	p("MOVQ k+64(FP), R11")
	p("IMULQ R8, R11")
	p("MOVQ R11, R8")
	if bits == 4 {
		p("SHRQ $1, R8") // bytes of codes between the streams
	}
	p("SHRQ $%d, R11", map[int]int{32: 4, 64: 5, 128: 6}[g]) // bytes of scales between the streams
	if wide {
		broadcast32(0x38000000, 22) // 2^-15
	}
	broadcast32(map[int]uint32{4: 0x000f000f, 8: 0x00ff00ff}[bits], 16)
	p("KXNORW K1, K1, K1")

	label("row")
	p("MOVQ x+32(FP), R10")
	p("MOVQ sx+40(FP), R13")
	p("MOVQ xs+48(FP), AX")
	p("MOVQ k+64(FP), R15")
	p("VPXORD Z0, Z0, Z0")
	p("VPXORD Z1, Z1, Z1")
	m := mv{bits: bits, wide: wide, group: g, elem: elem}
	p("SUBQ $%d, R15", 16*g)
	p("JLT tail")

	label("block")
	m.scales("")
	chunks := 16 * g * bits / 512
	p("LEAQ spread%d_%d<>(SB), R9", bits, g)
	if chunks > 4 {
		p("MOVL $%d, R12", chunks/4)
		label("chunks")
	}
	for c := range 4 {
		m.chunk(c, "")
	}
	p("ADDQ $256, SI")
	p("ADDQ $%d, R10", 4*m.xbytes())
	if chunks > 4 {
		p("ADDQ $256, R9")
		p("DECL R12")
		p("JNZ chunks")
	}
	ahead := prefetch * 8 / bits / g * 2
	p("PREFETCHT0 %d(DX)", ahead)
	p("PREFETCHT0 %d(DX)(R11*1)", ahead)
	p("PREFETCHT0 %d(BX)", ahead)
	p("PREFETCHT0 %d(BX)(R11*1)", ahead)
	p("ADDQ $32, DX")
	p("ADDQ $32, BX")
	p("ADDQ $64, R13")
	p("ADDQ $64, AX")
	p("SUBQ $%d, R15", 16*g)
	p("JGE block")

	m.tail()
	p("MOVQ sep+72(FP), R9")
	for s, at := range []string{"(DI)", "(DI)(R9*4)"} {
		p("VEXTRACTF64X4 $1, Z%d, Y8", s)
		p("VADDPS Y8, Y%d, Y9", s)
		p("VEXTRACTF128 $1, Y9, X8")
		p("VADDPS X8, X9, X9")
		p("VMOVHLPS X9, X9, X8")
		p("VADDPS X8, X9, X9")
		p("VMOVSHDUP X9, X8")
		p("VADDSS X8, X9, X9")
		p("VMOVSS X9, %s", at)
	}
	p("ADDQ $4, DI")
	p("DECQ CX")
	p("JNZ row")
	p("VZEROUPPER")
	p("RET")
}

// tail adds the last block, which is partial; R15 is what is left, less a block.
func (m mv) tail() {
	label("tail")
	p("ADDQ $%d, R15", 16*m.group)
	p("JZ done")
	p("MOVQ CX, R14")
	m.mask("K2", map[int]int{32: 5, 64: 6, 128: 7}[m.group])
	m.scales("K2")
	p("MOVQ R15, R9")
	p("SHRQ $%d, R9", map[int]int{32: 4, 64: 5, 128: 6}[m.group])
	p("ADDQ R9, DX")
	p("ADDQ R9, BX")
	p("LEAQ spread%d_%d<>(SB), R9", m.bits, m.group)
	label("last")
	p("KXNORW K2, K2, K2")
	p("CMPQ R15, $%d", 512/m.bits)
	p("JGE whole")
	m.mask("K2", map[int]int{4: 3, 8: 2}[m.bits])
	label("whole")
	m.chunk(0, "K2")
	p("ADDQ $64, R9")
	p("ADDQ $64, SI")
	p("ADDQ $%d, R10", m.xbytes())
	p("SUBQ $%d, R15", 512/m.bits)
	p("JG last")
	p("MOVQ R14, CX")
	p("SARQ $%d, R15", map[int]int{4: 1, 8: 0}[m.bits]) // bytes behind the row's end
	p("ADDQ R15, SI")
	label("done")
}

type mv struct {
	bits  int
	wide  bool
	group int
	elem  string
}

// xbytes is the x of a chunk.
func (m mv) xbytes() int {
	n := 512 / m.bits * 2
	if m.wide {
		n *= 2
	}
	return n
}

// mask sets a mask of the R15>>shift low lanes.
func (m mv) mask(k string, shift int) {
	p("MOVQ R15, CX")
	p("SHRQ $%d, CX", shift)
	p("MOVL $1, R12")
	p("SHLL CX, R12")
	p("DECL R12")
	p("KMOVW R12, %s", k)
}

// scales takes 16 scales of both rows times those of x into Z4 and Z5 and adds
// the biases times the sums of x.
func (m mv) scales(mask string) {
	comma := ""
	if mask != "" {
		comma = mask + ", "
	}
	load := func(at string, z int) {
		if m.elem == "F16" {
			p("VCVTPH2PS%s %s, %sZ%d", zero(mask), at, comma, z)
			return
		}
		p("VPMOVZXWD%s %s, %sZ%d", zero(mask), at, comma, z)
		p("VPSLLD $16, Z%d, Z%d", z, z)
	}
	for s, at := range []string{"", "(R11*1)"} {
		load("(DX)"+at, 4+s)
		p("VMULPS (R13), Z%d, Z%d", 4+s, 4+s)
		load("(BX)"+at, 12+s)
		p("VFMADD231PS (AX), Z%d, Z%d", 12+s, s)
	}
}

// chunk adds the c-th zmm of codes of both rows.
func (m mv) chunk(c int, mask string) {
	comma := ""
	if mask != "" {
		comma = mask + ", "
	}
	for s, at := range []string{"(SI)", "(SI)(R8*1)"} {
		p("VMOVDQU32%s %d%s, %sZ%d", zero(mask), 64*c, at, comma, 8+s)
		if mask == "" {
			p("PREFETCHT1 %d%s", 64*c+prefetch, at)
		}
		p("VPXORD Z%d, Z%d, Z%d", 12+s, 12+s, 12+s)
		if m.wide {
			p("VPXORD Z%d, Z%d, Z%d", 14+3*s, 14+3*s, 14+3*s)
		}
	}
	steps := 16 / m.bits
	for i := range steps {
		at := c*m.xbytes() + i*m.xbytes()/steps
		p("VMOVDQU32 %d(R10), Z18", at)
		if m.wide {
			p("VMOVDQU32 %d(R10), Z21", at+64)
		}
		for s := range 2 {
			w, t := 8+s, 19+s
			if i == 0 {
				p("VPANDD Z%d, Z16, Z%d", w, t)
			} else {
				p("VPSRLW $%d, Z%d, Z%d", i*m.bits, w, t)
				if i < steps-1 {
					p("VPANDD Z%d, Z16, Z%d", t, t)
				}
			}
			p("VPDPWSSD Z18, Z%d, Z%d", t, 12+s)
			if m.wide {
				p("VPDPWSSD Z21, Z%d, Z%d", t, 14+3*s)
			}
		}
	}
	p("VMOVDQU32 %d(R9), Z23", 64*c)
	for s := range 2 {
		p("VPERMPS Z%d, Z23, Z%d", 4+s, 19+s)
		p("VCVTDQ2PS Z%d, Z%d", 12+s, 12+s)
		if m.wide {
			p("VCVTDQ2PS Z%d, Z%d", 14+3*s, 14+3*s)
			p("VFMADD231PS Z%d, Z22, Z%d", 14+3*s, 12+s)
		}
		p("VFMADD231PS Z%d, Z%d, Z%d", 12+s, 19+s, s)
	}
}

// packVec rounds x to int16 words or pairs of them, in the order of chunks, and
// sums each 32: inv has the factor of each 32, and n counts chunks.
func packVec(bits int, wide bool) {
	words := 2 * 8 / bits // zmm of words in a chunk
	head(fmt.Sprintf("packVec%sQ%d", kind(wide), bits), "dst *byte, sums *int32, x, inv *float32, n int", 40)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ sums+8(FP), DX")
	p("MOVQ x+16(FP), SI")
	p("MOVQ inv+24(FP), BX")
	p("MOVQ n+32(FP), CX")
	broadcast32(0x00010001, 31)
	if wide {
		broadcast32(16384, 30)
	}
	p("VMOVDQU16 deal%da<>(SB), Z29", 16/bits)
	p("VMOVDQU16 deal%db<>(SB), Z28", 16/bits)
	label("loop")
	for i := range words {
		p("VBROADCASTSS %d(BX), Z16", 4*i)
		for h := range 2 {
			p("VMULPS %d(SI), Z16, Z%d", 128*i+64*h, 17+h)
			p("VCVTPS2DQ Z%d, Z%d", 17+h, 17+h)
			if wide {
				p("VPADDD Z%d, Z30, Z%d", 17+h, 19+h)
				p("VPSRAD $15, Z%d, Z%d", 19+h, 19+h)
				p("VPSLLD $15, Z%d, Z%d", 19+h, 21+h)
				p("VPSUBD Z%d, Z%d, Z%d", 21+h, 17+h, 21+h)
				p("VPMOVDW Z%d, Y%d", 21+h, 21+h)
				p("VMOVDQA64 Z%d, Z%d", 19+h, 17+h)
			}
			p("VPMOVSDW Z%d, Y%d", 17+h, 17+h)
		}
		p("VINSERTI64X4 $1, Y18, Z17, Z%d", i)
		if wide {
			p("VINSERTI64X4 $1, Y22, Z21, Z%d", 4+i)
		}
		halves := 1
		if wide {
			halves = 2
		}
		for h := range halves {
			p("VPXORD Z17, Z17, Z17")
			p("VPDPWSSD Z%d, Z31, Z17", 4*h+i)
			p("VEXTRACTI64X4 $1, Z17, Y18")
			p("VPADDD Y18, Y17, Y17")
			p("VEXTRACTI32X4 $1, Y17, X18")
			p("VPADDD X18, X17, X17")
			p("VPSHUFD $0x4E, X17, X18")
			p("VPADDD X18, X17, X17")
			p("VPSHUFD $0xB1, X17, X18")
			p("VPADDD X18, X17, X17")
			p("VMOVD X17, %d(DX)", 4*(halves*i+h))
		}
	}
	halves, stride := 1, 64
	if wide {
		halves, stride = 2, 128
	}
	for h := range halves {
		z := 4 * h
		if bits == 8 {
			for i, t := range []int{29, 28} {
				p("VMOVDQA64 Z%d, Z17", t)
				p("VPERMI2W Z%d, Z%d, Z17", z+1, z)
				p("VMOVDQU32 Z17, %d(DI)", stride*i+64*h)
			}
			continue
		}
		for i := range 2 { // words 0 to 63, then 64 to 127
			p("VMOVDQA64 Z29, Z%d", 16+2*i)
			p("VPERMI2W Z%d, Z%d, Z%d", z+2*i+1, z+2*i, 16+2*i)
			p("VMOVDQA64 Z28, Z%d", 17+2*i)
			p("VPERMI2W Z%d, Z%d, Z%d", z+2*i+1, z+2*i, 17+2*i)
		}
		for i := range 2 {
			p("VSHUFI64X2 $0x44, Z%d, Z%d, Z20", 18+i, 16+i)
			p("VMOVDQU32 Z20, %d(DI)", stride*2*i+64*h)
			p("VSHUFI64X2 $0xEE, Z%d, Z%d, Z20", 18+i, 16+i)
			p("VMOVDQU32 Z20, %d(DI)", stride*(2*i+1)+64*h)
		}
	}
	p("ADDQ $%d, DI", stride*words)
	p("ADDQ $%d, DX", 4*halves*words)
	p("ADDQ $%d, SI", 128*words)
	p("ADDQ $%d, BX", 4*words)
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}

// absMax32 takes the largest magnitude of each 32; NaN beats Inf.
func absMax32() {
	head("absMax32", "dst, x *float32, n int", 24)
	p("MOVQ dst+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	broadcast32(0x7fffffff, 31)
	label("loop")
	p("VPANDD (SI), Z31, Z0")
	p("VPANDD 64(SI), Z31, Z1")
	p("VPMAXUD Z1, Z0, Z0")
	p("VEXTRACTI64X4 $1, Z0, Y1")
	p("VPMAXUD Y1, Y0, Y0")
	p("VEXTRACTI128 $1, Y0, X1")
	p("VPMAXUD X1, X0, X0")
	p("VPSHUFD $0x4E, X0, X1")
	p("VPMAXUD X1, X0, X0")
	p("VPSHUFD $0xB1, X0, X1")
	p("VPMAXUD X1, X0, X0")
	p("VMOVD X0, (DI)")
	p("ADDQ $128, SI")
	p("ADDQ $4, DI")
	p("DECQ CX")
	p("JNZ loop")
	p("VZEROUPPER")
	p("RET")
}
