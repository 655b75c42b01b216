package amxemu

import (
	"encoding/hex"
	"testing"
)

// As GNU as encodes them.
var encodings = []struct {
	code, text string
	want       Inst
}{
	{"c4e2784900", "ldtilecfg [rax]", Inst{Op: LDTILECFG, index: none}},
	{"c4e278494424c0", "ldtilecfg [rsp-64]", Inst{Op: LDTILECFG, base: 4, index: none, disp: -64}},
	{"c4c278494500", "ldtilecfg [r13]", Inst{Op: LDTILECFG, base: 13, index: none}},
	{"c4827849848c34120000", "ldtilecfg [r12+r9*4+0x1234]", Inst{Op: LDTILECFG, base: 12, index: 9, scale: 2, disp: 0x1234}},
	{"c4e278490510000000", "ldtilecfg [rip+16]", Inst{Op: LDTILECFG, base: rip, index: none, disp: 16}},
	{"c4e2794907", "sttilecfg [rdi]", Inst{Op: STTILECFG, base: 7, index: none}},
	{"c4e279494500", "sttilecfg [rbp]", Inst{Op: STTILECFG, base: 5, index: none}},
	{"c4e2794904fd40000000", "sttilecfg [rdi*8+64]", Inst{Op: STTILECFG, base: none, index: 7, scale: 3, disp: 64}},
	{"c4e27949042500100000", "sttilecfg [0x1000]", Inst{Op: STTILECFG, base: none, index: none, disp: 0x1000}},
	{"c4e27849c0", "tilerelease", Inst{Op: TILERELEASE, base: none, index: none}},
	{"c4e27b49c0", "tilezero tmm0", Inst{Op: TILEZERO, base: none, index: none}},
	{"c4e27b49f8", "tilezero tmm7", Inst{Op: TILEZERO, Dst: 7, base: none, index: none}},
	{"c4a27b4b2406", "tileloadd tmm4, [rsi+r8]", Inst{Op: TILELOADD, Dst: 4, base: 6, index: 8}},
	{"c4c27b4b5cc780", "tileloadd tmm3, [r15+rax*8-128]", Inst{Op: TILELOADD, Dst: 3, base: 15, scale: 3, disp: -128}},
	{"c4e27b4b1423", "tileloadd tmm2, [rbx]", Inst{Op: TILELOADD, Dst: 2, base: 3, index: none}},
	{"c4827b4b746d00", "tileloadd tmm6, [r13+r13*2]", Inst{Op: TILELOADD, Dst: 6, base: 13, index: 13, scale: 1}},
	{"c4e27b4bac95ffffff7f", "tileloadd tmm5, [rbp+rdx*4+0x7fffffff]", Inst{Op: TILELOADD, Dst: 5, base: 5, index: 2, scale: 2, disp: 0x7fffffff}},
	{"c4e27b4b0c55ffffffff", "tileloadd tmm1, [rdx*2-1]", Inst{Op: TILELOADD, Dst: 1, base: none, index: 2, scale: 1, disp: -1}},
	{"c4e2794b6c1740", "tileloaddt1 tmm5, [rdi+rdx+64]", Inst{Op: TILELOADDT1, Dst: 5, base: 7, index: 2, disp: 64}},
	{"c4e27a4b9c1740080000", "tilestored [rdi+rdx+0x840], tmm3", Inst{Op: TILESTORED, Dst: 3, base: 7, index: 2, disp: 0x840}},
	{"c4827a4b3c22", "tilestored [r10+r12], tmm7", Inst{Op: TILESTORED, Dst: 7, base: 10, index: 12}},
	{"c4e2625cca", "tdpbf16ps tmm1, tmm2, tmm3", Inst{Op: TDPBF16PS, Dst: 1, A: 2, B: 3, base: none, index: none}},
	{"c4e24a5cf8", "tdpbf16ps tmm7, tmm0, tmm6", Inst{Op: TDPBF16PS, Dst: 7, A: 0, B: 6, base: none, index: none}},
	{"c4e2435ec4", "tdpbssd tmm0, tmm4, tmm7", Inst{Op: TDPBSSD, Dst: 0, A: 4, B: 7, base: none, index: none}},
	{"c4e2425ecc", "tdpbsud tmm1, tmm4, tmm7", Inst{Op: TDPBSUD, Dst: 1, A: 4, B: 7, base: none, index: none}},
	{"c4e2495ed5", "tdpbusd tmm2, tmm5, tmm6", Inst{Op: TDPBUSD, Dst: 2, A: 5, B: 6, base: none, index: none}},
	{"c4e2485edd", "tdpbuud tmm3, tmm5, tmm6", Inst{Op: TDPBUUD, Dst: 3, A: 5, B: 6, base: none, index: none}},
}

func TestDecode(t *testing.T) {
	for _, c := range encodings {
		b, err := hex.DecodeString(c.code)
		if err != nil {
			t.Fatal(err)
		}
		want := c.want
		want.Len = len(b)
		if got, ok := Decode(append(b, 0xcc, 0xcc)); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", c.text, got, ok, want)
		}
		for n := range b {
			if _, ok := Decode(b[:n]); ok {
				t.Errorf("%s: decoded from %d of %d bytes", c.text, n, len(b))
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for code, why := range map[string]string{
		"0f0b9090909090":   "ud2",
		"c5f9efc09090":     "vpxor",
		"c4e2f849009090":   "W1",
		"c4e27c49009090":   "L1",
		"c4e17849009090":   "map 0F",
		"c4e27049009090":   "LDTILECFG with vvvv",
		"c4e2784908909090": "LDTILECFG with a register",
		"c4e27b4b06909090": "TILELOADD without SIB",
		"c4e2784b24069090": "TILELOADD without prefix",
		"c4e2625c0a909090": "TDPBF16PS from memory",
		"c4e2635cca909090": "TDPFP16PS",
		"c4e2425e08909090": "TDPBSUD from memory",
	} {
		b, err := hex.DecodeString(code)
		if err != nil {
			t.Fatal(err)
		}
		if in, ok := Decode(b); ok {
			t.Errorf("%s: decoded as %v", why, in.Op)
		}
	}
}

func TestAddr(t *testing.T) {
	var regs [16]uint64
	for i := range regs {
		regs[i] = 0x1000 << i
	}
	for _, c := range []struct {
		in           Inst
		addr, stride uint64
	}{
		{Inst{Op: LDTILECFG, base: 4, index: none, disp: -64}, 0x10000 - 64, 0},
		{Inst{Op: LDTILECFG, base: rip, index: none, disp: 16}, 0x50 + 16, 0},
		{Inst{Op: STTILECFG, base: 1, index: 2, scale: 3, disp: 1}, 0x2000 + 8*0x4000 + 1, 0},
		{Inst{Op: STTILECFG, base: none, index: none, disp: -8}, 1<<64 - 8, 0},
		{Inst{Op: TILELOADD, base: 1, index: 2, scale: 3, disp: 1}, 0x2001, 8 * 0x4000},
		{Inst{Op: TILESTORED, base: 15, index: none}, 0x1000 << 15, 0},
	} {
		if a, s := c.in.Addr(&regs, 0x50); a != c.addr || s != c.stride {
			t.Errorf("%+v: %#x, %#x, want %#x, %#x", c.in, a, s, c.addr, c.stride)
		}
	}
}
