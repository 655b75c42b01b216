package amxemu

import "encoding/binary"

// Op is an instruction.
type Op uint8

// The instructions, as Intel names them.
const (
	LDTILECFG Op = iota
	STTILECFG
	TILERELEASE
	TILEZERO
	TILELOADD
	TILELOADDT1
	TILESTORED
	TDPBF16PS
	TDPBSSD
	TDPBSUD
	TDPBUSD
	TDPBUUD
	numOps
)

var opNames = [numOps]string{"LDTILECFG", "STTILECFG", "TILERELEASE", "TILEZERO", "TILELOADD", "TILELOADDT1", "TILESTORED",
	"TDPBF16PS", "TDPBSSD", "TDPBSUD", "TDPBUSD", "TDPBUUD"}

func (o Op) String() string { return opNames[o] }

// none and rip stand for registers of an address.
const (
	none = -1
	rip  = -2
)

// Inst is a decoded instruction.
type Inst struct {
	Op  Op
	Dst uint8 // the tile of ModRM.reg: loaded, stored or added to
	A   uint8 // of products: ModRM.rm, the rows
	B   uint8 // of products: VEX.vvvv, the columns
	Len int   // bytes

	base, index int // numbers of registers, or none, or rip
	scale       uint
	disp        int32
}

// Addr is the effective address of the operand in memory. regs are the general
// registers in the order of their numbers (AX CX DX BX SP BP SI DI R8 …), next
// is the address after the instruction. Loads and stores of tiles take base and
// displacement as the address of row 0, the scaled index as the stride of rows.
func (in *Inst) Addr(regs *[16]uint64, next uint64) (addr, stride uint64) {
	addr = uint64(int64(in.disp))
	switch in.base {
	case none:
	case rip:
		addr += next
	default:
		addr += regs[in.base]
	}
	if in.index != none {
		stride = regs[in.index] << in.scale
	}
	switch in.Op {
	case TILELOADD, TILELOADDT1, TILESTORED:
		return addr, stride
	}
	return addr + stride, 0
}

// Decode reads the instruction that b starts with; ok is false if it is none of
// AMX or b ends inside it.
func Decode(b []byte) (in Inst, ok bool) {
	// C4, RXBmmmmm, WvvvvLpp, opcode, ModRM: R, X, B and vvvv are inverted.
	if len(b) < 5 || b[0] != 0xc4 || b[1]&0x1f != 2 || b[2]&0x84 != 0 {
		return in, false
	}
	pp, vvvv := b[2]&3, ^b[2]>>3&15
	mod, reg, rm := b[4]>>6, b[4]>>3&7|^b[1]>>7&1<<3, b[4]&7|^b[1]>>5&1<<3
	in = Inst{Dst: reg, A: rm, B: vvvv, Len: 5, base: none, index: none}
	memory := mod != 3
	sib := memory && b[4]&7 == 4
	switch b[3] {
	case 0x49: // no tile but TILEZERO's is named
		zero := b[4]&0x38 == 0 && reg == 0
		switch {
		case pp == 0 && memory && zero:
			in.Op = LDTILECFG
		case pp == 1 && memory && zero:
			in.Op = STTILECFG
		case pp == 0 && b[4] == 0xc0:
			in.Op = TILERELEASE
		case pp == 3 && !memory && b[4]&7 == 0:
			in.Op = TILEZERO
		default:
			return in, false
		}
	case 0x4b:
		if !sib || pp == 0 {
			return in, false
		}
		in.Op = [4]Op{1: TILELOADDT1, 2: TILESTORED, 3: TILELOADD}[pp]
	case 0x5c:
		if memory || pp != 2 {
			return in, false
		}
		in.Op = TDPBF16PS
		return in, true
	case 0x5e:
		if memory {
			return in, false
		}
		in.Op = [4]Op{TDPBUUD, TDPBUSD, TDPBSUD, TDPBSSD}[pp]
		return in, true
	default:
		return in, false
	}
	in.A, in.B = 0, 0
	if vvvv != 0 {
		return in, false
	}
	if !memory {
		return in, true
	}
	return in, in.address(b, mod, rm, ^b[1]>>6&1<<3)
}

// address decodes the operand in memory from SIB and displacement; x is the
// upper bit of the index.
func (in *Inst) address(b []byte, mod, rm, x uint8) bool {
	in.base = int(rm)
	if rm&7 == 4 {
		if len(b) < 6 {
			return false
		}
		s := b[5]
		in.Len++
		in.base = int(s&7 | rm&8)
		if i := int(s>>3&7 | x); i != 4 {
			in.index, in.scale = i, uint(s>>6)
		}
	}
	size := [3]int{0, 1, 4}[mod]
	if mod == 0 && in.base&7 == 5 { // no base, but a displacement
		size = 4
		if in.base = none; rm&7 == 5 {
			in.base = rip
		}
	}
	if len(b) < in.Len+size {
		return false
	}
	switch d := b[in.Len:]; size {
	case 1:
		in.disp = int32(int8(d[0]))
	case 4:
		in.disp = int32(binary.LittleEndian.Uint32(d))
	}
	in.Len += size
	return true
}
