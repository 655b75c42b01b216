//go:build ignore

package main

import (
	"fmt"
	"math"
)

// maps writes loops over 16 elements at a time with a masked last step.
func maps() {
	ln := math.Ln2
	c := 1.0
	fmt.Println("\n// 2^f for |f| <= 1/2: ln(2)^i/i!, relative error 3e-10")
	for i := range 9 {
		constant(fmt.Sprintf("exp%d", i), c)
		c *= ln / float64(i+1)
	}
	constant("log2e", math.Log2E)
	constant("nlog2e", -math.Log2E)
	constant("lim", 1000)
	constant("nlim", -1000)

	conv("cvtF16", 4, 2, func(m string) { loadW("F16", "(SI)", m, 0); store(m) })
	conv("cvtBF16", 4, 2, func(m string) { loadW("BF16", "(SI)", m, 0); store(m) })
	conv("toF16", 2, 4, func(m string) {
		loadW("F32", "(SI)", m, 0)
		p("VCVTPS2PH $0, Z0, %s(DI)", m)
	})
	conv("toBF16", 2, 4, func(m string) {
		loadW("F32", "(SI)", m, 0)
		toBF16()
		p("VPMOVDW Z2, %s(DI)", m)
	})
	conv("roundF16", 4, 4, func(m string) {
		loadW("F32", "(SI)", m, 0)
		p("VCVTPS2PH $0, Z0, Y0")
		p("VCVTPH2PS Y0, Z0")
		store(m)
	})
	conv("roundBF16", 4, 4, func(m string) {
		loadW("F32", "(SI)", m, 0)
		toBF16()
		p("VPSLLD $16, Z2, Z0")
		store(m)
	})
	for _, u := range []string{"exp", "sigmoid", "silu"} {
		conv(u+"F32", 4, 4, func(m string) { loadW("F32", "(SI)", m, 0); wide(u); store(m) })
	}
	for _, op := range []string{"ADD", "SUB", "MUL", "DIV"} {
		binary(op[:1]+lower(op[1:])+"F32", "F32", func(m string) {
			loadW("F32", "(SI)", m, 0)
			p("V%sPS Z3, Z0, Z0", op)
		})
	}
	for _, e := range []string{"F16", "BF16"} {
		binary("Mul"+e, e, func(m string) {
			loadW("F32", "(SI)", m, 0)
			p("VMULPS Z3, Z0, Z0")
		})
	}
	scalar("scaleF32", func(m string) { p("VMULPS Z3, Z0, Z0") })
	scalar("expSubF32", func(m string) { p("VSUBPS Z3, Z0, Z0"); wide("exp") })
	scalar("axpyF32", func(m string) { // y += a·x, the product rounded as pure Go does
		p("VMULPS Z3, Z0, Z0")
		p("VMOVUPS%s (DI), %sZ1", zero(m), m)
		p("VADDPS Z0, Z1, Z0")
	})
	fold("sumF32", "VADDPS", 0)
	fold("maxF32", "VMAXPS", 0xff800000)
	for _, e := range []string{"F32", "BF16", "F16"} {
		weighted(e)
	}
}

func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] |= 32
	}
	return string(b)
}

func constant(name string, v float64) {
	fmt.Printf("DATA %s<>+0(SB)/8, $%#x\nGLOBL %s<>(SB), RODATA|NOPTR, $8\n", name, math.Float64bits(v), name)
}

func store(m string) { p("VMOVUPS Z0, %s(DI)", m) }

// loop runs body for each 16 elements; adv lists the pointers with their element sizes.
func loop(adv map[string]int, body func(m string)) {
	p("SUBQ $16, CX")
	p("JLT tail")
	fmt.Println("loop:")
	body("")
	for _, r := range []string{"DI", "SI", "DX", "BX"} {
		if adv[r] > 0 {
			p("ADDQ $%d, %s", 16*adv[r], r)
		}
	}
	p("SUBQ $16, CX")
	p("JGE loop")
	fmt.Println("tail:")
	p("ADDQ $16, CX")
	p("JZ done")
	p("MOVL $1, AX")
	p("SHLL CX, AX")
	p("DECL AX")
	p("KMOVW AX, K1")
	body("K1, ")
	fmt.Println("done:")
}

