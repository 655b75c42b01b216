//go:build ignore

package main

import "fmt"

// ops writes the loops over elements that are not in map.go: unary and binary
// operations, extrema, rotary embedding, codes to values, and tiles of x·W.
func ops() {
	tables()
	simple()
	streams()
	transcendental()
	swiglu()
	extremes()
	ropes()
	dequant()
	quantizers()
	for _, mr := range []int{1, 2, 4, 6} {
		tileNN(mr)
	}
	for _, e := range []string{"F32", "F16", "BF16"} {
		packNN(e)
	}
}

// unary writes y = op(x) on Z0, which body leaves in Z0; setup loads constants.
func unary(name string, setup, body func()) {
	head(name, "y, x *float32, n int", 24)
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	setup()
	loop(map[string]int{"DI": 4, "SI": 4}, func(m string) {
		loadW("F32", "(SI)", m, 0)
		body()
		store(m)
	})
	p("VZEROUPPER")
	p("RET")
}

// streams writes operations whose results go past the caches: n > 0 is a multiple of
// 64, and y is aligned to 64 bytes.
func streams() {
	const far = 4096 // bytes that the inputs are fetched ahead
	stream := func(name string, two bool, setup func(), body func(z, other int)) {
		decl, size, regs := "y, x *float32, n int", 24, [][2]string{{"y+0", "DI"}, {"x+8", "SI"}, {"n+16", "CX"}}
		in := []string{"SI"}
		if two {
			decl, size, regs = "y, a, b *float32, n int", 32, [][2]string{{"y+0", "DI"}, {"a+8", "SI"}, {"b+16", "DX"}, {"n+24", "CX"}}
			in = []string{"SI", "DX"}
		}
		args("stream"+name, decl, size, regs)
		setup()
		fmt.Println("loop:")
		for i, r := range in {
			for z := range 4 {
				p("PREFETCHT0 %d(%s)", far+64*z, r)
				p("VMOVUPS %d(%s), Z%d", 64*z, r, 8*i+z)
			}
		}
		for z := range 4 {
			body(z, 8+z)
			p("VMOVNTPS Z%d, %d(DI)", z, 64*z)
		}
		for _, r := range append(in, "DI") {
			p("ADDQ $256, %s", r)
		}
		p("SUBQ $64, CX")
		p("JG loop")
		end()
	}
	nothing := func() {}
	stream("Neg", false, func() { word(signBit, 31) }, func(z, _ int) { p("VPXORD Z31, Z%d, Z%d", z, z) })
	stream("Abs", false, func() { word(signBit-1, 31) }, func(z, _ int) { p("VPANDD Z31, Z%d, Z%d", z, z) })
	stream("Square", false, nothing, func(z, _ int) { p("VMULPS Z%d, Z%d, Z%d", z, z, z) })
	stream("Sqrt", false, nothing, func(z, _ int) { p("VSQRTPS Z%d, Z%d", z, z) })
	for _, op := range []string{"ADD", "SUB", "MUL", "DIV"} {
		stream(op[:1]+lower(op[1:]), true, nothing, func(z, o int) { p("V%sPS Z%d, Z%d, Z%d", op, o, z, z) })
	}
	for i, op := range []string{"Min", "Max"} {
		stream(op, true, nothing, func(z, o int) {
			p("VCMPPS $3, Z%d, Z%d, K2", o, z)
			p("VADDPS Z%d, Z%d, Z16", o, z)
			p("VRANGEPS $%d, Z%d, Z%d, Z%d", 4+i, o, z, z)
			p("VMOVAPS Z16, K2, Z%d", z)
		})
	}
}

// word fills Zz with 32 bits.
func word(v uint32, z int) {
	p("MOVL $%#x, AX", v)
	p("VPBROADCASTD AX, Z%d", z)
}

const (
	signBit = 1 << 31
	oneBits = 0x3f800000
	infBits = 0x7f800000
	nanBits = 0x7fc00000
)

