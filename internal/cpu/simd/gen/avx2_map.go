//go:build ignore

package main

import (
	"fmt"
	"math"
)

// maps writes loops over eight elements at a time. Loops over halves take
// multiples of eight; those over float32 end with a masked step.
func maps() {
	for _, e := range []string{"F16", "BF16"} {
		halves("a2From"+e, "y *float32, x *uint16, n int", 2, 4, func() { widen(e, "(SI)", 0); p("VMOVUPS Y0, (DI)") })
		halves("a2To"+e, "y *uint16, x *float32, n int", 4, 2, func() {
			widen("F32", "(SI)", 0)
			narrow(e)
			p("VMOVUPS X0, (DI)")
		})
		halves("a2Round"+e, "y, x *float32, n int", 4, 4, func() {
			widen("F32", "(SI)", 0)
			narrow(e)
			if e == "F16" {
				p("VCVTPH2PS X0, Y0")
			} else {
				p("VPMOVZXWD X0, Y0")
				p("VPSLLD $16, Y0, Y0")
			}
			p("VMOVUPS Y0, (DI)")
		})
		for _, op := range []string{"Mul", "Add"} { // with a weight or bias of halves
			fn("a2"+op+e, "y *float32, w *uint16, n int", "")
			load("y", "DI")
			load("w", "SI")
			load("n", "CX")
			eight(map[string]int{"DI": 4, "SI": 2}, func() {
				widen(e, "(SI)", 1)
				p("VMOVUPS (DI), Y0")
				p("V%sPS Y1, Y0, Y0", upper(op))
				p("VMOVUPS Y0, (DI)")
			})
			ret()
		}
	}
	unaries()
	binaries()
	scalar("Scale", func(string) { p("VMULPS Y8, Y0, Y0") })
	scalar("Shift", func(string) { p("VSUBPS Y8, Y0, Y0") })
	scalar("ExpShift", func(string) { p("VSUBPS Y8, Y0, Y0"); exp("exp") })
	scalar("Axpy", func(loadY string) { // y += a·x, the product rounded as pure Go does
		p("VMULPS Y8, Y0, Y0")
		p("%s", loadY)
		p("VADDPS Y0, Y1, Y0")
	})
	sum()
	extremes("Max", "VMAXPS", math.Inf(-1))
	extremes("Min", "VMINPS", math.Inf(1))
	find("Index", "a", func() { p("VCMPPS $0, (SI), Y8, Y0") })
	find("IndexNaN", "", func() { p("VMOVUPS (SI), Y0"); p("VCMPPS $3, Y0, Y0, Y0") })
	rope()
	for _, e := range []string{"F32", "F16", "BF16"} {
		weighted(e)
	}
}

func unaries() {
	unary("Neg", func() { p("VXORPS %s, Y0, Y0", vec(uint32(1<<31))) })
	unary("Abs", func() { p("VANDPS %s, Y0, Y0", vec(uint32(1<<31-1))) })
	unary("Sign", func() {
		p("VXORPS Y1, Y1, Y1")
		p("VCMPPS $0x1e, Y1, Y0, Y2") // x > 0
		p("VCMPPS $0x11, Y1, Y0, Y3") // x < 0
		p("VANDPS %s, Y2, Y2", vec(float32(1)))
		p("VANDPS %s, Y3, Y3", vec(float32(-1)))
		p("VORPS Y3, Y2, Y0")
	})
	unary("Square", func() { p("VMULPS Y0, Y0, Y0") })
	unary("Sqrt", func() { p("VSQRTPS Y0, Y0") })
	unary("Reciprocal", func() { p("VMOVUPS %s, Y1", vec(float32(1))); p("VDIVPS Y0, Y1, Y0") })
	unary("Rsqrt", func() {
		doubles(func() {
			both("VSQRTPD Y%[1]d, Y%[1]d", 10)
			both("VMOVUPD "+vec(1.0)+", Y%[1]d", 6)
			both("VDIVPD Y%[2]d, Y%[1]d, Y%[1]d", 6, 10)
		})
	})
	for i, op := range []string{"Rint", "Floor", "Ceil", "Trunc"} {
		unary(op, func() { p("VROUNDPS $%d, Y0, Y0", 8+i) })
	}
	unary("Exp", func() { exp("exp") })
	unary("Sigmoid", func() { exp("sigmoid") })
	unary("SiLU", func() { exp("silu") })
	unary("Tanh", func() { expm1(true) })
	unary("Expm1", func() { expm1(false) })
	unary("Erf", erf)
}