func limits() { // constants of wide and toBF16
	p("VBROADCASTSD lim<>(SB), Z30")
	p("VBROADCASTSD nlim<>(SB), Z31")
	roundingConstants()
}

func roundingConstants() { // those of toBF16
	p("MOVL $1, AX")
	p("VPBROADCASTD AX, Z29")
	p("MOVL $0x7fff, AX")
	p("VPBROADCASTD AX, Z28")
	p("MOVL $0x40, AX")
	p("VPBROADCASTD AX, Z27")
}

var goType = map[int]string{2: "*uint16", 4: "*float32"}

func conv(name string, out, in int, body func(m string)) {
	head(name, fmt.Sprintf("y %s, x %s, n int", goType[out], goType[in]), 24)
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	limits()
	loop(map[string]int{"DI": out, "SI": in}, body)
	p("VZEROUPPER")
	p("RET")
}

func binary(name, e string, body func(m string)) {
	size := 4
	if e != "F32" {
		size = 2
	}
	head("vec"+name, fmt.Sprintf("y, a *float32, b %s, n int", goType[size]), 32)
	p("MOVQ y+0(FP), DI")
	p("MOVQ a+8(FP), SI")
	p("MOVQ b+16(FP), DX")
	p("MOVQ n+24(FP), CX")
	limits()
	loop(map[string]int{"DI": 4, "SI": 4, "DX": size}, func(m string) {
		loadW(e, "(DX)", m, 3)
		body(m)
		store(m)
	})
	p("VZEROUPPER")
	p("RET")
}