// simple writes operations that are one or two instructions.
func simple() {
	nothing := func() {}
	unary("negF32", func() { word(signBit, 4) }, func() { p("VPXORD Z4, Z0, Z0") })
	unary("absF32", func() { word(signBit-1, 4) }, func() { p("VPANDD Z4, Z0, Z0") })
	unary("signF32", func() {
		p("VPXORD Z4, Z4, Z4")
		word(oneBits, 5)
		word(signBit|oneBits, 6)
	}, func() {
		p("VCMPPS $1, Z0, Z4, K2") // 0 < x
		p("VCMPPS $1, Z4, Z0, K3")
		p("VMOVAPS.Z Z5, K2, Z0")
		p("VMOVAPS Z6, K3, Z0")
	})
	unary("squareF32", nothing, func() { p("VMULPS Z0, Z0, Z0") })
	unary("sqrtF32", nothing, func() { p("VSQRTPS Z0, Z0") })
	unary("reciprocalF32", func() { word(oneBits, 4) }, func() { p("VDIVPS Z0, Z4, Z0") })
	for i, r := range []string{"rint", "floor", "ceil", "trunc"} {
		unary(r+"F32", nothing, func() { p("VRNDSCALEPS $%d, Z0, Z0", 8+i) })
	}
	for i, op := range []string{"Min", "Max"} { // VRANGE knows -0 < 0 but prefers numbers to NaN
		args("vec"+op+"F32", "y, a, b *float32, n int", 32, [][2]string{{"y+0", "DI"}, {"a+8", "SI"}, {"b+16", "DX"}, {"n+24", "CX"}})
		loop(map[string]int{"DI": 4, "SI": 4, "DX": 4}, func(m string) {
			loadW("F32", "(SI)", m, 0)
			loadW("F32", "(DX)", m, 3)
			p("VCMPPS $3, Z3, Z0, K2")
			p("VRANGEPS $%d, Z3, Z0, Z1", 4+i)
			p("VADDPS Z3, Z0, K2, Z1")
			p("VMOVUPS Z1, %s(DI)", m)
		})
		end()
	}
	for i, op := range []string{"Min", "Max"} { // of y and four rows, ld bytes apart; a NaN stays
		args("rows"+op+"F32", "y, x *float32, ld, n int", 32, [][2]string{{"y+0", "DI"}, {"x+8", "SI"}, {"ld+16", "DX"}, {"n+24", "CX"}})
		p("LEAQ (DX)(DX*2), R8")
		loop(map[string]int{"DI": 4, "SI": 4}, func(m string) {
			loadW("F32", "(DI)", m, 0)
			for k, row := range []string{"(SI)", "(SI)(DX*1)", "(SI)(DX*2)", "(SI)(R8*1)"} {
				from, to := k%2, 1-k%2
				loadW("F32", row, m, 3)
				p("VCMPPS $3, Z3, Z%d, K2", from)
				p("VRANGEPS $%d, Z3, Z%d, Z%d", 4+i, from, to)
				p("VADDPS Z3, Z%d, K2, Z%d", from, to)
			}
			store(m)
		})
		end()
	}
	for _, e := range []string{"F16", "BF16"} {
		t := "*uint16"
		args("vecAdd"+e, "y, a *float32, b "+t+", n int", 32, [][2]string{{"y+0", "DI"}, {"a+8", "SI"}, {"b+16", "DX"}, {"n+24", "CX"}})
		loop(map[string]int{"DI": 4, "SI": 4, "DX": 2}, func(m string) {
			loadW("F32", "(SI)", m, 0)
			loadW(e, "(DX)", m, 3)
			p("VADDPS Z3, Z0, Z0")
			store(m)
		})
		end()
	}
	args("shiftF32", "y, x *float32, n int, a float32", 28, [][2]string{{"y+0", "DI"}, {"x+8", "SI"}, {"n+16", "CX"}})
	p("VBROADCASTSS a+24(FP), Z3")
	loop(map[string]int{"DI": 4, "SI": 4}, func(m string) { // y = x - a
		loadW("F32", "(SI)", m, 0)
		p("VSUBPS Z3, Z0, Z0")
		store(m)
	})
	end()
}

