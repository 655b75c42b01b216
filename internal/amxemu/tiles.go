// Package amxemu performs the AMX instructions of x86-64 in plain Go, so that
// kernels written for tiles run in tests on a CPU that has none. It is for tests.
//
// [Rerun] starts the test binary again under ptrace: where one of its threads
// gets SIGILL at an AMX instruction, the tracer decodes it ([Decode]), performs
// it on the tiles of that thread ([Tiles]) and lets the thread go on after it.
// Everything else runs on the CPU itself. Linux on amd64 only; decoder and tiles
// are portable.
//
// Instructions: LDTILECFG, STTILECFG, TILERELEASE, TILEZERO, TILELOADD,
// TILELOADDT1, TILESTORED, TDPBF16PS, TDPBSSD, TDPBSUD, TDPBUSD, TDPBUUD, with
// palette 1, as Intel's manual defines them. Not modelled: the payload of a NaN
// (every NaN is a quiet one), addresses with a segment or a 32-bit prefix.
package amxemu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Limits of palette 1.
const (
	numTiles = 8
	maxRows  = 16
	rowBytes = 64
)

// Faults of an instruction. It then has changed nothing, but for tile loads
// and stores that meet a *PageFault: rows before it are done.
var (
	ErrUndefined  = errors.New("amxemu: #UD: tiles are not configured for this instruction")
	ErrProtection = errors.New("amxemu: #GP: not a valid tile configuration")
)

// PageFault is memory that the program itself may not touch.
type PageFault struct {
	Addr  uint64 // the first byte of it
	Write bool
}

func (f *PageFault) Error() string { return fmt.Sprintf("amxemu: page fault at %#x", f.Addr) }

// Memory is that of the program.
type Memory interface {
	// Rows reads (or writes) rows, row i at addr + i·stride, in turn. It returns
	// how many were done; the error, if fewer than all, is a *PageFault where the
	// program itself would meet one.
	Rows(write bool, addr, stride uint64, rows [][]byte) (int, error)
}

// Tiles is the tile state of one thread. The zero value is the initial state.
// What lies outside of the configured rows and columns is zero: configuring
// clears the data, and no instruction writes there.
type Tiles struct {
	cfg  [64]byte // as STTILECFG stores it; all zero if not configured
	data [numTiles][maxRows][rowBytes]byte
}

func (t *Tiles) rows(i uint8) int  { return int(t.cfg[48+i]) }
func (t *Tiles) colsb(i uint8) int { return int(binary.LittleEndian.Uint16(t.cfg[16+2*i:])) }

// valid says whether tile i is configured and holds whole dwords.
func (t *Tiles) valid(i uint8) bool {
	return t.cfg[0] == 1 && i < numTiles && t.rows(i) > 0 && t.colsb(i)%4 == 0
}

// Do performs in. addr and stride are what [Inst.Addr] gives.
func (t *Tiles) Do(in Inst, addr, stride uint64, m Memory) error {
	switch in.Op {
	case LDTILECFG:
		return t.configure(addr, m)
	case STTILECFG:
		cfg := t.cfg
		_, err := m.Rows(true, addr, 0, [][]byte{cfg[:]})
		return err
	case TILERELEASE:
		*t = Tiles{}
		return nil
	case TILEZERO:
		if !t.valid(in.Dst) {
			return ErrUndefined
		}
		t.data[in.Dst] = [maxRows][rowBytes]byte{}
		t.cfg[1] = 0
		return nil
	case TILELOADD, TILELOADDT1:
		return t.move(false, in.Dst, addr, stride, m)
	case TILESTORED:
		return t.move(true, in.Dst, addr, stride, m)
	}
	return t.multiply(in)
}

func (t *Tiles) configure(addr uint64, m Memory) error {
	var cfg [64]byte
	if _, err := m.Rows(false, addr, 0, [][]byte{cfg[:]}); err != nil {
		return err
	}
	if cfg[0] == 0 {
		*t = Tiles{}
		return nil
	}
	n := Tiles{cfg: cfg}
	bad := cfg[0] != 1
	for i, b := range cfg {
		reserved := i >= 2 && i < 16 || i >= 32 && i < 48 || i >= 56
		bad = bad || reserved && b != 0
	}
	for i := range uint8(numTiles) {
		rows, colsb := n.rows(i), n.colsb(i)
		bad = bad || rows > maxRows || colsb > rowBytes || (rows == 0) != (colsb == 0)
	}
	if bad {
		return ErrProtection
	}
	*t = n
	return nil
}