func scalar(name string, body func(m string)) {
	head(name, "y, x *float32, n int, a float32", 28)
	p("MOVQ y+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	p("VBROADCASTSS a+24(FP), Z3")
	limits()
	loop(map[string]int{"DI": 4, "SI": 4}, func(m string) {
		loadW("F32", "(SI)", m, 0)
		body(m)
		store(m)
	})
	p("VZEROUPPER")
	p("RET")
}

// fold reduces x from the value init on, in the order of a dot.
func fold(name, op string, init uint32) {
	head(name, "x *float32, n int) (r float32", 20)
	p("MOVQ x+0(FP), SI")
	p("MOVQ n+8(FP), CX")
	p("MOVL $%#x, AX", init)
	p("VPBROADCASTD AX, Z0")
	p("VMOVAPS Z0, Z2")
	loop(map[string]int{"SI": 4}, func(m string) {
		if m == "" {
			p("%s (SI), Z0, Z0", op)
			return
		}
		p("VMOVUPS (SI), K1, Z2") // the rest stays init
		p("%s Z2, Z0, Z0", op)
	})
	p("VEXTRACTF64X4 $1, Z0, Y1")
	p("%s Y1, Y0, Y0", op)
	p("VEXTRACTF32X4 $1, Y0, X1")
	p("%s X1, X0, X0", op)
	for _, c := range []int{0xb1, 0x4e} {
		p("VPERMILPS $%#x, X0, X1", c)
		p("%s X1, X0, X0", op)
	}
	p("VMOVSS X0, r+16(FP)")
	p("VZEROUPPER")
	p("RET")
}

// weighted: y[0:d] += Σ a[j]·v[j], j in turn by fused multiply-add.
func weighted(e string) {
	size := 2
	if e == "F32" {
		size = 4
	}
	head("weighted"+e, "y *float32, d int, a *float32, n int, v *byte, vs int", 48)
	p("MOVQ y+0(FP), DI")
	p("MOVQ d+8(FP), CX")
	p("MOVQ v+32(FP), BX")
	p("MOVQ vs+40(FP), R8")
	body := func(z int, m string) {
		p("MOVQ a+16(FP), SI")
		p("MOVQ n+24(FP), DX")
		p("MOVQ BX, R9")
		for i := range z {
			p("VMOVUPS%s %d(DI), %sZ%d", zero(m), 64*i, m, i)
		}
		l := "l" + fmt.Sprint(z)
		fmt.Println(l + ":")
		p("VBROADCASTSS (SI), Z8")
		for i := range z {
			loadW(e, fmt.Sprintf("%d(R9)", 16*size*i), m, 4+i)
			p("VFMADD231PS Z8, Z%d, Z%d", 4+i, i)
		}
		p("ADDQ $4, SI")
		p("ADDQ R8, R9")
		p("DECQ DX")
		p("JNZ %s", l)
		for i := range z {
			p("VMOVUPS Z%d, %s%d(DI)", i, m, 64*i)
		}
		p("ADDQ $%d, DI", 64*z)
		p("ADDQ $%d, BX", 16*size*z)
	}
	p("SUBQ $64, CX")
	p("JLT rest")
	fmt.Println("wide:")
	body(4, "")
	p("SUBQ $64, CX")
	p("JGE wide")
	fmt.Println("rest:")
	p("ADDQ $64, CX")
	p("JZ done")
	p("MOVL $0xffff, AX")
	fmt.Println("next:")
	p("CMPQ CX, $16")
	p("JGE full")
	p("MOVL $1, AX")
	p("SHLL CX, AX")
	p("DECL AX")
	fmt.Println("full:")
	p("KMOVW AX, K1")
	body(1, "K1, ")
	p("SUBQ $16, CX")
	p("JGT next")
	fmt.Println("done:")
	p("VZEROUPPER")
	p("RET")
}

// toBF16 rounds Z0 to bfloat16 in the dwords of Z2; NaN stays, quiet.
func toBF16() { bf16(29, 28, 27, 2) }

// bf16 is toBF16 with 1, 0x7fff and 0x40 in these registers, and a mask to use.
func bf16(one, most, quiet, mask int) {
	p("VPSRLD $16, Z0, Z1")
	p("VPANDD Z%d, Z1, Z2", one)
	p("VPADDD Z%d, Z2, Z2", most)
	p("VPADDD Z0, Z2, Z2")
	p("VPSRLD $16, Z2, Z2")
	p("VCMPPS $3, Z0, Z0, K%d", mask)
	p("VPORD Z%d, Z1, K%d, Z2", quiet, mask)
}

// wide applies f to Z0 in float64, eight values at a time: exp, 1/(1+exp(-x))
// or x/(1+exp(-x)). Clamping keeps Inf out of the reduction; NaN passes, since
// MIN and MAX return the second source then.
func wide(f string) {
	p("VEXTRACTF64X4 $1, Z0, Y11")
	p("VCVTPS2PD Y0, Z10")
	p("VCVTPS2PD Y11, Z11")
	k := "log2e"
	if f != "exp" {
		k = "nlog2e"
	}
	both := func(f func(x, t, k int)) { f(10, 12, 14); f(11, 13, 15) }
	both(func(x, t, k int) { p("VMINPD Z%d, Z30, Z%d", x, t) })
	both(func(x, t, k int) { p("VMAXPD Z%d, Z31, Z%d", t, t) })
	both(func(x, t, _ int) { p("VMULPD.BCST %s<>(SB), Z%d, Z%d", k, t, t) })
	both(func(x, t, k int) { p("VRNDSCALEPD $8, Z%d, Z%d", t, k) })
	both(func(x, t, k int) { p("VSUBPD Z%d, Z%d, Z%d", k, t, t) })
	both(func(x, t, k int) { p("VBROADCASTSD exp8<>(SB), Z%d", x+6) }) // 16, 17
	for i := 7; i >= 0; i-- {
		both(func(x, t, k int) { p("VFMADD213PD.BCST exp%d<>(SB), Z%d, Z%d", i, t, x+6) })
	}
	both(func(x, t, k int) { p("VSCALEFPD Z%d, Z%d, Z%d", k, x+6, x+6) })
	if f != "exp" {
		both(func(x, t, k int) { p("VBROADCASTSD exp0<>(SB), Z%d", t) })
		both(func(x, t, k int) { p("VADDPD Z%d, Z%d, Z%d", t, x+6, x+6) })
		num := 12
		if f == "silu" {
			num = 10
		}
		both(func(x, t, k int) { p("VDIVPD Z%d, Z%d, Z%d", x+6, x-10+num, x+6) })
	}
	p("VCVTPD2PS Z16, Y0")
	p("VCVTPD2PS Z17, Y11")
	p("VINSERTF64X4 $1, Y11, Z0, Z0")
}