// args starts a function and loads its arguments into registers.
func args(name, list string, size int, regs [][2]string) {
	head(name, list, size)
	for _, r := range regs {
		p("MOVQ %s(FP), %s", r[0], r[1])
	}
}

func end() {
	p("VZEROUPPER")
	p("RET")
}

// extremes writes maximum, minimum, and the search for a value.
func extremes() {
	for _, f := range []struct {
		name, op string
		init     uint32
		abs      bool
	}{{"extremeMaxF32", "VMAXPS", signBit | infBits, false}, {"extremeMinF32", "VMINPS", infBits, false}, {"extremeAbsF32", "VMAXPS", 0, true}} {
		extreme(f.name, f.op, f.init, f.abs)
	}
	find("findF32", "x *float32, n int, v float32) (r int", 32, "r+24", func(m string) { p("VCMPPS $0, Z0, Z3, %sK2", m) })
	find("findNaNF32", "x *float32, n int) (r int", 24, "r+16", func(m string) { p("VCMPPS $3, Z0, Z0, %sK2", m) })
}

// extreme reduces x; NaN if there is one. Of absolute values NaN is left out.
func extreme(name, op string, init uint32, abs bool) {
	args(name, "x *float32, n int) (r float32", 20, [][2]string{{"x+0", "SI"}, {"n+8", "CX"}})
	word(init, 0)
	word(signBit-1, 6)
	for i := 1; i < 6; i++ {
		p("VMOVAPS Z0, Z%d", i)
	}
	p("KXORW K4, K4, K4")
	step := func(z, off int) {
		p("VMOVUPS %d(SI), Z5", off)
		part(op, z, abs)
	}
	p("SUBQ $64, CX")
	p("JLT rest")
	fmt.Println("wide:")
	for i := range 4 {
		step(i, 64*i)
	}
	p("ADDQ $256, SI")
	p("SUBQ $64, CX")
	p("JGE wide")
	fmt.Println("rest:")
	p("ADDQ $64, CX")
	p("VMOVAPS Z4, Z5")
	loop(map[string]int{"SI": 4}, func(m string) {
		if m != "" {
			p("VMOVAPS Z4, Z5") // lanes without a value keep init
		}
		p("VMOVUPS (SI), %sZ5", m)
		part(op, 0, abs)
	})
	p("%s Z1, Z0, Z0", op)
	p("%s Z3, Z2, Z2", op)
	p("%s Z2, Z0, Z0", op)
	p("VEXTRACTF64X4 $1, Z0, Y1")
	p("%s Y1, Y0, Y0", op)
	p("VEXTRACTF32X4 $1, Y0, X1")
	p("%s X1, X0, X0", op)
	for _, c := range []int{0xb1, 0x4e} {
		p("VPERMILPS $%#x, X0, X1", c)
		p("%s X1, X0, X0", op)
	}
	if !abs {
		p("KTESTW K4, K4")
		p("JZ numbers")
		word(nanBits, 0)
		fmt.Println("numbers:")
	}
	p("VMOVSS X0, r+16(FP)")
	end()
}

// part folds Z5 into Zz; a NaN in Z5 leaves z as it is and is noted in K4.
func part(op string, z int, abs bool) {
	if abs {
		p("VPANDD Z6, Z5, Z5")
	} else {
		p("VCMPPS $3, Z5, Z5, K3")
		p("KORW K3, K4, K4")
	}
	p("%s Z%d, Z5, Z%d", op, z, z)
}