func binaries() {
	for _, op := range []string{"ADD", "SUB", "MUL", "DIV"} {
		binary(op[:1]+lower(op[1:]), func() { p("V%sPS Y9, Y0, Y0", op) })
	}
	extremum := func(op, and string) { // the sign of equal zeros as Go's max and min; NaN of either
		p("V%sPS Y9, Y0, Y1", op)
		p("V%sPS Y0, Y9, Y2", op)
		p("V%sPS Y1, Y2, Y1", and)
		p("VCMPPS $3, Y9, Y0, Y3")
		p("VADDPS Y9, Y0, Y0")
		p("VBLENDVPS Y3, Y0, Y1, Y0")
	}
	binary("Maximum", func() { extremum("MAX", "AND") })
	binary("Minimum", func() { extremum("MIN", "OR") })
	binary("SwiGLU", func() { exp("silu"); p("VMULPS Y9, Y0, Y0") })
}

func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] |= 32
	}
	return string(b)
}

func upper(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] &^= 32
	}
	return string(b)
}

var order = []string{"DI", "SI", "DX", "BX", "R8"}

func advance(adv map[string]int) {
	for _, r := range order {
		if adv[r] > 0 {
			p("ADDQ $%d, %s", 8*adv[r], r)
		}
	}
}

// eight runs body for each eight elements of CX, a multiple of it.
func eight(adv map[string]int, body func()) {
	p("TESTQ CX, CX")
	p("JZ done")
	label("loop")
	body()
	advance(adv)
	p("SUBQ $8, CX")
	p("JNZ loop")
	label("done")
}

// masked runs body for each eight elements and once for the rest, with the mask in Y15.
func masked(adv map[string]int, body func(tail bool)) {
	p("SUBQ $8, CX")
	p("JLT tail")
	label("loop")
	body(false)
	advance(adv)
	p("SUBQ $8, CX")
	p("JGE loop")
	label("tail")
	p("ADDQ $8, CX")
	p("JZ done")
	setMask()
	body(true)
	label("done")
}

func loadF32(addr string, y int, tail bool) string {
	if tail {
		return fmt.Sprintf("VMASKMOVPS %s, Y15, Y%d", addr, y)
	}
	return fmt.Sprintf("VMOVUPS %s, Y%d", addr, y)
}

func storeF32(y int, addr string, tail bool) string {
	if tail {
		return fmt.Sprintf("VMASKMOVPS Y%d, Y15, %s", y, addr)
	}
	return fmt.Sprintf("VMOVUPS Y%d, %s", y, addr)
}

func halves(name, args string, in, out int, body func()) {
	fn(name, args, "")
	load("y", "DI")
	load("x", "SI")
	load("n", "CX")
	eight(map[string]int{"DI": out, "SI": in}, body)
	ret()
}

func unary(name string, body func()) {
	fn("a2"+name, "y, x *float32, n int", "")
	load("y", "DI")
	load("x", "SI")
	load("n", "CX")
	masked(map[string]int{"DI": 4, "SI": 4}, func(tail bool) {
		p("%s", loadF32("(SI)", 0, tail))
		body()
		p("%s", storeF32(0, "(DI)", tail))
	})
	ret()
}

func binary(name string, body func()) {
	fn("a2"+name, "y, a, b *float32, n int", "")
	load("y", "DI")
	load("a", "SI")
	load("b", "DX")
	load("n", "CX")
	masked(map[string]int{"DI": 4, "SI": 4, "DX": 4}, func(tail bool) {
		p("%s", loadF32("(SI)", 0, tail))
		p("%s", loadF32("(DX)", 9, tail))
		body()
		p("%s", storeF32(0, "(DI)", tail))
	})
	ret()
}

func scalar(name string, body func(loadY string)) {
	fn("a2"+name, "y, x *float32, n int, a float32", "")
	load("y", "DI")
	load("x", "SI")
	load("n", "CX")
	p("VBROADCASTSS %s, Y8", arg("a"))
	masked(map[string]int{"DI": 4, "SI": 4}, func(tail bool) {
		p("%s", loadF32("(SI)", 0, tail))
		body(loadF32("(DI)", 1, tail))
		p("%s", storeF32(0, "(DI)", tail))
	})
	ret()
}

