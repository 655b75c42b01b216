package ring

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// An opcode is a collective.
type opcode uint8

const (
	opAllReduce opcode = iota
	opAllGather
	opReduceScatter
	opSend
	opBarrier
	opSplit
	numOps
)

// A header is what stands before each piece of data. Receivers know all of it before,
// so programs that went apart are found out at the first piece.
type header struct {
	op     opcode
	reduce distributed.ReduceOp
	dtype  dtype.DType
	lane   uint8  // which of the circles of one collective
	group  uint64 // the group's
	seq    uint64 // of the group's collectives, or of the sends of one to another
	bytes  uint64 // of the whole array, on each process
	length uint32 // of the data that follow
	part   uint32 // of the lane's pieces
}

const (
	headerLen  = 40
	frameMagic = 0xd1
)

func (h *header) encode(b []byte) {
	b[0], b[1], b[2], b[3] = frameMagic, byte(h.op), byte(h.reduce), byte(h.dtype)
	b[4], b[5], b[6], b[7] = h.lane, 0, 0, 0
	binary.LittleEndian.PutUint64(b[8:], h.group)
	binary.LittleEndian.PutUint64(b[16:], h.seq)
	binary.LittleEndian.PutUint64(b[24:], h.bytes)
	binary.LittleEndian.PutUint32(b[32:], h.length)
	binary.LittleEndian.PutUint32(b[36:], h.part)
}

var errNoFrame = errors.New("it sent what is no frame")

func (h *header) decode(b []byte) error {
	*h = header{
		op: opcode(b[1]), reduce: distributed.ReduceOp(b[2]), dtype: dtype.DType(b[3]), lane: b[4],
		group:  binary.LittleEndian.Uint64(b[8:]),
		seq:    binary.LittleEndian.Uint64(b[16:]),
		bytes:  binary.LittleEndian.Uint64(b[24:]),
		length: binary.LittleEndian.Uint32(b[32:]),
		part:   binary.LittleEndian.Uint32(b[36:]),
	}
	if b[0] != frameMagic || h.op >= numOps || h.reduce > distributed.Min || !h.dtype.Valid() || uint64(h.length) > h.bytes {
		return errNoFrame
	}
	return nil
}

// String is as "all_sum of 10 float32".
func (h *header) String() string {
	name := [...]string{"", "all_gather", "", "send", "barrier", "split"}[h.op]
	switch h.op {
	case opAllReduce:
		name = "all_" + h.reduce.String()
	case opReduceScatter:
		name = h.reduce.String() + "_scatter"
	case opBarrier, opSplit:
		return name
	}
	return fmt.Sprintf("%s of %d %v", name, h.bytes/uint64(h.dtype.Size()), h.dtype)
}

// mismatch says how the headers of peer and rank differ.
func mismatch(peer int, theirs *header, rank int, own *header) string {
	a, b := theirs.String(), own.String()
	if own.op == opSend {
		b = fmt.Sprintf("recv of %d %v", own.bytes/uint64(own.dtype.Size()), own.dtype)
	}
	if a == b {
		a, b = fmt.Sprintf("%s, number %d.%d.%d", a, theirs.seq, theirs.lane, theirs.part), fmt.Sprintf("%s, number %d.%d.%d", b, own.seq, own.lane, own.part)
	}
	return fmt.Sprintf("rank %d is in %s, rank %d in %s: all processes must run the same collectives in one order", peer, a, rank, b)
}