// move loads or stores the rows of a tile from the start row on. A page fault
// leaves its row as the start row: the instruction is restarted there.
func (t *Tiles) move(write bool, i uint8, addr, stride uint64, m Memory) error {
	if !t.valid(i) || int(t.cfg[1]) >= t.rows(i) {
		return ErrUndefined
	}
	start := int(t.cfg[1])
	var rows [][]byte
	for r := start; r < t.rows(i); r++ {
		rows = append(rows, t.data[i][r][:t.colsb(i)])
	}
	n, err := m.Rows(write, addr+uint64(start)*stride, stride, rows)
	if err != nil {
		t.cfg[1] = byte(start + n)
		return err
	}
	t.cfg[1] = 0
	return nil
}

func (t *Tiles) multiply(in Inst) error {
	c, a, b := in.Dst, in.A, in.B
	if !t.valid(c) || !t.valid(a) || !t.valid(b) || c == a || c == b || a == b ||
		t.rows(c) != t.rows(a) || t.colsb(c) != t.colsb(b) || t.colsb(a)/4 != t.rows(b) {
		return ErrUndefined
	}
	row := dotInt8(in.Op)
	if in.Op == TDPBF16PS {
		row = dotBF16
	}
	for m := range t.rows(c) {
		row(t.data[c][m][:t.colsb(c)], t.data[a][m][:t.colsb(a)], &t.data[b])
	}
	t.cfg[1] = 0
	return nil
}

// dotBF16 adds one row of a·b to c: pairs (2k, 2k+1) of a times the pairs in
// row k of b. The products of even and of odd values are summed apart from
// zero, by fused multiply-add in the order of k, then added, then added to c.
func dotBF16(c, a []byte, b *[maxRows][rowBytes]byte) {
	var sum [rowBytes / 2]float32
	for k := range len(a) / 4 {
		x0, x1 := bf16(a[4*k:]), bf16(a[4*k+2:])
		for n := range len(c) / 4 {
			sum[2*n] = fma32(x0, bf16(b[k][4*n:]), sum[2*n])
			sum[2*n+1] = fma32(x1, bf16(b[k][4*n+2:]), sum[2*n+1])
		}
	}
	for n := range len(c) / 4 {
		s := fma32(sum[2*n], 1, sum[2*n+1])
		old := math.Float32frombits(binary.LittleEndian.Uint32(c[4*n:]))
		binary.LittleEndian.PutUint32(c[4*n:], math.Float32bits(fma32(old, 1, s)))
	}
}

func bf16(b []byte) float32 {
	return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
}

// dotInt8 adds one row of a·b to c: four products of bytes a lane, the sum
// wraps. The names say which of a and b are signed.
func dotInt8(op Op) func(c, a []byte, b *[maxRows][rowBytes]byte) {
	widen := func(signed bool, b byte) int32 {
		if signed {
			return int32(int8(b))
		}
		return int32(b)
	}
	sa, sb := op == TDPBSSD || op == TDPBSUD, op == TDPBSSD || op == TDPBUSD
	return func(c, a []byte, b *[maxRows][rowBytes]byte) {
		for n := range len(c) / 4 {
			s := int32(binary.LittleEndian.Uint32(c[4*n:]))
			for k := range len(a) {
				s += widen(sa, a[k]) * widen(sb, b[k/4][4*n+k%4])
			}
			binary.LittleEndian.PutUint32(c[4*n:], uint32(s))
		}
	}
}

// fma32 returns a·b + c in one rounding to nearest even; subnormal arguments
// count as zero, and so does a result that is subnormal after rounding. a·b must
// be exact in float64, as products of float32 are.
func fma32(a, b, c float32) float32 {
	p, d := float64(flush(a))*float64(flush(b)), float64(flush(c))
	s := p + d
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s)
	}
	// The error of s makes its last bit sticky, so that rounding twice is rounding once.
	t := s - p
	if e := (p - (s - t)) + (d - t); e != 0 {
		if u := math.Float64bits(s); u&1 == 0 {
			if (e > 0) == (s > 0) {
				u++
			} else {
				u--
			}
			s = math.Float64frombits(u)
		}
	}
	if math.Abs(s) < 0x1p-126-0x1p-151 {
		return float32(math.Copysign(0, s))
	}
	return float32(s)
}

func flush(x float32) float32 {
	if u := math.Float32bits(x); u&0x7f800000 == 0 {
		return math.Float32frombits(u & 0x80000000)
	}
	return x
}