// find returns the index of the first value that test, on Z0 and Z3, puts into K2.
func find(name, list string, size int, result string, test func(m string)) {
	args(name, list, size, [][2]string{{"x+0", "SI"}, {"n+8", "CX"}})
	if size == 32 {
		p("VBROADCASTSS v+16(FP), Z3")
	}
	p("MOVQ SI, DX")
	loop(nil, func(m string) {
		loadW("F32", "(SI)", m, 0)
		test(m)
		p("KMOVW K2, AX")
		p("TESTL AX, AX")
		p("JNZ found")
		if m == "" {
			p("ADDQ $64, SI")
		}
	})
	p("MOVQ $-1, %s(FP)", result)
	end()
	fmt.Println("found:")
	p("BSFL AX, AX")
	p("SUBQ DX, SI")
	p("SHRQ $2, SI")
	p("ADDQ AX, SI")
	p("MOVQ SI, %s(FP)", result)
	end()
}

// ropes writes the rotation of halves and of pairs, without fused multiply-add,
// and tables of angles.
func ropes() {
	regs := [][2]string{{"y+0", "DI"}, {"x+8", "SI"}, {"cos+16", "BX"}, {"sin+24", "DX"}, {"n+32", "CX"}}
	args("ropeHalves", "y, x, cos, sin *float32, n int, sign float32", 44, regs)
	p("VBROADCASTSS sign+40(FP), Z7")
	p("MOVQ CX, R8") // from a value to its partner
	p("SHLQ $2, R8")
	loop(map[string]int{"DI": 4, "SI": 4, "DX": 4, "BX": 4}, func(m string) {
		loadW("F32", "(SI)", m, 0)
		loadW("F32", "(SI)(R8*1)", m, 1)
		loadW("F32", "(BX)", m, 2)
		loadW("F32", "(DX)", m, 3)
		p("VMULPS Z7, Z3, Z3")
		p("VMULPS Z2, Z0, Z4")
		p("VMULPS Z3, Z1, Z5")
		p("VSUBPS Z5, Z4, Z4")
		p("VMULPS Z3, Z0, Z5")
		p("VMULPS Z2, Z1, Z6")
		p("VADDPS Z6, Z5, Z5")
		p("VMOVUPS Z4, %s(DI)", m)
		p("VMOVUPS Z5, %s(DI)(R8*1)", m)
	})
	end()

	args("ropePairs", "y, x, cos, sin *float32, n int, sign float32", 44, regs)
	p("VBROADCASTSS sign+40(FP), Z7")
	p("VMOVDQU32 dup<>(SB), Z8")
	p("VMOVDQU32 evenSign<>(SB), Z9")
	fmt.Println("next:")
	p("MOVL $0xffff, AX")
	p("MOVL $0xff, R8")
	p("CMPQ CX, $8")
	p("JGE full")
	p("MOVL $1, R8")
	p("SHLL CX, R8")
	p("DECL R8")
	p("ADDQ CX, CX")
	p("MOVL $1, AX")
	p("SHLL CX, AX")
	p("DECL AX")
	p("SHRQ $1, CX")
	fmt.Println("full:")
	p("KMOVW AX, K1")
	p("KMOVW R8, K2")
	loadW("F32", "(SI)", "K1, ", 0)
	loadW("F32", "(BX)", "K2, ", 2)
	loadW("F32", "(DX)", "K2, ", 3)
	p("VMULPS Z7, Z3, Z3")
	p("VPERMPS Z2, Z8, Z2")
	p("VPERMPS Z3, Z8, Z3")
	p("VPXORD Z9, Z3, Z3")
	p("VPERMILPS $0xb1, Z0, Z1")
	p("VMULPS Z2, Z0, Z0")
	p("VMULPS Z3, Z1, Z1")
	p("VADDPS Z1, Z0, Z0")
	p("VMOVUPS Z0, K1, (DI)")
	for _, r := range []string{"DI", "SI"} {
		p("ADDQ $64, %s", r)
	}
	p("ADDQ $32, BX")
	p("ADDQ $32, DX")
	p("SUBQ $8, CX")
	p("JGT next")
	end()

	for _, f := range []struct{ name, op string }{{"ropeTableF32", "VMULPS Z0, Z7, Z0"}, {"ropePeriodsF32", "VDIVPS Z0, Z7, Z0"}} {
		args(f.name, "cos, sin, inv *float32, n int, pos float32", 36, [][2]string{{"cos+0", "DI"}, {"sin+8", "DX"}, {"inv+16", "SI"}, {"n+24", "CX"}})
		p("VBROADCASTSS pos+32(FP), Z7")
		loop(map[string]int{"DI": 4, "SI": 4, "DX": 4}, func(m string) {
			loadW("F32", "(SI)", m, 0)
			p(f.op)
			toWide(0)
			sincos()
			quadrant("sin")
			toNarrow(pq, 0)
			p("VMOVUPS Z0, %s(DX)", m)
			quadrant("cos")
			toNarrow(pq, 0)
			store(m)
		})
		end()
	}
}