// narrow rounds Y0 to halves in X0; a NaN of bfloat16 stays, quiet.
func narrow(e string) {
	if e == "F16" {
		p("VCVTPS2PH $0, Y0, X0")
		return
	}
	p("VPSRLD $16, Y0, Y1")
	p("VPAND %s, Y1, Y2", vec(uint32(1)))
	p("VPADDD %s, Y2, Y2", vec(uint32(0x7fff)))
	p("VPADDD Y0, Y2, Y2")
	p("VPSRLD $16, Y2, Y2")
	p("VPOR %s, Y1, Y1", vec(uint32(0x40)))
	p("VCMPPS $3, Y0, Y0, Y3")
	p("VBLENDVPS Y3, Y1, Y2, Y0")
	p("VEXTRACTI128 $1, Y0, X1")
	p("VPACKUSDW X1, X0, X0")
}

// sum: four sums of eight lanes over blocks of 32, then eight lanes, then the rest.
func sum() {
	fn("a2Sum", "x *float32, n int", "r float32")
	load("x", "SI")
	load("n", "CX")
	for i := range 4 {
		p("VXORPS Y%d, Y%d, Y%d", i, i, i)
	}
	p("SUBQ $32, CX")
	p("JLT rest")
	label("wide")
	for i := range 4 {
		p("VADDPS %d(SI), Y%d, Y%d", 32*i, i, i)
	}
	p("ADDQ $128, SI")
	p("SUBQ $32, CX")
	p("JGE wide")
	label("rest")
	p("ADDQ $32, CX")
	p("VADDPS Y2, Y0, Y0")
	p("VADDPS Y3, Y1, Y1")
	p("VADDPS Y1, Y0, Y0")
	masked(map[string]int{"SI": 4}, func(tail bool) {
		p("%s", loadF32("(SI)", 1, tail))
		p("VADDPS Y1, Y0, Y0")
	})
	lanes(0, 1, "VADDPS")
	p("VMOVSS X0, %s", arg("r"))
	ret()
}

// lanes folds the lanes of y into its lowest: l with l+1, l+2, l+4.
func lanes(y, t int, op string) {
	for _, c := range []int{0xb1, 0x4e} {
		p("VPERMILPS $%#x, Y%d, Y%d", c, y, t)
		p("%s Y%d, Y%d, Y%d", op, t, y, y)
	}
	p("VEXTRACTF128 $1, Y%d, X%d", y, t)
	p("%s X%d, X%d, X%d", op, t, y, y)
}

// extremes: n a multiple of 8; nan is not 0 if any is NaN, and then r means nothing.
func extremes(name, op string, init float64) {
	fn("a2"+name, "x *float32, n int", "r float32, nan uint32")
	load("x", "SI")
	load("n", "CX")
	p("VMOVUPS %s, Y0", vec(float32(init)))
	p("VXORPS Y2, Y2, Y2")
	eight(map[string]int{"SI": 4}, func() {
		p("VMOVUPS (SI), Y1")
		p("%s Y1, Y0, Y0", op)
		p("VCMPPS $3, Y1, Y1, Y1")
		p("VORPS Y1, Y2, Y2")
	})
	lanes(0, 1, op)
	p("VMOVSS X0, %s", arg("r"))
	p("VMOVMSKPS Y2, AX")
	p("MOVL AX, %s", arg("nan"))
	ret()
}

// find returns the first index that cmp marks in Y0, or n; n is a multiple of 8.
func find(name, a string, cmp func()) {
	args := "x *float32, n int"
	if a != "" {
		args += ", a float32"
	}
	fn("a2"+name, args, "i int")
	load("x", "SI")
	load("n", "CX")
	p("MOVQ SI, DX")
	if a != "" {
		p("VBROADCASTSS %s, Y8", arg("a"))
	}
	eight(map[string]int{"SI": 4}, func() {
		cmp()
		p("VMOVMSKPS Y0, AX")
		p("TESTL AX, AX")
		p("JNZ found")
	})
	p("SUBQ DX, SI")
	p("SHRQ $2, SI")
	p("MOVQ SI, %s", arg("i"))
	ret()
	label("found")
	p("BSFL AX, AX")
	p("SUBQ DX, SI")
	p("SHRQ $2, SI")
	p("ADDQ AX, SI")
	p("MOVQ SI, %s", arg("i"))
	ret()
}