// dequant writes codes as values.
func dequant() {
	for _, bits := range []int{2, 3, straight4, 5, 6, 8, e4m3} {
		for _, e := range []string{"F32", "F16", "BF16"} {
			values(bits, e)
		}
	}
}

// values: y = e(e(v·s) + b) with v the value of a code, s and b of its group of
// 16·per codes; without b, e(v·s). Up to 4 bits, all values of a group are made
// once, and codes look them up.
func values(bits int, e string) {
	name := fmt.Sprintf("valuesQ%d%s", abs(bits), e)
	if bits == e4m3 {
		name = "valuesE4M3" + e
	}
	args(name, "y *float32, w *uint32, groups, per int, s, b, base *float32", 56,
		[][2]string{{"y+0", "DI"}, {"w+8", "BX"}, {"groups+16", "CX"}, {"per+24", "R8"}, {"s+32", "SI"}, {"b+40", "DX"}})
	const table, bias, code = 16, 17, 24
	constants(bits, "base+48(FP)")
	if computed(bits) { // ·1 + -0 keeps a code
		word(oneBits, table)
		word(signBit, bias)
	}
	word(1, 26)
	word(0x7fff, 27)
	word(0x40, 25)
	round := func() {
		switch e {
		case "F16":
			p("VCVTPS2PH $0, Z0, Y0")
			p("VCVTPH2PS Y0, Z0")
		case "BF16":
			bf16(26, 27, 25, 3)
			p("VPSLLD $16, Z2, Z0")
		}
	}
	scale := func(label string) {
		p("VMULPS Z0, Z3, Z0")
		round()
		p("TESTQ DX, DX")
		p("JZ %s", label)
		p("VADDPS Z4, Z0, Z0")
		round()
		fmt.Println(label + ":")
	}
	fmt.Println("group:")
	p("VBROADCASTSS (SI), Z3")
	p("ADDQ $4, SI")
	p("TESTQ DX, DX")
	p("JZ nobias")
	p("VBROADCASTSS (DX), Z4")
	p("ADDQ $4, DX")
	fmt.Println("nobias:")
	if !computed(bits) {
		p("VMOVAPS Z20, Z0")
		scale("made")
		p("VMOVAPS Z0, Z%d", table)
	}
	p("MOVQ R8, AX")
	fmt.Println("loop:")
	codes(bits, "(BX)", table, bias, code)
	if computed(bits) {
		p("VMOVAPS Z%d, Z0", code)
		scale("made")
		p("VMOVUPS Z0, (DI)")
	} else {
		p("VMOVUPS Z%d, (DI)", code)
	}
	p("ADDQ $%d, BX", 2*abs(bits))
	p("ADDQ $64, DI")
	p("DECQ AX")
	p("JNZ loop")
	p("DECQ CX")
	p("JNZ group")
	end()
}