// rope: n pairs, a multiple of 8; sign is 0 or the sign bit.
func rope() {
	args := "y, x, c, s *float32, n, h int, sign uint32"
	start := func(name string) {
		fn(name, args, "")
		load("y", "DI")
		load("x", "SI")
		load("c", "DX")
		load("s", "BX")
		load("n", "CX")
		load("h", "R9")
		p("VBROADCASTSS %s, Y8", arg("sign"))
	}
	start("a2RopeHalves") // pairs (i, i+h)
	p("SHLQ $2, R9")
	eight(map[string]int{"DI": 4, "SI": 4, "DX": 4, "BX": 4}, func() {
		p("VXORPS (BX), Y8, Y3")
		p("VMOVUPS (DX), Y2")
		p("VMOVUPS (SI), Y0")
		p("VMOVUPS (SI)(R9*1), Y1")
		p("VMULPS Y2, Y0, Y4")
		p("VMULPS Y3, Y1, Y5")
		p("VMULPS Y3, Y0, Y6")
		p("VMULPS Y2, Y1, Y7")
		p("VSUBPS Y5, Y4, Y4")
		p("VADDPS Y7, Y6, Y6")
		p("VMOVUPS Y4, (DI)")
		p("VMOVUPS Y6, (DI)(R9*1)")
	})
	ret()
	start("a2RopePairs") // pairs (2i, 2i+1)
	eight(map[string]int{"DI": 8, "SI": 8, "DX": 4, "BX": 4}, func() {
		for i := range 2 {
			p("VPMOVZXDQ %d(DX), Y2", 16*i)
			p("VMOVSLDUP Y2, Y2")
			p("VPMOVZXDQ %d(BX), Y3", 16*i)
			p("VMOVSLDUP Y3, Y3")
			p("VXORPS Y8, Y3, Y3")
			p("VMOVUPS %d(SI), Y0", 32*i)
			p("VPERMILPS $0xb1, Y0, Y1")
			p("VMULPS Y2, Y0, Y0")
			p("VMULPS Y3, Y1, Y1")
			p("VADDSUBPS Y1, Y0, Y0")
			p("VMOVUPS Y0, %d(DI)", 32*i)
		}
	})
	ret()
}

// weighted: y[0:d] += Σ a[j]·v[j] over n > 0 rows, j in turn by fused multiply-add.
func weighted(e string) {
	size := sizeOf(e)
	fn("a2Weighted"+e, "y *float32, d int, a *float32, n int, v *byte, vs int", "")
	load("y", "DI")
	load("d", "CX")
	load("v", "BX")
	load("vs", "R8")
	body := func(z int, tail bool) {
		load("a", "SI")
		load("n", "DX")
		p("MOVQ BX, R9")
		for i := range z {
			p("%s", loadF32(fmt.Sprintf("%d(DI)", 32*i), i, tail))
		}
		l := fmt.Sprintf("row%d", z)
		if tail {
			l = "rowtail"
		}
		label(l)
		p("VBROADCASTSS (SI), Y8")
		for i := range z {
			t := 9 + i%4
			if tail {
				widenTail(e, "R9", "", t)
			} else {
				widen(e, fmt.Sprintf("%d(R9)", 8*size*i), t)
			}
			p("VFMADD231PS Y8, Y%d, Y%d", t, i)
		}
		p("ADDQ $4, SI")
		p("ADDQ R8, R9")
		p("DECQ DX")
		p("JNZ %s", l)
		for i := range z {
			p("%s", storeF32(i, fmt.Sprintf("%d(DI)", 32*i), tail))
		}
		p("ADDQ $%d, DI", 32*z)
		p("ADDQ $%d, BX", 8*size*z)
	}
	p("SUBQ $64, CX")
	p("JLT rest")
	label("wide")
	body(8, false)
	p("SUBQ $64, CX")
	p("JGE wide")
	label("rest")
	p("ADDQ $64, CX")
	p("SUBQ $8, CX")
	p("JLT tail")
	label("one")
	body(1, false)
	p("SUBQ $8, CX")
	p("JGE one")
	label("tail")
	p("ADDQ $8, CX")
	p("JZ done")
	setMask()
	body(1, true)
	label("done")
	ret()
}