// packNN copies k rows of n <= 32 weights, ws bytes apart, to rows of 32 values.
func packNN(e string) {
	size := 2
	if e == "F32" {
		size = 4
	}
	args("packNN"+e, "dst *float32, w *byte, ws, k, n int", 40, [][2]string{{"dst+0", "DI"}, {"w+8", "SI"}, {"ws+16", "R8"}, {"k+24", "DX"}, {"n+32", "CX"}})
	masks32()
	fmt.Println("next:")
	loadW(e, "(SI)", "K1, ", 0)
	loadW(e, fmt.Sprintf("%d(SI)", 16*size), "K2, ", 1)
	p("VMOVUPS Z0, (DI)")
	p("VMOVUPS Z1, 64(DI)")
	p("ADDQ R8, SI")
	p("SUBQ $-128, DI")
	p("DECQ DX")
	p("JNZ next")
	end()
}

// masks32 sets K1 and K2 to the first and last half of CX <= 32 lanes.
func masks32() {
	p("MOVQ $1, AX")
	p("SHLQ CX, AX")
	p("DECQ AX")
	p("KMOVW AX, K1")
	p("SHRQ $16, AX")
	p("KMOVW AX, K2")
}

// tileNN: y += x·w for MR rows of x and up to 32 columns, one fused multiply-add
// for each k in turn. Rows of w, 32 values each whatever n is, follow each other.
// Each four k fetch a line ahead: next, next+ns, …
func tileNN(mr int) {
	args(fmt.Sprintf("tileNN%d", mr), "y *float32, ys int, x *float32, xs int, w *float32, k, n int, next *byte, ns int", 72,
		[][2]string{{"y+0", "DI"}, {"ys+8", "R13"}, {"x+16", "SI"}, {"xs+24", "R8"}, {"w+32", "BX"}, {"k+40", "DX"}, {"n+48", "CX"}, {"next+56", "R11"}, {"ns+64", "R12"}})
	if mr > 3 {
		p("LEAQ (R8)(R8*2), R9")
		p("LEAQ (R13)(R13*2), R14")
	}
	if mr > 4 {
		p("LEAQ (R8)(R8*4), R10")
		p("LEAQ (R13)(R13*4), R15")
	}
	yrow := []string{"(DI)", "(DI)(R13*1)", "(DI)(R13*2)", "(DI)(R14*1)", "(DI)(R13*4)", "(DI)(R15*1)"}
	masks32()
	for i := range mr {
		p("VMOVUPS.Z %s, K1, Z%d", yrow[i], 2*i)
		p("VMOVUPS.Z 64%s, K2, Z%d", yrow[i], 2*i+1)
	}
	step := func(u int) {
		p("VMOVUPS %d(BX), Z24", 128*u)
		p("VMOVUPS %d(BX), Z25", 128*u+64)
		for i := range mr {
			p("VBROADCASTSS %d%s, Z%d", 4*u, xrow[i], 26+i)
			p("VFMADD231PS Z24, Z%d, Z%d", 26+i, 2*i)
			p("VFMADD231PS Z25, Z%d, Z%d", 26+i, 2*i+1)
		}
	}
	p("SUBQ $4, DX")
	p("JLT rest")
	fmt.Println("wide:")
	p("PREFETCHT0 (R11)")
	p("ADDQ R12, R11")
	for u := range 4 {
		step(u)
	}
	p("ADDQ $16, SI")
	p("ADDQ $512, BX")
	p("SUBQ $4, DX")
	p("JGE wide")
	fmt.Println("rest:")
	p("ADDQ $4, DX")
	p("JZ done")
	fmt.Println("next:")
	step(0)
	p("ADDQ $4, SI")
	p("ADDQ $128, BX")
	p("DECQ DX")
	p("JNZ next")
	fmt.Println("done:")
	for i := range mr {
		p("VMOVUPS Z%d, K1, %s", 2*i, yrow[i])
		p("VMOVUPS Z%d, K2, 64%s", 2*i+1, yrow[i])
	}
	end()
}
